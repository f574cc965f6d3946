//! Training attacks of one gradient, as data: where they begin, how far each pixel goes, and what the result is cut to.

use crate::error::{Error, Result};
use crate::names::named;
use crate::threat::PixelLength;
use serde::{Deserialize, Serialize};

named! {
    /// Where a training attack takes its one gradient.
    AttackStart, "start" {
        /// At random noise round each image.
        Noise = "noise",
        /// At the perturbation that the network itself takes for a sign of the image's class, part of which is replaced by noise
        /// (LIET).
        LabelIndicative = "label-indicative",
        /// At one perturbation for all images, which follows the mean gradient of each batch (FGSM-UAP).
        Universal = "universal",
    }
}

named! {
    /// How far a pixel goes along the one gradient.
    StepDraw, "step-draw" {
        /// As far as the step is long.
        Fixed = "fixed",
        /// A share of the step from 0 to 1, drawn for every pixel (SORA).
        Uniform = "uniform",
    }
}

named! {
    /// Where the result of an attack of one gradient is projected on the ball; the pixel box always cuts it.
    Projection, "project" {
        /// In every step.
        Always = "always",
        /// In no step, as N-FGSM and SORA are published.
        Never = "never",
        /// In the first half of the run, and after it in the steps before which the gain ratio says that the model does not predict the
        /// loss.
        Adaptive = "adaptive",
    }
}

impl Projection {
    /// Whether the coming step is projected, given whether an adaptive one may leave the ball.
    pub fn is_on(self, may_leave: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Adaptive => !may_leave,
        }
    }
}

/// How an attack of one gradient begins and what becomes of its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpeningSpec {
    /// Where the gradient is taken.
    pub start: AttackStart,
    /// Reach of noise and universal perturbation, in units of epsilon.
    pub noise: f64,
    /// How far each pixel goes.
    pub draw: StepDraw,
    /// Where the result is projected on the ball.
    pub projection: Projection,
}

impl OpeningSpec {
    /// Noise of the ball, a step of one length, projected: what every method of one gradient did first.
    pub const USUAL: Self =
        Self { start: AttackStart::Noise, noise: 1.0, draw: StepDraw::Fixed, projection: Projection::Always };
}

/// One step along the sign of one gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneStepSpec {
    /// Length of the step, pixel units.
    pub step_size: PixelLength,
    /// How it begins.
    pub opening: OpeningSpec,
    /// Share of the pixels of each image, those with the smallest slopes, that do not move; in `[0, 1)`.
    pub zeroed: f64,
    /// How much curvature the step bears: `step_size * min(1, limit / (1 - v))` is its length, `v` the smoothed agreement of the
    /// gradients before and after the step (SORA). `None`: whatever the curvature, the step is as long.
    pub limit: Option<f64>,
}
