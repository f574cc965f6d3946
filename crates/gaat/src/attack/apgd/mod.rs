//! Auto-PGD: projected ascent with momentum that halves its step where it stalls (Croce and Hein 2020, algorithm 1).

mod climbers;
mod schedule;

use super::loss::Loss;
use super::oracle::{GradientOracle, InputGradient};
use super::run::{Attack, UnderAttack};
use super::standing::{Standing, narrow};
use super::{ball, targets};
use crate::error::Result;
use crate::nn::answer;
use climbers::Climbers;
use gaat_spec::ThreatModel;
use tch::Tensor;

/// Weight of a step against that of the momentum.
const MOMENTUM: f64 = 0.75;

/// What Auto-PGD climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApgdLoss {
    /// Cross-entropy.
    CrossEntropy,
    /// Difference of logits ratio.
    Dlr,
    /// Difference of logits ratio towards each of so many wrong classes, those first that are likeliest on the clean
    /// image.
    TargetedDlr(usize),
}

/// Auto-PGD from a random point on the edge of the ball. Examples leave as soon as they are misclassified; the others
/// end at their highest loss.
#[derive(Debug, Clone, Copy)]
pub struct Apgd {
    /// Steps, for each target class where there are targets.
    pub steps: usize,
    /// What is climbed.
    pub loss: ApgdLoss,
    /// Gradients averaged for one step; more than 1 only for networks that answer at random.
    pub samples: usize,
}

impl Attack for Apgd {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let _no_grad = tch::no_grad_guard();
        let ApgdLoss::TargetedDlr(count) = self.loss else {
            let start = ball::random_edge(clean, threat, draws)?;
            let climbers = Climbers::new(clean, labels, None, &start, threat)?;
            return Ok(self.climb(oracle, climbers, threat)?.into_proposals());
        };
        targets::each(oracle, clean, labels, (count, threat.norm()), |oracle, clean, labels, target| {
            let start = ball::random_edge(clean, threat, draws)?;
            self.climb(oracle, Climbers::new(clean, labels, Some(target), &start, threat)?, threat)
        })
    }
}

impl Apgd {
    fn climb(
        &self,
        oracle: &mut dyn GradientOracle,
        mut climbers: Climbers,
        threat: &ThreatModel,
    ) -> Result<Standing> {
        let mut standing = Standing::new(&climbers.clean)?;
        let answer = self.ask(oracle, &climbers)?;
        if !take(&mut climbers, &mut standing, answer)? {
            return Ok(standing);
        }
        climbers.remember_losses();
        let mut checkpoints = schedule::checkpoints(self.steps).into_iter().peekable();
        for step in 1..=self.steps {
            climbers.advance(threat, if step == 1 { 1.0 } else { MOMENTUM });
            let answer = self.ask(oracle, &climbers)?;
            if !take(&mut climbers, &mut standing, answer)? {
                return Ok(standing);
            }
            climbers.count_rises();
            if let Some(check) = checkpoints.next_if(|check| check.at == step) {
                climbers.look_back(check.window);
            }
        }
        standing.propose(&climbers.best)?;
        Ok(standing)
    }

    /// Loss and gradient where the climbers are, the gradient as a mean over the samples.
    fn ask(&self, oracle: &mut dyn GradientOracle, climbers: &Climbers) -> Result<InputGradient> {
        let loss = match (self.loss, &climbers.targets) {
            (ApgdLoss::CrossEntropy, _) => Loss::CrossEntropy,
            (_, Some(targets)) => Loss::DlrTowards(targets),
            (_, None) => Loss::Dlr,
        };
        let points = &climbers.clean + &climbers.delta;
        let mut ask = || tch::with_grad(|| oracle.of(loss, &points, &climbers.labels));
        let mut answer = ask()?;
        for _ in 1..self.samples {
            let another = ask()?;
            answer = InputGradient { gradient: answer.gradient + another.gradient, ..another };
        }
        if self.samples > 1 {
            answer.gradient /= self.samples as f64;
        }
        Ok(answer)
    }
}

/// Lets the misclassified leave and hands the others their answer; `false` where none is left.
fn take(climbers: &mut Climbers, standing: &mut Standing, answer: InputGradient) -> Result<bool> {
    let InputGradient { mut losses, mut gradient, logits } = answer;
    if let Some(logits) = logits {
        let fallen = answer::fooled(&logits, &climbers.labels)?;
        let any_stays = standing.release(&fallen, &climbers.delta.shallow_clone(), |kept| {
            climbers.narrow(kept)?;
            narrow([&mut losses, &mut gradient], kept)
        })?;
        if !any_stays {
            return Ok(false);
        }
    }
    climbers.answer(losses, gradient);
    Ok(true)
}
