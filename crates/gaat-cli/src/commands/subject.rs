//! What `evaluate`, `attack` and `analyze` look at: a trained network with its recipe and test images.

use crate::arguments::{AttackedArguments, CheckpointChoice, PixelNormalization, SubjectArguments};
use crate::recipes;
use anyhow::{Result, bail};
use gaat::dataset::Dataset;
use gaat::exported::{ExportedFile, doubt, is_exported};
use gaat::nn::{InputShape, Normalization};
use gaat::run::{Checkpoint, OpenedRun};
use gaat::weights::Description;
use gaat_data::{ImageSource, TestSet};

use gaat_spec::collapse::Training;
use gaat_spec::{
    CheckedRecipe, DatasetName, Norm, NormalizationChoice, Recipe, Selection, Size, ThreatModel, visible,
    visible_path,
};
use std::path::Path;

impl From<CheckpointChoice> for Checkpoint {
    fn from(choice: CheckpointChoice) -> Self {
        match choice {
            CheckpointChoice::Best => Self::Best,
            CheckpointChoice::Last => Self::Last,
        }
    }
}

/// A trained network, the recipe that it speaks of, and test images of its classes.
pub(super) struct Subject {
    pub(super) opened: OpenedRun,
    pub(super) trained: CheckedRecipe,
    pub(super) test: TestSet,
    /// What the reader of the images had to say.
    pub(super) warnings: Vec<String>,
}

impl Subject {
    /// Sets up the process and opens what the arguments name.
    pub(super) fn open(arguments: &SubjectArguments) -> Result<Self> {
        check_there(&arguments.run)?;
        gaat::device::prepare_process(arguments.threads)?;
        if is_exported(&arguments.run) {
            return Self::open_exported(arguments);
        }
        if arguments.normalization.is_some() {
            bail!("--normalization is for networks of torch.export (.pt2); a network of gaat holds its own");
        }
        let device = arguments.device.as_deref();
        let opened =
            gaat::run::open(&arguments.run, arguments.checkpoint.into(), device, arguments.precision)?;
        let trained = recipe(arguments, &opened)?;
        if arguments.data_dir.is_none() {
            recipes::check_data_dir(&trained.resolved)?;
        }
        let (test, mut warnings) =
            gaat::run::test_images_with_warnings(&trained.resolved, arguments.data_dir.clone())?;
        check_classes(test.images(), &opened)?;
        warnings.extend(opened.without_checksum());
        Ok(Self { opened, trained, test, warnings })
    }

    /// A network of torch.export: it knows neither its data nor its threat model.
    fn open_exported(arguments: &SubjectArguments) -> Result<Self> {
        let Some(dataset) = arguments.dataset else {
            bail!("{} does not say what to judge it on; add --dataset", visible_path(&arguments.run))
        };
        let file = ExportedFile::read(&arguments.run)?;
        let image = file.image();
        let recipe = Recipe {
            dataset: Some(dataset),
            resize: (dataset == DatasetName::Folder).then(|| size(image)),
            ..Recipe::default()
        };
        let trained = recipe.check()?;
        let Dataset { splits, mut warnings, .. } = gaat::dataset::load(&trained, arguments.data_dir.clone())?;
        file.check_fits(splits.test.images())?;
        let normalization = match &arguments.normalization {
            None | Some(PixelNormalization::None) => Normalization::identity(image.channels),
            Some(PixelNormalization::Numbers { mean, std }) => {
                Normalization { mean: mean.clone(), std: std.clone() }
            }
            Some(PixelNormalization::Dataset) => {
                gaat::dataset::normalization(NormalizationChoice::Dataset, splits.train.images())?
            }
        };
        let network = file.open(normalization, arguments.device.as_deref(), arguments.precision)?;
        network.check_judgeable()?;
        warnings.extend(doubt(&network, splits.test.images())?);
        let description = Description::with_numbered_classes(&network)?;
        let opened = OpenedRun { classifier: Box::new(network), description, record: None };
        Ok(Self { opened, trained, test: splits.test, warnings })
    }
}

/// The size of the images that a network takes.
fn size(shape: InputShape) -> Size {
    Size { width: shape.width as usize, height: shape.height as usize }
}

fn check_there(run: &Path) -> Result<()> {
    if !run.exists() {
        bail!(
            "{}: nothing there; expected a run directory of `gaat train`, or a checkpoint",
            visible_path(run)
        );
    }
    if run.is_dir() && !run.join("run.json").exists() {
        bail!("{}: no run directory, for it holds no run.json; is the run below it?", visible_path(run));
    }
    Ok(())
}

/// The recipe whose test images and threat model are meant.
fn recipe(arguments: &SubjectArguments, opened: &OpenedRun) -> Result<CheckedRecipe> {
    let recipe = match (&opened.record, recipe_beside(&arguments.run), arguments.dataset) {
        (Some(record), _, None) => record.recipe.clone(),
        (None, Some(root), None) => gaat::run::recipe(root)?.unwrap_or_default(),
        (_, _, Some(dataset)) => Recipe {
            dataset: Some(dataset),
            resize: (dataset == DatasetName::Folder).then(|| size(opened.classifier.input_shape())),
            model: Some(opened.description.model),
            ..Recipe::default()
        },
        (None, None, None) => {
            bail!("{} does not say what to judge it on; add --dataset", visible_path(&arguments.run))
        }
    };
    Ok(recipe.check()?)
}

/// The run directory round a checkpoint, which knows its recipe from there.
pub(super) fn recipe_beside(checkpoint: &Path) -> Option<&Path> {
    checkpoint.parent().and_then(Path::parent).filter(|root| root.join("recipe.toml").exists())
}

/// What is known of how the network was trained: from its run, or from the run round a checkpoint.
pub(super) fn known_training(run: &Path, opened: &OpenedRun) -> Result<Training> {
    Ok(match (&opened.record, recipe_beside(run)) {
        (Some(record), _) => Training::of(record),
        (None, Some(root)) => {
            Training::of_recipe(&gaat::run::recipe(root)?.unwrap_or_default().check()?.resolved)
        }
        (None, None) => Training::default(),
    })
}

/// Accuracy on images of other classes would be a number without a meaning.
fn check_classes(images: &dyn ImageSource, opened: &OpenedRun) -> Result<()> {
    let (found, expected) = (images.class_names(), &opened.description.class_names);
    if opened.description.takes_classes(found) {
        return Ok(());
    }
    if opened.description.are_classes_numbered {
        bail!(
            "the test images have {} classes and the network has {}; --dataset and --data-dir choose the images",
            found.len(),
            expected.len()
        );
    }
    bail!(
        "the test images have other classes than the network: {} against {}; --dataset and --data-dir choose the \
         images; weights that were imported under wrong names are imported again with --dataset or --classes",
        listed(found),
        listed(expected)
    );
}

/// Names of classes, which are whatever their author wrote; the first of many.
fn listed(classes: &[String]) -> String {
    const LISTED: usize = 20;
    let listed: Vec<_> = classes.iter().take(LISTED).map(|class| visible(class)).collect();
    let more = if classes.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", listed.join(", "))
}

/// How test images are chosen where the number of the first ones may be given.
pub(super) fn selection(first: Option<usize>) -> Selection {
    first.map_or(Selection::Seeded, |_| Selection::First)
}

/// The threat model asked for; else that of the training.
pub(super) fn threat(arguments: &AttackedArguments, trained: &CheckedRecipe) -> Result<ThreatModel> {
    let norm = arguments.norm.unwrap_or(trained.plan.threat().norm());
    if norm != trained.plan.threat().norm() && arguments.epsilon.is_none() {
        let example = if norm == Norm::L2 { "0.5" } else { "8/255" };
        bail!("--norm {norm} needs --epsilon: a bound in another norm is another number, such as {example}");
    }
    Ok(ThreatModel::new(norm, arguments.epsilon.unwrap_or(trained.plan.threat().epsilon_length()))?)
}
