//! GradAlign: FGSM with a penalty on gradients that turn within the ball (Andriushchenko and Flammarion 2020).

use crate::attack::oracle::losses;
use crate::attack::{Ascent, InputGradient, ball};
use crate::batch::Batch;
use crate::error::Result;
use crate::taylor::Expansion;
use crate::train::descent::Objective;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;
use tch::{Kind, Tensor};

/// Squared length below which a gradient has no direction, and its image no penalty.
const LEAST_SQUARE: f64 = 1e-30;

/// `d = P(alpha sign(g(x)))`, trained on `l(x + d) + lambda (1 - cos(g(x), g(x + u)))`, `u` uniform in the ball; both
/// gradients are differentiated through, as in the authors' `train.py`.
///
/// Cost: 3F + 2Bi, one full backward pass and two double ones, 15 units, three times FGSM's, which is what the paper
/// reports: the gradient at the clean image serves the attack and the penalty. The pass at `x` uses the attack's statistics,
/// that at `x + u` the batch's, and neither updates the running ones (the authors' do).
#[derive(Debug, Clone, Copy)]
pub struct GradAlign {
    step_size: f64,
    regularization: f64,
}

impl GradAlign {
    /// GradAlign with a step of `step_size`, alpha, and weight `regularization`, lambda.
    pub fn new(step_size: PixelLength, regularization: f64) -> Self {
        Self { step_size: step_size.value(), regularization }
    }
}

impl TrainingMethod for GradAlign {
    fn takes_second_order(&self) -> bool {
        true
    }

    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let (clean, labels) = (&batch.pixels, batch.attack_targets());
        let InputGradient { losses: at_clean, gradient, .. } =
            context.record(|tape| tape.trainable_gradient(clean, labels))?;
        let model = Expansion::first_order(clean.shallow_clone(), at_clean, gradient.f_detach()?);
        let attack =
            Ascent { start: clean.f_zeros_like()?, step_size: self.step_size * context.attack_scale() };
        let (perturbed, forecast) = context.perturb_around(&attack, batch, model)?;
        let nearby = clean + ball::random_start(clean, context.threat(), context.draws())?;
        let mut recorded = Some(gradient);
        let descent = context.descend_on(batch, &mut |tape, _| {
            let here = match recorded.take() {
                Some(gradient) => gradient,
                None => tape.trainable_gradient(clean, labels)?.gradient,
            };
            let there = tape.trainable_gradient(&nearby, labels)?.gradient;
            let logits = tape.logits(perturbed.pixels())?;
            let attacked = losses(&logits, labels)?;
            let penalty = misalignment(&here, &there)? * self.regularization;
            let losses = losses(&logits, batch.targets())? + penalty;
            Ok(Objective { losses, attacked: Some(attacked), logits, watched: None })
        })?;
        let gain = forecast.gain(&descent.attacked)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1.0 })
    }

    fn needs_whole_graph(&self) -> Option<&'static str> {
        Some("the gradient that the attack goes by is differentiated in the descent")
    }
}

/// `1 - cos` of the gradients of each image, `[N]`; 0 where either has no direction.
fn misalignment(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let sum = |values: Tensor| values.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>);
    let (left_square, right_square) = (sum(left.f_square()?)?, sum(right.f_square()?)?);
    let has_direction = left_square.f_minimum(&right_square)?.f_gt(LEAST_SQUARE)?;
    // Cut before the root, whose slope at 0 is infinite.
    let lengths = left_square.clamp_min(LEAST_SQUARE).sqrt() * right_square.clamp_min(LEAST_SQUARE).sqrt();
    let cosine = sum(left * right)? / lengths;
    Ok((cosine * -1.0 + 1.0) * has_direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn gradients_that_agree_cost_nothing_and_those_that_turn_do() {
        let row = |values: [f64; 2]| Tensor::from_slice(&values).view([1, 1, 1, 2]);
        let cases = [
            ([1.0, 2.0], [10.0, 20.0], 0.0),
            ([1.0, 0.0], [0.0, 3.0], 1.0),
            ([1.0, 2.0], [-2.0, -4.0], 2.0),
            ([0.0, 0.0], [1.0, 0.0], 0.0),
            ([0.0, 0.0], [0.0, 0.0], 0.0),
            ([1e-14, 0.0], [0.0, 1e-14], 1.0),
            ([1e-16, 0.0], [0.0, 1e6], 0.0),
        ];
        for (left, right, expected) in cases {
            for kind in [Kind::Double, Kind::Float] {
                let row = |values| row(values).to_kind(kind).set_requires_grad(true);
                let (left, right) = (row(left), row(right));
                let penalty = misalignment(&left, &right).unwrap();
                assert!((penalty.double_value(&[0]) - expected).abs() < 1e-6, "{left:?}: {penalty:?}");
                penalty.sum(kind).backward();
                for slope in [left.grad(), right.grad()] {
                    assert!(slope.isfinite().all().int64_value(&[]) == 1, "{left:?}");
                }
            }
        }
    }

    #[test]
    fn a_linear_model_of_two_classes_is_aligned_everywhere() {
        let weights = (Tensor::arange(16, (Kind::Double, Device::Cpu)) * 3.7).sin().view([8, 2]);
        let labels = Tensor::from_slice(&[0i64, 1, 0]);
        let gradient = |shift: f64| {
            let pixels =
                (Tensor::arange(24, (Kind::Double, Device::Cpu)) * 1.3 + shift).cos().view([3, 1, 2, 4]);
            let pixels = pixels.set_requires_grad(true);
            let loss = losses(&pixels.flatten(1, -1).matmul(&weights), &labels).unwrap().sum(Kind::Double);
            Tensor::run_backward(&[loss], &[&pixels], false, false).remove(0)
        };
        let penalty = misalignment(&gradient(0.0), &gradient(0.4)).unwrap();
        assert!(penalty.abs().max().double_value(&[]) < 1e-12, "{penalty:?}");
    }
}
