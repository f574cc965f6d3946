//! Holds the dictionaries of a file against a network: by names and sizes alone, before anything is built.

use super::names::{all_plain, plain, prefix_of};
use super::scaling::{self, Scaling};
use super::source::{Info, Offer};
use crate::nn::{InputShape, Outline, Sized, head, is_ignored, misfits};
use gaat_spec::{ModelName, visible};
use std::collections::{HashMap, HashSet};

/// More copies of one network in a dictionary than anybody keeps.
const MOST_PREFIXES: usize = 32;
/// A stage that TRADES' definition of wide residual networks makes and never uses.
const DEAD: &str = "sub_block1.";
const ALIVE: &str = "block1.";
/// What `AveragedModel` counts beside the network.
const COUNTS: [&str; 1] = ["n_averaged"];

/// A network in a dictionary, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Fit {
    /// Place of the dictionary.
    pub(super) offer: usize,
    /// What stands before the network's names, without what wrappers put there.
    pub(super) prefix: String,
    pub(super) input: InputShape,
    pub(super) classes: i64,
    /// Places of the network's tensors in the dictionary, with their names in the network.
    pub(super) members: Vec<(usize, String)>,
    pub(super) scaling: Option<Scaling>,
    /// Tensors of the stage that is never used.
    pub(super) dead: usize,
    /// Names of other tensors of the dictionary that are not taken.
    pub(super) left_out: Vec<String>,
    /// Why it does not fit; empty where it does.
    pub(super) faults: Vec<String>,
}

/// Whether a tensor of this name can be the last bias of the network.
pub(super) fn is_anchor(model: &ModelName, name: &str) -> bool {
    prefix_of(&plain(name), &anchor(model)).is_some()
}

/// The name of the last bias, whose length is the number of classes.
pub(super) fn anchor(model: &ModelName) -> String {
    format!("{}.bias", head(model))
}

/// Outlines of one model, each made once.
pub(super) struct Outlines<'a> {
    model: &'a ModelName,
    known: HashMap<(InputShape, i64), std::result::Result<Outline, String>>,
}

impl<'a> Outlines<'a> {
    pub(super) fn new(model: &'a ModelName) -> Self {
        Self { model, known: HashMap::new() }
    }

    fn get(&mut self, input: InputShape, classes: i64) -> &std::result::Result<Outline, String> {
        let make = || Outline::of(self.model, input, classes).map_err(|error| error.to_string());
        self.known.entry((input, classes)).or_insert_with(make)
    }
}

/// Every way in which the network is, or nearly is, in the offer at `place`, one a prefix.
pub(super) fn fits(
    outlines: &mut Outlines<'_>,
    place: usize,
    offer: &Offer,
    inputs: &[InputShape],
    classes: Option<usize>,
) -> Vec<Fit> {
    let names = all_plain(offer.tensors.iter().map(|tensor| tensor.name.as_str()));
    let anchor = anchor(outlines.model);
    let mut found: Vec<Fit> = Vec::new();
    for (last, name) in names.iter().enumerate() {
        let Some(prefix) = prefix_of(name, &anchor) else { continue };
        if found.len() == MOST_PREFIXES {
            break;
        }
        let size = &offer.tensors[last].size;
        let attempts = inputs.iter().map(|input| {
            let count = match (classes, size.as_slice()) {
                (Some(count), _) => count as i64,
                (None, [count]) => *count,
                (None, _) => {
                    let fault = format!("`{anchor}` has shape {size:?} instead of one side");
                    return Fit { faults: vec![fault], ..Fit::empty(place, prefix, *input, 0) };
                }
            };
            match outlines.get(*input, count) {
                Ok(outline) => attempt(outline, place, prefix, &names, offer, *input, count),
                Err(error) => Fit { faults: vec![error.clone()], ..Fit::empty(place, prefix, *input, count) },
            }
        });
        // The first input that fits, else the one with the fewest faults.
        let best = attempts.min_by_key(|attempt| attempt.faults.len());
        found.extend(best);
    }
    settle(outlines.model, &mut found, &names, &offer.tensors);
    found
}

impl Fit {
    fn empty(offer: usize, prefix: &str, input: InputShape, classes: i64) -> Self {
        Self {
            offer,
            prefix: prefix.to_owned(),
            input,
            classes,
            members: Vec::new(),
            scaling: None,
            dead: 0,
            left_out: Vec::new(),
            faults: Vec::new(),
        }
    }
}

/// The network's own names behind one prefix; what else stands there is looked at when all prefixes are known.
fn attempt(
    outline: &Outline,
    place: usize,
    prefix: &str,
    names: &[String],
    offer: &Offer,
    input: InputShape,
    classes: i64,
) -> Fit {
    let expected: HashSet<&str> = outline.sizes().map(|(name, _)| name).collect();
    let own = names.iter().enumerate().filter_map(|(index, name)| {
        let name = name.strip_prefix(prefix).filter(|name| expected.contains(name))?;
        Some((index, name))
    });
    let own: Vec<(usize, &str)> = own.collect();
    let sized = own.iter().map(|(index, name)| {
        let Info { size, is_float, .. } = &offer.tensors[*index];
        Sized { name, size, is_float: *is_float }
    });
    let mut faults = misfits(outline.sizes(), sized);
    // A name that is there, but is no tensor.
    for (name, what) in &offer.others {
        let plain = plain(name);
        let Some(name) = plain.strip_prefix(prefix).filter(|name| expected.contains(name)) else { continue };
        faults.retain(|fault| *fault != format!("`{name}` is missing"));
        faults.push(format!("`{name}` is {what} and no tensor"));
    }
    let members = own.into_iter().map(|(index, name)| (index, name.to_owned())).collect();
    Fit { members, faults, ..Fit::empty(place, prefix, input, classes) }
}

/// Decides what becomes of the tensors that are not the network's own.
fn settle(model: &ModelName, found: &mut [Fit], names: &[String], tensors: &[Info]) {
    let taken: HashSet<usize> = found
        .iter()
        .filter(|fit| fit.faults.is_empty())
        .flat_map(|fit| fit.members.iter().map(|(index, _)| *index))
        .collect();
    let whole: Vec<String> =
        found.iter().filter(|fit| fit.faults.is_empty()).map(|fit| fit.prefix.clone()).collect();
    for fit in found.iter_mut() {
        let own: HashSet<usize> = fit.members.iter().map(|(index, _)| *index).collect();
        let rest: Vec<usize> = (0..names.len())
            .filter(|index| !own.contains(index) && !taken.contains(index) && !is_ignored(&names[*index]))
            .collect();
        let pairs = scaling::pairs(names, tensors, &rest, fit.input.channels);
        let paired: HashSet<usize> = pairs.iter().flat_map(|pair| [pair.mean, pair.std]).collect();
        let several = pairs.len();
        fit.scaling = scaling::nearest(pairs, &fit.prefix);
        if several > 0 && fit.scaling.is_none() {
            fit.faults.push("several means and deviations of pixels stand beside it".to_owned());
        }
        let known: HashMap<&str, usize> =
            names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        for index in rest.into_iter().filter(|index| !paired.contains(index)) {
            let name = &names[index];
            let is_count = tensors[index].size.is_empty() || COUNTS.contains(&name.as_str());
            // Another whole network may stand behind a longer prefix.
            let is_of_another = whole.iter().any(|other| {
                other.len() > fit.prefix.len()
                    && other.starts_with(&fit.prefix)
                    && name.starts_with(other.as_str())
            });
            let Some(inner) = name.strip_prefix(&fit.prefix).filter(|_| !is_of_another) else {
                if !is_count {
                    fit.left_out.push(name.clone());
                }
                continue;
            };
            if is_count {
                continue;
            }
            if is_dead(model, &fit.prefix, inner, &tensors[index], &known, tensors) {
                fit.dead += 1;
            } else {
                fit.faults.push(format!("`{}` is unexpected", visible(inner)));
            }
        }
    }
}

/// Whether a tensor is of the stage that is never used: it has a twin of its size in the one that is.
fn is_dead(
    model: &ModelName,
    prefix: &str,
    inner: &str,
    tensor: &Info,
    known: &HashMap<&str, usize>,
    tensors: &[Info],
) -> bool {
    let is_wide = matches!(model, ModelName::WideResNet { .. });
    let Some(rest) = inner.strip_prefix(DEAD).filter(|_| is_wide) else { return false };
    let twin = known.get(format!("{prefix}{ALIVE}{rest}").as_str());
    twin.is_some_and(|twin| tensors[*twin].size == tensor.size)
}
