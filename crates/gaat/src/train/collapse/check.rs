//! The check that confirms a collapse: one step against many, on a few validation images.

use crate::Result;
use crate::attack::survival::{standing_clean, survivors};
use crate::attack::{Fgsm, Pgd, Start, StopRule, Walk};
use crate::batch::Images;
use crate::nn::{Classifier, Draws};
use gaat_spec::{Passes, ThreatModel};

/// Images of a check, at most.
const IMAGES: usize = 200;
/// Steps of PGD, each of epsilon/4.
pub(super) const STEPS: usize = 10;
/// A smaller gap, as a share of the images, is chance.
const LEAST_GAP: f64 = 0.08;
/// A healthy network loses less than this share of what withstands one step.
const SHARE: f64 = 0.5;

/// What a check found: shares of its images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Check {
    /// Withstand one step: of epsilon, or that of the training.
    pub(super) single: f64,
    /// Withstand that and PGD.
    pub(super) pgd: f64,
}

impl Check {
    /// Checks `classifier` in evaluation mode, and tells what it cost. The draws are those of every check of the run.
    pub(super) fn of(
        classifier: &dyn Classifier,
        images: &Images,
        threat: &ThreatModel,
        draws: &Draws,
    ) -> Result<(Self, Passes)> {
        let count = images.len().min(IMAGES);
        let batch = images.range(0, count, classifier.store().kind())?;
        let mut passes = Passes { forward: count as u64, ..Passes::default() };
        let standing = standing_clean(classifier, &batch)?;
        let (standing, cost) = survivors(classifier, &batch, &standing, &Fgsm, threat, draws)?;
        passes += cost;
        let attack = Pgd {
            steps: STEPS,
            step_size: threat.epsilon() / 4.0,
            start: Start::Random,
            walk: Walk::InBox,
            stop: StopRule::WhenFooled,
        };
        let (left, cost) = survivors(classifier, &batch, &standing, &attack, threat, draws)?;
        passes += cost;
        let share = |places: &tch::Tensor| places.size()[0] as f64 / count.max(1) as f64;
        Ok((Self { single: share(&standing), pgd: share(&left) }, passes))
    }

    /// Whether robustness against one step is gone against many.
    pub(super) fn is_collapse(self) -> bool {
        self.gap() > self.limit()
    }

    /// Whether there is no trace of a collapse.
    pub(super) fn is_clear(self) -> bool {
        self.gap() <= self.limit() / 2.0
    }

    fn gap(self) -> f64 {
        self.single - self.pgd
    }

    fn limit(self) -> f64 {
        LEAST_GAP.max(SHARE * self.single)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_is_a_wide_gap_between_one_step_and_many() {
        let verdict = |single, pgd| {
            let check = Check { single, pgd };
            (check.is_collapse(), check.is_clear())
        };
        assert_eq!(verdict(0.9, 0.0), (true, false));
        assert_eq!(verdict(0.3, 0.1), (true, false));
        assert_eq!(verdict(0.5, 0.3), (false, false));
        assert_eq!(verdict(0.5, 0.45), (false, true));
        // An untrained network withstands nothing, and a few images are chance.
        assert_eq!(verdict(0.1, 0.05), (false, false));
        assert_eq!(verdict(0.0, 0.0), (false, true));
    }
}
