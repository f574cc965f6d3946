//! PGD: projected steepest ascent (Madry et al. 2018, section 2.1).

use super::standing::{Kept, Standing, narrow};
use super::{Attack, GradientOracle, ball};
use crate::Result;
use crate::nn::Draws;
use gaat_spec::ThreatModel;
use tch::Tensor;

/// Where the path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the clean image.
    Clean,
    /// At a random point of the ball.
    Random,
}

/// What each step is projected on; the result is always projected on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Ball and pixel box: the attack as usually meant.
    InBox,
    /// The ball alone, so that a random start keeps its full width where pixels are black or white. Single-gradient
    /// training collapses without it on MNIST, where half of the noise would be lost.
    InBall,
}

/// Whether examples leave the attack early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRule {
    /// All examples take all steps: for training.
    Never,
    /// An example stops where it is misclassified: for evaluation, where more steps change no verdict. Needs an
    /// oracle that knows logits; with another one nobody stops.
    WhenFooled,
}

/// K steps of fixed length along the steepest ascent, each projected.
#[derive(Debug, Clone, Copy)]
pub struct Pgd {
    /// Number of steps K.
    pub steps: usize,
    /// Length of one step in the norm of the threat model, pixel units.
    pub step_size: f64,
    /// Where to begin.
    pub start: Start,
    /// What steps are projected on.
    pub walk: Walk,
    /// Who leaves early.
    pub stop: StopRule,
}

impl Pgd {
    /// The same attack with steps of `factor` times the length.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { step_size: self.step_size * factor, ..self }
    }

    fn constrain(&self, clean: &Tensor, delta: &Tensor, threat: &ThreatModel) -> Tensor {
        match self.walk {
            Walk::InBox => ball::project_into_box(clean, delta, threat),
            Walk::InBall => ball::project(delta, threat),
        }
    }
}

impl Attack for Pgd {
    fn propose(
        &self,
        oracle: &mut dyn GradientOracle,
        clean: &Tensor,
        labels: &Tensor,
        threat: &ThreatModel,
        draws: &Draws,
    ) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let start = match self.start {
            Start::Clean => clean.zeros_like(),
            Start::Random => self.constrain(clean, &ball::random_start(clean, threat, draws)?, threat),
        };
        let mut standing = Standing::new(clean)?;
        let (mut clean, mut labels, mut delta) = (clean.f_detach()?, labels.shallow_clone(), start);
        for _ in 0..self.steps {
            let answer = tch::with_grad(|| oracle.at(&(&clean + &delta), &labels))?;
            let mut gradient = answer.gradient;
            if let (StopRule::WhenFooled, Some(logits)) = (self.stop, answer.logits) {
                let fallen = logits.f_argmax(-1, false)?.f_ne_tensor(&labels)?;
                match standing.retire(&fallen, &delta)? {
                    Kept::All => {}
                    Kept::Nobody => return Ok(standing.into_proposals()),
                    Kept::Some(kept) => {
                        narrow([&mut clean, &mut labels, &mut delta, &mut gradient], &kept)?;
                    }
                }
            }
            let moved = &delta + ball::steepest_ascent(&gradient, threat.norm()) * self.step_size;
            delta = self.constrain(&clean, &moved, threat);
        }
        standing.propose(&delta)?;
        Ok(standing.into_proposals())
    }
}
