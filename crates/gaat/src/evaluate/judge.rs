//! One batch under one attack: restarts on the survivors alone, worst case over them.

use crate::Result;
use crate::attack::survival::{standing_clean, survivors};
use crate::attack::{Attack, Fgsm, Pgd, Start, StopRule, Walk};
use crate::batch::Batch;
use crate::nn::{Classifier, Rng};
use gaat_spec::{AttackName, AttackSpec, Passes, ThreatModel};
use tch::{Kind, Tensor};

pub(super) struct Judge<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) threat: ThreatModel,
    pub(super) rng: Rng,
}

/// Counts over the batches of one stage.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) withstood: usize,
    pub(super) passes: Passes,
}

impl Judge<'_> {
    /// Places of the images of `batch` that are classified rightly, `[M]`, i64.
    pub(super) fn clean(&self, batch: &Batch, tally: &mut Tally) -> Result<Tensor> {
        let standing = standing_clean(self.classifier, batch)?;
        tally.done += batch.len();
        tally.withstood += standing.size()[0] as usize;
        Ok(standing)
    }

    /// Those of `standing` that withstand every restart of `spec`.
    pub(super) fn attack(
        &self,
        spec: &AttackSpec,
        batch: &Batch,
        index: usize,
        standing: &Tensor,
        tally: &mut Tally,
    ) -> Result<Tensor> {
        let attack = build(spec);
        let mut left = standing.shallow_clone();
        for restart in 0..spec.restarts {
            // Seeded by attack, restart and batch: an evaluation in other company draws the same.
            let draws = self.rng.seeded(&format!("evaluate/{}/{restart}", spec.name), index as u64);
            let (survived, passes) =
                survivors(self.classifier, batch, &left, attack.as_ref(), &self.threat, &draws)?;
            left = survived;
            tally.passes += passes;
        }
        tally.done += batch.len();
        tally.withstood += left.size()[0] as usize;
        Ok(left)
    }
}

fn build(spec: &AttackSpec) -> Box<dyn Attack> {
    match spec.name {
        AttackName::Fgsm => Box::new(Fgsm),
        AttackName::Pgd => Box::new(Pgd {
            steps: spec.steps,
            step_size: spec.step_size.value(),
            start: Start::Random,
            walk: Walk::InBox,
            stop: StopRule::WhenFooled,
        }),
    }
}

/// Places that are in both lists.
pub(super) fn both(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    if left.size()[0] == 0 || right.size()[0] == 0 {
        return Ok(Tensor::f_zeros([0], (Kind::Int64, left.device()))?);
    }
    let member = left.f_unsqueeze(1)?.f_eq_tensor(right)?.f_any_dim(1, false)?;
    Ok(left.f_masked_select(&member)?)
}
