//! The data set of a recipe: loaded, split, and measured for normalisation.

use crate::Result;
use crate::nn::Normalization;
use gaat_data::{ImageSet, Loaded, Source, SplitOptions, Splits, split};
use gaat_spec::{CheckedRecipe, NormalizationChoice};
use std::path::PathBuf;

/// The splits of a recipe, the digest of what they were made from, and what the reader should hear.
#[derive(Debug)]
pub struct Dataset {
    /// Train, validation and test images.
    pub splits: Splits,
    /// SHA-256 over all training images before limit and split.
    pub digest: String,
    /// Things that stopped nothing.
    pub warnings: Vec<String>,
}

/// Loads and splits the data of `recipe`, from `data_dir` if given, else from where the recipe says.
///
/// # Errors
/// When the data is missing or damaged.
pub fn load(recipe: &CheckedRecipe, data_dir: Option<PathBuf>) -> Result<Dataset> {
    let resolved = &recipe.resolved;
    let loaded = gaat_data::load(&Source {
        dataset: recipe.dataset,
        data_dir: data_dir.or_else(|| resolved.data_dir.clone()),
        resize: resolved.resize.map(|side| (side, side)),
    })?;
    let digest = loaded.train.digest().to_owned();
    let warnings = loaded.warnings.clone();
    let options = SplitOptions {
        validation_fraction: recipe.validation_fraction,
        seed: recipe.plan.seed(),
        limit_train: resolved.limit,
        limit_test: None,
    };
    Ok(Dataset { splits: split(loaded, &options)?, digest, warnings })
}

impl Dataset {
    /// Images of one's own, the training images split as `options` say.
    ///
    /// # Errors
    /// When the two sets do not fit together, or an option is out of its range.
    pub fn of(train: ImageSet, test: ImageSet, options: &SplitOptions) -> Result<Self> {
        let digest = train.digest().to_owned();
        Ok(Self { splits: split(Loaded::from_sets(train, test)?, options)?, digest, warnings: Vec::new() })
    }
}

/// The normalisation that `choice` means for these training images.
pub fn normalization(choice: NormalizationChoice, train: &ImageSet) -> Normalization {
    let shape = train.shape();
    match choice {
        NormalizationChoice::None => Normalization::identity(shape.channels as i64),
        NormalizationChoice::Dataset => {
            let plane = shape.height * shape.width;
            let (mut mean, mut std) = (Vec::new(), Vec::new());
            for channel in 0..shape.channels {
                let (mut sum, mut squares) = (0u64, 0u64);
                for image in train.pixels().chunks_exact(shape.channels * plane) {
                    for byte in &image[channel * plane..(channel + 1) * plane] {
                        sum += u64::from(*byte);
                        squares += u64::from(*byte).pow(2);
                    }
                }
                let count = (train.len() * plane) as f64;
                let center = sum as f64 / count;
                let variance = (squares as f64 / count - center * center).max(0.0);
                mean.push(center / 255.0);
                // A channel that never changes is left unscaled.
                std.push(if variance > 0.0 { variance.sqrt() / 255.0 } else { 1.0 });
            }
            Normalization { mean, std }
        }
    }
}
