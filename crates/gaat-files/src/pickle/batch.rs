//! CIFAR's Python version: a pickled dictionary with an array of pixels and a list of labels. Nothing in it is run; the calls
//! that numpy's arrays are written as are read as the data that they hold.

use super::machine::{self, Pickle};
use super::value::{Class, Id, Value};
use std::borrow::Cow;

/// What a batch holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rows of `row` bytes each.
    pub pixels: Vec<u8>,
    /// One a row.
    pub labels: Vec<u16>,
}

/// Reads the batch in `bytes`, whose rows have `row` bytes and whose labels lie under `labels`.
///
/// # Errors
/// When `bytes` hold something else; the text says what.
pub fn read_batch(bytes: &[u8], row: usize, labels: &str) -> Result<Batch, String> {
    let pickle = machine::read(bytes)?;
    let data = entry(&pickle, "data")?;
    let (shape, kind, pixels) = array(&pickle, data)
        .ok_or_else(|| format!("{} as data, not an array of numpy", pickle.describe(data)))?;
    if kind != "u1" || shape.len() != 2 || shape[1] != row {
        return Err(format!(
            "data of shape {shape:?} and type {kind}; rows of {row} bytes (u1) were expected"
        ));
    }
    if pixels.len() != shape[0].saturating_mul(row) {
        return Err(format!("{} bytes of data for {} rows of {row}", pixels.len(), shape[0]));
    }
    let labels = numbers(&pickle, entry(&pickle, labels)?)?;
    if labels.len() != shape[0] {
        return Err(format!("{} labels for {} images", labels.len(), shape[0]));
    }
    Ok(Batch { pixels: pixels.into_owned(), labels })
}

/// The texts under `key`, such as the names of the classes.
///
/// # Errors
/// As [`read_batch`].
pub fn read_names(bytes: &[u8], key: &str) -> Result<Vec<String>, String> {
    let pickle = machine::read(bytes)?;
    let id = entry(&pickle, key)?;
    let Value::List(items) = pickle.get(id) else {
        return Err(format!("{} under {key}, not a list", pickle.describe(id)));
    };
    let name = |id: &Id| match text(&pickle, *id) {
        Some(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
        None => Err(format!("{} among the names under {key}", pickle.describe(*id))),
    };
    items.iter().map(name).collect()
}

/// The value under `key` of the outermost dictionary; Python 2 wrote keys that are text, and Python 3 may keep them as bytes.
fn entry(pickle: &Pickle<'_>, key: &str) -> Result<Id, String> {
    let Value::Dict(entries) = pickle.get(pickle.root) else {
        return Err(format!("{}, not a dictionary", pickle.describe(pickle.root)));
    };
    let is_key = |id: Id| text(pickle, id).is_some_and(|text| *text == *key.as_bytes());
    let found = entries.iter().rev().find(|(own, _)| is_key(*own));
    found.map(|(_, value)| *value).ok_or_else(|| format!("a dictionary without {key}"))
}

/// The bytes of text, of bytes, or of bytes that protocol 2 wrote as Latin-1 text.
fn text<'a>(pickle: &'a Pickle<'_>, id: Id) -> Option<Cow<'a, [u8]>> {
    match pickle.get(id) {
        Value::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        Value::Object(_) => {
            let (class, arguments) = call(pickle, id)?;
            let [encoded, encoding, ..] = arguments else { return None };
            let is_latin = matches!(pickle.text(*encoding), Some("latin1" | "latin-1"));
            if class != "_codecs.encode" || !is_latin {
                return None;
            }
            let bytes: Option<Vec<u8>> = pickle
                .text(*encoded)?
                .chars()
                .map(|character| u8::try_from(u32::from(character)).ok())
                .collect();
            bytes.map(Cow::Owned)
        }
        _ => None,
    }
}

/// The class or function, and the arguments, that an object is written with.
fn call<'a>(pickle: &'a Pickle<'_>, id: Id) -> Option<(String, &'a [Id])> {
    let Value::Object(class) = pickle.get(id) else { return None };
    let Value::Class(Class::Other(module, name)) = pickle.get(*class) else { return None };
    let Value::Tuple(arguments) = pickle.get(*pickle.arguments.get(&id)?) else { return None };
    Some((format!("{}.{}", pickle.text(*module)?, pickle.text(*name)?), arguments))
}

/// Shape, type (without its byte order) and bytes of an array of numpy that lies row by row.
fn array<'a>(pickle: &'a Pickle<'_>, id: Id) -> Option<(Vec<usize>, String, Cow<'a, [u8]>)> {
    let (class, arguments) = call(pickle, id)?;
    let (shape, dtype, bytes) = match class.as_str() {
        "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
            // (version, shape, type, whether columns come first, bytes)
            let Value::Tuple(state) = pickle.get(*pickle.states.get(&id)?) else { return None };
            let [_, shape, dtype, columns_first, bytes] = state.as_slice() else { return None };
            if *pickle.get(*columns_first) != Value::Bool(false) {
                return None;
            }
            (*shape, *dtype, *bytes)
        }
        "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => {
            let [bytes, dtype, shape, order] = arguments else { return None };
            if pickle.text(*order) != Some("C") {
                return None;
            }
            (*shape, *dtype, *bytes)
        }
        _ => return None,
    };
    let Value::Tuple(sides) = pickle.get(shape) else { return None };
    let side = |id: &Id| match pickle.get(*id) {
        Value::Int(side) => usize::try_from(*side).ok(),
        _ => None,
    };
    let shape = sides.iter().map(side).collect::<Option<Vec<_>>>()?;
    let (class, arguments) = call(pickle, dtype)?;
    if class != "numpy.dtype" {
        return None;
    }
    let kind = text(pickle, *arguments.first()?)?;
    let kind = String::from_utf8_lossy(&kind).trim_start_matches(['<', '|', '=']).to_owned();
    Some((shape, kind, text(pickle, bytes)?))
}

/// Whole numbers from 0 on, of a list or of an array.
fn numbers(pickle: &Pickle<'_>, id: Id) -> Result<Vec<u16>, String> {
    let misfit = || format!("{} as labels; a list of whole numbers was expected", pickle.describe(id));
    if let Value::List(items) | Value::Tuple(items) = pickle.get(id) {
        let number = |id: &Id| match pickle.get(*id) {
            Value::Int(number) => u16::try_from(*number).map_err(|_| format!("the label {number}")),
            _ => Err(format!("{} among the labels", pickle.describe(*id))),
        };
        return items.iter().map(number).collect();
    }
    let (_, kind, bytes) = array(pickle, id).ok_or_else(misfit)?;
    let width = match kind.as_str() {
        "i8" | "u8" => 8,
        "i4" | "u4" => 4,
        "i2" | "u2" => 2,
        "i1" | "u1" => 1,
        _ => return Err(misfit()),
    };
    let number = |bytes: &[u8]| {
        let little = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        u16::try_from(little).map_err(|_| format!("the label {little}"))
    };
    bytes.chunks_exact(width).map(number).collect()
}
