//! A state dict as it is, for a network whose names no architecture of this library tells: that of torch.export.

use super::choice::usual_rank;
use super::import::is_safetensors;
use super::names::all_plain;
use super::source::{Offer, Source};
use crate::error::{Error, Result};
use gaat_files::pickle::CheckpointFile;
use gaat_spec::visible;
use std::path::Path;
use tch::Tensor;

/// What a file holds.
pub(crate) struct StateDict {
    /// By name, without what wrappers put into it.
    pub(crate) tensors: Vec<(String, Tensor)>,
    /// What was taken and what was changed, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// The largest dictionary of tensors in the file at `path`. Whether they fit is for the network to tell.
///
/// # Errors
/// When the file is no checkpoint, holds no tensors, or several dictionaries as large of which none has a usual key.
pub(crate) fn whole(path: &Path) -> Result<StateDict> {
    if is_safetensors(path)? {
        return largest(path, &Source::safetensors(path)?);
    }
    let file = CheckpointFile::open(path)?;
    largest(path, &Source::Checkpoint(file.parse()?))
}

fn largest(path: &Path, source: &Source<'_>) -> Result<StateDict> {
    let offers = source.offers(&|_| true)?;
    let most = offers.offers.iter().map(|offer| offer.tensors.len()).max().unwrap_or(0);
    let mut of_that_size: Vec<usize> =
        (0..offers.offers.len()).filter(|place| offers.offers[*place].tensors.len() == most).collect();
    of_that_size.sort_by_key(|place| rank(&offers.offers[*place]).unwrap_or_else(|| vec![usize::MAX]));
    let (Some(taken), true) = (of_that_size.first().copied(), most > 0) else {
        return Err(source.without_tensors(path));
    };
    if of_that_size.len() > 1 && rank(&offers.offers[taken]).is_none() {
        let keys: Vec<String> = of_that_size.iter().map(|place| key(&offers.offers[*place])).collect();
        return Err(Error::File {
            path: path.to_owned(),
            reason: format!(
                "holds several state dicts ({}); save the one that is meant alone",
                keys.join(", ")
            ),
        });
    }
    let offer = &offers.offers[taken];
    let raw = || offer.tensors.iter().map(|tensor| tensor.name.as_str());
    let names = all_plain(raw());
    let mut notes = Vec::new();
    if !offer.path.is_empty() {
        notes.push(format!("the weights are those of {}", key(offer)));
    }
    if raw().zip(&names).any(|(raw, name)| raw != name) {
        notes.push("`module.` and `_orig_mod.` are taken off the names".to_owned());
    }
    let places: Vec<usize> = (0..offer.tensors.len()).collect();
    let tensors = source.tensors(&offers, taken, &places)?;
    Ok(StateDict { tensors: names.into_iter().zip(tensors).collect(), notes })
}

/// How usual the key of a dictionary is, the most usual first; `None` where a part of it is not known.
fn rank(offer: &Offer) -> Option<Vec<usize>> {
    offer.path.iter().map(|part| usual_rank(part)).collect()
}

fn key(offer: &Offer) -> String {
    let key = if offer.path.is_empty() { ".".to_owned() } else { offer.path.join(".") };
    format!("`{}`", visible(&key))
}
