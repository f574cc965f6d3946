//! MART: misclassification-aware adversarial training (Wang et al. 2020).

use super::trades::{descend_on_pair, near_pgd};
use crate::attack::Pgd;
use crate::attack::loss::divergence_of_logs;
use crate::attack::oracle::losses;
use crate::batch::Batch;
use crate::error::Result;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use gaat_spec::PgdSpec;
use tch::Tensor;

/// Keep the logarithms finite, as in the authors' `mart.py`.
const LEAST_PROBABILITY: f64 = 1e-12;
const MARGIN_OFFSET: f64 = 1.0001;
const WEIGHT_OFFSET: f64 = 1.000_000_1;

/// `-log p'_y - log(1 - max_{c != y} p'_c) + lambda KL(p || p') (1 - p_y)`, `p` the probabilities at the clean image and
/// `p'` at `x'`, which PGD-K has driven up the cross-entropy from a start of deviation 0.001; all is differentiated
/// through both passes. Formula, constants and start are those of the authors' `mart.py`.
///
/// Cost: (K + 2) F + K Bi and two full backward passes, 2K + 6 units. Both training passes update running statistics, as
/// published; the attack uses the recipe's `attack-statistics` (the authors': `running`).
#[derive(Debug, Clone, Copy)]
pub struct Mart {
    attack: Pgd,
    regularization: f64,
}

impl Mart {
    /// MART with the given attack and weight `regularization`, lambda.
    pub fn new(attack: PgdSpec, regularization: f64) -> Self {
        Self { attack: near_pgd(attack), regularization }
    }
}

impl TrainingMethod for Mart {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let perturbed = context.perturb(&self.attack.scaled(context.attack_scale()), batch)?;
        let refreshes = self.attack.steps as f64;
        descend_on_pair(context, batch, &perturbed, refreshes, &|clean, logits, part| {
            objective(clean, logits, &part.of(&batch.labels)?, self.regularization)
        })
    }
}

/// The loss of each image from its logits clean and perturbed, `[N]`.
fn objective(clean: &Tensor, perturbed: &Tensor, labels: &Tensor, lambda: f64) -> Result<Tensor> {
    let own = labels.f_unsqueeze(1)?;
    let (p, q) = (clean.f_softmax(-1, clean.kind())?, perturbed.f_softmax(-1, perturbed.kind())?);
    let rival = q.f_scatter_value(1, &own, -1.0)?.f_amax(1, false)?;
    let boosted =
        losses(perturbed, labels)? - (rival * -1.0 + (MARGIN_OFFSET + LEAST_PROBABILITY)).f_log()?;
    let logs = (q + LEAST_PROBABILITY).f_log()?;
    let divergence = divergence_of_logs(&p, &logs)?;
    let weight = p.f_gather(1, &own, false)?.f_squeeze_dim(1)? * -1.0 + WEIGHT_OFFSET;
    Ok(boosted + divergence * weight * lambda)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_that_of_the_authors_code() {
        let clean = [[1.0, -0.5, 0.2], [0.3, 2.0, -1.0]];
        let perturbed = [[0.2, 0.4, 0.1], [1.5, -0.3, 0.6]];
        // The rival is the likeliest of the others: once where the label loses, once where it wins.
        let (labels, rivals) = ([2usize, 0], [1usize, 2]);
        let softmax = |row: &[f64; 3]| {
            let sum: f64 = row.iter().map(|value| value.exp()).sum();
            row.map(|value| value.exp() / sum)
        };
        let tensor = |rows: &[[f64; 3]; 2]| Tensor::from_slice(&rows.concat()).view([2, 3]);
        let found =
            objective(&tensor(&clean), &tensor(&perturbed), &Tensor::from_slice(&[2i64, 0]), 6.0).unwrap();
        for index in 0..2 {
            let (p, q) = (softmax(&clean[index]), softmax(&perturbed[index]));
            let divergence: f64 = (0..3).map(|class| p[class] * (p[class] / (q[class] + 1e-12)).ln()).sum();
            let boosted = -q[labels[index]].ln() - (1.0001 - q[rivals[index]] + 1e-12).ln();
            let expected = boosted + 6.0 * divergence * (1.000_000_1 - p[labels[index]]);
            assert!((found.double_value(&[index as i64]) - expected).abs() < 1e-12, "{index}");
        }
    }

    #[test]
    fn an_answer_that_is_certain_has_a_loss_and_a_slope() {
        super::super::trades::on_certain_answers(&objective, &|_, _, _| {});
    }
}
