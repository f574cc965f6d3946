//! One step of steepest ascent from a given perturbation, or none at all.

use super::ball;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use crate::error::Result;
use tch::Tensor;

/// `start + step_size * direction`, the direction taken from the gradient at `clean + start`, where neither ball nor box
/// cuts the start first.
#[derive(Debug)]
pub struct Ascent {
    /// Perturbation to start from, `[N, C, H, W]`.
    pub start: Tensor,
    /// Length of the step in the norm of the threat model, pixel units. With 0 no gradient is asked for.
    pub step_size: f64,
}

impl Attack for Ascent {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, .. } = batch;
        if self.step_size == 0.0 {
            return Ok(self.start.shallow_clone());
        }
        let gradient = oracle.at(&(clean + &self.start), labels)?.gradient;
        Ok(ball::stepped(&self.start, &gradient, self.step_size, threat.norm()))
    }
}
