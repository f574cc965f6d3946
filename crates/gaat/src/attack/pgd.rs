//! PGD: projected steepest ascent (Madry et al. 2018, section 2.1).

use super::loss::Loss;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use super::standing::{Standing, narrow};
use super::{ball, targets};
use crate::error::Result;
use crate::nn::{Draws, answer};
use gaat_spec::ThreatModel;
use tch::Tensor;

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

/// The perturbation of [`Start::Near`].
pub(super) fn near(clean: &Tensor, draws: &Draws) -> Result<Tensor> {
    draws.normal(&clean.size(), 0.0, NEAR, clean.kind(), clean.device())
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
    /// oracle that knows logits; with another one no example stops.
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
    /// For training: all examples take all steps, each cut to ball and box.
    pub fn training(steps: usize, step_size: f64, start: Start) -> Self {
        Self { steps, step_size, start, walk: Walk::InBox, stop: StopRule::Never }
    }

    /// For judging: the same, but an example stops where it is misclassified.
    pub fn judging(steps: usize, step_size: f64, start: Start) -> Self {
        Self { stop: StopRule::WhenFooled, ..Self::training(steps, step_size, start) }
    }

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
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let _no_grad = tch::no_grad_guard();
        Ok(self.walk(oracle, (clean, labels, None), threat, draws)?.into_proposals())
    }
}

/// PGD on the margin: on the lead of the best wrong class (the L-infinity attack of Carlini and Wagner 2017 as Madry et
/// al. 2018 run it), or on that of given ones.
#[derive(Debug, Clone, Copy)]
pub struct MarginPgd {
    /// Steps, start and so on.
    pub pgd: Pgd,
    /// Climbs towards each of so many wrong classes in turn, those first that are likeliest on the clean image; 0
    /// towards whichever leads.
    pub targets: usize,
}

impl Attack for MarginPgd {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let _no_grad = tch::no_grad_guard();
        if self.targets == 0 {
            let walked = self.pgd.walk(oracle, (clean, labels, Some(Aim::Best)), threat, draws)?;
            return Ok(walked.into_proposals());
        }
        targets::each(
            oracle,
            clean,
            labels,
            (self.targets, threat.norm()),
            |oracle, clean, labels, target| {
                self.pgd.walk(
                    oracle,
                    (clean, labels, Some(Aim::Class(target.shallow_clone()))),
                    threat,
                    draws,
                )
            },
        )
    }
}

/// Which wrong class is to lead.
enum Aim {
    Best,
    Class(Tensor),
}

impl Pgd {
    /// Walks with a batch of images and labels; without an aim up the loss of the oracle.
    fn walk(
        &self,
        oracle: &mut dyn GradientOracle,
        (clean, labels, mut aim): (&Tensor, &Tensor, Option<Aim>),
        threat: &ThreatModel,
        draws: &Draws,
    ) -> Result<Standing> {
        let start = match self.start {
            Start::Clean => clean.zeros_like(),
            Start::Random => self.constrain(clean, &ball::random_start(clean, threat, draws)?, threat),
            Start::Near => self.constrain(clean, &near(clean, draws)?, threat),
        };
        let mut standing = Standing::new(clean)?;
        let (mut clean, mut labels, mut delta) = (clean.f_detach()?, labels.shallow_clone(), start);
        for _ in 0..self.steps {
            let points = &clean + &delta;
            let answer = tch::with_grad(|| match &aim {
                None => oracle.at(&points, &labels),
                Some(Aim::Best) => oracle.of(Loss::Margin, &points, &labels),
                Some(Aim::Class(target)) => oracle.of(Loss::MarginTowards(target), &points, &labels),
            })?;
            let mut gradient = answer.gradient;
            if let (StopRule::WhenFooled, Some(logits)) = (self.stop, answer.logits) {
                let fallen = answer::fooled(&logits, &labels)?;
                let any_stays = standing.release(&fallen, &delta.shallow_clone(), |kept| {
                    if let Some(Aim::Class(target)) = &mut aim {
                        narrow([target], kept)?;
                    }
                    narrow([&mut clean, &mut labels, &mut delta, &mut gradient], kept)
                })?;
                if !any_stays {
                    return Ok(standing);
                }
            }
            let moved = ball::stepped(&delta, &gradient, self.step_size, threat.norm());
            delta = self.constrain(&clean, &moved, threat);
        }
        standing.propose(&delta)?;
        Ok(standing)
    }
}
