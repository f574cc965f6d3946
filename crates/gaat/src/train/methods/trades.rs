//! TRADES: clean accuracy and steadiness under attack as two terms (Zhang et al. 2019).

use crate::attack::oracle::losses;
use crate::attack::{Loss, Perturbed, Pgd, Start};
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::Part;
use crate::train::descent::Objective;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PgdSpec;
use tch::Tensor;

/// `ce(f(x), y) + beta KL(softmax f(x) || softmax f(x'))`, where PGD-K has driven `x'` up that divergence from a start of
/// deviation 0.001; both terms are differentiated through both passes, as in the authors' `trades.py`.
///
/// Cost: (1 + K + 2) F + K Bi and two full backward passes, 2K + 7 units. The clean answers that the attack is measured
/// from are taken once, in its own mode, which is that of the recipe's `attack-statistics` (the authors attack in evaluation
/// mode: `running`). Both training passes update running statistics, as published (the authors run the clean one twice).
#[derive(Debug, Clone, Copy)]
pub struct Trades {
    attack: Pgd,
    regularization: f64,
}

impl Trades {
    /// TRADES with the given attack and weight `regularization`, beta.
    pub fn new(attack: PgdSpec, regularization: f64) -> Self {
        Self { attack: near_pgd(attack), regularization }
    }
}

/// PGD from beside the clean image, as TRADES and MART start.
pub(super) fn near_pgd(spec: PgdSpec) -> Pgd {
    let start = if spec.random_start { Start::Near } else { Start::Clean };
    Pgd::training(spec.steps, spec.step_size.value(), start)
}

/// A descent on the losses `[N]` that `objective` makes of the logits clean and perturbed of a part of the batch, after an attack of
/// so many gradients: what TRADES and MART do.
pub(super) fn descend_on_pair(
    context: &mut StepContext<'_>,
    batch: &Batch,
    perturbed: &Perturbed,
    refreshes: f64,
    objective: &dyn Fn(&Tensor, &Tensor, Part) -> Result<Tensor>,
) -> Result<StepReport> {
    let descent = context.descend_on(batch, &mut |tape, part| {
        let clean = tape.logits(&part.of(&batch.pixels)?)?;
        let logits = tape.logits(&part.of(perturbed.pixels())?)?;
        Ok(Objective { losses: objective(&clean, &logits, part)?, attacked: None, logits, watched: None })
    })?;
    Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: None, refreshes })
}

impl TrainingMethod for Trades {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let answers = context.look(&batch.pixels)?;
        let probabilities = answers.f_softmax(-1, answers.kind())?;
        let attack = self.attack.scaled(context.attack_scale());
        let perturbed = context.perturb_against(&attack, batch, Loss::Divergence(&probabilities))?;
        let refreshes = self.attack.steps as f64;
        descend_on_pair(context, batch, &perturbed, refreshes, &|clean, logits, part| {
            objective(clean, logits, &part.of(batch.targets())?, self.regularization)
        })
    }
}

/// The loss of each image from its logits clean and perturbed, `[N]`.
fn objective(clean: &Tensor, perturbed: &Tensor, targets: &Tensor, beta: f64) -> Result<Tensor> {
    let divergence = Loss::Divergence(&clean.f_softmax(-1, clean.kind())?).of(perturbed, targets)?;
    Ok(losses(clean, targets)? + divergence * beta)
}

/// Holds that `objective` (of logits clean and perturbed, labels, weight 6) has a finite value and finite slopes where the clean
/// answer is certain; `check` gets the distance of the logits, the label and the value.
#[cfg(test)]
pub(super) fn on_certain_answers(
    objective: &dyn Fn(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor>,
    check: &dyn Fn(f64, i64, f64),
) {
    // In f32 the clean probabilities of the other classes are exactly 0: 105 apart and more.
    for distance in [80.0f32, 105.0, 300.0, 1e5] {
        for label in 0..3i64 {
            let clean = Tensor::from_slice(&[distance, 0.0, -3.0]).view([1, 3]).set_requires_grad(true);
            let perturbed = Tensor::from_slice(&[-distance, 0.5, distance]).view([1, 3]);
            let perturbed = perturbed.set_requires_grad(true);
            let found = objective(&clean, &perturbed, &Tensor::from_slice(&[label]), 6.0).unwrap();
            found.sum(tch::Kind::Float).backward();
            for (what, tensor) in
                [("value", &found), ("clean slope", &clean.grad()), ("slope", &perturbed.grad())]
            {
                let fault = crate::nn::finite::fault(tensor).unwrap();
                assert_eq!(fault, None, "{what} at {distance} for {label}");
            }
            check(f64::from(distance), label, found.double_value(&[0]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_that_of_the_paper_in_value_and_slope() {
        let clean = [[1.0, -0.5, 0.2], [0.3, 2.0, -1.0]];
        let perturbed = [[0.2, 0.4, 0.1], [1.5, -0.3, 0.6]];
        let labels = [0usize, 2];
        let softmax = |row: &[f64; 3]| {
            let sum: f64 = row.iter().map(|value| value.exp()).sum();
            row.map(|value| value.exp() / sum)
        };
        let direct = |clean: &[[f64; 3]; 2], index: usize| {
            let (p, q) = (softmax(&clean[index]), softmax(&perturbed[index]));
            let divergence: f64 = (0..3).map(|class| p[class] * (p[class] / q[class]).ln()).sum();
            6.0 * divergence - p[labels[index]].ln()
        };
        let tensor = |rows: &[[f64; 3]; 2]| Tensor::from_slice(&rows.concat()).view([2, 3]);
        let logits = tensor(&clean).set_requires_grad(true);
        let found = objective(&logits, &tensor(&perturbed), &Tensor::from_slice(&[0i64, 2]), 6.0).unwrap();
        found.sum(tch::Kind::Double).backward();
        for index in 0..2 {
            assert!((found.double_value(&[index as i64]) - direct(&clean, index)).abs() < 1e-12);
            let mut moved = clean;
            moved[index][1] += 1e-6;
            // The divergence pulls at the clean answers too.
            let slope = (direct(&moved, index) - direct(&clean, index)) / 1e-6;
            assert!((logits.grad().double_value(&[index as i64, 1]) - slope).abs() < 1e-4, "{slope}");
        }
    }

    #[test]
    fn an_answer_that_is_certain_has_a_loss_and_a_slope() {
        on_certain_answers(&objective, &|distance, label, value| {
            // The clean answer is class 0, to which the perturbed one gives exp(-2 distance).
            let own = if label == 0 { 0.0 } else { distance + if label == 2 { 3.0 } else { 0.0 } };
            let expected = own + 6.0 * 2.0 * distance;
            assert!((value / expected - 1.0).abs() < 1e-5, "{value} in place of {expected}");
        });
    }
}
