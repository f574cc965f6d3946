//! PyTorch checkpoints as `torch.save` writes them: the zip layout and the one before it (2020). Nothing in the file is
//! run: what is not numbers in dictionaries stays closed.

mod archive;
mod batch;
mod brief;
mod calls;
mod machine;
mod opcodes;
mod search;
mod tensors;
mod value;

pub use batch::{Batch, read_batch, read_names};
pub use tensors::{NamedTensor, Numbers, TensorInfo};

use crate::error::{Error, Result};
use crate::regular;
use archive::Archive;
use brief::brief;
use machine::Pickle;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use value::{Id, Scalar, Value};

/// What the older layout begins with, little-endian: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

type Outcome<T> = std::result::Result<T, String>;

/// The bytes of a checkpoint.
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A dictionary of a checkpoint that holds tensors under names.
#[derive(Debug)]
pub struct StateDict {
    /// The keys that lead to it from the outside, those of lists of one left out; empty for the outermost dictionary. Places
    /// in lists are numbers.
    pub path: Vec<String>,
    /// Its tensors, without their numbers.
    pub tensors: Vec<TensorInfo>,
    /// Entries that are no tensors: name, and what is there instead.
    pub others: Vec<(String, String)>,
}

/// A checkpoint that was read, but for the numbers.
pub struct Checkpoint<'a> {
    path: &'a Path,
    pickle: Pickle<'a>,
    length: usize,
    storages: Storages<'a>,
}

enum Storages<'a> {
    /// Members of an archive, below this folder.
    Zipped(Archive<'a>, String),
    Listed(HashMap<String, &'a [u8]>),
}

impl CheckpointFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or its first and last bytes are those of no checkpoint.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = regular::read(path)?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Finds out what the file holds.
    ///
    /// # Errors
    /// When it is not from `torch.save`, is damaged, or is of a layout that is not read.
    pub fn parse(&self) -> Result<Checkpoint<'_>> {
        let parsed = if self.bytes.starts_with(b"PK") { zipped(&self.bytes) } else { legacy(&self.bytes) };
        let (pickle, storages) = parsed.map_err(|found| malformed(&self.path, &found))?;
        Ok(Checkpoint { path: &self.path, pickle, length: self.bytes.len(), storages })
    }
}

impl Checkpoint<'_> {
    /// Its dictionaries with a tensor under a name that is `wanted`, the outer before the inner.
    ///
    /// # Errors
    /// When one of them names a tensor twice, or says what no tensor is.
    pub fn state_dicts(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<StateDict>> {
        search::dictionaries(&self.pickle, wanted).map_err(|found| malformed(self.path, &found))
    }

    /// The tensors at these `places` of `state_dict`, contiguous.
    ///
    /// # Errors
    /// When one reaches beyond its storage, or together they have more numbers than the file has bytes.
    pub fn tensors(&self, state_dict: &StateDict, places: &[usize]) -> Result<Vec<NamedTensor>> {
        let found: Vec<_> = places.iter().filter_map(|place| state_dict.tensors.get(*place)).collect();
        let storage = |found: &TensorInfo| {
            let content = match &self.storages {
                Storages::Zipped(archive, root) => archive.get(&format!("{root}data/{}", found.key)),
                Storages::Listed(listed) => listed.get(&found.key).copied(),
            };
            content.ok_or_else(|| format!("no storage {}", brief(&found.key)))
        };
        tensors::copy_all(&found, self.length, storage).map_err(|found| malformed(self.path, &found))
    }

    /// What the file holds, where it has no tensors under names that are any good.
    pub fn without_tensors(&self) -> Error {
        malformed(self.path, &search::without_tensors(&self.pickle))
    }

    /// Classes of objects in the file that were not opened, such as `argparse.Namespace`.
    pub fn closed(&self) -> Vec<String> {
        search::closed(&self.pickle)
    }
}

fn malformed(path: &Path, found: &str) -> Error {
    Error::file(path, format!("expected a PyTorch checkpoint, found {found}"))
}

fn zipped(bytes: &[u8]) -> Outcome<(Pickle<'_>, Storages<'_>)> {
    let archive = Archive::read(bytes)?;
    if archive.ending_with("/constants.pkl").is_some() {
        return Err("a TorchScript archive (torch.jit.save), which is code; save the state dict, \
                    model.state_dict()"
            .to_owned());
    }
    let (name, pickle) =
        archive.ending_with("data.pkl").ok_or("a zip archive without a data.pkl, not from torch.save")?;
    let root = name.trim_end_matches("data.pkl").to_owned();
    if archive.get(&format!("{root}byteorder")).is_some_and(|order| order != b"little") {
        return Err("big-endian numbers".to_owned());
    }
    let pickle = machine::read(pickle)?;
    Ok((pickle, Storages::Zipped(archive, root)))
}

/// Four pickles (magic number, version, system, the object), the list of storages, and each of them with its length.
fn legacy(bytes: &[u8]) -> Outcome<(Pickle<'_>, Storages<'_>)> {
    if let Some(found) = foreign(bytes) {
        return Err(found.to_owned());
    }
    let mut rest = bytes;
    let mut next = || -> Outcome<Pickle<'_>> {
        let at = bytes.len() - rest.len();
        let pickle = machine::read(rest).map_err(|reason| format!("{reason} of the pickle at byte {at}"))?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let magic = next().map_err(|_| "a file that is not from torch.save".to_owned())?;
    if *magic.get(magic.root) != Value::Long(&MAGIC) {
        let found = magic.describe(magic.root);
        return Err(format!("a pickle that is not from torch.save: {found}"));
    }
    let version = next()?;
    if *version.get(version.root) != Value::Int(1001) {
        return Err(format!("version {} of the older layout", brief(version.get(version.root))));
    }
    if !is_little_endian(&next()?) {
        return Err("big-endian numbers".to_owned());
    }
    let object = next()?;
    let keys = next()?;
    let storages = legacy_storages(&keys, rest, &scalars(&object))?;
    Ok((object, Storages::Listed(storages)))
}

/// What else people take for a checkpoint, told by its first bytes.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const TAR: (usize, &[u8]) = (257, b"ustar");
    let start = bytes.trim_ascii_start();
    if bytes.get(TAR.0..TAR.0 + TAR.1.len()) == Some(TAR.1) {
        Some(
            "a tar archive; torch.save wrote its first layout so, until 2017: load it with PyTorch and save it \
             again, or unpack what is in it",
        )
    } else if start.starts_with(b"version https://git-lfs") {
        Some("a pointer of Git LFS in place of the file; fetch the file itself, git lfs pull")
    } else if start.len() > 1 && start[0] == b'<' && (start[1].is_ascii_alphanumeric() || start[1] == b'!') {
        Some("a page of HTML: a download that went wrong")
    } else {
        None
    }
}

fn is_little_endian(system: &Pickle<'_>) -> bool {
    let Value::Dict(items) = system.get(system.root) else { return false };
    items.iter().any(|(key, value)| {
        system.text(*key) == Some("little_endian") && *system.get(*value) == Value::Bool(true)
    })
}

/// The type of every storage, also of those that no tensor of the state dict uses: an optimiser's, say.
fn scalars<'a>(object: &'a Pickle<'_>) -> HashMap<&'a str, Scalar> {
    let storages = object.values.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some((object.text(storage.key)?, storage.scalar)),
        _ => None,
    });
    storages.collect()
}

fn legacy_storages<'a>(
    keys: &Pickle<'_>,
    mut rest: &'a [u8],
    scalars: &HashMap<&str, Scalar>,
) -> Outcome<HashMap<String, &'a [u8]>> {
    let Value::List(items) = keys.get(keys.root) else {
        return Err("no list of storages".to_owned());
    };
    let name = |id: &Id| keys.text(*id).ok_or("a storage without a name");
    let mut storages = HashMap::new();
    for item in items {
        let key = name(item)?;
        let width = scalars.get(key).map(|scalar| scalar.width());
        let width = width.ok_or_else(|| format!("the storage {} of unknown type", brief(key)))?;
        let cut = || format!("a file that is cut short in the storage {}", brief(key));
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let length =
            usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|count| count.checked_mul(width));
        let (content, after) = length.and_then(|length| after.split_at_checked(length)).ok_or_else(cut)?;
        // Two pickles hold the key: a hostile list may name one of megabytes again and again.
        if storages.insert(key.to_owned(), content).is_some() {
            return Err(format!("the storage {} twice", brief(key)));
        }
        rest = after;
    }
    Ok(storages)
}

#[cfg(test)]
mod tests;
