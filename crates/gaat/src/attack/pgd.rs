//! PGD: projected steepest ascent (Madry et al. 2018, section 2.1).

use super::{Attack, GradientOracle, ball};
use crate::Result;
use crate::nn::Draws;
use gaat_spec::ThreatModel;
use tch::{Kind, Tensor};

/// Where the path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the clean image.
    Clean,
    /// At a random point of the ball.
    Random,
    /// Beside the clean image, normal of deviation [`NEAR`] in every pixel: where the loss is a divergence from the clean
    /// answers, its gradient at the clean image itself is zero (Zhang et al. 2019, `trades.py`).
    Near,
}

/// Deviation of [`Start::Near`], pixel units.
pub const NEAR: f64 = 0.001;

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
            Start::Near => {
                let noise = draws.normal(&clean.size(), 0.0, NEAR, clean.kind(), clean.device())?;
                self.constrain(clean, &noise, threat)
            }
        };
        let mut walkers = Walkers::new(clean, labels, start)?;
        for _ in 0..self.steps {
            let points = &walkers.clean + &walkers.delta;
            let answer = tch::with_grad(|| oracle.at(&points, &walkers.labels))?;
            let mut gradient = answer.gradient;
            if let (StopRule::WhenFooled, Some(logits)) = (self.stop, answer.logits) {
                let standing = logits.argmax(-1, false).eq_tensor(&walkers.labels);
                match walkers.retire_fallen(&standing)? {
                    Remaining::All => {}
                    Remaining::None => break,
                    Remaining::Some(kept) => gradient = gradient.f_index_select(0, &kept)?,
                }
            }
            let moved = &walkers.delta + ball::steepest_ascent(&gradient, threat.norm()) * self.step_size;
            walkers.delta = self.constrain(&walkers.clean, &moved, threat);
        }
        walkers.finish()
    }
}

/// The examples still walking, and where the others stopped.
struct Walkers {
    clean: Tensor,
    labels: Tensor,
    delta: Tensor,
    /// Places of the walkers in the batch; `None` while nobody has left.
    places: Option<Tensor>,
    stopped: Option<Tensor>,
}

enum Remaining {
    All,
    Some(Tensor),
    None,
}

impl Walkers {
    fn new(clean: &Tensor, labels: &Tensor, delta: Tensor) -> Result<Self> {
        Ok(Self {
            clean: clean.f_detach()?,
            labels: labels.shallow_clone(),
            delta,
            places: None,
            stopped: None,
        })
    }

    /// Takes those that are not `standing` (`[walkers]`, bool) out of the walk, where they are.
    fn retire_fallen(&mut self, standing: &Tensor) -> Result<Remaining> {
        let count = standing.size()[0];
        let kept = standing.f_nonzero()?.f_squeeze_dim(1)?;
        if kept.size()[0] == count {
            return Ok(Remaining::All);
        }
        let places = match self.places.take() {
            Some(places) => places,
            None => Tensor::f_arange(count, (Kind::Int64, self.delta.device()))?,
        };
        let stopped = match self.stopped.take() {
            Some(stopped) => stopped.f_index_copy(0, &places, &self.delta)?,
            None => self.delta.f_alias_copy()?,
        };
        self.stopped = Some(stopped);
        self.places = Some(places.f_index_select(0, &kept)?);
        if kept.size()[0] == 0 {
            return Ok(Remaining::None);
        }
        self.clean = self.clean.f_index_select(0, &kept)?;
        self.labels = self.labels.f_index_select(0, &kept)?;
        self.delta = self.delta.f_index_select(0, &kept)?;
        Ok(Remaining::Some(kept))
    }

    fn finish(self) -> Result<Tensor> {
        match (self.stopped, self.places) {
            (Some(stopped), Some(places)) if places.size()[0] == self.delta.size()[0] => {
                Ok(stopped.f_index_copy(0, &places, &self.delta)?)
            }
            (Some(stopped), _) => Ok(stopped),
            _ => Ok(self.delta),
        }
    }
}
