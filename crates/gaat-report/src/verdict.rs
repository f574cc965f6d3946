//! Collapses: training that looks robust to its own attack and is not to a real one.
//!
//! Known for single-step training as catastrophic overfitting (Wong et al. 2020): accuracy under FGSM rises while
//! accuracy under PGD falls to nothing, from one epoch to the next.

use crate::format::percent;
use gaat_spec::method::BaseMethod;
use gaat_spec::{AttackName, AttackResult, Evaluation, MethodName};
use serde::Serialize;
use std::fmt;

/// A single step that leaves this much more standing than PGD did not find what there is to find.
const GAP: f64 = 0.40;
/// Under PGD this little is nothing ...
const NOTHING_LEFT: f64 = 0.10;
/// ... and under a weaker attack this much is a lot.
const MUCH_LEFT: f64 = 0.50;

/// What a model withstood that should have told of its robustness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// FGSM on the test images.
    Fgsm,
    /// The attack that it was trained with, on the training images of the last epoch.
    Training,
}

/// A model that withstands the weak attack and falls to PGD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Collapse {
    /// Where it looked robust.
    pub evidence: Evidence,
    /// Accuracy there, a fraction.
    pub apparent: f64,
    /// Accuracy under the strongest PGD, a fraction.
    pub pgd: f64,
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let where_it_looked_robust = match self.evidence {
            Evidence::Fgsm => "under FGSM",
            Evidence::Training => "on its own training attack",
        };
        let (apparent, pgd) = (percent(self.apparent, 1), percent(self.pgd, 1));
        write!(f, "{apparent} % {where_it_looked_robust}, {pgd} % under PGD")
    }
}

/// Whether the model collapsed; `train_accuracy` is that of the last epoch, on images as they were trained on.
///
/// Natural training cannot collapse: it never was robust. Without PGD in the evaluation nothing can be said.
pub fn collapse(
    method: MethodName,
    evaluation: &Evaluation,
    train_accuracy: Option<f64>,
) -> Option<Collapse> {
    if method.base == BaseMethod::Natural {
        return None;
    }
    let weakest = |name: AttackName| {
        let of_name = evaluation.attacks.iter().filter(|result: &&AttackResult| result.attack.name() == name);
        of_name.map(|result| result.robust_accuracy).min_by(f64::total_cmp)
    };
    let pgd = weakest(AttackName::Pgd)?;
    let fgsm = weakest(AttackName::Fgsm)
        .filter(|fgsm| fgsm - pgd >= GAP || (pgd < NOTHING_LEFT && *fgsm > MUCH_LEFT))
        .map(|apparent| Collapse { evidence: Evidence::Fgsm, apparent, pgd });
    // A gap to the training accuracy alone may be plain overfitting; it counts only where nothing is left.
    fgsm.or_else(|| {
        train_accuracy
            .filter(|accuracy| pgd < NOTHING_LEFT && *accuracy > MUCH_LEFT)
            .map(|apparent| Collapse { evidence: Evidence::Training, apparent, pgd })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::samples::evaluation;

    fn verdict(method: &str, results: &[(&str, f64)], train: Option<f64>) -> Option<Collapse> {
        collapse(method.parse().unwrap(), &evaluation(0.97, results), train)
    }

    #[test]
    fn a_single_step_that_hides_what_pgd_finds_is_a_collapse() {
        let found = verdict("gaat-paper", &[("fgsm", 0.92), ("pgd", 0.003)], None).unwrap();
        assert_eq!(found.evidence, Evidence::Fgsm);
        assert_eq!(found.to_string(), "92.0 % under FGSM, 0.3 % under PGD");
        assert!(verdict("gaat", &[("fgsm", 0.85), ("pgd", 0.44)], None).is_some());
        assert!(verdict("gaat", &[("fgsm", 0.85), ("pgd", 0.46)], None).is_none());
        assert!(verdict("dat+gaat", &[("fgsm", 0.55), ("pgd", 0.2)], None).is_none());
    }

    #[test]
    fn training_accuracy_counts_only_where_nothing_is_left() {
        assert!(verdict("gaat", &[("pgd", 0.05)], None).is_none());
        let found = verdict("gaat", &[("fgsm", 0.3), ("pgd", 0.05)], Some(0.99)).unwrap();
        assert_eq!((found.evidence, found.apparent), (Evidence::Training, 0.99));
        assert!(verdict("rat", &[("pgd", 0.45)], Some(0.99)).is_none(), "overfitting is no collapse");
        assert!(verdict("rat", &[("pgd", 0.05)], Some(f64::NAN)).is_none());
    }

    #[test]
    fn natural_training_and_missing_pgd_are_never_called_collapsed() {
        assert!(verdict("natural", &[("fgsm", 0.6), ("pgd", 0.0)], Some(1.0)).is_none());
        assert!(verdict("gaat", &[("fgsm", 0.9)], Some(0.9)).is_none());
    }
}
