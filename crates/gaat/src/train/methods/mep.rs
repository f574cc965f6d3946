//! FGSM-MEP: one step from what is remembered of each image (Jia et al. 2022, "Prior-guided FGSM", FGSM-PGI).

use crate::attack::oracle::losses;
use crate::attack::{Ascent, ball};
use crate::batch::Batch;
use crate::error::Result;
use crate::taylor::Expansion;
use crate::train::descent::Objective;
use crate::train::labels::probabilities;
use crate::train::memory::ImageMemory;
use crate::train::named::copy_into;
use crate::train::step::{Setting, StepContext, StepReport, TrainingMethod};
use crate::world::World;
use gaat_spec::PixelLength;
use tch::{Kind, Tensor};

/// Share of the older gradients in the momentum (the authors' `FGSM_MEP.py`).
const DECAY: f64 = 0.3;
/// Probability of the true class in the relaxed label, unless the recipe smooths labels; the rest is shared by the others (`factor`
/// there).
const RELAXATION: f64 = 0.6;
/// Keeps the division finite where an image has no gradient.
const LEAST_NORM: f64 = 1e-30;

/// With `p` the perturbation remembered of the image, `g` the gradient at `x + p` and `q` the relaxed label:
/// `d = P(p + alpha sign(g))`, trained on `ce(f(x+d), q) + lambda mean_c (f(x+d) - f(x+p))^2`. Remembered are the momentum
/// `v <- g / |g|_1 + 0.3 v` and `P(p + alpha sign(v))`. Every so many epochs the start is random and the momentum 0 again.
///
/// Cost: 2F + Bi and two full backward passes, 7 units: the pass at the start serves the attack and the regulariser. It
/// uses the attack's statistics and, unlike the authors', updates no running ones. Norms are taken image by image (theirs
/// over the batch), the first start is not cut to the pixel box (decision record 0001), and the memory follows crop and
/// flip. It takes 3 bytes a pixel and channel of the training set (461 MB for CIFAR-10), and as much in a checkpoint.
#[derive(Debug)]
pub struct FgsmMep {
    step_size: f64,
    regularization: f64,
    reset_epochs: usize,
    classes: i64,
    perturbations: ImageMemory,
    momenta: ImageMemory,
}

impl FgsmMep {
    /// FGSM-MEP with a step of `step_size`, alpha, and weight `regularization`, lambda.
    ///
    /// # Errors
    /// When the device has no room for the memory.
    pub fn new(
        step_size: PixelLength,
        regularization: f64,
        reset_epochs: usize,
        setting: &Setting,
    ) -> Result<Self> {
        Ok(Self {
            step_size: step_size.value(),
            regularization,
            reset_epochs,
            classes: setting.classes,
            perturbations: ImageMemory::quantized(setting, setting.threat.epsilon())?,
            momenta: ImageMemory::half(setting)?,
        })
    }

    /// Perturbation and momentum from which this step starts, in the frame of the batch.
    fn recall(&self, context: &StepContext<'_>, batch: &Batch) -> Result<(Tensor, Tensor)> {
        let (clean, threat) = (&batch.pixels, context.threat());
        if (context.epoch() - 1).is_multiple_of(self.reset_epochs) {
            return Ok((ball::random_start(clean, threat, context.draws())?, clean.f_zeros_like()?));
        }
        let (members, placement) = (context.members(), context.placement());
        let start = self.perturbations.read_view(members, placement, clean.kind())?;
        let momentum = self.momenta.read_view(members, placement, clean.kind())?;
        Ok((ball::project_into_box(clean, &start, threat), momentum))
    }

    /// Takes note of the gradient at the start, and of where it leads with the momentum.
    fn remember(
        &mut self,
        context: &StepContext<'_>,
        batch: &Batch,
        start: &Tensor,
        gradient: &Tensor,
        momentum: Tensor,
    ) -> Result<()> {
        let norms = gradient.abs().f_sum_dim_intlist([1i64, 2, 3].as_slice(), true, None::<Kind>)?;
        let momentum = gradient / norms.f_clamp_min(LEAST_NORM)? + momentum * DECAY;
        let threat = context.threat();
        let step =
            ball::steepest_ascent(&momentum, threat.norm()) * (self.step_size * context.attack_scale());
        let next = ball::project_into_box(&batch.pixels, &(start + step), threat);
        let (members, placement) = (context.members(), context.placement());
        self.perturbations.write_view(members, placement, &next)?;
        self.momenta.write_view(members, placement, &momentum)
    }
}

impl TrainingMethod for FgsmMep {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let (start, momentum) = self.recall(context, batch)?;
        let anchor = (&batch.pixels + &start).f_set_requires_grad(true)?;
        let relaxed = match batch.soft {
            Some(_) => None,
            None => Some(probabilities(&batch.labels, RELAXATION, self.classes, batch.pixels.kind())?),
        };
        let targets = relaxed.as_ref().unwrap_or_else(|| batch.targets());
        let climbed = relaxed.as_ref().unwrap_or_else(|| batch.attack_targets());
        let (logits, at_start, gradient) = context.record(|tape| {
            let logits = tape.logits(&anchor)?;
            let at_start = losses(&logits, climbed)?;
            let gradient = tape.input_gradient(&at_start, &anchor)?;
            Ok((logits, at_start, gradient))
        })?;
        let model = Expansion::first_order(anchor.f_detach()?, at_start.f_detach()?, gradient);
        let attack =
            Ascent { start: start.shallow_clone(), step_size: self.step_size * context.attack_scale() };
        let (perturbed, forecast) = context.perturb_around(&attack, batch, model)?;
        self.remember(context, batch, &start, &forecast.gradient, momentum)?;
        let mut recorded = Some(logits);
        let descent = context.descend_on(batch, &mut |tape, _| {
            let before = recorded.take().map_or_else(|| tape.frozen_logits(&anchor), Ok)?;
            let logits = tape.logits(perturbed.pixels())?;
            let attacked = losses(&logits, climbed)?;
            let moved =
                (&logits - before).f_square()?.f_mean_dim(Some([1i64].as_slice()), false, None::<Kind>)?;
            Ok(Objective {
                losses: losses(&logits, targets)? + moved * self.regularization,
                attacked: Some(attacked),
                logits,
                watched: None,
            })
        })?;
        let gain = forecast.gain(&descent.attacked)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1.0 })
    }

    fn needs_whole_graph(&self) -> Option<&'static str> {
        Some("the pass at the start of the attack serves the descent too")
    }

    fn divide(&mut self, world: &dyn World) -> Result<()> {
        self.perturbations.divide(world)?;
        self.momenta.divide(world)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![
            ("perturbations".to_owned(), self.perturbations.tensor()),
            ("momenta".to_owned(), self.momenta.tensor()),
        ]
    }

    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![
            ("perturbations".to_owned(), self.perturbations.gather(world)?),
            ("momenta".to_owned(), self.momenta.gather(world)?),
        ])
    }

    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let parts =
            [self.perturbations.part_of("perturbations", state)?, self.momenta.part_of("momenta", state)?];
        copy_into("method", self.state(), &parts)
    }
}
