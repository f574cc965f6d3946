//! One perturbation for all images that learns: where FGSM-UAP takes its gradients.

use super::Steps;
use crate::attack::ball;
use crate::error::Result;
use crate::train::step::{Setting, StepContext};
use gaat_spec::{Norm, PixelLength, ThreatModel};
use tch::{Kind, Tensor};

/// Share of the older gradients in the momentum (the `FastAT` benchmark's `fgsm_uap.py`, arXiv 2604.22853).
const DECAY: f64 = 0.3;
/// Keeps the division finite where no image has a gradient.
const LEAST_NORM: f64 = 1e-30;

/// Every image starts at `epsilon u`; then, with g the gradients there, `v <- mean_b(g_b) / |g|_1 + 0.3 v` and `u <- P(u + sign(v))`, P on
/// the ball of length 1 and `|g|_1` over the batch. The first u is a random sign for every pixel.
///
/// The authors keep u within 10/255 at epsilon 8/255 and cut the start to epsilon: every pixel of theirs is one of three values, which
/// after the cut are those of this one. The start is not cut to the pixel box before the gradient is taken (decision record 0001).
#[derive(Debug)]
pub(super) struct Universal {
    /// `[1, C, H, W]`, of length 1 at most.
    perturbation: Tensor,
    momentum: Tensor,
    unit: ThreatModel,
    steps: Steps,
}

impl Universal {
    /// Without a perturbation yet.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn new(setting: &Setting) -> Result<Self> {
        let shape = setting.shape;
        let zeros = || {
            let size = [1, shape.channels, shape.height, shape.width];
            Tensor::f_zeros(size, (setting.kind, setting.device))
        };
        let unit = ThreatModel::new(setting.threat.norm(), PixelLength::new(1.0)?)?;
        Ok(Self { perturbation: zeros()?, momentum: zeros()?, unit, steps: Steps::none() })
    }

    /// The perturbations that this step begins with, of the size of `clean` (`[N, C, H, W]`) and a length of `reach` epsilon at most.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn begin(&mut self, context: &StepContext<'_>, clean: &Tensor, reach: f64) -> Result<Tensor> {
        if self.steps.count()? == 0 {
            let draws = context.draws().common("universal");
            let (size, kind) = (self.perturbation.size(), self.perturbation.kind());
            let drawn = draws.uniform(&size, -1.0, 1.0, kind, self.perturbation.device())?;
            self.perturbation.f_copy_(&ball::steepest_ascent(&drawn, self.norm()))?;
        }
        let start = &self.perturbation * (context.threat().epsilon() * reach);
        Ok(start.f_expand_as(clean)?)
    }

    /// Follows the `gradient` (`[N, C, H, W]`) that was taken at the start.
    ///
    /// # Errors
    /// When another process cannot be reached.
    pub(super) fn learn(&mut self, context: &StepContext<'_>, gradient: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let sum = gradient.f_sum_dim_intlist([0i64].as_slice(), true, None::<Kind>)?;
        let norm = gradient.f_abs()?.f_sum(gradient.kind())?;
        if !context.portion.is_all() {
            context.world.sum(&[sum.shallow_clone(), norm.shallow_clone()])?;
        }
        let mean = sum / context.images_in_batch() as f64 / norm.f_clamp_min(LEAST_NORM)?;
        self.momentum.f_copy_(&(mean + &self.momentum * DECAY))?;
        let moved = &self.perturbation + ball::steepest_ascent(&self.momentum, self.norm());
        Ok(self.perturbation.f_copy_(&ball::project(&moved, &self.unit))?)
    }

    fn norm(&self) -> Norm {
        self.unit.norm()
    }

    /// What the next step depends on, sharing storage.
    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        let shared = [("start-perturbation", &self.perturbation), ("start-momentum", &self.momentum)];
        let shared = shared.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        shared.into_iter().chain([self.steps.state()]).collect()
    }
}
