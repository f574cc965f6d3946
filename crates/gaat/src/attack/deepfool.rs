//! DeepFool: steps onto the nearest linear boundary until the class changes (Moosavi-Dezfooli et al. 2016,
//! algorithm 2).

use super::ball;
use super::oracle::GradientOracle;
use super::plane::{self, Nearest, Plane};
use super::run::{Attack, UnderAttack};
use super::standing::{Standing, narrow};
use crate::error::Result;
use crate::nn::answer;
use gaat_spec::Norm;
use tch::Tensor;

/// How far beyond the boundary each step goes.
const OVERSHOOT: f64 = 1.02;
/// Keeps a step finite where a gradient is zero.
const TINY: f64 = 1e-12;

/// DeepFool. It looks for a small perturbation whatever epsilon; the one proposed may lie outside the ball. One
/// gradient for every class a step.
#[derive(Debug, Clone, Copy)]
pub struct DeepFool {
    /// Most steps.
    pub steps: usize,
}

impl Attack for DeepFool {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, .. } = batch;
        let _no_grad = tch::no_grad_guard();
        let norm = threat.norm();
        let mut standing = Standing::new(clean)?;
        let (mut clean, mut labels) = (clean.f_detach()?, labels.shallow_clone());
        let mut points = clean.shallow_clone();
        for _ in 0..self.steps {
            let Nearest { plane: mut nearest, mut leader, logits, .. } =
                plane::nearest(oracle, &points, &labels, norm)?;
            if let Some(logits) = logits {
                let fallen = answer::fooled(&logits, &labels)?;
                let any_stays = standing.release(&fallen, &(&points - &clean), |kept| {
                    let Plane { lead, normal } = &mut nearest;
                    narrow([&mut clean, &mut labels, &mut points, &mut leader, lead, normal], kept)
                })?;
                if !any_stays {
                    return Ok(standing.into_proposals());
                }
            }
            let steepness = nearest.steepness(norm);
            let step = match norm {
                Norm::Linf => {
                    nearest.normal.sign() * ball::column(&(nearest.lead.abs() / (steepness + TINY)))
                }
                Norm::L2 => {
                    &nearest.normal * ball::column(&(nearest.lead.abs() / (steepness.square() + TINY)))
                }
            };
            // With a Taylor oracle no image is dropped: crossing the model's boundary does not mean crossing the network's.
            let waits = ball::column(&leader.gt(0.0));
            points = ball::into_box(&(&points + step * OVERSHOOT)).where_self(&waits.logical_not(), &points);
        }
        standing.propose(&(points - clean))?;
        Ok(standing.into_proposals())
    }
}
