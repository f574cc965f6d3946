//! What a network would consist of, without the memory for it: names and sizes of its tensors.

use super::builder::Builder;
use super::classifier::InputShape;
use super::models;
use super::store::Role;
use crate::error::{Error, Result};
use gaat_spec::{ModelName, visible};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// PyTorch's batch normalisation counts batches; with a fixed momentum nothing reads the count.
const IGNORED_SUFFIX: &str = "num_batches_tracked";

/// Name and size of a tensor, and whether its numbers are floating-point ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sized<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: &'a [i64],
    pub(crate) is_float: bool,
}

/// The tensors of a network, in the order of their definition.
#[derive(Debug)]
pub(crate) struct Outline {
    entries: Vec<(String, Vec<i64>, Role)>,
}

impl Outline {
    /// That of `model` for images of shape `input` and `classes` classes.
    ///
    /// # Errors
    /// When the model cannot take such images.
    pub(crate) fn of(model: &ModelName, input: InputShape, classes: i64) -> Result<Self> {
        let mut builder = Builder::outline(model, input, classes)?;
        models::parts(&mut builder, input, classes)?;
        let entries = builder.into_store().into_entries();
        let sized = |entry: super::Entry| (entry.name, entry.tensor.size(), entry.role);
        Ok(Self { entries: entries.into_iter().map(sized).collect() })
    }

    /// Names and sizes.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.entries.iter().map(|(name, size, _)| (name.as_str(), size.as_slice()))
    }

    /// Holds a state dict against the network.
    ///
    /// # Errors
    /// As [`misfits`], in one text.
    pub(crate) fn check<'a>(&self, state: impl Iterator<Item = Sized<'a>>) -> Result<()> {
        let faults = misfits(self.sizes(), state);
        if faults.is_empty() { Ok(()) } else { Err(misfit(&faults)) }
    }
}

/// Every missing, unexpected or repeated name, every other size and every tensor that is not floating-point.
/// `num_batches_tracked` is passed over.
pub(crate) fn misfits<'a, 'b>(
    expected: impl Iterator<Item = (&'a str, &'a [i64])>,
    state: impl Iterator<Item = Sized<'b>>,
) -> Vec<String> {
    let mut given: HashMap<&str, Sized<'b>> = HashMap::new();
    let mut faults = Vec::new();
    for tensor in state {
        if is_ignored(tensor.name) {
            continue;
        }
        if given.insert(tensor.name, tensor).is_some() {
            faults.push(format!("`{}` comes twice", visible(tensor.name)));
        }
    }
    let mut known = HashSet::new();
    for (name, size) in expected {
        known.insert(name);
        match given.get(name) {
            None => faults.push(format!("`{name}` is missing")),
            Some(found) if found.size != size => {
                faults.push(format!("`{name}` has shape {:?} instead of {size:?}", found.size));
            }
            Some(found) if !found.is_float => {
                faults.push(format!("`{name}` holds whole numbers, not floating-point ones"));
            }
            Some(_) => {}
        }
    }
    let mut unexpected: Vec<_> = given.keys().filter(|name| !known.contains(*name)).collect();
    unexpected.sort_unstable();
    faults.extend(unexpected.into_iter().map(|name| format!("`{}` is unexpected", visible(name))));
    faults
}

/// Whether a tensor of this name counts batches.
pub(crate) fn is_ignored(name: &str) -> bool {
    name.rsplit('.').next() == Some(IGNORED_SUFFIX)
}

/// The first faults in full, the rest as a count: a foreign state dict misses everything.
pub(crate) fn misfit(faults: &[String]) -> Error {
    const SHOWN: usize = 12;
    let mut text = "the parameters do not fit the network: ".to_owned();
    text.push_str(&faults.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "));
    if faults.len() > SHOWN {
        let _ = write!(text, "; and {} more", faults.len() - SHOWN);
    }
    Error::Usage(text)
}
