//! An oracle that answers from a model and notes what the network would have said at the same points.

use super::outcome::wait_for;
use crate::attack::{Exact, GradientOracle, InputGradient, Taylor};
use crate::error::Result;
use gaat_spec::Passes;
use gaat_spec::analysis::Agreement;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// Agreement of two gradients, summed over the images of all batches, step by step.
#[derive(Debug, Default)]
pub(super) struct Path {
    steps: Vec<StepTally>,
}

#[derive(Debug, Clone, Copy, Default)]
struct StepTally {
    cosines: f64,
    /// Images in which both gradients have a direction.
    directed: f64,
    equal_signs: f64,
    coordinates: f64,
}

impl Path {
    fn add(&mut self, step: usize, model: &Tensor, truth: &Tensor) -> Result<()> {
        if self.steps.len() <= step {
            self.steps.resize(step + 1, StepTally::default());
        }
        let tally = &mut self.steps[step];
        let sum = |tensor: &Tensor| -> Result<f64> { Ok(tensor.f_sum(Kind::Double)?.f_double_value(&[])?) };
        // In double precision: squares of gradients of a confident network underflow in single.
        let flat = |tensor: &Tensor| tensor.f_flatten(1, -1)?.f_to_kind(Kind::Double);
        let (left, right) = (flat(model)?, flat(truth)?);
        let dot = |a: &Tensor, b: &Tensor| (a * b).f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
        let lengths = dot(&left, &left)?.f_sqrt()? * dot(&right, &right)?.f_sqrt()?;
        let directed = lengths.f_gt(0.0)?;
        let cosines = (dot(&left, &right)? / lengths).f_nan_to_num(0.0, 0.0, 0.0)?;
        tally.cosines += sum(&cosines)?;
        tally.directed += sum(&directed)?;
        tally.equal_signs += sum(&model.f_sign()?.f_eq_tensor(&truth.f_sign()?)?)?;
        tally.coordinates += truth.numel() as f64;
        Ok(())
    }

    /// Mean cosine, over the images in which both gradients have a direction.
    pub(super) fn cosine(&self) -> Agreement {
        self.agreement(|tally| tally.cosines / tally.directed.max(1.0))
    }

    /// Share of the coordinates with equal signs.
    pub(super) fn sign_agreement(&self) -> Agreement {
        self.agreement(|tally| tally.equal_signs / tally.coordinates.max(1.0))
    }

    fn agreement(&self, of: impl Fn(&StepTally) -> f64) -> Agreement {
        let by_step: Vec<f64> = self.steps.iter().map(of).collect();
        Agreement { mean: by_step.iter().sum::<f64>() / by_step.len().max(1) as f64, by_step }
    }
}

/// Drives an attack on one batch by `model`.
pub(super) struct Compared<'b, 'a> {
    model: &'b mut Taylor<'a>,
    exact: Exact<'a>,
    path: &'b mut Path,
    step: usize,
    aside: Duration,
}

impl<'b, 'a> Compared<'b, 'a> {
    pub(super) fn new(model: &'b mut Taylor<'a>, exact: Exact<'a>, path: &'b mut Path) -> Self {
        Self { model, exact, path, step: 0, aside: Duration::ZERO }
    }

    /// Time spent on the comparison.
    pub(super) fn seconds_aside(&self) -> Duration {
        self.aside
    }
}

impl GradientOracle for Compared<'_, '_> {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        let answer = self.model.at(points, labels)?;
        wait_for(points.device());
        let started = Instant::now();
        let truth = self.exact.at(points, labels)?;
        self.path.add(self.step, &answer.gradient, &truth.gradient)?;
        self.step += 1;
        self.aside += started.elapsed();
        Ok(answer)
    }

    fn passes(&self) -> Passes {
        self.model.passes()
    }

    fn is_exact(&self) -> bool {
        false
    }
}
