//! The data set of a recipe: loaded, split, and measured for normalisation.

use crate::error::{Error, Result};
use crate::nn::{InputShape, Normalization};
use gaat_data::{
    ImageSource, Opened, Parts, Source, SplitOptions, Splits, View, for_each_chunk, load_extra, split,
};
use gaat_spec::{CheckedRecipe, NormalizationChoice, Residence, Size, visible_path};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The splits of a recipe, the digest of what they were made from, and what the reader should hear.
#[derive(Debug)]
pub struct Dataset {
    /// Train, validation and test images.
    pub splits: Splits,
    /// SHA-256 over all training images before limit and split.
    pub digest: String,
    /// Images that a share of every batch comes from, where there are some.
    pub extra: Option<Extra>,
    /// Things that stopped nothing.
    pub warnings: Vec<String>,
}

/// Training images beside those of a data set, such as generated ones.
#[derive(Debug)]
pub struct Extra {
    /// The images.
    pub images: Arc<dyn ImageSource>,
    /// SHA-256 over all of them.
    pub digest: String,
}

impl Extra {
    /// The images of the archive of numpy at `path`, for training beside `train`.
    ///
    /// # Errors
    /// When the archive cannot be read, or its images have another shape than those of `train`, or other classes.
    pub fn load(path: &Path, train: &dyn ImageSource) -> Result<Self> {
        let images = load_extra(path, train.class_names())?;
        if images.shape() != train.shape() {
            return Err(Error::Shape {
                what: format!("{}: the images of extra-data", visible_path(path)),
                expected: format!("images of {}, as the training images are", train.shape()),
                found: images.shape().to_string(),
            });
        }
        let digest = images.digest().to_owned();
        Ok(Self { images: Arc::new(images), digest })
    }
}

/// Loads and splits the data of `recipe`, from `data_dir` if given, else from where the recipe says.
///
/// # Errors
/// When the data is missing or damaged.
pub fn load(recipe: &CheckedRecipe, data_dir: Option<PathBuf>) -> Result<Dataset> {
    let resolved = &recipe.resolved;
    let source = Source {
        dataset: recipe.dataset,
        data_dir: data_dir.or_else(|| resolved.data_dir.clone()),
        resize: resolved.resize.map(Size::rows_and_columns),
    };
    let Opened { parts, warnings, .. } =
        gaat_data::open(&source, resolved.images.unwrap_or(Residence::Auto))?;
    let digest = parts.digest()?;
    let options = SplitOptions {
        validation_fraction: recipe.validation_fraction,
        seed: recipe.plan.seed(),
        limit_train: resolved.limit,
        limit_test: None,
        crop: resolved.crop.map(Size::rows_and_columns),
    };
    let splits = split(parts, &options)?;
    let extra = resolved.extra_data.as_ref();
    let extra = extra.map(|path| Extra::load(path, splits.train.images())).transpose()?;
    Ok(Dataset { splits, digest, extra, warnings })
}

impl Dataset {
    /// The shape of the images that a network is given: those that are judged are cropped already.
    pub fn input(&self) -> InputShape {
        InputShape::of(self.splits.test.images())
    }

    /// Images of one's own, wherever they lie, the training images split as `options` say.
    ///
    /// # Errors
    /// When the two sources do not fit together, an option is out of its range, or an image cannot be read.
    pub fn of(
        train: Arc<dyn ImageSource>,
        test: Arc<dyn ImageSource>,
        options: &SplitOptions,
    ) -> Result<Self> {
        let parts = Parts::of(train, test)?;
        let digest = parts.digest()?;
        Ok(Self { splits: split(parts, options)?, digest, extra: None, warnings: Vec::new() })
    }

    /// Images to train on, of which validation images are carved as `options` say, and none to judge by.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn training_on(train: Arc<dyn ImageSource>, options: &SplitOptions) -> Result<Self> {
        let none = Arc::new(View::of(Arc::clone(&train), Vec::new())?);
        Self::of(train, none, options)
    }

    /// Images for training and validation that somebody else has told apart, and none to judge by.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn given(train: Arc<dyn ImageSource>, validation: Arc<dyn ImageSource>) -> Result<Self> {
        let digest = train.digest()?;
        Ok(Self { splits: Splits::given(train, validation)?, digest, extra: None, warnings: Vec::new() })
    }
}

/// The normalisation that `choice` means for these training images.
///
/// # Errors
/// When an image cannot be read.
pub fn normalization(choice: &NormalizationChoice, train: &dyn ImageSource) -> Result<Normalization> {
    let shape = train.shape();
    match choice {
        NormalizationChoice::None => return Ok(Normalization::identity(shape.channels as i64)),
        NormalizationChoice::Numbers { mean, std } => {
            if mean.len() != shape.channels {
                let reason = format!(
                    "has numbers for {} channels, and the images have {}",
                    mean.len(),
                    shape.channels
                );
                return Err(gaat_spec::Error::value("normalization", choice, reason).into());
            }
            return Ok(Normalization { mean: mean.clone(), std: std.clone() });
        }
        NormalizationChoice::Dataset => {}
    }
    let plane = shape.height * shape.width;
    // Sum and sum of squares of each channel.
    let mut sums = vec![(0u64, 0u64); shape.channels];
    for_each_chunk(train, |pixels| {
        for image in pixels.chunks_exact(shape.channels * plane) {
            for ((sum, squares), bytes) in sums.iter_mut().zip(image.chunks_exact(plane)) {
                for byte in bytes {
                    *sum += u64::from(*byte);
                    *squares += u64::from(*byte).pow(2);
                }
            }
        }
    })?;
    let count = (train.len() * plane) as f64;
    let (mean, std) = sums
        .into_iter()
        .map(|(sum, squares)| {
            let center = sum as f64 / count;
            let variance = (squares as f64 / count - center * center).max(0.0);
            // A channel that never changes is left unscaled.
            (center / 255.0, if variance > 0.0 { variance.sqrt() / 255.0 } else { 1.0 })
        })
        .unzip();
    Ok(Normalization { mean, std })
}
