//! Safetensors files: named tensors with text metadata.

use crate::files::write_atomically;
use crate::nn::finite;
use crate::{Error, Result};
use gaat_spec::visible;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What is saved and read, under both of its names. `ParameterStore` takes floating-point numbers alone; files from
/// elsewhere also count batches.
const DTYPES: [(Dtype, Kind); 9] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::U8, Kind::Uint8),
    (Dtype::I8, Kind::Int8),
    (Dtype::I16, Kind::Int16),
    (Dtype::I32, Kind::Int),
    (Dtype::I64, Kind::Int64),
];

/// Named tensors and metadata, as read.
pub(crate) struct Document {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) metadata: HashMap<String, String>,
}

/// Writes `tensors` with `metadata`, atomically, if all of their numbers are finite: what is saved can be gone on from.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
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
        let shape: Vec<usize> = tensor.size().iter().map(|side| *side as usize).collect();
        copies.push((name.as_str(), dtype, shape, bytes));
    }
    let mut views = Vec::with_capacity(copies.len());
    for (name, dtype, shape, bytes) in &copies {
        let view =
            TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| failed(error.to_string()))?;
        views.push((*name, view));
    }
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(error.to_string()))?;
    write_atomically(path, &bytes)
}

/// Reads a file written by [`write()`] or by any other safetensors writer.
pub(crate) fn read(path: &Path) -> Result<Document> {
    let bytes = gaat_data::files::read(path)?;
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let damaged = |error: safetensors::SafeTensorError| {
        foreign(path, &bytes).unwrap_or_else(|| {
            failed(format!(
                "is not a whole safetensors file ({error}); restore it from a copy, or train again"
            ))
        })
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
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
        tensors.push((name, Tensor::f_from_data_size(view.data(), &shape, kind)?));
    }
    Ok(Document { tensors, metadata: header.metadata().clone().unwrap_or_default() })
}

/// A file of another kind: told by what it begins with, or by its name where that says nothing.
fn foreign(path: &Path, bytes: &[u8]) -> Option<Error> {
    /// A zip archive, and a pickle of the versions that `torch.save` ever wrote.
    const STARTS: [&[u8]; 4] = [b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04"];
    let is_named = |endings: &[&str]| {
        path.extension().is_some_and(|end| endings.iter().any(|known| end.eq_ignore_ascii_case(known)))
    };
    // Where the header of a safetensors file begins; the length before it may look like anything.
    if bytes.get(8) == Some(&b'{') {
        return None;
    }
    if is_named(&["onnx"]) {
        let reason = "is an ONNX graph, which gaat writes and does not read; give the run or the weights that it was \
                      exported from, or import their PyTorch state dict";
        return Some(Error::File { path: path.to_owned(), reason: reason.to_owned() });
    }
    let is_pytorch = STARTS.iter().any(|start| bytes.starts_with(start)) || is_named(&["pth", "pt"]);
    is_pytorch.then(|| Error::Foreign { path: path.to_owned() })
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
        write(&path, &tensors, HashMap::new()).unwrap();
        let read = read(&path).unwrap().tensors;
        assert_eq!(read.len(), DTYPES.len());
        for (name, tensor) in &tensors {
            let (_, found) = read.iter().find(|(key, _)| key == name).unwrap();
            assert_eq!((found.kind(), found), (tensor.kind(), tensor), "{name}");
        }
        let truth = [("truth".to_owned(), Tensor::from_slice(&[true]))];
        assert!(write(&path, &truth, HashMap::new()).unwrap_err().to_string().contains("Bool"));
    }

    #[test]
    fn what_is_not_finite_is_not_written_over_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let named =
            |number: f64, kind| [("head.bias".to_owned(), Tensor::from_slice(&[1.0, number]).to_kind(kind))];
        write(&path, &named(2.0, Kind::Float), HashMap::new()).unwrap();
        let before = fs_err::read(&path).unwrap();
        for (number, kind) in [
            (f64::NAN, Kind::Float),
            (f64::INFINITY, Kind::Double),
            (1e30, Kind::Half),
            (f64::NEG_INFINITY, Kind::BFloat16),
        ] {
            let text = write(&path, &named(number, kind), HashMap::new()).unwrap_err().to_string();
            assert!(text.contains("tensors.safetensors") && text.contains("`head.bias`"), "{text}");
            assert_eq!(fs_err::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_file_of_another_kind_is_told_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs_err::write(&path, bytes).unwrap();
            read(&path).err().unwrap().to_string()
        };
        for (name, bytes) in [
            ("zipped.bin", b"PK\x03\x04 and more of an archive".as_slice()),
            ("pickled", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
            ("short.PTH", b"?"),
            ("w.pt", b""),
        ] {
            let text = refusal(name, bytes);
            assert!(text.contains("import") && text.contains(name), "{text}");
        }
        let graph = refusal("cats.onnx", b"\x08\x08\x12\x04gaat and more of a graph");
        assert!(graph.contains("writes and does not read"), "{graph}");
        for bytes in [b"\x80\x02\0\0\0\0\0\0{\"cut short".as_slice(), b"", b"anything but tensors"] {
            let text = refusal("w.safetensors", bytes);
            assert!(text.contains("not a whole safetensors file"), "{text}");
        }
    }
}
