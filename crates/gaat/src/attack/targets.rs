//! Wrong classes as targets, the likeliest on the clean image first.

use super::ball;
use super::oracle::GradientOracle;
use super::standing::{Standing, narrow};
use crate::error::Result;
use crate::nn::answer;
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

/// Where fewer images are left than fill a batch of so many, several targets are tried at once: small batches waste the
/// machine. An image that falls has then been attacked towards later targets in vain, and its starts are drawn for another batch.
const COPIES: i64 = 512;

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
    let mut rank = 1;
    while rank <= wrong {
        let together = (COPIES / labels.size()[0].max(1)).clamp(1, wrong - rank + 1);
        // As the reference does: by rank among all classes, since only the correctly classified are attacked.
        let targets = ranking.f_narrow(1, rank, together)?.f_tr()?;
        let (fallen, proposals) = at_once(oracle, &clean, &labels, &targets, &mut attack)?;
        rank += together;
        if rank > wrong {
            standing.propose(&proposals)?;
        }
        let narrowed = |kept: &Tensor| narrow([&mut clean, &mut labels, &mut ranking], kept);
        if !standing.release(&fallen, &proposals, narrowed)? {
            break;
        }
    }
    Ok(standing.into_proposals())
}

/// Attacks a copy of every image towards each row of `targets` (`[T, M]`), all in one batch. Which images fell to any,
/// `[M]`, and the perturbation towards the first target that they fell to; for the others towards the last.
fn at_once(
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    targets: &Tensor,
    attack: &mut impl Towards,
) -> Result<(Tensor, Tensor)> {
    let (copies, count) = (targets.size()[0], labels.size()[0]);
    let clean = clean.f_repeat([copies, 1, 1, 1])?;
    let labels = labels.f_repeat([copies])?;
    let found = attack(oracle, &clean, &labels, &targets.f_flatten(0, -1)?)?;
    let fallen = found.fallen()?;
    let proposals = found.into_proposals();
    let of = |tensor: &Tensor, copy: i64| tensor.f_narrow(0, copy * count, count);
    let (mut any, mut chosen) = (of(&fallen, copies - 1)?, of(&proposals, copies - 1)?);
    for copy in (0..copies - 1).rev() {
        let fell = of(&fallen, copy)?;
        chosen = of(&proposals, copy)?.where_self(&ball::column(&fell), &chosen);
        any = any.f_logical_or(&fell)?;
    }
    Ok((any, chosen))
}

/// With a Taylor oracle no image is dropped, so that each is attacked towards every class. Proposed is the shortest perturbation
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
        let fooled = answer::fooled(&oracle.logits(&(clean + &delta))?, labels)?;
        let length = ball::lengths(&delta, norm);
        let shorter = length.lt_tensor(&least).logical_and(&fooled);
        least = length.where_self(&shorter, &least);
        let none_yet = least.isinf();
        best = delta.where_self(&ball::column(&shorter.logical_or(&none_yet)), &best);
    }
    Ok(best)
}
