//! What a file from elsewhere offers: dictionaries of named tensors, whose numbers are read when they are wanted.

use crate::error::{Error, Result};
use crate::tensors;
use crate::weights::Description;
use gaat_files::pickle::{Checkpoint, NamedTensor, Numbers, StateDict, TensorInfo};
use std::path::Path;
use tch::Tensor;

/// A dictionary of named tensors.
pub(super) struct Offer {
    /// Keys that lead to it from the outside.
    pub(super) path: Vec<String>,
    pub(super) tensors: Vec<Info>,
    /// Entries that are no tensors: name, and what they are.
    pub(super) others: Vec<(String, String)>,
}

/// A tensor without its numbers.
pub(super) struct Info {
    pub(super) name: String,
    pub(super) size: Vec<i64>,
    pub(super) is_float: bool,
}

/// A file that was looked through.
pub(super) enum Source<'a> {
    Safetensors { tensors: Vec<(String, Tensor)>, described: Option<Description> },
    Checkpoint(Checkpoint<'a>),
}

impl Source<'_> {
    /// The safetensors file at `path`.
    pub(super) fn safetensors(path: &Path) -> Result<Self> {
        let document = tensors::read(path)?;
        let described = Description::of(path, &document)?;
        Ok(Self::Safetensors { tensors: document.tensors, described })
    }

    /// What the file says of itself, where this library wrote it.
    pub(super) fn described(&self) -> Option<Description> {
        match self {
            Self::Safetensors { described, .. } => described.clone(),
            Self::Checkpoint(_) => None,
        }
    }

    /// The dictionaries with a tensor whose name is `wanted`.
    pub(super) fn offers(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Offers> {
        match self {
            Self::Safetensors { tensors, .. } => {
                let info = |(name, tensor): &(String, Tensor)| Info {
                    name: name.clone(),
                    size: tensor.size(),
                    is_float: tensor.is_floating_point(),
                };
                let tensors: Vec<Info> = tensors.iter().map(info).collect();
                let is_wanted = tensors.iter().any(|tensor| wanted(&tensor.name));
                let offer = Offer { path: Vec::new(), tensors, others: Vec::new() };
                Ok(Offers { offers: is_wanted.then_some(offer).into_iter().collect(), dicts: Vec::new() })
            }
            Self::Checkpoint(checkpoint) => {
                let dicts = checkpoint.state_dicts(wanted)?;
                Ok(Offers { offers: dicts.iter().map(offer).collect(), dicts })
            }
        }
    }

    /// The tensors at `places` of an offer.
    pub(super) fn tensors(&self, offers: &Offers, offer: usize, places: &[usize]) -> Result<Vec<Tensor>> {
        match self {
            Self::Safetensors { tensors, .. } => {
                Ok(places.iter().map(|place| tensors[*place].1.shallow_clone()).collect())
            }
            Self::Checkpoint(checkpoint) => {
                checkpoint.tensors(&offers.dicts[offer], places)?.iter().map(tensor).collect()
            }
        }
    }

    /// Why a file without named tensors is none to import.
    pub(super) fn without_tensors(&self, path: &Path) -> Error {
        match self {
            Self::Safetensors { .. } => {
                Error::File { path: path.to_owned(), reason: "holds no tensors".to_owned() }
            }
            Self::Checkpoint(checkpoint) => checkpoint.without_tensors().into(),
        }
    }

    /// Classes of objects in the file that stay closed.
    pub(super) fn closed(&self) -> Vec<String> {
        match self {
            Self::Safetensors { .. } => Vec::new(),
            Self::Checkpoint(checkpoint) => checkpoint.closed(),
        }
    }
}

/// The dictionaries of a file that were asked for.
pub(super) struct Offers {
    pub(super) offers: Vec<Offer>,
    /// The same in the words of the reader of checkpoints.
    dicts: Vec<StateDict>,
}

impl Offers {
    /// Whether two selections are the same tensors of the file, as of a dictionary that two keys name.
    pub(super) fn are_same(&self, one: (usize, &[usize]), other: (usize, &[usize])) -> bool {
        let (Some(first), Some(second)) = (self.dicts.get(one.0), self.dicts.get(other.0)) else {
            return false;
        };
        one.1.len() == other.1.len()
            && one.1.iter().zip(other.1).all(|(a, b)| first.tensors[*a].is_same(&second.tensors[*b]))
    }
}

fn offer(dict: &StateDict) -> Offer {
    let info = |tensor: &TensorInfo| Info {
        name: tensor.name.clone(),
        // A size beyond this type fits no network, nor does the greatest of this type.
        size: tensor.shape.iter().map(|side| i64::try_from(*side).unwrap_or(i64::MAX)).collect(),
        is_float: tensor.is_float(),
    };
    Offer {
        path: dict.path.clone(),
        tensors: dict.tensors.iter().map(info).collect(),
        others: dict.others.clone(),
    }
}

fn tensor(named: &NamedTensor) -> Result<Tensor> {
    let flat = match &named.numbers {
        Numbers::Float(values) => Tensor::f_from_slice(values)?,
        Numbers::Double(values) => Tensor::f_from_slice(values)?,
        Numbers::Whole(values) => Tensor::f_from_slice(values)?,
    };
    let shape: Vec<i64> = named.shape.iter().map(|side| *side as i64).collect();
    Ok(flat.f_view(shape.as_slice())?)
}
