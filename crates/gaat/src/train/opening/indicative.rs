//! Label-indicative starts: the perturbation that the network itself takes for a sign of a class, part of it replaced by noise.
//!
//! LIET ("Label Information Elimination Training", `main.py` of its authors, github.com/fzjcdt/LIET): single-step training collapses
//! when perturbations carry the label; a start that carries the label already, and noise, leaves the network no such way out.

use super::Steps;
use crate::attack::ball;
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::Mode;
use crate::train::portion::Portion;
use crate::train::step::{Setting, StepContext};
use gaat_spec::Norm;
use tch::{Kind, Tensor};

/// Steps from one look at the network to the next (the `FastAT` benchmark's `liet.py`; the authors look every 10 steps on CIFAR-10).
const EVERY: u64 = 20;
/// Least and largest share of the pixels that noise replaces where the result is projected, and where it is not (`configs.yaml` at
/// 8/255 and at 16/255).
const REPLACED: (f64, f64) = (0.1, 0.5);
const REPLACED_BEYOND: (f64, f64) = (0.0, 1.0);
/// The image of no class that the network is asked about.
const GREY: f64 = 0.5;

/// For the class y of an image and one sign s of the whole batch: `s (m * u + (1 - m) * epsilon i_y)`, `i_y` the steepest ascent of
/// the loss of class y at a grey image in evaluation mode, u noise, and m 1 for a share of the pixels that is drawn for each batch.
///
/// Cost: F + Bi of one image a class every 20 steps; several processes share them. Other than the authors' code the loss there is that
/// of the class and not of smoothed labels, steps are counted over the ends of epochs, and the start is not cut to the pixel box before
/// the gradient is taken (decision record 0001).
#[derive(Debug)]
pub(super) struct Indicative {
    /// `[classes, C, H, W]`, of length 1 in the norm.
    directions: Tensor,
    norm: Norm,
    steps: Steps,
}

impl Indicative {
    /// Without any direction yet.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn new(setting: &Setting) -> Result<Self> {
        let shape = setting.shape;
        let size = [setting.classes, shape.channels, shape.height, shape.width];
        let directions = Tensor::f_zeros(size, (setting.kind, setting.device))?;
        Ok(Self { directions, norm: setting.threat.norm(), steps: Steps::none() })
    }

    /// The perturbations that this step begins with, `[N, C, H, W]`; noise reaches `reach` times epsilon.
    ///
    /// # Errors
    /// When the network fails, or another process cannot be reached.
    pub(super) fn begin(
        &mut self,
        context: &mut StepContext<'_>,
        batch: &Batch,
        reach: f64,
        is_projected: bool,
    ) -> Result<Tensor> {
        if self.steps.count()?.is_multiple_of(EVERY) {
            self.look(context)?;
        }
        let (clean, threat, draws) = (&batch.pixels, context.threat(), context.draws());
        let (kind, device) = (clean.kind(), clean.device());
        let noise = ball::random_start(clean, threat, draws)? * reach;
        let (least, most) = if is_projected { REPLACED } else { REPLACED_BEYOND };
        let common = draws.common("indicative");
        let share = common.uniform(&[1], least, most, kind, device)?;
        let sign = common.randint(&[1], 0, 2, device)?.f_to_kind(kind)? * 2.0 - 1.0;
        let is_replaced = draws.uniform(&clean.size(), 0.0, 1.0, kind, device)?.f_lt_tensor(&share)?;
        let own = self.directions.f_index_select(0, &batch.labels)? * threat.epsilon();
        Ok(noise.f_where_self(&is_replaced, &own)? * sign)
    }

    /// Asks the network about a grey image for every class.
    fn look(&mut self, context: &mut StepContext<'_>) -> Result<()> {
        let classes = self.directions.size()[0];
        let own = Portion::new(context.world, classes as usize);
        let found = self.directions.f_zeros_like()?;
        if own.images > 0 {
            let grey = own.cut(&self.directions.f_full_like(GREY)?)?;
            let of_class = Tensor::f_arange(classes, (Kind::Int64, found.device()))?;
            let of_class = own.cut(&of_class)?;
            let answer = context
                .gradient_of(Mode::Eval, &grey, &|logits| crate::attack::oracle::losses(logits, &of_class))?;
            own.cut(&found)?.f_copy_(&ball::steepest_ascent(&answer.gradient, self.norm))?;
        }
        if !own.is_all() {
            context.world.sum(&[found.shallow_clone()])?;
        }
        Ok(self.directions.f_copy_(&found)?)
    }

    /// What the next step depends on, sharing storage.
    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        vec![("start-directions".to_owned(), self.directions.shallow_clone()), self.steps.state()]
    }
}
