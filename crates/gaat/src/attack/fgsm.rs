//! FGSM: one step of length epsilon from the clean image (Goodfellow et al. 2015, section 4).

use super::{Attack, GradientOracle, ball};
use crate::Result;
use crate::nn::Draws;
use gaat_spec::ThreatModel;
use tch::Tensor;

/// `epsilon sign(g(x))` for L-infinity, `epsilon g(x) / |g(x)|` for L2.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fgsm;

impl Attack for Fgsm {
    fn propose(
        &self,
        oracle: &mut dyn GradientOracle,
        clean: &Tensor,
        labels: &Tensor,
        threat: &ThreatModel,
        _draws: &Draws,
    ) -> Result<Tensor> {
        let answer = oracle.at(clean, labels)?;
        Ok(ball::steepest_ascent(&answer.gradient, threat.norm()) * threat.epsilon())
    }
}
