//! Weights on disk: a safetensors file with public PyTorch names that says which network it belongs to.

use crate::device::Compute;
use crate::error::{Error, Result};
use crate::nn::{
    BuildOptions, Catalogue, Classifier, ComputePrecision, InputShape, Normalization, Outline, Sized,
};
use crate::tensors::{self, Document};
pub use gaat_spec::Checkpoint;
use gaat_spec::{ModelName, visible};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Key of the description in the metadata of the file.
const KEY: &str = "gaat";
const SCHEMA: &str = "gaat-weights-2";
/// The layout before files carried a checksum.
const UNCHECKED: &str = "gaat-weights-1";
/// What PyTorch's own writers put there: names and layouts are those of PyTorch.
const FORMAT: (&str, &str) = ("format", "pt");

/// All that is needed, beside the weights, to build the network again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    schema: String,
    /// Model name.
    pub model: ModelName,
    /// Which of the public definitions under that name.
    pub variant: String,
    /// Channels, height, width of an image.
    pub input: (i64, i64, i64),
    /// Class names in the order of the logits.
    pub class_names: Vec<String>,
    /// Whether no names were given: those above are numbers then, and stand for any as many classes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub are_classes_numbered: bool,
    /// Subtracted from each channel, pixels in `[0, 1]`.
    pub mean: Vec<f64>,
    /// Divided out of each channel.
    pub std: Vec<f64>,
    /// Epochs trained.
    pub epoch: usize,
}

impl Description {
    /// Describes `classifier` after `epoch` epochs.
    ///
    /// # Errors
    /// When the classifier has a name that no model can have.
    pub fn new(classifier: &dyn Classifier, class_names: &[String], epoch: usize) -> Result<Self> {
        let InputShape { channels, height, width } = classifier.input_shape();
        let Normalization { mean, std } = classifier.normalization();
        Ok(Self {
            schema: SCHEMA.to_owned(),
            model: classifier.name().parse()?,
            variant: classifier.variant().to_owned(),
            input: (channels, height, width),
            class_names: class_names.to_vec(),
            are_classes_numbered: false,
            mean,
            std,
            epoch,
        })
    }

    /// Describes `classifier`, which came from elsewhere: its classes have numbers.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_numbered_classes(classifier: &dyn Classifier) -> Result<Self> {
        let names: Vec<String> = (0..classifier.class_count()).map(|class| class.to_string()).collect();
        Ok(Self { are_classes_numbered: true, ..Self::new(classifier, &names, 0)? })
    }

    /// The description in the `document` read from `path`; `None` where this library did not write it.
    ///
    /// # Errors
    /// When it cannot be read, is of a newer layout, or lacks the checksum that files of its layout have.
    pub(crate) fn of(path: &Path, document: &Document) -> Result<Option<Self>> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let Some(text) = document.metadata.get(KEY) else { return Ok(None) };
        let description: Self = serde_json::from_str(text)
            .map_err(|error| failed(format!("its description cannot be read: {error}")))?;
        if description.schema != SCHEMA && description.schema != UNCHECKED {
            let found = visible(&description.schema);
            return Err(failed(format!("has layout {found}, this version reads {SCHEMA} and {UNCHECKED}")));
        }
        if description.carries_checksum() && !document.is_checked {
            let reason = "has lost its checksum: the file is damaged, or was changed by another program; restore the file \
                          from a copy";
            return Err(failed(reason.to_owned()));
        }
        Ok(Some(description))
    }

    /// Whether images of these classes, in this order, are those of the network.
    pub fn takes_classes(&self, names: &[String]) -> bool {
        if self.are_classes_numbered {
            names.len() == self.class_names.len()
        } else {
            names == self.class_names
        }
    }

    /// Whether the file carries a checksum, as all do but those of early versions.
    pub fn carries_checksum(&self) -> bool {
        self.schema != UNCHECKED
    }

    /// Shape of the images.
    pub(crate) fn shape(&self) -> InputShape {
        let (channels, height, width) = self.input;
        InputShape { channels, height, width }
    }

    /// Holds the tensors of a file against the described network, where it is a published one: the sizes of other networks are not known
    /// before it is built.
    fn check(&self, state: &[(String, Tensor)]) -> Result<()> {
        if self.model.published().is_err() {
            return Ok(());
        }
        let outline = Outline::of(&self.model, self.shape(), self.class_names.len() as i64)?;
        let sizes: Vec<Vec<i64>> = state.iter().map(|(_, tensor)| tensor.size()).collect();
        outline.check(state.iter().zip(&sizes).map(|((name, tensor), size)| {
            let is_float = tensor.is_floating_point();
            Sized { name, size, is_float }
        }))
    }

    /// Builds the described network, freshly initialised from `seed`.
    ///
    /// # Errors
    /// When the description contradicts itself.
    pub fn build(
        &self,
        device: Device,
        precision: ComputePrecision,
        seed: u64,
    ) -> Result<Box<dyn Classifier>> {
        self.build_of(&Catalogue::standard(), device, precision, seed)
    }

    /// The same, of a network of `catalogue`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_of(
        &self,
        catalogue: &Catalogue,
        device: Device,
        precision: ComputePrecision,
        seed: u64,
    ) -> Result<Box<dyn Classifier>> {
        let normalization = Normalization { mean: self.mean.clone(), std: self.std.clone() };
        let options = BuildOptions { device, precision, kind: Kind::Float, seed, normalization };
        catalogue.build(&self.model, self.shape(), self.class_names.len() as i64, &options)
    }
}

/// Saves the weights of `classifier` with its description, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, classifier: &dyn Classifier, description: &Description) -> Result<()> {
    let description = Description { schema: SCHEMA.to_owned(), ..description.clone() };
    let text = serde_json::to_string(&description).map_err(std::io::Error::from)?;
    let metadata = BTreeMap::from([(KEY, text), (FORMAT.0, FORMAT.1.to_owned())]);
    tensors::write(path, &classifier.store().state()?, &metadata)
}

/// Reads a description and weights that fit each other: nothing is built by what a description says alone.
///
/// # Errors
/// When the file is damaged, is not from [`save`], is of a newer layout, or describes another network than its weights are of.
pub fn load(path: &Path) -> Result<(Description, Vec<(String, Tensor)>)> {
    let document = tensors::read(path)?;
    match Description::of(path, &document)? {
        Some(description) => {
            let fits = description.check(&document.tensors);
            fits.map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
            Ok((description, document.tensors))
        }
        None => Err(Error::File {
            path: path.to_owned(),
            reason:
                "does not say which network it belongs to; give a run directory, or weights saved by gaat"
                    .to_owned(),
        }),
    }
}

/// Builds the network of a weights file and loads it; `path` is named in errors.
pub(crate) fn build_network(
    path: &Path,
    description: &Description,
    state: &[(String, Tensor)],
    catalogue: &Catalogue,
    compute: Compute,
) -> Result<Box<dyn Classifier>> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    if let (Err(unknown), false) = (description.model.published(), catalogue.knows(&description.model)) {
        return Err(failed(format!(
            "holds a network of somebody's own, `{}`: open the weights where that network is known, in Python by \
             gaat.load(run, module), in Rust by a catalogue that has the network ({unknown})",
            description.model
        )));
    }
    let built = description.build_of(catalogue, compute.device, compute.precision, 0);
    let classifier = built.map_err(|error| failed(error.to_string()))?;
    of_the_variant(path, description, classifier.as_ref())?;
    fill(path, state, classifier.as_ref())?;
    Ok(classifier)
}

/// Refuses weights of another variant than that of `classifier`.
pub(crate) fn of_the_variant(
    path: &Path,
    description: &Description,
    classifier: &dyn Classifier,
) -> Result<()> {
    let (found, ours) = (&description.variant, classifier.variant());
    if found == ours {
        return Ok(());
    }
    let reason =
        format!("holds the variant `{found}` of {}, this network is the variant `{ours}`", description.model);
    Err(Error::File { path: path.to_owned(), reason })
}

/// Loads the weights of the file at `path` into `classifier`, whose tensors have the same names and shapes.
pub(crate) fn fill(path: &Path, state: &[(String, Tensor)], classifier: &dyn Classifier) -> Result<()> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    classifier.store().load(state).map_err(|error| failed(error.to_string()))
}
