//! Safetensors files: named tensors with text metadata, and a checksum over all of it.
//!
//! The checksum is CRC-32C over the metadata and over name, type, shape and bytes of each tensor. A bit that was flipped since is
//! an error. Times in the metadata are left out, so that equal runs have equal checksums. Files of other programs carry none.

use crate::files::write_atomically;
use crate::libtorch::Doing as _;
use crate::nn::finite;
use crate::{Error, Result};
use gaat_spec::{visible, visible_path};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::borrow::Cow;
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

/// Key of the checksum in the metadata, a decimal number.
const CHECKSUM: &str = "gaat-checksum";
/// Keys of times in metadata that is JSON.
const TIMES: [&str; 1] = ["seconds"];

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
        let shape: Vec<usize> = tensor.size().iter().map(|side| *side as usize).collect();
        copies.push((name.as_str(), dtype, shape, bytes));
    }
    let mut views = Vec::with_capacity(copies.len());
    for (name, dtype, shape, bytes) in &copies {
        let view =
            TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| failed(error.to_string()))?;
        views.push((*name, view));
    }
    let bytes = safetensors::serialize(views, None).map_err(|error| failed(error.to_string()))?;
    write_atomically(path, &with_metadata(&bytes, metadata)?)
}

/// The file `bytes`, which has no metadata, with `metadata` and a checksum. The writer of the library keeps metadata in the
/// order of a hash table, which is another each time.
fn with_metadata(bytes: &[u8], metadata: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    let odd = || Error::Usage("a file of tensors has no header".to_owned());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(odd)?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(odd)?;
    let tensors = header.trim_ascii_end().strip_prefix(b"{").ok_or_else(odd)?;
    let file = SafeTensors::deserialize(bytes).map_err(|_| odd())?;
    let mut metadata: BTreeMap<&str, &str> =
        metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let checksum = checksum(&metadata, &file).to_string();
    metadata.insert(CHECKSUM, &checksum);
    let metadata = serde_json::to_string(&metadata).map_err(std::io::Error::from)?;
    let separator = if tensors == b"}" { "" } else { "," };
    let mut text = [format!("{{\"__metadata__\":{metadata}{separator}").as_bytes(), tensors].concat();
    // Where the tensors begin is a multiple of 8, as other readers expect.
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text, data].concat())
}

/// CRC-32C over `metadata` without times and over all that is known of the tensors in `file`.
fn checksum(metadata: &BTreeMap<&str, &str>, file: &SafeTensors<'_>) -> u32 {
    let mut sum = 0;
    let mut add = |bytes: &[u8]| {
        // With its length, so that no two lists of fields run into the same bytes.
        sum = crc32c::crc32c_append(sum, &(bytes.len() as u64).to_le_bytes());
        sum = crc32c::crc32c_append(sum, bytes);
    };
    for (key, value) in metadata {
        add(key.as_bytes());
        add(timeless(value).as_bytes());
    }
    let mut tensors = file.tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, view) in tensors {
        add(name.as_bytes());
        add(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        add(view.data());
    }
    sum
}

/// Metadata that is JSON without its times; other metadata as it is.
fn timeless(text: &str) -> Cow<'_, str> {
    fn drop_times(value: &mut Value) {
        match value {
            Value::Object(table) => {
                table.retain(|key, _| !TIMES.contains(&key.as_str()));
                table.values_mut().for_each(drop_times);
            }
            Value::Array(values) => values.iter_mut().for_each(drop_times),
            _ => {}
        }
    }
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            drop_times(&mut value);
            Cow::Owned(value.to_string())
        }
        Err(_) => Cow::Borrowed(text),
    }
}

/// Whether the file carries its checksum; an error where that is wrong. `metadata` is what the header holds.
fn check(path: &Path, file: &SafeTensors<'_>, metadata: &HashMap<String, String>) -> Result<bool> {
    let Some(saved) = metadata.get(CHECKSUM) else { return Ok(false) };
    let others = metadata.iter().filter(|(key, _)| *key != CHECKSUM);
    let found =
        checksum(&others.map(|(key, value)| (key.as_str(), value.as_str())).collect(), file).to_string();
    if found == *saved {
        return Ok(true);
    }
    let reason = format!(
        "is damaged, or was changed by another program: checksum {found}, expected {}; restore the file from a copy, or make \
         the file again",
        visible(saved)
    );
    Err(Error::File { path: path.to_owned(), reason })
}

/// The metadata of a file with a checksum, which is checked; `None` where the file carries none.
pub(crate) fn read_metadata(path: &Path) -> Result<Option<HashMap<String, String>>> {
    let bytes = gaat_data::files::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &bytes, &error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &bytes, &error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok(check(path, &file, &metadata)?.then_some(metadata))
}

fn damaged(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    foreign(path, bytes).unwrap_or_else(|| Error::File {
        path: path.to_owned(),
        reason: format!("is not a whole safetensors file ({error}); restore it from a copy, or train again"),
    })
}

/// Reads a file written by [`write()`] or by any other safetensors writer.
pub(crate) fn read(path: &Path) -> Result<Document> {
    let bytes = gaat_data::files::read(path)?;
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &bytes, &error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &bytes, &error))?;
    let is_checked = check(path, &file, &metadata)?;
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
    fn every_flipped_bit_is_found_and_equal_contents_are_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let tensors =
            [("w".to_owned(), Tensor::from_slice(&[1.5f32, -2.0])), ("b".to_owned(), Tensor::from(3.0))];
        let metadata = BTreeMap::from([("gaat", "{\"a\": \"b\"}".to_owned()), ("format", "pt".to_owned())]);
        write(&path, &tensors, &metadata).unwrap();
        let whole = fs_err::read(&path).unwrap();
        for _ in 0..8 {
            write(&path, &tensors, &metadata).unwrap();
            assert_eq!(fs_err::read(&path).unwrap(), whole);
        }
        let document = read(&path).unwrap();
        assert!(document.is_checked && document.metadata["gaat"] == metadata["gaat"]);
        assert_eq!(read_metadata(&path).unwrap().unwrap(), document.metadata);
        let length = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        let content = |document: &Document| {
            let bytes =
                |tensor: &Tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
            let tensors: BTreeMap<_, _> =
                document.tensors.iter().map(|(name, tensor)| (name.clone(), bytes(tensor))).collect();
            (tensors, document.metadata.clone())
        };
        let expected = content(&document);
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs_err::write(&path, &flipped).unwrap();
            let Ok(found) = read(&path) else { continue };
            assert!(bit / 8 < 8 + length, "a flip in a tensor, bit {bit}");
            // A flip in the key itself hides the checksum: a caller that knows that there must be one asks for it. What else passes
            // has changed white space.
            assert!(!found.is_checked || content(&found) == expected, "bit {bit}");
        }
        // Times are not among what is compared.
        let timed =
            |seconds: f64| BTreeMap::from([("state", format!("{{\"seconds\":{seconds},\"steps\":3}}"))]);
        let sums = [1.0, 2.0].map(|seconds| {
            write(&path, &tensors, &timed(seconds)).unwrap();
            read(&path).unwrap().metadata[CHECKSUM].clone()
        });
        assert_eq!(sums[0], sums[1]);
        // As other programs write: no checksum, and none is asked for.
        let views = [("w", TensorView::new(Dtype::U8, vec![1], &[7]).unwrap())];
        fs_err::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        assert!(!read(&path).unwrap().is_checked && read_metadata(&path).unwrap().is_none());
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
