//! MI-FGSM: steps along the accumulated gradient (Dong et al. 2018, algorithm 1).

use super::ball;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use super::standing::{Standing, narrow};
use crate::error::Result;
use crate::nn::answer;
use tch::{Kind, Tensor};

/// Share of the accumulated gradient that stays, as in the paper.
const DECAY: f64 = 1.0;
/// Keeps a direction finite where the gradient is zero.
const TINY: f64 = 1e-12;

/// Steps of fixed length from the clean image along a sum of past gradients, each divided by its mean absolute
/// pixel. Examples leave as soon as they are misclassified, where the oracle knows logits.
#[derive(Debug, Clone, Copy)]
pub struct MomentumFgsm {
    /// Steps.
    pub steps: usize,
    /// Length of one, pixel units.
    pub step_size: f64,
}

impl Attack for MomentumFgsm {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, .. } = batch;
        let _no_grad = tch::no_grad_guard();
        let mut standing = Standing::new(clean)?;
        let (mut clean, mut labels) = (clean.f_detach()?, labels.shallow_clone());
        let (mut delta, mut momentum) = (clean.f_zeros_like()?, clean.f_zeros_like()?);
        for _ in 0..self.steps {
            let answer = tch::with_grad(|| oracle.at(&(&clean + &delta), &labels))?;
            let mut gradient = answer.gradient;
            if let Some(logits) = answer.logits {
                let fallen = answer::fooled(&logits, &labels)?;
                let any_stays = standing.release(&fallen, &delta.shallow_clone(), |kept| {
                    narrow([&mut clean, &mut labels, &mut delta, &mut momentum, &mut gradient], kept)
                })?;
                if !any_stays {
                    return Ok(standing.into_proposals());
                }
            }
            let mean = gradient.abs().f_mean_dim([1i64, 2, 3].as_slice(), true, None::<Kind>)?;
            momentum = momentum * DECAY + gradient / (mean + TINY);
            let moved = ball::stepped(&delta, &momentum, self.step_size, threat.norm());
            delta = ball::project_into_box(&clean, &moved, threat);
        }
        standing.propose(&delta)?;
        Ok(standing.into_proposals())
    }
}
