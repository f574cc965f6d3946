//! PyTorch state dicts as `torch.save` writes them: the zip layout and the one before it (2020). Nothing in the file is
//! run: what is not numbers in dictionaries is refused by name.

mod archive;
mod brief;
mod machine;
mod opcodes;
mod tensors;
mod value;

pub use tensors::{NamedTensor, Numbers, strip_parallel_prefix};

use crate::error::{Error, Result};
use crate::files;
use archive::Archive;
use brief::brief;
use machine::Pickle;
use std::collections::HashMap;
use std::path::Path;
use tensors::Found;
use value::Value;

/// What the older layout begins with, little-endian: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const EXPECTED: &str = "a PyTorch state dict";

/// Reads the tensors of a state dict, contiguous, in their order. A dictionary round it (`state_dict`, `model` and so
/// on) and the prefix `module.` of parallel training are taken off.
///
/// # Errors
/// When the file cannot be read, is no state dict, or holds anything but numbers.
pub fn read_state_dict(path: &Path) -> Result<Vec<NamedTensor>> {
    let bytes = files::read(path)?;
    state_dict(&bytes).map_err(|found| Error::malformed(path, EXPECTED, found))
}

fn state_dict(bytes: &[u8]) -> std::result::Result<Vec<NamedTensor>, String> {
    if bytes.starts_with(b"PK") { zipped(bytes) } else { legacy(bytes) }
}

fn zipped(bytes: &[u8]) -> std::result::Result<Vec<NamedTensor>, String> {
    let archive = Archive::read(bytes)?;
    let (name, pickle) =
        archive.ending_with("data.pkl").ok_or("a zip archive without a data.pkl; TorchScript is not read")?;
    let root = name.trim_end_matches("data.pkl");
    if archive.get(&format!("{root}byteorder")).is_some_and(|order| order != b"little") {
        return Err("big-endian numbers".to_owned());
    }
    let found = tensors::find(&machine::read(pickle)?)?;
    let storage = |found: &Found| {
        let key = &found.view.storage.key;
        archive.get(&format!("{root}data/{key}")).ok_or_else(|| format!("no storage {}", brief(key)))
    };
    tensors::copy_all(&found, bytes.len(), storage)
}

/// Four pickles (magic number, version, system, the object), the list of storages, and each of them with its length.
fn legacy(bytes: &[u8]) -> std::result::Result<Vec<NamedTensor>, String> {
    let mut rest = bytes;
    let mut next = || -> std::result::Result<Pickle, String> {
        let at = bytes.len() - rest.len();
        let pickle = machine::read(rest).map_err(|reason| format!("{reason} of the pickle at byte {at}"))?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let no_file = |_| "a file that is not from torch.save".to_owned();
    let magic = next().map_err(no_file)?;
    if magic.values[magic.root] != Value::Long(MAGIC.to_vec()) {
        return Err("a pickle that is not from torch.save".to_owned());
    }
    let version = next()?;
    if version.values[version.root] != Value::Int(1001) {
        return Err(format!("version {} of the older layout", brief(&version.values[version.root])));
    }
    if !is_little_endian(&next()?) {
        return Err("big-endian numbers".to_owned());
    }
    let object = next()?;
    let found = tensors::find(&object)?;
    let keys = next()?;
    let storages = legacy_storages(&keys, rest, &scalars(&object))?;
    let storage = |found: &Found| {
        let key = &found.view.storage.key;
        storages.get(&**key).copied().ok_or_else(|| format!("no storage {}", brief(key)))
    };
    tensors::copy_all(&found, bytes.len(), storage)
}

fn is_little_endian(system: &Pickle) -> bool {
    let Value::Dict(items) = &system.values[system.root] else { return false };
    items.iter().any(|(key, value)| {
        system.values[*key] == Value::Text("little_endian".into())
            && system.values[*value] == Value::Bool(true)
    })
}

/// The type of every storage, also of those that no tensor of the state dict uses: an optimiser's, say.
fn scalars(object: &Pickle) -> HashMap<&str, value::Scalar> {
    let storages = object.values.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some((&*storage.key, storage.scalar)),
        _ => None,
    });
    storages.collect()
}

fn legacy_storages<'a>(
    keys: &'a Pickle,
    mut rest: &'a [u8],
    scalars: &HashMap<&str, value::Scalar>,
) -> std::result::Result<HashMap<&'a str, &'a [u8]>, String> {
    let Value::List(items) = &keys.values[keys.root] else {
        return Err("no list of storages".to_owned());
    };
    let mut storages = HashMap::new();
    for item in items {
        let Value::Text(key) = &keys.values[*item] else { return Err("a storage without a name".to_owned()) };
        let width =
            scalars.get(&**key).ok_or_else(|| format!("the storage {} of unknown type", brief(key)))?.width();
        let cut = || format!("a file that is cut short in the storage {}", brief(key));
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let length =
            usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|count| count.checked_mul(width));
        let (content, after) = length.and_then(|length| after.split_at_checked(length)).ok_or_else(cut)?;
        storages.insert(&**key, content);
        rest = after;
    }
    Ok(storages)
}

#[cfg(test)]
mod tests;
