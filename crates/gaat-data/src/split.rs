//! Train, validation and test as three different types.
//!
//! The validation set is the data set's own or carved from the training set by seed; the test set is never touched by that seed. Only this
//! module makes the three types, so that holding one is proof of what it may be used for.

use std::sync::Arc;

use crate::centre_crop::CentreCrop;
use crate::error::{Error, Result, names};
use crate::load::Loaded;
use crate::order::Stream;
use crate::source::{self, ImageSource};
use crate::stratify::{Division, divide};
use crate::view::View;

/// Images to train on.
#[derive(Clone, Debug)]
pub struct TrainSet(Arc<dyn ImageSource>);

/// Images to choose checkpoints and stop by: the data set's own, or carved from the training images.
#[derive(Clone, Debug)]
pub struct ValidationSet(Arc<dyn ImageSource>);

/// Images to judge the finished model by, once.
#[derive(Clone, Debug)]
pub struct TestSet(Arc<dyn ImageSource>);

impl TrainSet {
    /// The images.
    pub fn images(&self) -> &dyn ImageSource {
        self.0.as_ref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<dyn ImageSource> {
        Arc::clone(&self.0)
    }
}

impl ValidationSet {
    /// The images.
    pub fn images(&self) -> &dyn ImageSource {
        self.0.as_ref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<dyn ImageSource> {
        Arc::clone(&self.0)
    }
}

impl TestSet {
    /// The images.
    pub fn images(&self) -> &dyn ImageSource {
        self.0.as_ref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<dyn ImageSource> {
        Arc::clone(&self.0)
    }
}

/// The three parts of a data set.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Images to train on.
    pub train: TrainSet,
    /// Images to choose checkpoints by; empty when the fraction is 0.
    pub validation: ValidationSet,
    /// Images to judge by.
    pub test: TestSet,
}

impl Splits {
    /// Images for training and validation that somebody else has told apart, and none for judging.
    ///
    /// # Errors
    /// When the two differ in image shape or classes, or a label has no class name.
    pub fn given(train: Arc<dyn ImageSource>, validation: Arc<dyn ImageSource>) -> Result<Self> {
        let Parts { train, test: validation, .. } = Parts::of(train, validation)?;
        let test = View::of(Arc::clone(&train), Vec::new())?;
        Ok(Self {
            train: TrainSet(train),
            validation: ValidationSet(validation),
            test: TestSet(Arc::new(test)),
        })
    }
}

/// How to split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitOptions {
    /// The share of the training images that becomes the validation set, in [0, 1).
    pub validation_fraction: f64,
    /// Decides which images go where; the test set does not depend on it.
    pub seed: u64,
    /// At most so many training images, validation included, with the class shares of all.
    pub limit_train: Option<usize>,
    /// At most so many test images, with the class shares of all; the same ones for every seed.
    pub limit_test: Option<usize>,
    /// Height and width to which validation and test images are cut about their centre; training images stay whole, because they
    /// are cropped at random.
    pub crop: Option<(usize, usize)>,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { validation_fraction: 0.1, seed: 0, limit_train: None, limit_test: None, crop: None }
    }
}

/// The seed of the test subset: fixed, so that limited results stay comparable.
const TEST_SEED: u64 = 0;

/// The official parts of a data set, wherever their images lie.
#[derive(Clone, Debug)]
pub struct Parts {
    train: Arc<dyn ImageSource>,
    validation: Option<Arc<dyn ImageSource>>,
    test: Arc<dyn ImageSource>,
}

impl Parts {
    /// Images for training and validation, and images for judging.
    ///
    /// # Errors
    /// When the two differ in image shape or classes, or a label has no class name.
    pub fn of(train: Arc<dyn ImageSource>, test: Arc<dyn ImageSource>) -> Result<Self> {
        source::check(train.as_ref())?;
        check_beside(train.as_ref(), test.as_ref(), "test")?;
        Ok(Self { train, validation: None, test })
    }

    /// The same with images for validation; none are carved from the training images then.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_validation(self, validation: Arc<dyn ImageSource>) -> Result<Self> {
        check_beside(self.train.as_ref(), validation.as_ref(), "validation")?;
        Ok(Self { validation: Some(validation), ..self })
    }

    /// SHA-256 over the training images, as hexadecimal; where validation images were given, over these too.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn digest(&self) -> Result<String> {
        let train = self.train.digest()?;
        Ok(match &self.validation {
            Some(validation) => gaat_files::digest_of(format!("{train}{}", validation.digest()?).as_bytes()),
            None => train,
        })
    }

    /// The images for training, and for validation where there are none of their own.
    pub fn train(&self) -> &dyn ImageSource {
        self.train.as_ref()
    }
}

impl TryFrom<Loaded> for Parts {
    type Error = Error;

    fn try_from(loaded: Loaded) -> Result<Self> {
        let parts = Self::of(Arc::new(loaded.train), Arc::new(loaded.test))?;
        match loaded.validation {
            Some(validation) => parts.with_validation(Arc::new(validation)),
            None => Ok(parts),
        }
    }
}

/// Insists that the images of a part fit the training images in shape and classes.
fn check_beside(train: &dyn ImageSource, other: &dyn ImageSource, part: &str) -> Result<()> {
    source::check(other)?;
    let inconsistent = |expected: String, found: String| {
        Err(Error::Inconsistent { name: other.name().to_owned(), expected, found })
    };
    if train.shape() != other.shape() {
        return inconsistent(format!("{part} images of {}", train.shape()), other.shape().to_string());
    }
    if train.class_names() != other.class_names() {
        let expected = format!("the {part} classes {}", names(train.class_names()));
        return inconsistent(expected, names(other.class_names()));
    }
    Ok(())
}

/// Limits training and test images, then carves the validation set from the training images, stratified by class; where the data
/// set has validation images of its own, these are taken instead, unless the fraction is 0. Reads and copies no pixel.
///
/// # Errors
/// When the fraction is outside [0, 1), a limit is 0, no training image would be left, or a crop is larger than the images.
pub fn split(parts: Parts, options: &SplitOptions) -> Result<Splits> {
    check(options)?;
    let SplitOptions { validation_fraction, seed, limit_train, limit_test, crop } = *options;
    let train = limited(parts.train, limit_train, Stream::TrainLimit, seed)?;
    let test = limited(parts.test, limit_test, Stream::TestLimit, TEST_SEED)?;
    let own = parts.validation.filter(|_| validation_fraction > 0.0);
    let (train, validation) = match own {
        Some(validation) => (train, validation),
        None => carved(train, validation_fraction, seed)?,
    };
    let judged = |images: Arc<dyn ImageSource>| -> Result<Arc<dyn ImageSource>> {
        Ok(match crop {
            Some(size) => Arc::new(CentreCrop::of(images, size)?),
            None => images,
        })
    };
    let (validation, test) = (ValidationSet(judged(validation)?), TestSet(judged(test)?));
    Ok(Splits { train: TrainSet(train), validation, test })
}

/// The training images less a share of each class, and that share.
fn carved(
    train: Arc<dyn ImageSource>,
    fraction: f64,
    seed: u64,
) -> Result<(Arc<dyn ImageSource>, Arc<dyn ImageSource>)> {
    let count = validation_count(train.len(), fraction);
    if count >= train.len() {
        return Err(Error::Inconsistent {
            name: train.name().to_owned(),
            expected: "more training images than validation images need".to_owned(),
            found: format!("{} in all", train.len()),
        });
    }
    let Division { chosen, rest } =
        divide(train.labels(), train.class_count(), count, Stream::Validation, seed);
    let is_whole = chosen.is_empty();
    let validation: Arc<dyn ImageSource> = Arc::new(View::of(Arc::clone(&train), chosen)?);
    let train = if is_whole { train } else { Arc::new(View::of(train, rest)?) };
    Ok((train, validation))
}

fn check(options: &SplitOptions) -> Result<()> {
    let SplitOptions { validation_fraction, limit_train, limit_test, .. } = *options;
    if !(0.0..1.0).contains(&validation_fraction) {
        return Err(Error::Option {
            option: "validation fraction",
            expected: "at least 0 and below 1",
            found: validation_fraction.to_string(),
        });
    }
    for (option, limit) in [("train limit", limit_train), ("test limit", limit_test)] {
        if limit == Some(0) {
            return Err(Error::Option { option, expected: "at least 1", found: "0".to_owned() });
        }
    }
    Ok(())
}

/// A fraction above 0 gives at least one image.
fn validation_count(length: usize, fraction: f64) -> usize {
    let count = (length as f64 * fraction).round() as usize;
    if fraction > 0.0 { count.max(1) } else { 0 }
}

fn limited(
    images: Arc<dyn ImageSource>,
    limit: Option<usize>,
    stream: Stream,
    seed: u64,
) -> Result<Arc<dyn ImageSource>> {
    match limit {
        Some(limit) if limit < images.len() => {
            let chosen = divide(images.labels(), images.class_count(), limit, stream, seed).chosen;
            Ok(Arc::new(View::of(images, chosen)?))
        }
        _ => Ok(images),
    }
}
