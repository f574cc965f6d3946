//! Wrong classes as targets, the likeliest on the clean image first.

use super::standing::{Kept, Standing, narrow};
use super::{GradientOracle, ball};
use crate::Result;
use gaat_spec::Norm;
use tch::Tensor;

/// An attack on some images towards given classes: it gets oracle, clean images, labels and targets, and its standing
/// ones are those that withstood.
pub(super) trait Towards:
    FnMut(&mut dyn GradientOracle, &Tensor, &Tensor, &Tensor) -> Result<Standing>
{
}

impl<T> Towards for T where T: FnMut(&mut dyn GradientOracle, &Tensor, &Tensor, &Tensor) -> Result<Standing> {}

/// Runs `attack` on the batch towards each of `count` wrong classes, those that withstand alone.
pub(super) fn each(
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    (count, norm): (usize, Norm),
    attack: impl Towards,
) -> Result<Tensor> {
    let ranking = oracle.logits(clean)?.f_argsort(-1, true)?;
    let wrong = (ranking.size()[1] - 1).min(count as i64);
    if oracle.is_exact() {
        one_after_the_other(oracle, clean, labels, (&ranking, wrong), attack)
    } else {
        all_and_choose(oracle, clean, labels, (&ranking, wrong, norm), attack)
    }
}

fn one_after_the_other(
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    (ranking, wrong): (&Tensor, i64),
    mut attack: impl Towards,
) -> Result<Tensor> {
    let mut standing = Standing::new(clean)?;
    let (mut clean, mut labels) = (clean.f_detach()?, labels.shallow_clone());
    let mut ranking = ranking.shallow_clone();
    for rank in 1..=wrong {
        // As the reference does: by rank among all classes, since only the rightly classified are attacked.
        let found = attack(oracle, &clean, &labels, &ranking.f_select(1, rank)?)?;
        let fallen = found.fallen()?;
        let proposals = found.into_proposals();
        match standing.retire(&fallen, &proposals)? {
            Kept::All if rank == wrong => standing.propose(&proposals)?,
            Kept::All => {}
            Kept::Nobody => break,
            Kept::Some(kept) => {
                narrow([&mut clean, &mut labels, &mut ranking], &kept)?;
            }
        }
    }
    Ok(standing.into_proposals())
}

/// On a model nobody leaves, so that everybody is attacked towards every class. Proposed is the shortest perturbation
/// that the network itself takes for another class, which costs a forward pass a target; the last one where there is none.
fn all_and_choose(
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    (ranking, wrong, norm): (&Tensor, i64, Norm),
    mut attack: impl Towards,
) -> Result<Tensor> {
    let mut best = clean.f_zeros_like()?;
    let mut least = ball::lengths(&best, norm).f_full_like(f64::INFINITY)?;
    for rank in 1..=wrong {
        let delta = attack(oracle, clean, labels, &ranking.f_select(1, rank)?)?.into_proposals();
        let fooled = oracle.logits(&(clean + &delta))?.f_argmax(-1, false)?.f_ne_tensor(labels)?;
        let length = ball::lengths(&delta, norm);
        let shorter = length.lt_tensor(&least).logical_and(&fooled);
        least = length.where_self(&shorter, &least);
        let none_yet = least.isinf();
        best = delta.where_self(&ball::column(&shorter.logical_or(&none_yet)), &best);
    }
    Ok(best)
}
