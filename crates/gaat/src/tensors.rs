//! Tensors of libtorch in safetensors files, by way of the format in `gaat_files::tensors`.

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::libtorch::Doing as _;
use crate::nn::finite;
use gaat_files::tensors::{Dtype, NamedBytes, parse, to_bytes};
use gaat_spec::{visible, visible_path};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What is saved and read, under both of its names. `ParameterStore` takes floating-point numbers alone; files from
/// elsewhere also count batches.
const DTYPES: [(Dtype, Kind); 10] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::U8, Kind::Uint8),
    (Dtype::I8, Kind::Int8),
    (Dtype::I16, Kind::Int16),
    (Dtype::I32, Kind::Int),
    (Dtype::I64, Kind::Int64),
    (Dtype::BOOL, Kind::Bool),
];

/// Named tensors and metadata, as read.
pub(crate) struct Document {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) metadata: HashMap<String, String>,
    /// Whether the file carries a checksum, which was then right.
    pub(crate) is_checked: bool,
}

/// Writes `tensors` with `metadata`, and a checksum, atomically, if all of their numbers are finite: what is saved can be gone on from.
/// Equal contents are equal bytes.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<&str, String>,
) -> Result<()> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let finite =
        finite::check("the tensors to write", tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)));
    finite.map_err(|error| failed(format!("was not written: {error}")))?;
    let mut copies = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let kind = tensor.kind();
        let Some((dtype, ..)) = DTYPES.iter().find(|(_, saved)| *saved == kind).copied() else {
            return Err(failed(format!("`{name}` holds {kind:?}, which is not saved")));
        };
        let mut bytes = vec![0u8; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        let shape = tensor.size().iter().map(|side| *side as usize).collect();
        copies.push(NamedBytes { name, dtype, shape, bytes });
    }
    write_atomically(path, &to_bytes(&copies, metadata).map_err(failed)?)
}

/// The metadata of a file with a checksum, which is checked; `None` where the file carries none.
pub(crate) fn read_metadata(path: &Path) -> Result<Option<HashMap<String, String>>> {
    let bytes = gaat_files::read(path)?;
    let document = parse(path, &bytes)?;
    Ok(document.is_checked.then_some(document.metadata))
}

/// Reads a file written by [`write()`] or by any other safetensors writer.
pub(crate) fn read(path: &Path) -> Result<Document> {
    let bytes = gaat_files::read(path)?;
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let gaat_files::tensors::Document { file, metadata, is_checked } = parse(path, &bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let dtype = view.dtype();
        let Some((_, kind)) = DTYPES.iter().find(|(read, _)| *read == dtype).copied() else {
            let known: Vec<String> = DTYPES.iter().map(|(known, _)| format!("{known:?}")).collect();
            return Err(failed(format!(
                "`{}` holds {dtype:?}; only {} are read",
                visible(&name),
                known.join(", ")
            )));
        };
        let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind);
        let named = || format!("{}: reading `{}`", visible_path(path), visible(&name));
        tensors.push((name.clone(), tensor.map_err(Error::from).doing(named)?));
    }
    Ok(Document { tensors, metadata, is_checked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let numbers = Tensor::from_slice(&[0.0, 1.0, 97.0, 3.0, 5.0, 120.0]).view([2, 3]);
        let tensors = DTYPES.map(|(dtype, kind)| (format!("{dtype:?}"), numbers.to_kind(kind)));
        write(&path, &tensors, &BTreeMap::new()).unwrap();
        let read = read(&path).unwrap().tensors;
        assert_eq!(read.len(), DTYPES.len());
        for (name, tensor) in &tensors {
            let (_, found) = read.iter().find(|(key, _)| key == name).unwrap();
            assert_eq!((found.kind(), found), (tensor.kind(), tensor), "{name}");
        }
        let odd = [("odd".to_owned(), numbers.to_kind(Kind::ComplexFloat))];
        assert!(write(&path, &odd, &BTreeMap::new()).unwrap_err().to_string().contains("ComplexFloat"));
    }

    #[test]
    fn what_is_not_finite_is_not_written_over_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let named =
            |number: f64, kind| [("head.bias".to_owned(), Tensor::from_slice(&[1.0, number]).to_kind(kind))];
        write(&path, &named(2.0, Kind::Float), &BTreeMap::new()).unwrap();
        let before = fs_err::read(&path).unwrap();
        for (number, kind) in [
            (f64::NAN, Kind::Float),
            (f64::INFINITY, Kind::Double),
            (1e30, Kind::Half),
            (f64::NEG_INFINITY, Kind::BFloat16),
        ] {
            let text = write(&path, &named(number, kind), &BTreeMap::new()).unwrap_err().to_string();
            assert!(text.contains("tensors.safetensors") && text.contains("`head.bias`"), "{text}");
            assert_eq!(fs_err::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn damage_is_told_and_metadata_are_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let metadata = BTreeMap::from([("format", "pt".to_owned())]);
        write(&path, &[("w".to_owned(), Tensor::from_slice(&[1.5f32, -2.0]))], &metadata).unwrap();
        let document = read(&path).unwrap();
        assert!(document.is_checked && document.metadata["format"] == "pt");
        assert_eq!(read_metadata(&path).unwrap().unwrap(), document.metadata);
        let mut bytes = fs_err::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        for text in [read(&path).err().unwrap().to_string(), read_metadata(&path).unwrap_err().to_string()] {
            assert!(text.contains("tensors.safetensors: is damaged"), "{text}");
        }
        fs_err::write(&path, b"PK\x03\x04 and more of an archive").unwrap();
        let text = read(&path).err().unwrap().to_string();
        assert!(text.contains("import") && text.contains("tensors.safetensors"), "{text}");
    }
}
