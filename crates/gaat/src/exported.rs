//! Networks of `torch.export` from their files (`.pt2`): read, held against the images, opened.

use crate::batch::{Choice, Images};
use crate::device::parse_device;
use crate::error::{Error, Result};
use crate::nn::{
    Architecture, BuildOptions, Builder, Catalogue, Classifier, ComputePrecision, ExportedNetwork,
    ExportedOptions, InputShape, Mode, Normalization, PrecisionRequest, answer,
};
use gaat_data::ImageSource;
use gaat_files::digest_of;
use gaat_pt2::{Package, Program};
use gaat_spec::{ModelName, Selection, visible_path};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::Device;

/// The graph of the network of a run, in its directory.
pub(crate) const GRAPH: &str = "network.pt2";
/// Images on which clean accuracy is measured before anything else is done.
const TRIED: usize = 200;
/// Images at once while doing so.
const BATCH: usize = 50;
/// How the names of these networks begin: no published one is called so.
const PREFIX: &str = "exported-";
/// Letters of the class of a network in its name.
const MOST_OF_CLASS: usize = 18;
/// Digits of the digest of its file there.
const DIGITS: usize = 12;
/// Deviations above chance that an accuracy must reach to be believed.
const DEVIATIONS: f64 = 3.0;

/// Whether `path` names a file of `torch.export`.
pub fn is_exported(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pt2")) && !path.is_dir()
}

/// A `.pt2` whose graph was read and found to call nothing but computations on tensors. Nothing of it has run. In a catalogue it is
/// the architecture of the one network that it holds.
#[derive(Debug, Clone)]
pub struct ExportedFile {
    path: PathBuf,
    package: Arc<Package>,
    digest: String,
    has_weights: bool,
}

impl ExportedFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is not an image classifier that can be run; what is refused is named, with what to do in Python.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = gaat_files::read(path)?;
        let digest = digest_of(&bytes);
        let package = gaat_pt2::read(bytes).map_err(|error| fault(path, error.to_string()))?;
        Ok(Self { path: path.to_owned(), package: Arc::new(package), digest, has_weights: true })
    }

    /// Reads `path`, and the program of the evaluation mode of the same network from `evaluation`, where that is a file of its own.
    /// The digest is then that of both files in a row.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the two are not of one network.
    pub fn read_with(path: &Path, evaluation: Option<&Path>) -> Result<Self> {
        let Some(second) = evaluation else { return Self::read(path) };
        let mut bytes = gaat_files::read(path)?;
        let read = |path: &Path, bytes| gaat_pt2::read(bytes).map_err(|error| fault(path, error.to_string()));
        let package = read(path, bytes.clone())?;
        let more = gaat_files::read(second)?;
        bytes.extend_from_slice(&more);
        let digest = digest_of(&bytes);
        drop(bytes);
        let joined = package.with_evaluation(read(second, more)?);
        let package = joined.map_err(|error| fault(second, format!("{error} ({})", visible_path(path))))?;
        Ok(Self { path: path.to_owned(), package: Arc::new(package), digest, has_weights: true })
    }

    /// The graph that belongs to the file of weights (or the state) at `weights`: beside it, or in the run directory round it. `None`
    /// where there is none.
    ///
    /// # Errors
    /// When it is damaged, or states more numbers than the weights hold.
    pub fn beside(weights: &Path) -> Result<Option<Self>> {
        let folders = [weights.parent(), weights.parent().and_then(Path::parent)];
        let paths = folders.into_iter().flatten().map(|folder| folder.join(GRAPH));
        let Some(path) = paths.into_iter().find(|path| path.exists()) else { return Ok(None) };
        let room = fs_err::metadata(weights)?.len();
        let read = gaat_pt2::read_graph(gaat_files::read(&path)?, room);
        let (package, digest) = read.map_err(|error| fault(&path, error.to_string()))?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(fault(
                &path,
                "does not say which file it is the graph of; restore it from a copy".to_owned(),
            ));
        }
        Ok(Some(Self { path, package: Arc::new(package), digest, has_weights: false }))
    }

    /// The program that it holds, or that of the training mode.
    pub fn program(&self) -> &Program {
        &self.package.program
    }

    /// SHA-256 of the file, or of both files in a row; of a graph alone, that of what had its weights.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the network is called: by its class, and by the file, so that no two networks share a name.
    pub fn name(&self) -> String {
        let mut class = kebab(&self.package.program.class);
        class.truncate(MOST_OF_CLASS);
        format!("{PREFIX}{class}-{}", &self.digest[..DIGITS])
    }

    /// Shape of the images that it takes.
    pub fn image(&self) -> InputShape {
        let gaat_pt2::ImageShape { channels, height, width } = self.package.program.image;
        InputShape { channels, height, width }
    }

    /// Refuses images of another shape than those of the network, and another number of classes.
    ///
    /// # Errors
    /// With both numbers, and what to do.
    pub fn check_fits(&self, images: InputShape, classes: i64) -> Result<()> {
        let taken = self.image();
        if taken != images {
            let mend = if taken.channels != images.channels {
                "export it with as many channels, or take other images".to_owned()
            } else if taken.width == taken.height {
                format!("resize = {} brings them to that size", taken.width)
            } else {
                format!("resize = {}x{} brings them to that size", taken.width, taken.height)
            };
            return Err(fault(
                &self.path,
                format!("the network takes images of {taken}, those of the data set are {images}; {mend}"),
            ));
        }
        let known = self.package.program.classes;
        if known != classes {
            return Err(fault(
                &self.path,
                format!(
                    "the network has {known} classes, and the data set has {classes}; replace its last layer before the export"
                ),
            ));
        }
        Ok(())
    }

    /// Sets the network up on `device` (`cpu` by default) and tries it.
    ///
    /// # Errors
    /// As [`ExportedNetwork::new`], and when device or precision are not available here.
    pub fn open(
        &self,
        normalization: Normalization,
        device: Option<&str>,
        precision: ComputePrecision,
    ) -> Result<ExportedNetwork> {
        let device = parse_device(device.unwrap_or("cpu"))?;
        let precision = PrecisionRequest::from(precision).resolve(device)?;
        self.network(device, precision, normalization)
    }

    fn network(
        &self,
        device: Device,
        precision: ComputePrecision,
        normalization: Normalization,
    ) -> Result<ExportedNetwork> {
        let (name, digest) = (self.name(), self.digest.clone());
        let options = ExportedOptions { device, precision, normalization, name, digest };
        let make = if self.has_weights { ExportedNetwork::new } else { ExportedNetwork::without_weights };
        make(Arc::clone(&self.package), &options).map_err(|error| match error {
            Error::Model { model, reason } => fault(&self.path, format!("network {model} {reason}")),
            other => other,
        })
    }
}

impl Architecture for ExportedFile {
    fn claims(&self, name: &str) -> bool {
        name == self.name()
    }

    fn build(&self, builder: Builder) -> Result<Box<dyn Classifier>> {
        self.check_fits(builder.input(), builder.classes())?;
        let BuildOptions { device, precision, normalization, .. } = builder.options().clone();
        Ok(Box::new(self.network(device, precision, normalization)?))
    }
}

/// `catalogue` with the network whose graph lies beside the weights (or the state) at `weights`.
///
/// # Errors
/// As [`ExportedFile::beside`], and where such a graph is missing.
pub(crate) fn with_graph_of(catalogue: &Catalogue, weights: &Path, model: &ModelName) -> Result<Catalogue> {
    if !model.to_string().starts_with(PREFIX) {
        return Ok(catalogue.clone());
    }
    match ExportedFile::beside(weights)? {
        Some(file) => Ok(catalogue.clone().with(file)),
        None if catalogue.knows(model) => Ok(catalogue.clone()),
        None => Err(fault(
            weights,
            format!(
                "holds weights of {model}, a network of torch.export, and its graph `{GRAPH}` lies neither beside them nor in the folder above"
            ),
        )),
    }
}

pub(crate) fn fault(path: &Path, reason: String) -> Error {
    Error::File { path: path.to_owned(), reason }
}

/// What to say of a network that came with its weights and classifies `images` no better than by chance; `None` where it does.
///
/// # Errors
/// When the network fails.
pub fn doubt(network: &dyn Classifier, images: &dyn ImageSource) -> Result<Option<String>> {
    let choice = Choice { limit: TRIED, selection: Selection::Seeded, seed: 0 };
    let some = Images::upload_some(images, choice, network.store().device())?;
    let mut right = 0.0;
    for (_, batch) in some.batches(BATCH, network.store().kind()) {
        let batch = batch?;
        let logits = tch::no_grad(|| network.logits(&batch.pixels, Mode::Eval))?;
        right += f64::try_from(answer::right(&logits, &batch.labels)?.f_sum(tch::Kind::Double)?)?;
    }
    let (count, chance) = (some.len() as f64, 1.0 / network.class_count() as f64);
    let believed = chance + DEVIATIONS * (chance * (1.0 - chance) / count).sqrt();
    if right / count > believed {
        return Ok(None);
    }
    let done = if network.normalization().is_identity() {
        "no normalisation is put before it"
    } else {
        "a normalisation is put before it"
    };
    Ok(Some(format!(
        "the network classifies {:.1} % of {count} clean images correctly, and chance is {:.1} %: untrained, classes in another order, or \
         pixels that are normalised twice or not at all? ({done})",
        100.0 * right / count,
        100.0 * chance
    )))
}

/// A class of Python in small letters with hyphens between its words; whatever else it holds is left out.
fn kebab(class: &str) -> String {
    let mut name = String::new();
    let mut was_small = false;
    for letter in class.chars().filter(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && was_small {
            name.push('-');
        }
        was_small = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_python_gives_its_network_a_name() {
        assert_eq!(kebab("ResNet"), "res-net");
        assert_eq!(kebab("Net_2"), "net2");
        assert_eq!(kebab("VGG"), "vgg");
    }
}
