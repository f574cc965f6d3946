//! Where the weights of a run come from: freshly drawn, or given.

use crate::error::{Error, Result};
use crate::exchange::{ImportOptions, StateDict, import, is_safetensors, whole};
use crate::nn::{Classifier, InputShape, Normalization};
use crate::run::RunDirectory;
use crate::tensors;
use crate::weights::{self, Checkpoint, Description};
use gaat_spec::record::StartRecord;
use gaat_spec::{CheckedRecipe, Head, ModelName, Recipe};
use std::path::{Path, PathBuf};
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

/// Weights of a file with what must be known of them.
#[derive(Debug)]
pub struct GivenWeights {
    path: PathBuf,
    tensors: Vec<(String, Tensor)>,
    /// What was done to the pixels when they were trained; `None` where the file does not say.
    normalization: Option<Normalization>,
    digest: String,
    notes: Vec<String>,
}

impl GivenWeights {
    /// Reads a weights file of this library.
    ///
    /// # Errors
    /// When the file is missing, damaged or of another library.
    pub fn open(path: &Path) -> Result<Self> {
        let (description, tensors) = weights::load(path)?;
        let normalization = Some(Normalization { mean: description.mean, std: description.std });
        let digest = gaat_files::digest_of_file(path)?;
        Ok(Self { path: path.to_owned(), tensors, normalization, digest, notes: Vec::new() })
    }

    /// Reads the best weights of a run directory, a weights file of this library, or a state dict of PyTorch for `model` on images
    /// of shape `input`.
    ///
    /// # Errors
    /// When there is nothing to read, it is damaged, or holds no network of these names and shapes; all that do not fit are listed.
    pub fn read(path: &Path, model: &ModelName, input: InputShape) -> Result<Self> {
        let path = &file(path)?;
        if own(path)?.is_some() {
            return Self::open(path);
        }
        let (tensors, notes, normalization) = if model.published().is_ok() {
            let options = ImportOptions { input: Some(input), ..ImportOptions::new(*model) };
            let imported = import(path, &options)?;
            let normalization = Some(imported.classifier.normalization()).filter(|own| !own.is_identity());
            (imported.classifier.store().state()?, imported.notes, normalization)
        } else {
            let StateDict { tensors, notes } = whole(path)?;
            (tensors, notes, None)
        };
        let shown = gaat_spec::visible_path(path);
        let mut notes: Vec<String> = notes.iter().map(|note| format!("{shown}: {note}")).collect();
        if normalization.is_none() {
            notes.push(format!(
                "{shown}: the file does not say how pixels were normalised: the network takes the normalization of the recipe"
            ));
        }
        let digest = gaat_files::digest_of_file(path)?;
        Ok(Self { path: path.clone(), tensors, normalization, digest, notes })
    }

    /// What was done to the pixels when the weights were trained, where the file says it; a network that takes the weights must do
    /// the same.
    pub fn normalization(&self) -> Option<&Normalization> {
        self.normalization.as_ref()
    }

    fn fault(&self, reason: impl std::fmt::Display) -> Error {
        Error::File { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// The weights file that `path` means: itself, or the best weights of the run there.
fn file(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        let reason = "nothing there; expected a run directory, a weights file, or a state dict of PyTorch";
        return Err(Error::File { path: path.to_owned(), reason: reason.to_owned() });
    }
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let best = RunDirectory::new(path).weights(Checkpoint::Best);
    if best.exists() {
        return Ok(best);
    }
    let reason = "holds no checkpoints/best.safetensors: it is no run, or one that has not finished an epoch";
    Err(Error::File { path: path.to_owned(), reason: reason.to_owned() })
}

/// What a weights file of this library says of its network; `None` for a file of another.
fn own(path: &Path) -> Result<Option<Description>> {
    if !is_safetensors(path)? {
        return Ok(None);
    }
    Description::of(path, &tensors::read(path)?)
}

/// `recipe` with the model of the weights that it begins with, where it names none and they say it.
///
/// # Errors
/// When the weights cannot be read.
pub fn with_given_model(recipe: Recipe) -> Result<Recipe> {
    let (Some(from), None) = (&recipe.from, &recipe.model) else { return Ok(recipe) };
    let model = own(&file(from)?)?.map(|description| description.model.into());
    Ok(Recipe { model, ..recipe })
}

impl Start {
    /// As `recipe` says, for images of shape `input`.
    ///
    /// # Errors
    /// As [`GivenWeights::read`].
    pub fn of(recipe: &CheckedRecipe, input: InputShape) -> Result<Self> {
        let Some(path) = &recipe.resolved.from else { return Ok(Self::Fresh) };
        let weights = GivenWeights::read(path, &recipe.model, input)?;
        Ok(Self::From { weights, head: recipe.resolved.from_head.unwrap_or(Head::Keep) })
    }

    /// Whether all weights are given, the last layer's too, so that the network knows its classes already.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::From { head: Head::Keep, .. })
    }

    /// The normalisation of given weights, for images of so many channels; `None` where they do not say, or there are none.
    pub(super) fn normalization(&self, channels: i64) -> Result<Option<&Normalization>> {
        let Self::From { weights, .. } = self else { return Ok(None) };
        match weights.normalization() {
            Some(given) if given.mean.len() as i64 != channels => Err(weights.fault(format!(
                "holds weights for images of {} channels, and those of the data set have {channels}",
                given.mean.len()
            ))),
            given => Ok(given),
        }
    }

    /// What the observer of a training should hear of given weights.
    pub(super) fn notes(&self) -> Vec<String> {
        match self {
            Self::Fresh => Vec::new(),
            Self::From { weights, .. } => weights.notes.clone(),
        }
    }

    /// Sets the weights of `network`.
    ///
    /// # Errors
    /// When the weights do not fit the network, with every name and shape that does not, or were trained under another
    /// normalisation.
    pub(super) fn apply(&self, network: &dyn Classifier) -> Result<()> {
        let Self::From { weights, head } = self else { return Ok(()) };
        let own = &network.normalization();
        if let Some(given) = weights.normalization().filter(|given| *given != own) {
            return Err(Error::Usage(format!(
                "the given weights were trained under another normalisation (mean {:?}, deviation {:?}) than that of the \
                 network (mean {:?}, deviation {:?}), and mean nothing under it; build the network with theirs",
                given.mean, given.std, own.mean, own.std
            )));
        }
        let store = network.store();
        let given = match (head, network.head()) {
            (Head::Keep, _) => {
                weights.tensors.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect()
            }
            (Head::Fresh, Some(last)) => store.with_own_head(last, &weights.tensors)?,
            (Head::Fresh, None) => {
                return Err(Error::Usage(format!(
                    "{}: its last layer is not known, so that its head cannot stay fresh (an exported network needs a linear layer or a \
                     convolution that makes the logits and shares its weights with no other layer; a network of one's own needs \
                     Classifier::head)",
                    network.name()
                )));
            }
        };
        let faults = store.misfits(&given);
        if faults.is_empty() {
            return store.load(&given).map_err(|error| weights.fault(error));
        }
        // Where all but the last layer fits, the classes are others.
        let last = network.head().filter(|_| *head == Head::Keep);
        let last = match last {
            Some(last) if store.misfits(&store.with_own_head(last, &weights.tensors)?).is_empty() => {
                Some(last)
            }
            _ => None,
        };
        let advice = last.map_or_else(
            || "the network must be that of the weights (model)".to_owned(),
            |last| format!("all but the last layer `{last}` fits: a fresh head (from-head = fresh) leaves that layer as it was drawn"),
        );
        let faults = faults.join("; ");
        Err(weights.fault(format!("the weights do not fit {}: {faults}; {advice}", network.name())))
    }

    /// What the record says about it; `None` where the weights were drawn.
    pub(super) fn record(&self, network: &dyn Classifier) -> Option<StartRecord> {
        match self {
            Self::Fresh => {
                let file = network.exported()?;
                Some(StartRecord { digest: file.digest().to_owned(), fresh_head: false })
            }
            Self::From { weights, head } => {
                Some(StartRecord { digest: weights.digest.clone(), fresh_head: *head == Head::Fresh })
            }
        }
    }
}
