//! Tensors as arrays for numpy, in the format of `gaat_files::npz`.

use crate::error::{Error, Result};
use gaat_files::npz::{Array, Dtype};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Writes `arrays` (f32, f64, i64 or u8) by name, atomically; `numpy.load` reads them.
///
/// # Errors
/// When an array is of another type or over 4 GiB, or the file cannot be written.
pub fn write(path: &Path, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let failed = |name: &str, error: Error| Error::File {
        path: path.to_owned(),
        reason: format!("`{name}`: {error}"),
    };
    let arrays = arrays.iter().map(|(name, tensor)| array(name, tensor).map_err(|error| failed(name, error)));
    Ok(gaat_files::npz::write(path, &arrays.collect::<Result<Vec<_>>>()?)?)
}

fn array<'a>(name: &'a str, tensor: &Tensor) -> Result<Array<'a>> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let dtype = match tensor.kind() {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Uint8 => Dtype::U8,
        kind => return Err(Error::Usage(format!("arrays of {kind:?} are not written"))),
    };
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(Array { name, dtype, shape: tensor.size(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_through_another_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let images = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([2, 1, 3, 2]).transpose(2, 3);
        let labels = Tensor::from_slice(&[3i64, -1]);
        write(&path, &[("images", &images), ("labels", &labels)]).unwrap();
        let read = Tensor::read_npz(&path).unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["images", "labels"]);
        assert_eq!((&read[0].1, &read[1].1), (&images, &labels));
        let bytes = Tensor::from_slice(&[7u8, 255, 0]);
        write(&path, &[("bytes", &bytes)]).unwrap();
        assert_eq!(Tensor::read_npz(&path).unwrap()[0].1, bytes);
        let error = write(&path, &[("flags", &labels.to_kind(Kind::Bool))]).unwrap_err().to_string();
        assert!(error.contains("`flags`") && error.contains("Bool"), "{error}");
    }
}
