//! What is judged, attacked and looked into: a trained network with its recipe and test images of its classes.

use crate::error::{Error, Result};
use crate::recipes::check_data_dir;
use gaat::dataset::{Dataset, load, normalization};
use gaat::exported::{ExportedFile, doubt, is_exported};
use gaat::nn::{Catalogue, Classifier, InputShape, Mode};
use gaat::run::{OpenedRun, open_of, recipe, test_images_with_warnings};
use gaat::weights::Description;
use gaat_data::{ImageSource, TestSet};
use gaat_spec::collapse::Training;
use gaat_spec::{
    CheckedRecipe, Checkpoint, ComputePrecision, DatasetName, Norm, NormalizationChoice, PixelLength, Recipe,
    Size, ThreatModel, visible,
};
use std::path::{Path, PathBuf};

/// Which network is meant, on which images, and where it computes.
#[derive(Debug, Clone)]
pub struct SubjectOptions {
    /// A run directory, a file of weights, or a network of `torch.export` (.pt2), for which a data set must be named.
    pub run: PathBuf,
    /// Which weights of a run directory.
    pub checkpoint: Checkpoint,
    /// The data set whose test images are used; `None` for that of the training.
    pub dataset: Option<DatasetName>,
    /// Where the data lies; `None` for where the training found it.
    pub data_dir: Option<PathBuf>,
    /// Of a network of `torch.export`: what is done to pixels first; `None` for nothing.
    pub normalization: Option<NormalizationChoice>,
    /// Of a network of `torch.export`: the file of its evaluation mode, where that is a file of its own.
    pub eval_program: Option<PathBuf>,
    /// `cpu`, or `cuda:0` and so on; `None` for the device of the training.
    pub device: Option<String>,
    /// Precision of the network.
    pub precision: ComputePrecision,
}

impl SubjectOptions {
    /// The best weights of `run` in fp32, on the test images of the training.
    pub fn of(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
            checkpoint: Checkpoint::Best,
            dataset: None,
            data_dir: None,
            normalization: None,
            eval_program: None,
            device: None,
            precision: ComputePrecision::Fp32,
        }
    }
}

/// A trained network, the recipe that it speaks of, and test images of its classes.
pub struct Subject {
    /// As it was asked for.
    pub options: SubjectOptions,
    /// The network, with what its file and its run say of it.
    pub opened: OpenedRun,
    /// The recipe whose test images and threat model are meant.
    pub trained: CheckedRecipe,
    /// The test images.
    pub test: TestSet,
    /// What the reader of the files had to say that stopped nothing.
    pub warnings: Vec<String>,
}

impl Subject {
    /// Opens what `options` name; networks of one's own by `catalogue`.
    ///
    /// # Errors
    /// When there is nothing to open, the network or the images are damaged or missing, or the images have other classes.
    pub fn open(options: &SubjectOptions, catalogue: &Catalogue) -> Result<Self> {
        check_there(&options.run)?;
        if is_exported(&options.run) {
            return Self::open_exported(options);
        }
        if options.normalization.is_some() {
            return Err(Error::Usage(
                "a normalization is for networks of torch.export (.pt2); a network of gaat holds its own"
                    .to_owned(),
            ));
        }
        if options.eval_program.is_some() {
            return Err(Error::Usage(
                "a program of the evaluation mode belongs to a file of torch.export (.pt2); a run holds the one that it was begun with"
                    .to_owned(),
            ));
        }
        let SubjectOptions { run, checkpoint, device, precision, .. } = options;
        let opened = open_of(catalogue, run, *checkpoint, device.as_deref(), *precision)?;
        let trained = recipe_of(options, &opened)?.check_with(&|_| true).map_err(|error| {
            // Without a data set from the caller all of it is from the files of the run.
            match options.dataset {
                None => Error::File { path: run.clone(), reason: format!("its recipe: {error}") },
                Some(_) => error.into(),
            }
        })?;
        if options.data_dir.is_none() {
            check_data_dir(&trained.resolved)?;
        }
        let (test, mut warnings) = test_images_with_warnings(&trained.resolved, options.data_dir.clone())?;
        check_classes(test.images(), &opened)?;
        warnings.extend(opened.without_checksum());
        Ok(Self { options: options.clone(), opened, trained, test, warnings })
    }

    /// A network of torch.export: it knows neither its data nor its threat model.
    fn open_exported(options: &SubjectOptions) -> Result<Self> {
        let Some(dataset) = options.dataset else {
            return Err(Error::NoDataset { path: options.run.clone() });
        };
        let file = ExportedFile::read_with(&options.run, options.eval_program.as_deref())?;
        let image = file.image();
        let recipe = Recipe {
            dataset: Some(dataset),
            resize: (dataset == DatasetName::Folder).then(|| size(image)),
            ..Recipe::default()
        };
        let trained = recipe.check()?;
        let Dataset { splits, mut warnings, .. } = load(&trained, options.data_dir.clone())?;
        let test = splits.test.images();
        file.check_fits(InputShape::of(test), test.class_count() as i64)?;
        let choice = options.normalization.as_ref().unwrap_or(&NormalizationChoice::None);
        let normalization = normalization(choice, splits.train.images())?;
        let network = file.open(normalization, options.device.as_deref(), options.precision)?;
        network.check_mode(Mode::Eval)?;
        warnings.extend(doubt(&network, splits.test.images())?);
        let description = Description::with_numbered_classes(&network)?;
        let opened = OpenedRun { classifier: Box::new(network), description, record: None };
        Ok(Self { options: options.clone(), opened, trained, test: splits.test, warnings })
    }

    /// What is known of how the network was trained: from its run, or from the run round a checkpoint.
    ///
    /// # Errors
    /// When the recipe of that run is damaged.
    pub fn training(&self) -> Result<Training> {
        Ok(match (&self.opened.record, recipe_beside(&self.options.run)) {
            (Some(record), _) => Training::of(record),
            (None, Some(root)) => {
                let recipe = recipe(root)?.unwrap_or_default();
                Training::of_recipe(&recipe.check_with(&|_| true)?.resolved)
            }
            (None, None) => Training::default(),
        })
    }

    /// The threat model of `norm` and `epsilon`; what is not given is that of the training.
    ///
    /// # Errors
    /// When the norm is another than that of the training and there is no epsilon.
    pub fn threat(&self, norm: Option<Norm>, epsilon: Option<PixelLength>) -> Result<ThreatModel> {
        let own = self.trained.plan.threat();
        let norm = norm.unwrap_or(own.norm());
        if norm != own.norm() && epsilon.is_none() {
            let example = if norm == Norm::L2 { "0.5" } else { "8/255" };
            return Err(Error::Epsilon { norm, example });
        }
        Ok(ThreatModel::new(norm, epsilon.unwrap_or(own.epsilon_length()))?)
    }

    /// Whether the network is that of a run, on the test images of its training: what is found goes into the run's report.
    pub fn is_of_a_run(&self) -> bool {
        self.opened.record.is_some() && self.options.dataset.is_none()
    }

    /// The method that trained the network, where it is known.
    pub fn method(&self) -> Option<gaat_spec::MethodName> {
        self.opened.record.as_ref().and_then(|record| record.recipe.method)
    }
}

/// The size of the images that a network takes.
fn size(shape: InputShape) -> Size {
    Size { width: shape.width as usize, height: shape.height as usize }
}

fn check_there(run: &Path) -> Result<()> {
    let failed = |reason: &str| Err(Error::File { path: run.to_owned(), reason: reason.to_owned() });
    if !run.exists() {
        return failed("nothing there; expected a run directory of `gaat train`, or a checkpoint");
    }
    if run.is_dir() && !run.join("run.json").exists() {
        return failed("no run directory, for it holds no run.json; is the run below it?");
    }
    Ok(())
}

/// The recipe whose test images and threat model are meant.
fn recipe_of(options: &SubjectOptions, opened: &OpenedRun) -> Result<Recipe> {
    Ok(match (&opened.record, recipe_beside(&options.run), options.dataset) {
        (Some(record), _, None) => record.recipe.clone(),
        (None, Some(root), None) => recipe(root)?.unwrap_or_default(),
        (_, _, Some(dataset)) => Recipe {
            dataset: Some(dataset),
            resize: (dataset == DatasetName::Folder).then(|| size(opened.classifier.input_shape())),
            model: Some(opened.description.model.into()),
            ..Recipe::default()
        },
        (None, None, None) => return Err(Error::NoDataset { path: options.run.clone() }),
    })
}

/// The run directory round a checkpoint, which knows its recipe from there.
pub fn recipe_beside(checkpoint: &Path) -> Option<&Path> {
    checkpoint.parent().and_then(Path::parent).filter(|root| root.join("recipe.toml").exists())
}

/// Accuracy on images of other classes would be a number without a meaning.
fn check_classes(images: &dyn ImageSource, opened: &OpenedRun) -> Result<()> {
    let (found, expected) = (images.class_names(), &opened.description.class_names);
    if opened.description.takes_classes(found) {
        return Ok(());
    }
    Err(Error::Classes(if opened.description.are_classes_numbered {
        format!("the test images have {} classes and the network has {}", found.len(), expected.len())
    } else {
        format!(
            "the test images have other classes than the network: {} against {}; weights that were imported under wrong \
             names are imported again with the right data set or names",
            listed(found),
            listed(expected)
        )
    }))
}

/// Names of classes, which are whatever their author wrote; the first of many.
fn listed(classes: &[String]) -> String {
    const LISTED: usize = 20;
    let listed: Vec<_> = classes.iter().take(LISTED).map(|class| visible(class)).collect();
    let more = if classes.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", listed.join(", "))
}
