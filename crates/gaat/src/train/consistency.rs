//! Consistency: the answers at the point where the attack takes its gradient and at the attacked point are held together.
//!
//! To the loss of each image is added `weight * D(f(x + d), f(a))`, where `a` is the point of the gradient and `x + d` the attacked
//! point. One-sided, `f(a)` is the constant that the attack's own pass has computed: no pass more. Two-sided, both are
//! differentiated, as FGSM-PGI does (Jia et al. 2022, equation 10): the graph of the attack's pass is kept, for another full backward
//! pass.

use super::descent::{Descent, Objective};
use super::step::StepContext;
use crate::attack::oracle::losses;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::nn::Mode;
use crate::taylor::Forecast;
use gaat_spec::{ConsistencyForm, ConsistencySpec};
use tch::{Kind, Tensor};

/// The consistency of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consistency {
    pub(super) weight: f64,
    pub(super) form: ConsistencyForm,
    pub(super) is_two_sided: bool,
}

impl Consistency {
    /// That of the step after `done` steps, at `progress` in `[0, 1]` of the run.
    pub(super) fn of(spec: ConsistencySpec, done: usize, progress: f64) -> Self {
        let ConsistencySpec { form, every, .. } = spec;
        let is_two_sided = every.is_some_and(|every| (done + 1).is_multiple_of(every));
        Self { weight: spec.weight_at(progress), form, is_two_sided }
    }
}

/// The distance of two logits `[N, classes]`, `[N]`; differentiable in both.
fn distance(form: ConsistencyForm, one: &Tensor, other: &Tensor) -> Result<Tensor> {
    let over_classes = |tensor: Tensor| tensor.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
    Ok(match form {
        ConsistencyForm::Mse => {
            (one - other).f_square()?.f_mean_dim(Some([1i64].as_slice()), false, None::<Kind>)?
        }
        ConsistencyForm::Js => {
            let (one, other) = (one.f_log_softmax(-1, one.kind())?, other.f_log_softmax(-1, other.kind())?);
            // The log of the mean of the two distributions, exact where either is 0 in this precision.
            let mean = one.f_logaddexp(&other)? - std::f64::consts::LN_2;
            let from_mean = |logs: &Tensor| over_classes(logs.f_exp()? * (logs - &mean));
            (from_mean(&one)? + from_mean(&other)?) * 0.5
        }
    })
}

impl StepContext<'_> {
    /// Whether the attack's own pass at the point of the gradient serves the descent too. Where a batch is computed in parts, or the
    /// attack sees other statistics than the descent, that point is asked about once more.
    pub(super) fn records_for_consistency(&self) -> bool {
        let is_two_sided = self.consistency.is_some_and(|consistency| consistency.is_two_sided);
        is_two_sided
            && self.parts == 1
            && self.attack_mode == Mode::TrainFrozenStats
            && self.outside.is_none()
    }

    /// As [`descend`](Self::descend), and where the recipe asks for consistency the answers at `pixels` are held to those at the
    /// point of the gradient that `forecast` comes from.
    ///
    /// # Errors
    /// When the network fails.
    pub fn descend_consistently(
        &mut self,
        pixels: &Tensor,
        batch: &Batch,
        forecast: &Forecast,
    ) -> Result<Descent> {
        let Some(Consistency { weight, form, is_two_sided }) = self.consistency else {
            return self.descend(pixels, batch);
        };
        let Some(constant) = &forecast.anchor_logits else {
            return Err(Error::Usage("consistency needs the logits at the point of the gradient".to_owned()));
        };
        let mut recorded = forecast.recorded_logits.as_ref().map(Tensor::shallow_clone);
        self.descend_on(batch, &mut |tape, part| {
            let before = match (is_two_sided, recorded.take()) {
                (true, Some(logits)) => tape.resumed(logits),
                (true, None) => tape.frozen_logits(&part.of(&forecast.anchor)?)?,
                (false, _) => part.of(constant)?,
            };
            let logits = tape.logits(&part.of(pixels)?)?;
            let attacked = losses(&logits, &part.of(batch.attack_targets())?)?;
            let descended = if batch.has_one_loss() {
                attacked.shallow_clone()
            } else {
                losses(&logits, &part.of(batch.targets())?)?
            };
            let losses = descended + distance(form, &logits, &before)? * weight;
            Ok(Objective { losses, attacked: Some(attacked), logits, watched: None })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(rows: &[[f32; 3]; 2]) -> Tensor {
        Tensor::from_slice2(rows).to_kind(Kind::Double).set_requires_grad(true)
    }

    #[test]
    fn distances_are_those_of_their_definitions() {
        let (one, other) = ([[1.0, -0.5, 0.25], [0.5, 2.0, -1.0]], [[0.25, 0.5, 0.0], [1.5, -0.25, 0.5]]);
        let (a, b) = (logits(&one), logits(&other));
        let found = distance(ConsistencyForm::Mse, &a, &b).unwrap();
        let squared = |row: usize| {
            let gaps = one[row].iter().zip(other[row]).map(|(one, other)| f64::from(one - other).powi(2));
            gaps.sum::<f64>() / 3.0
        };
        for row in 0..2 {
            assert!((found.double_value(&[row as i64]) - squared(row)).abs() < 1e-12);
        }
        let found = distance(ConsistencyForm::Js, &a, &b).unwrap();
        let softmax = |row: [f32; 3]| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            row.map(|logit| f64::from(logit).exp() / sum)
        };
        for row in 0..2 {
            let (p, q) = (softmax(one[row]), softmax(other[row]));
            let half = |p: [f64; 3], q: [f64; 3]| -> f64 {
                (0..3).map(|class| p[class] * (2.0 * p[class] / (p[class] + q[class])).ln()).sum()
            };
            let expected = 0.5 * (half(p, q) + half(q, p));
            assert!((found.double_value(&[row as i64]) - expected).abs() < 1e-12);
        }
        for form in ConsistencyForm::ALL {
            let same = distance(*form, &a, &a).unwrap();
            assert!(same.abs().max().double_value(&[]) < 1e-15, "{form}");
        }
    }

    #[test]
    fn certain_answers_have_a_finite_distance_and_finite_slopes() {
        for form in ConsistencyForm::ALL {
            for far in [80.0f32, 105.0, 1e5] {
                let (a, b) = (logits(&[[far, 0.0, -3.0]; 2]), logits(&[[-far, 0.5, far]; 2]));
                let found = distance(*form, &a.to_kind(Kind::Float), &b.to_kind(Kind::Float)).unwrap();
                found.sum(Kind::Double).backward();
                for tensor in [&found, &a.grad(), &b.grad()] {
                    assert_eq!(crate::nn::finite::fault(tensor).unwrap(), None, "{form} at {far}");
                }
                if *form == ConsistencyForm::Js {
                    assert!(found.max().double_value(&[]) <= std::f64::consts::LN_2 + 1e-6);
                }
            }
        }
    }

    #[test]
    fn every_nth_step_is_two_sided() {
        let spec = |every| ConsistencySpec { weight: 1.0, form: ConsistencyForm::Mse, every, warmup: 0.5 };
        let sides = |every| {
            let of = |done| Consistency::of(spec(every), done, 1.0);
            (0..6).map(|done| of(done).is_two_sided).collect::<Vec<_>>()
        };
        let weights = [0.0, 0.25, 0.5, 1.0].map(|progress| Consistency::of(spec(None), 0, progress).weight);
        assert_eq!(weights, [0.0, 0.5, 1.0, 1.0], "the weight grows over half of the run");
        assert_eq!(sides(None), [false; 6]);
        assert_eq!(sides(Some(2)), [false, true, false, true, false, true]);
        assert_eq!(sides(Some(1)), [true; 6]);
    }
}
