//! Wrong classes as targets, the likeliest on the clean image first.

use super::GradientOracle;
use super::standing::{Kept, Standing, narrow};
use crate::Result;
use tch::Tensor;

/// Runs `attack` on the batch towards each of `count` wrong classes in turn, those that withstand alone. `attack` gets
/// oracle, clean images, labels and targets of those that stand; its standing ones are those that withstood.
pub(super) fn one_after_the_other(
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    count: usize,
    mut attack: impl FnMut(&mut dyn GradientOracle, &Tensor, &Tensor, &Tensor) -> Result<Standing>,
) -> Result<Tensor> {
    let mut standing = Standing::new(clean)?;
    let (mut clean, mut labels) = (clean.f_detach()?, labels.shallow_clone());
    let mut ranking = oracle.logits(&clean)?.f_argsort(-1, true)?;
    let wrong = (ranking.size()[1] - 1).min(count as i64);
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
