//! Carlini and Wagner 2017, section VI-A: the least L2 perturbation by Adam, with a binary search over the weight of
//! the misclassification.

use super::ball;
use super::loss::Loss;
use super::oracle::{GradientOracle, InputGradient};
use super::run::{Attack, UnderAttack};
use crate::error::Result;
use crate::nn::answer;
use gaat_spec::Norm;
use tch::Tensor;

/// The first weight, where there is a search over it.
const FIRST_WEIGHT: f64 = 1e-2;
/// The weight where there is none.
const ONLY_WEIGHT: f64 = 1.0;
/// The largest weight (`upper_bound` in the authors' code).
const MOST_WEIGHT: f64 = 1e10;
/// Learning rate of Adam, as in the authors' code.
const RATE: f64 = 0.01;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const ADAM_TINY: f64 = 1e-8;
/// Black and white pixels have no finite place under tanh; they start this much inside.
const INSIDE: f64 = 1.0 - 1e-6;

/// Carlini-Wagner. It looks for the least L2 perturbation whatever epsilon; the one proposed may lie outside the ball.
#[derive(Debug, Clone, Copy)]
pub struct CarliniWagner {
    /// Steps of Adam for each weight.
    pub steps: usize,
    /// Weights tried in the binary search.
    pub searches: usize,
}

impl Attack for CarliniWagner {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, .. } = batch;
        let _no_grad = tch::no_grad_guard();
        let clean = clean.f_detach()?;
        let mut search = Search::new(&clean, if self.searches > 1 { FIRST_WEIGHT } else { ONLY_WEIGHT })?;
        for _ in 0..self.searches {
            let mut found = self.descend(oracle, &clean, labels, &search.weight)?;
            if !oracle.is_exact() {
                // Across the boundary of a model is not yet across that of the network.
                let is_fooled = answer::fooled(&oracle.logits(&(&clean + &found.delta))?, labels)?;
                found.fooled = found.fooled.logical_and(&is_fooled);
            }
            search.note(&found);
            search.next_weight(&found.fooled);
        }
        Ok(search.best)
    }
}

/// What the descent with one weight found.
struct Found {
    delta: Tensor,
    /// Squared length of each, `[N]`.
    squared: Tensor,
    /// Whether there is any, `[N]`.
    fooled: Tensor,
}

impl Found {
    /// Notes the perturbations that are `fooled`: the shortest, or on a model the newest, which its freshest expansion
    /// vouches for.
    fn note(&mut self, delta: &Tensor, fooled: &Tensor, is_exact: bool) {
        let squared = ball::lengths(delta, Norm::L2).square();
        let shorter = squared.lt_tensor(&self.squared);
        let better = if is_exact { fooled.logical_and(&shorter) } else { fooled.shallow_clone() };
        self.squared = squared.where_self(&better, &self.squared);
        self.delta = delta.where_self(&ball::column(&better), &self.delta);
        self.fooled = self.fooled.logical_or(fooled);
    }
}

/// The best perturbations so far, and the bounds of the weight, `[N]` each.
struct Search {
    weight: Tensor,
    low: Tensor,
    high: Tensor,
    best: Tensor,
    /// Squared length of the best; infinite before there is one.
    least: Tensor,
}

impl Search {
    fn new(clean: &Tensor, weight: f64) -> Result<Self> {
        let like = |value: f64| Tensor::f_full([clean.size()[0]], value, (clean.kind(), clean.device()));
        Ok(Self {
            weight: like(weight)?,
            low: like(0.0)?,
            high: like(f64::INFINITY)?,
            best: clean.f_zeros_like()?,
            least: like(f64::INFINITY)?,
        })
    }

    /// Notes perturbations that are misclassified and shorter than all before.
    fn note(&mut self, found: &Found) {
        let shorter = found.squared.lt_tensor(&self.least).logical_and(&found.fooled);
        self.least = found.squared.where_self(&shorter, &self.least);
        self.best = found.delta.where_self(&ball::column(&shorter), &self.best);
    }

    /// Less weight where it was enough, ten times as much where it never was, else the middle.
    fn next_weight(&mut self, fooled: &Tensor) {
        self.high = self.weight.minimum(&self.high).where_self(fooled, &self.high);
        self.low = self.low.where_self(fooled, &self.weight.maximum(&self.low));
        let middle = (&self.low + &self.high) / 2.0;
        let larger = (&self.weight * 10.0).clamp_max(MOST_WEIGHT);
        self.weight = middle.where_self(&self.high.isfinite(), &larger);
    }
}

impl CarliniWagner {
    fn descend(
        &self,
        oracle: &mut dyn GradientOracle,
        clean: &Tensor,
        labels: &Tensor,
        weight: &Tensor,
    ) -> Result<Found> {
        let mut place = ((clean * 2.0 - 1.0).clamp(-INSIDE, INSIDE)).f_atanh()?;
        let (mut first, mut second) = (clean.f_zeros_like()?, clean.f_zeros_like()?);
        let mut found = Found {
            delta: clean.f_zeros_like()?,
            squared: weight.f_full_like(f64::INFINITY)?,
            fooled: weight.f_lt(0.0)?,
        };
        for step in 1..=self.steps {
            let bent = place.f_tanh()?;
            let points = (&bent + 1.0) * 0.5;
            let delta = &points - clean;
            let InputGradient { losses, gradient, .. } =
                tch::with_grad(|| oracle.of(Loss::Margin, &points, labels))?;
            found.note(&delta, &losses.gt(0.0), oracle.is_exact());
            // The margin counts only until the class has changed.
            let weight = weight * losses.le(0.0).to_kind(losses.kind());
            let downhill = delta * 2.0 - gradient * ball::column(&weight);
            let slope: Tensor = downhill * (1.0 - bent.square()) * 0.5;
            first = first * BETA1 + &slope * (1.0 - BETA1);
            second = second * BETA2 + slope.square() * (1.0 - BETA2);
            let power = step as i32;
            let (scale1, scale2) = (1.0 - BETA1.powi(power), 1.0 - BETA2.powi(power));
            place -= (&first / scale1) / ((&second / scale2).sqrt() + ADAM_TINY) * RATE;
        }
        Ok(found)
    }
}
