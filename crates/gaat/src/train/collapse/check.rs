//! The check that confirms a collapse: one step against many, on a few validation images.

use crate::attack::survival::{standing_clean, survivors};
use crate::attack::{Fgsm, Pgd, Start};
use crate::batch::Images;
use crate::error::Result;
use crate::nn::{Classifier, Draws};
use crate::train::validation::at_once;
use gaat_spec::collapse::{CheckOutcome, of_check};
use gaat_spec::{Passes, ThreatModel};

/// Images of a check, at most; fewer of large ones, which are judged at once.
const IMAGES: usize = 200;
/// Steps of PGD, each of epsilon/4.
pub(super) const STEPS: usize = 10;
/// What a check found: shares of its images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::train) struct Check {
    /// Withstand one step: of epsilon, or that of the training.
    pub(in crate::train) single: f64,
    /// Withstand that and PGD.
    pub(in crate::train) pgd: f64,
    /// How many images.
    pub(super) images: usize,
}

impl Check {
    /// Checks `classifier` in evaluation mode, and tells what it cost. The draws are those of every check of the run.
    pub(in crate::train) fn of(
        classifier: &dyn Classifier,
        images: &Images<'_>,
        threat: &ThreatModel,
        draws: &Draws,
    ) -> Result<(Self, Passes)> {
        let count = images.len().min(at_once(IMAGES, classifier.input_shape().size()));
        let batch = images.range(0, count, classifier.store().kind())?;
        let mut passes = Passes { forward: count as u64, ..Passes::default() };
        let standing = standing_clean(classifier, &batch)?;
        let (standing, cost) = survivors(classifier, &batch, &standing, &Fgsm, threat, draws)?;
        passes += cost;
        let attack = Pgd::judging(STEPS, threat.epsilon() / 4.0, Start::Random);
        let (left, cost) = survivors(classifier, &batch, &standing, &attack, threat, draws)?;
        passes += cost;
        let share = |places: &tch::Tensor| places.size()[0] as f64 / count.max(1) as f64;
        Ok((Self { single: share(&standing), pgd: share(&left), images: count }, passes))
    }

    /// Whether robustness against one step is gone against many.
    pub(in crate::train) fn is_collapse(self) -> bool {
        of_check(self.single, self.pgd) == CheckOutcome::Collapse
    }

    /// Whether there is no trace of a collapse.
    pub(super) fn is_clear(self) -> bool {
        of_check(self.single, self.pgd) == CheckOutcome::Clear
    }
}
