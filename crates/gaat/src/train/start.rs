//! Where the weights of a run come from: freshly drawn, or given.

use crate::nn::{Classifier, Normalization};
use crate::weights;
use crate::{Error, Result};
use gaat_spec::record::StartRecord;
use std::path::Path;
use tch::Tensor;

/// The weights that a run begins with.
#[derive(Debug, Default)]
pub enum Start {
    /// Those that the network was built with.
    #[default]
    Fresh,
    /// Those of another training.
    From {
        /// What is given.
        weights: GivenWeights,
        /// What becomes of the last layer.
        head: Head,
    },
}

/// What becomes of the last layer where weights are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The given one is kept: the classes are the same.
    Keep,
    /// It stays as the network was built: the classes are others.
    Fresh,
}

/// Weights of a file with what must be known of them.
#[derive(Debug)]
pub struct GivenWeights {
    tensors: Vec<(String, Tensor)>,
    normalization: Normalization,
    digest: String,
}

impl GivenWeights {
    /// Reads a weights file of this library.
    ///
    /// # Errors
    /// When the file is missing, damaged or of another library.
    pub fn open(path: &Path) -> Result<Self> {
        let (description, tensors) = weights::load(path)?;
        let normalization = Normalization { mean: description.mean, std: description.std };
        Ok(Self { tensors, normalization, digest: gaat_data::digest_of_file(path)? })
    }

    /// What was done to the pixels when the weights were trained; a network that takes them must do the same.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }
}

impl Start {
    /// Sets the weights of `network`.
    ///
    /// # Errors
    /// When the weights do not fit the network, or were trained under another normalisation.
    pub(super) fn apply(&self, network: &dyn Classifier) -> Result<()> {
        let Self::From { weights, head } = self else { return Ok(()) };
        let (given, own) = (&weights.normalization, &network.normalization());
        if given != own {
            return Err(Error::Usage(format!(
                "the given weights were trained under another normalisation (mean {:?}, deviation {:?}) than that of the \
                 network (mean {:?}, deviation {:?}), and mean nothing under it; build the network with theirs",
                given.mean, given.std, own.mean, own.std
            )));
        }
        match head {
            Head::Keep => network.store().load(&weights.tensors),
            Head::Fresh => match network.head() {
                Some(head) => network.store().load_but(head, &weights.tensors),
                None => Err(Error::Usage(format!(
                    "{} does not say which layer is its last, so that its head cannot stay fresh; give the network a \
                     Classifier::head",
                    network.name()
                ))),
            },
        }
    }

    /// What the record says about it; `None` for a fresh start.
    pub(super) fn record(&self) -> Option<StartRecord> {
        match self {
            Self::Fresh => None,
            Self::From { weights, head } => {
                Some(StartRecord { digest: weights.digest.clone(), fresh_head: *head == Head::Fresh })
            }
        }
    }
}
