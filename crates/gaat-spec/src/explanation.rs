//! What networks look at, as data: saliency methods, and how far the maps of two networks agree.

use crate::error::{Error, Result};
use crate::names::named;
use crate::record::Environment;
use crate::subset::Subset;
use serde::{Deserialize, Serialize};

/// Version of the layout of an explanation.
pub const SCHEMA: &str = "gaat-explanation-1";

named! {
    /// How a saliency map is made, always of the logit of the image's class.
    SaliencyName, "saliency method" {
        /// The gradient in the pixels (Simonyan et al. 2014).
        InputGradient = "input-gradient",
        /// The mean input gradient over noisy copies of the image (Smilkov et al. 2017).
        SmoothGrad = "smoothgrad",
        /// The mean input gradient on the line from black to the image, times the image (Sundararajan et al. 2017).
        IntegratedGradients = "integrated-gradients",
        /// Feature maps of the last convolution, weighted by their gradients (Selvaraju et al. 2017).
        GradCam = "grad-cam",
    }
}

impl SaliencyName {
    /// Whether its maps have a sign a colour channel, as the image has, so that they can be aligned with it.
    pub fn is_gradient(self) -> bool {
        matches!(self, Self::InputGradient | Self::SmoothGrad)
    }
}

/// A mean over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation over the images; `None` for one.
    pub deviation: Option<f64>,
    /// Images: those where the number is defined.
    pub images: usize,
}

/// The maps of one network by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapStatistics {
    /// The method.
    pub method: SaliencyName,
    /// Gini index of a map: 0 where all pixels count alike, near 1 where few do.
    pub sparsity: Option<Mean>,
    /// Absolute cosine between gradient and image (after Etmann et al. 2019); `None` for methods that give no gradient.
    pub alignment: Option<Mean>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedRun {
    /// Run directory.
    pub run: String,
    /// How it was trained, as far as known; else its model.
    pub label: String,
    /// Seed of its training, as far as known.
    pub seed: Option<u64>,
    /// Share of the images looked at that it classifies correctly.
    pub clean_accuracy: f64,
    /// Its maps, a method each.
    pub maps: Vec<MapStatistics>,
}

/// Agreement of the maps of two networks by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapAgreement {
    /// The method.
    pub method: SaliencyName,
    /// Spearman's rank correlation over the pixels of a map.
    pub rank_correlation: Option<Mean>,
    /// Share of the most salient tenth of the pixels that both have.
    pub top_overlap: Option<Mean>,
}

/// Two networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Places of the two in the list of runs.
    pub runs: (usize, usize),
    /// How far their maps agree, a method each.
    pub agreement: Vec<MapAgreement>,
}

/// Maps of one or several networks for the same images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: String,
    /// Images looked at.
    pub candidates: usize,
    /// Which images these are, where they are not all; also missing in documents of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
    /// Those of them that every network classifies correctly: what the numbers are over.
    pub examples: usize,
    /// Seed of the choice of images and of the noise.
    pub seed: u64,
    /// Where it was made.
    pub environment: Environment,
    /// The networks.
    pub runs: Vec<ExplainedRun>,
    /// Every two of them.
    pub pairs: Vec<Pair>,
    /// Whole explanation.
    pub seconds: f64,
}

impl Explanation {
    /// The methods that its maps were made by.
    ///
    /// # Errors
    /// When it holds no network.
    pub fn methods(&self) -> Result<Vec<SaliencyName>> {
        let first = self
            .runs
            .first()
            .ok_or_else(|| Error::value("runs", "none", "an explanation is of at least one"))?;
        Ok(first.maps.iter().map(|maps| maps.method).collect())
    }
}
