//! Safetensors files: named tensors with text metadata, and a checksum over all of it.
//!
//! The checksum is CRC-32C over the metadata and over name, type, shape and bytes of each tensor. A bit that was flipped since is
//! an error. Times in the metadata are left out, so that equal runs have equal checksums. Files of other programs carry none.

use crate::error::{Error, Result};
use gaat_spec::visible;
use safetensors::SafeTensorError;
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub use safetensors::Dtype;

/// Key of the checksum in the metadata, a decimal number.
pub const CHECKSUM: &str = "gaat-checksum";
/// Keys of times in metadata that is JSON.
const TIMES: [&str; 1] = ["seconds"];

/// A tensor to be written.
#[derive(Debug)]
pub struct NamedBytes<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its sizes; none for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, little-endian, the last index running fastest.
    pub bytes: Vec<u8>,
}

/// A file that was read.
#[derive(Debug)]
pub struct Document<'a> {
    /// Its tensors.
    pub file: SafeTensors<'a>,
    /// Its metadata, the checksum among them.
    pub metadata: HashMap<String, String>,
    /// Whether the file carries a checksum, which was then right.
    pub is_checked: bool,
}

/// The file of `tensors` with `metadata`, and a checksum. Equal contents are equal bytes.
///
/// # Errors
/// When sizes and bytes of a tensor contradict each other; the text says so.
pub fn to_bytes(
    tensors: &[NamedBytes<'_>],
    metadata: &BTreeMap<&str, String>,
) -> std::result::Result<Vec<u8>, String> {
    let mut views = Vec::with_capacity(tensors.len());
    for NamedBytes { name, dtype, shape, bytes } in tensors {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        views.push((*name, view.map_err(|error| format!("`{}`: {error}", visible(name)))?));
    }
    let bytes = safetensors::serialize(views, None).map_err(|error| error.to_string())?;
    with_metadata(&bytes, metadata).ok_or_else(|| "a file of tensors has no header".to_owned())
}

/// The file `bytes`, which has no metadata, with `metadata` and a checksum. The writer of the library keeps metadata in the
/// order of a hash table, which is another each time.
fn with_metadata(bytes: &[u8], metadata: &BTreeMap<&str, String>) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
    let tensors = header.trim_ascii_end().strip_prefix(b"{")?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut metadata: BTreeMap<&str, &str> =
        metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let checksum = checksum(&metadata, &file).to_string();
    metadata.insert(CHECKSUM, &checksum);
    let metadata = serde_json::to_string(&metadata).ok()?;
    let separator = if tensors == b"}" { "" } else { "," };
    let mut text = [format!("{{\"__metadata__\":{metadata}{separator}").as_bytes(), tensors].concat();
    // Where the tensors begin is a multiple of 8, as other readers expect.
    text.resize(text.len().next_multiple_of(8), b' ');
    Some([&(text.len() as u64).to_le_bytes()[..], &text, data].concat())
}

/// Reads the file at `path`, whose content is `bytes`, of this writer or any other.
///
/// # Errors
/// When it is damaged, by its checksum too, or a file of another kind.
pub fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Document<'a>> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, bytes, &error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(path, bytes, &error))?;
    let is_checked = check(path, &file, &metadata)?;
    Ok(Document { file, metadata, is_checked })
}

/// CRC-32C over `metadata`, which holds no checksum, without times and over all that is known of the tensors in `file`.
pub fn checksum(metadata: &BTreeMap<&str, &str>, file: &SafeTensors<'_>) -> u32 {
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
    Err(Error::file(
        path,
        format!(
            "is damaged, or was changed by another program: checksum {found}, expected {}; restore the file from a copy, or make \
             the file again",
            visible(saved)
        ),
    ))
}

fn damaged(path: &Path, bytes: &[u8], error: &SafeTensorError) -> Error {
    foreign(path, bytes).unwrap_or_else(|| {
        Error::file(
            path,
            format!("is not a whole safetensors file ({error}); restore it from a copy, or train again"),
        )
    })
}

/// A file of another kind. The first bytes say which kind; where they do not, the name of the file does.
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
        return Some(Error::file(
            path,
            "is an ONNX graph, which gaat writes and does not read; give the run or the weights that it was exported from, or \
             import their PyTorch state dict",
        ));
    }
    let is_pytorch = STARTS.iter().any(|start| bytes.starts_with(start)) || is_named(&["pth", "pt"]);
    is_pytorch.then(|| Error::Foreign { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<NamedBytes<'static>> {
        let single = [1.5f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        vec![
            NamedBytes { name: "w", dtype: Dtype::F32, shape: vec![2], bytes: single },
            NamedBytes { name: "b", dtype: Dtype::F64, shape: vec![], bytes: 3f64.to_le_bytes().to_vec() },
        ]
    }

    fn read(bytes: &[u8]) -> Result<Document<'_>> {
        parse(Path::new("tensors.safetensors"), bytes)
    }

    /// What a document says, but for the order in which the document says it.
    fn content(document: &Document<'_>) -> impl PartialEq + use<> {
        let tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = document
            .file
            .iter()
            .map(|(name, view)| {
                (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            })
            .collect();
        (tensors, document.metadata.clone())
    }

    #[test]
    fn every_flipped_bit_is_found_and_equal_contents_are_equal_bytes() {
        let metadata = BTreeMap::from([("gaat", "{\"a\": \"b\"}".to_owned()), ("format", "pt".to_owned())]);
        let whole = to_bytes(&tensors(), &metadata).unwrap();
        for _ in 0..8 {
            assert_eq!(to_bytes(&tensors(), &metadata).unwrap(), whole);
        }
        let document = read(&whole).unwrap();
        assert!(document.is_checked && document.metadata["gaat"] == metadata["gaat"]);
        let length = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        let expected = content(&document);
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(found) = read(&flipped) else { continue };
            assert!(bit / 8 < 8 + length, "a flip in a tensor, bit {bit}");
            // A flip in the key itself hides the checksum: a caller that knows that there must be one asks for it. What else passes
            // has changed white space.
            assert!(!found.is_checked || content(&found) == expected, "bit {bit}");
        }
    }

    #[test]
    fn times_are_not_among_what_is_compared() {
        let sums = [1.0, 2.0].map(|seconds| {
            let metadata = BTreeMap::from([("state", format!("{{\"seconds\":{seconds},\"steps\":3}}"))]);
            let bytes = to_bytes(&tensors(), &metadata).unwrap();
            read(&bytes).unwrap().metadata[CHECKSUM].clone()
        });
        assert_eq!(sums[0], sums[1]);
    }

    #[test]
    fn files_of_other_programs_carry_no_checksum_and_none_is_asked_for() {
        let views = [("w", TensorView::new(Dtype::U8, vec![1], &[7]).unwrap())];
        let bytes = safetensors::serialize(views, None).unwrap();
        assert!(!read(&bytes).unwrap().is_checked);
    }

    #[test]
    fn sizes_that_contradict_the_bytes_are_refused() {
        let short = NamedBytes { name: "w", dtype: Dtype::F32, shape: vec![3], bytes: vec![0; 8] };
        assert!(to_bytes(&[short], &BTreeMap::new()).unwrap_err().starts_with("`w`: "));
    }

    #[test]
    fn a_file_of_another_kind_is_told_where_it_belongs() {
        let refusal = |name: &str, bytes: &[u8]| parse(Path::new(name), bytes).err().unwrap();
        for (name, bytes) in [
            ("zipped.bin", b"PK\x03\x04 and more of an archive".as_slice()),
            ("pickled", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
            ("short.PTH", b"?"),
            ("w.pt", b""),
        ] {
            let error = refusal(name, bytes);
            assert!(matches!(&error, Error::Foreign { path } if path == Path::new(name)), "{error}");
        }
        let graph = refusal("cats.onnx", b"\x08\x08\x12\x04gaat and more of a graph").to_string();
        assert!(graph.contains("writes and does not read"), "{graph}");
        for bytes in [b"\x80\x02\0\0\0\0\0\0{\"cut short".as_slice(), b"", b"anything but tensors"] {
            let text = refusal("w.safetensors", bytes).to_string();
            assert!(text.contains("not a whole safetensors file"), "{text}");
        }
    }
}
