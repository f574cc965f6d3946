//! One batch under one attack: restarts on the survivors alone, worst case over them.

use crate::attack::survival::{standing_clean, survivors};
use crate::attack::{
    Apgd, ApgdLoss, Attack, Boundary, CarliniWagner, DeepFool, Fab, Fgsm, MarginPgd, MomentumFgsm, Pgd,
    Square, Start, StopRule, Walk,
};
use crate::batch::Batch;
use crate::nn::{Classifier, Rng};
use crate::{Error, Result};
use gaat_spec::{AttackSpec, Passes, PixelLength, ThreatModel};
use tch::Tensor;

pub(super) struct Judge<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) rng: Rng,
}

impl Judge<'_> {
    /// Places of the images of `batch` that are classified rightly.
    pub(super) fn clean(&self, batch: &Batch) -> Result<Vec<i64>> {
        places(&standing_clean(self.classifier, batch)?)
    }

    /// Those of the places `standing` that withstand every restart of an attack under a threat model, and the passes it took.
    pub(super) fn attack(
        &self,
        (spec, threat): (&AttackSpec, &ThreatModel),
        batch: &Batch,
        index: usize,
        standing: &[i64],
    ) -> Result<(Vec<i64>, Passes)> {
        let mut left = Tensor::f_from_slice(standing)?.f_to_device(batch.labels.device())?;
        let mut total = Passes::default();
        for restart in 0..spec.restarts() {
            let attack = build(spec, restart)?;
            // Seeded by attack, restart and batch: an evaluation in other company draws the same.
            let draws = self.rng.seeded(&format!("evaluate/{}/{restart}", spec.name()), index as u64);
            let (survived, passes) =
                survivors(self.classifier, batch, &left, attack.as_ref(), threat, &draws)?;
            left = survived;
            total += passes;
        }
        Ok((places(&left)?, total))
    }
}

fn places(standing: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::<i64>::try_from(standing)?)
}

/// The attack of one restart, counted from 0.
pub(super) fn build(spec: &AttackSpec, restart: usize) -> Result<Box<dyn Attack>> {
    let apgd = |steps, loss, samples| Apgd { steps, loss, samples };
    // FAB starts at the image first and at random afterwards.
    let start = if restart == 0 { Start::Clean } else { Start::Random };
    let fab = |steps, boundary| Fab { steps, boundary, start, stop: StopRule::WhenFooled };
    let pgd = |steps, step_size: PixelLength, random_start: bool| Pgd {
        steps,
        step_size: step_size.value(),
        start: if random_start { Start::Random } else { Start::Clean },
        walk: Walk::InBox,
        stop: StopRule::WhenFooled,
    };
    let margin = |pgd, targets| MarginPgd { pgd, targets };
    Ok(match *spec {
        AttackSpec::Fgsm { .. } => Box::new(Fgsm),
        AttackSpec::Pgd { steps, step_size, random_start, .. } => {
            Box::new(pgd(steps, step_size, random_start))
        }
        AttackSpec::PgdMargin { steps, step_size, random_start, .. } => {
            Box::new(margin(pgd(steps, step_size, random_start), 0))
        }
        AttackSpec::PgdT { steps, step_size, targets, random_start, .. } => {
            Box::new(margin(pgd(steps, step_size, random_start), targets))
        }
        AttackSpec::MiFgsm { steps, step_size } => {
            Box::new(MomentumFgsm { steps, step_size: step_size.value() })
        }
        AttackSpec::CarliniWagner { steps, searches } => Box::new(CarliniWagner { steps, searches }),
        AttackSpec::DeepFool { steps } => Box::new(DeepFool { steps }),
        AttackSpec::ApgdCe { steps, samples, .. } => Box::new(apgd(steps, ApgdLoss::CrossEntropy, samples)),
        AttackSpec::ApgdDlr { steps, samples, .. } => Box::new(apgd(steps, ApgdLoss::Dlr, samples)),
        AttackSpec::ApgdT { steps, targets, .. } => Box::new(apgd(steps, ApgdLoss::TargetedDlr(targets), 1)),
        AttackSpec::Fab { steps, .. } => Box::new(fab(steps, Boundary::Nearest)),
        AttackSpec::FabT { steps, targets, .. } => Box::new(fab(steps, Boundary::Towards(targets))),
        AttackSpec::Square { queries, .. } => Box::new(Square { queries }),
        AttackSpec::AutoAttack | AttackSpec::AutoAttackRand | AttackSpec::AutoAttackPlus => {
            return Err(Error::Usage(format!("{spec} is several attacks and runs as its parts")));
        }
    })
}
