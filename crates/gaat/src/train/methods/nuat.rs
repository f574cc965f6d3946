//! NuAT: the nuclear norm of how far the answers to a batch move (Sriramanan et al. 2021, "Towards Efficient and Effective Adversarial
//! Training").

use crate::attack::oracle::losses;
use crate::attack::{Ascent, InputGradient, ball};
use crate::batch::Batch;
use crate::error::Result;
use crate::taylor::Expansion;
use crate::train::descent::Objective;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PixelLength;
use tch::{Kind, Tensor};

/// Length of the random start over epsilon.
const START: f64 = 0.5;

/// `d = P(e + alpha sign(g(x + e)))`, `e` plus or minus epsilon / 2 in every pixel, trained on
/// `ce(f(x)) + w |f(x) - f(x + d)|_* / B`: the nuclear norm of the `B x classes` matrix of the logits' differences, with a weight w that
/// grows from 0 over the run (in the authors' code epoch by epoch). g is the gradient of the cross-entropy, in every second step of
/// that and the same norm. `nu_at.py` of the `FastAT` benchmark (arXiv 2604.22853) is the recipe.
///
/// Cost: 3F + Bi and two full backward passes, 8 units, in every second step one more F: 2.83 times natural. The clean answers in the
/// attack are in its own mode and update no running statistics; both training passes do, as published. The start is not cut to the
/// pixel box before the gradient is taken (decision record 0001).
#[derive(Debug, Clone, Copy)]
pub struct Nuat {
    step_size: f64,
    regularization: f64,
}

impl Nuat {
    /// NuAT with a step of `step_size`, alpha, and a weight that grows to `regularization`.
    pub fn new(step_size: PixelLength, regularization: f64) -> Self {
        Self { step_size: step_size.value(), regularization }
    }
}

impl TrainingMethod for Nuat {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let weight = self.regularization * context.progress();
        let clean = &batch.pixels;
        let random = ball::random_start(clean, context.threat(), context.draws())?;
        let reach = START * context.threat().epsilon();
        let start = ball::steepest_ascent(&random, context.threat().norm()) * reach;
        let anchor = clean + &start;
        let answers = if context.step() % 2 == 1 { Some(context.look(clean)?) } else { None };
        let climbed = |logits: &Tensor| -> Result<Tensor> {
            let plain = losses(logits, batch.attack_targets())?;
            Ok(match &answers {
                Some(answers) => plain + shares_of_norm(&(answers - logits))? * weight,
                None => plain,
            })
        };
        let InputGradient { losses: at_start, gradient, .. } =
            context.gradient_of(context.attack_mode, &anchor, &climbed)?;
        let model = Expansion::first_order(anchor.f_detach()?, at_start, gradient);
        let attack = Ascent { start, step_size: self.step_size * context.attack_scale() };
        let (perturbed, forecast) = context.perturb_around(&attack, batch, model)?;
        let descent = context.descend_on(batch, &mut |tape, _| {
            let answers = tape.logits(clean)?;
            let logits = tape.logits(perturbed.pixels())?;
            let moved = shares_of_norm(&(&answers - &logits))?;
            let losses = losses(&answers, batch.targets())? + moved * weight;
            Ok(Objective { losses, attacked: Some(climbed(&logits)?), logits, watched: None })
        })?;
        let gain = forecast.gain(&descent.attacked)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1.0 })
    }

    fn indivisible(&self) -> Option<&'static str> {
        Some("the nuclear norm is that of the answers to a whole batch")
    }

    fn needs_whole_graph(&self) -> Option<&'static str> {
        Some("the nuclear norm is that of the answers to a whole batch")
    }
}

/// What each row of `moved` (`[N, classes]`) adds to the nuclear norm of the matrix, `[N]`: with `moved = U S V'` the norm is the sum of
/// `moved * U V'`, and `U V'` is its slope, so that it counts as a constant here.
fn shares_of_norm(moved: &Tensor) -> Result<Tensor> {
    let slope = tch::no_grad(|| -> Result<Tensor> {
        let (left, _, right) = moved.f_detach()?.f_svd(true, true)?;
        Ok(left.f_matmul(&right.f_tr()?)?)
    })?;
    Ok((moved * slope).f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_norm_is_the_sum_of_the_singular_values_in_value_and_slope() {
        for (rows, columns) in [(7, 4), (3, 5), (1, 3)] {
            let numbers = Tensor::arange(rows * columns, (Kind::Double, Device::Cpu));
            // Of full rank: elsewhere the norm has a kink.
            let matrix = (numbers.square() * 1.7).sin().view([rows, columns]);
            let norm = |matrix: &Tensor| shares_of_norm(matrix).unwrap().sum(Kind::Double).double_value(&[]);
            let singular = matrix.svd(true, true).1.sum(Kind::Double).double_value(&[]);
            assert!((norm(&matrix) - singular).abs() < 1e-12);
            let leaf = matrix.copy().set_requires_grad(true);
            shares_of_norm(&leaf).unwrap().sum(Kind::Double).backward();
            for (row, column) in [(0, 0), (rows - 1, columns - 1), (0, columns - 1)] {
                let nudge = matrix.zeros_like();
                let _ = nudge.get(row).get(column).fill_(1e-6);
                let slope = (norm(&(&matrix + &nudge)) - norm(&(&matrix - &nudge))) / 2e-6;
                let found = leaf.grad().double_value(&[row, column]);
                assert!((found - slope).abs() < 1e-6, "{found} in place of {slope}");
            }
        }
    }

    #[test]
    fn answers_that_do_not_move_cost_nothing_and_have_a_finite_slope() {
        let leaf = Tensor::zeros([5, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let shares = shares_of_norm(&leaf).unwrap();
        assert_eq!(shares.abs().max().double_value(&[]), 0.0);
        shares.sum(Kind::Float).backward();
        assert_eq!(crate::nn::finite::fault(&leaf.grad()).unwrap(), None);
    }
}
