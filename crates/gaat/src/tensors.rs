//! Safetensors files: named tensors with text metadata.

use crate::files::write_atomically;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Named tensors and metadata, as read.
pub(crate) struct Document {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) metadata: HashMap<String, String>,
}

/// Writes `tensors` with `metadata`, atomically.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut copies = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Double => Dtype::F64,
            kind => return Err(failed(format!("`{name}` holds {kind:?}, which is not saved"))),
        };
        let width = if dtype == Dtype::F32 { 4 } else { 8 };
        let mut bytes = vec![0u8; tensor.numel() * width];
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

/// Reads a file written by [`write()`] or by any other safetensors writer, f32 and f64 tensors only.
pub(crate) fn read(path: &Path) -> Result<Document> {
    let bytes = fs_err::read(path)?;
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let damaged = |error: safetensors::SafeTensorError| {
        failed(format!("is not a whole safetensors file ({error}); restore it from a copy, or train again"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            dtype => return Err(failed(format!("`{name}` holds {dtype:?}; only F32 and F64 are read"))),
        };
        let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
        tensors.push((name, Tensor::f_from_data_size(view.data(), &shape, kind)?));
    }
    Ok(Document { tensors, metadata: header.metadata().clone().unwrap_or_default() })
}
