//! One batch under one attack: restarts on the survivors alone, worst case over them.

use crate::attack::survival::{standing_clean, survivors};
use crate::attack::{
    Apgd, ApgdLoss, Attack, Boundary, CarliniWagner, DeepFool, Fab, Fgsm, MarginPgd, MomentumFgsm, Pgd,
    Square, Start, StopRule,
};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Rng};
use gaat_spec::{AttackName, AttackSpec, Budget, Passes, PixelLength, ThreatModel};
use tch::Tensor;

pub(super) struct Judge<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) rng: Rng,
}

impl Judge<'_> {
    /// Places of the images of `batch` that are classified correctly.
    pub(super) fn clean(&self, batch: &Batch, index: usize) -> Result<Vec<i64>> {
        self.classifier.begin_step(self.rng, index as u64);
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
            self.classifier.begin_step(self.rng, begun(index, restart));
            let (survived, passes) =
                survivors(self.classifier, batch, &left, attack.as_ref(), threat, &draws)?;
            left = survived;
            total += passes;
        }
        Ok((places(&left)?, total))
    }
}

/// The step that a network which draws random numbers is told of for a batch and a restart: an evaluation that continues draws as
/// one that never stopped.
pub(super) fn begun(index: usize, restart: usize) -> u64 {
    index as u64 | (restart as u64) << 32
}

fn places(standing: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::<i64>::try_from(standing)?)
}

/// The attack of one restart, counted from 0.
pub(super) fn build(spec: &AttackSpec, restart: usize) -> Result<Box<dyn Attack>> {
    let Budget { steps, step_size, targets, samples, queries, searches, .. } = *spec.budget();
    let number = |number: Option<usize>| {
        number.ok_or_else(|| Error::Usage(format!("{spec} lacks a number that it is made of")))
    };
    let apgd = |loss| Ok::<_, Error>(Apgd { steps: number(steps)?, loss, samples: samples.unwrap_or(1) });
    // FAB starts at the image first and at random afterwards.
    let start = if restart == 0 { Start::Clean } else { Start::Random };
    let fab =
        |boundary| Ok::<_, Error>(Fab { steps: number(steps)?, boundary, start, stop: StopRule::WhenFooled });
    let step_size = step_size.unwrap_or(PixelLength::ZERO).value();
    let pgd = || {
        let start = if spec.is_still() { Start::Clean } else { Start::Random };
        Ok::<_, Error>(Pgd::judging(number(steps)?, step_size, start))
    };
    Ok(match spec.name() {
        AttackName::Fgsm => Box::new(Fgsm),
        AttackName::Pgd => Box::new(pgd()?),
        AttackName::PgdMargin => Box::new(MarginPgd { pgd: pgd()?, targets: 0 }),
        AttackName::PgdT => Box::new(MarginPgd { pgd: pgd()?, targets: number(targets)? }),
        AttackName::MiFgsm => Box::new(MomentumFgsm { steps: number(steps)?, step_size }),
        AttackName::CarliniWagner => {
            Box::new(CarliniWagner { steps: number(steps)?, searches: number(searches)? })
        }
        AttackName::DeepFool => Box::new(DeepFool { steps: number(steps)? }),
        AttackName::ApgdCe => Box::new(apgd(ApgdLoss::CrossEntropy)?),
        AttackName::ApgdDlr => Box::new(apgd(ApgdLoss::Dlr)?),
        AttackName::ApgdT => Box::new(apgd(ApgdLoss::TargetedDlr(number(targets)?))?),
        AttackName::Fab => Box::new(fab(Boundary::Nearest)?),
        AttackName::FabT => Box::new(fab(Boundary::Towards(number(targets)?))?),
        AttackName::Square => Box::new(Square { queries: number(queries)? }),
        AttackName::AutoAttack | AttackName::AutoAttackRand | AttackName::AutoAttackPlus => {
            return Err(Error::Usage(format!("{spec} is several attacks and runs as its parts")));
        }
    })
}
