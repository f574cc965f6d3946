//! FGSM: one step of length epsilon from the clean image (Goodfellow et al. 2015, section 4).

use super::ball;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use crate::error::Result;
use tch::Tensor;

/// `epsilon sign(g(x))` for L-infinity, `epsilon g(x) / |g(x)|` for L2.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fgsm;

impl Attack for Fgsm {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, .. } = batch;
        let answer = oracle.at(clean, labels)?;
        Ok(ball::steepest_ascent(&answer.gradient, threat.norm()) * threat.epsilon())
    }
}
