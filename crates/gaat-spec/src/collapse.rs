//! Collapses: training that looks robust to its own attack and is not to a real one. The one rule, for training, judging,
//! comparing and reporting.
//!
//! Known for single-step training as catastrophic overfitting (Wong et al. 2020): accuracy under FGSM rises while
//! accuracy under PGD falls to nothing, from one epoch to the next.

use crate::evaluation::{AttackResult, Evaluation};
use crate::method::{BaseMethod, MethodName};
use crate::recipe::Recipe;
use crate::record::RunRecord;
use crate::statistics::wilson_interval;
use crate::threat::ThreatModel;
use serde::Serialize;
use std::fmt;

/// A single step that leaves this much more standing than many did not find what there is to find.
const GAP: f64 = 0.40;
/// Between the near ends of the 95 % intervals of both shares this much of a gap must be left: few images are chance.
const CERTAIN_GAP: f64 = GAP / 2.0;
/// Under many steps this little is nothing ...
const NOTHING_LEFT: f64 = 0.10;
/// ... and under a weaker attack this much is a lot.
const MUCH_LEFT: f64 = 0.50;
/// Where clean accuracy on other images lies more than this below the training accuracy, the network may just be overfitted, or
/// its running statistics lag behind.
const CLEAN_SLACK: f64 = 0.10;
/// What a check takes for chance, as a share of its images.
const CHECK_GAP: f64 = 0.08;
/// A healthy network loses less than this share of what withstands one step.
const CHECK_SHARE: f64 = 0.5;

/// A share of some images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The share, a fraction.
    pub share: f64,
    /// Of how many images.
    pub images: usize,
}

impl Share {
    /// Its 95 % Wilson interval; that of no image where it is no number.
    fn interval(self) -> (f64, f64) {
        if !self.share.is_finite() {
            return (0.0, 1.0);
        }
        wilson_interval((self.share * self.images as f64).round() as usize, self.images)
    }
}

/// What a model withstood that should have told of its robustness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// One step on the same images.
    Fgsm,
    /// The attack that it was trained with, on the training images of an epoch.
    Training,
}

/// A model that withstands the weak attack and falls to the strong one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Collapse {
    /// Where it looked robust.
    pub evidence: Evidence,
    /// Accuracy there, a fraction.
    pub apparent: f64,
    /// Accuracy under the strongest attack of many steps, a fraction.
    pub pgd: f64,
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let where_it_looked_robust = match self.evidence {
            Evidence::Fgsm => "under one step",
            Evidence::Training => "on its own training attack",
        };
        let (apparent, pgd) = (100.0 * self.apparent, 100.0 * self.pgd);
        write!(f, "{apparent:.1} % {where_it_looked_robust}, {pgd:.1} % under many steps")
    }
}

/// The rule for one step and many on the same images.
pub fn on_same_images(single: Share, many: Share) -> Option<Collapse> {
    let (apparent, pgd) = (single.share, many.share);
    let is_wide = apparent - pgd >= GAP || (pgd < NOTHING_LEFT && apparent > MUCH_LEFT);
    (is_wide && is_certain(single, many)).then_some(Collapse { evidence: Evidence::Fgsm, apparent, pgd })
}

/// The rule for a training attack on training images and many steps on others, whose accuracy clean is `clean`. A gap to the
/// training accuracy alone may be plain overfitting; it counts only where nothing is left though clean images are known.
pub fn on_training_images(own: Share, many: Share, clean: f64) -> Option<Collapse> {
    let (apparent, pgd) = (own.share, many.share);
    let is_wide = pgd < NOTHING_LEFT && apparent > MUCH_LEFT && clean >= apparent - CLEAN_SLACK;
    (is_wide && is_certain(own, many)).then_some(Collapse { evidence: Evidence::Training, apparent, pgd })
}

/// Whether a training attack stands so far above many steps on other images that one step must be tried on those too:
/// overfitting and collapse look alike from there.
pub fn is_suspicious(own: Share, many: Share) -> bool {
    own.share - many.share >= GAP && is_certain(own, many)
}

fn is_certain(weak: Share, strong: Share) -> bool {
    weak.interval().0 - strong.interval().1 >= CERTAIN_GAP
}

/// What a check on few images says where the gain ratio has fallen already: shares that withstand one step, and that and
/// many. It looks for less than the rule does, since it is not the only sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// Robustness against one step is gone against many.
    Collapse,
    /// Neither.
    Unclear,
    /// No trace of a collapse.
    Clear,
}

/// The outcome of a check; fractions of its images.
pub fn of_check(single: f64, many: f64) -> CheckOutcome {
    let (gap, limit) = (single - many, CHECK_GAP.max(CHECK_SHARE * single));
    if gap > limit {
        CheckOutcome::Collapse
    } else if gap <= limit / 2.0 {
        CheckOutcome::Clear
    } else {
        CheckOutcome::Unclear
    }
}

/// What is known of the training of a network that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Training {
    /// Its method; `None` where that is unknown.
    pub method: Option<MethodName>,
    /// What it was trained against; `None` where that is unknown.
    pub threat: Option<ThreatModel>,
    /// Accuracy on the training images of the last epoch, under the attack that it was trained with.
    pub own: Option<Share>,
}

impl Training {
    /// What the record of a run tells.
    pub fn of(record: &RunRecord) -> Self {
        let images = record.images as usize / record.epochs.len().max(1);
        let own = record.epochs.last().map(|epoch| Share { share: epoch.train_accuracy, images });
        Self { own, ..Self::of_recipe(&record.recipe) }
    }

    /// What a recipe tells.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let threat = recipe.norm.zip(recipe.epsilon);
        let threat = threat.and_then(|(norm, epsilon)| ThreatModel::new(norm, epsilon).ok());
        Self { method: recipe.method, threat, own: None }
    }

    /// Whether it was for perturbations such as those of `threat`: beyond its bound every network falls, and to many steps
    /// sooner than to one.
    fn covers(&self, threat: &ThreatModel) -> bool {
        self.threat.is_none_or(|own| own.norm() == threat.norm() && threat.epsilon() <= own.epsilon())
    }

    /// Whether it is known to have seen clean images alone. Such a network cannot collapse: it never was robust.
    pub fn is_natural(&self) -> bool {
        self.method.is_some_and(|method| method.base == BaseMethod::Natural)
    }

    /// Whether a network of this training, natural or not, withstands a weak attack of `evaluation` and falls to a strong one.
    /// Without an attack of several steps nothing can be said, nor beyond the bound of the training.
    pub fn gap(&self, evaluation: &Evaluation) -> Option<Collapse> {
        let Evaluation { attacks, examples, threat, clean_accuracy, .. } = evaluation;
        if !self.covers(threat) {
            return None;
        }
        let is_single = |result: &&AttackResult| result.attack.steps() == Some(1);
        let share = |result: &AttackResult| Share { share: result.robust_accuracy, images: *examples };
        let weakest = |results: &mut dyn Iterator<Item = &AttackResult>| {
            results.map(share).min_by(|one, other| one.share.total_cmp(&other.share))
        };
        let many = weakest(&mut attacks.iter().filter(|result| !is_single(result)))?;
        let single = weakest(&mut attacks.iter().filter(is_single));
        let own = self.own.filter(|_| !self.is_natural());
        single
            .and_then(|single| on_same_images(single, many))
            .or_else(|| own.and_then(|own| on_training_images(own, many, *clean_accuracy)))
    }

    /// [`Self::gap`] for training that can collapse.
    pub fn collapse(&self, evaluation: &Evaluation) -> Option<Collapse> {
        if self.is_natural() { None } else { self.gap(evaluation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{AttackName, AttackSpec};
    use crate::record::Passes;
    use crate::threat::{Norm, ThreatModel};

    fn threat(epsilon: &str) -> ThreatModel {
        crate::threat::threat(Norm::Linf, epsilon)
    }

    fn judged(found: &[(&str, f64)], threat: ThreatModel) -> Evaluation {
        let of = |(name, robust_accuracy): &(&str, f64)| {
            let attack = AttackSpec::customary(name.parse::<AttackName>().unwrap(), &threat).unwrap();
            AttackResult {
                name: attack.to_string(),
                attack,
                robust_accuracy: *robust_accuracy,
                interval: (0.0, 1.0),
                seconds: 0.0,
                passes: Passes::default(),
                parts: Vec::new(),
            }
        };
        Evaluation {
            examples: 10_000,
            subset: None,
            threat,
            precision: None,
            clean_accuracy: 0.97,
            clean_interval: (0.0, 1.0),
            attacks: found.iter().map(of).collect(),
            robust_accuracy: 0.0,
            robust_interval: (0.0, 1.0),
            classes: Vec::new(),
            alarms: Vec::new(),
            notes: Vec::new(),
            curve: Vec::new(),
            probes: None,
            seconds: 0.0,
        }
    }

    fn verdict(method: &str, found: &[(&str, f64)], train: Option<f64>) -> Option<Collapse> {
        let own = train.map(|share| Share { share, images: 50_000 });
        let training = Training { method: method.parse().ok(), threat: Some(threat("0.3")), own };
        training.collapse(&judged(found, threat("0.3")))
    }

    #[test]
    fn a_single_step_that_hides_what_many_find_is_a_collapse() {
        let found = verdict("gaat-paper", &[("fgsm", 0.92), ("pgd", 0.003)], None).unwrap();
        assert_eq!(found.evidence, Evidence::Fgsm);
        assert_eq!(found.to_string(), "92.0 % under one step, 0.3 % under many steps");
        assert!(verdict("gaat", &[("fgsm", 0.85), ("pgd", 0.44)], None).is_some());
        assert!(verdict("gaat", &[("fgsm", 0.85), ("pgd", 0.46)], None).is_none());
        assert!(verdict("dat+gaat", &[("fgsm", 0.55), ("pgd", 0.2)], None).is_none());
        // Whatever takes many steps is as good as PGD, and the strongest counts.
        for strong in ["autoattack", "apgd-ce", "pgd-t"] {
            let found = verdict("fgsm-rs", &[("fgsm", 0.742), ("pgd", 0.5), (strong, 0.134)], None).unwrap();
            assert_eq!(found.pgd, 0.134, "{strong}");
        }
        // A network of unknown training is judged by its numbers alone.
        assert!(verdict("unknown", &[("fgsm", 0.742), ("pgd", 0.134)], None).is_some());
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
    fn natural_training_and_missing_steps_are_never_called_collapsed() {
        assert!(verdict("natural", &[("fgsm", 0.6), ("pgd", 0.0)], Some(1.0)).is_none());
        let natural = Training { method: "natural".parse().ok(), ..Training::default() };
        assert!(natural.gap(&judged(&[("fgsm", 0.6), ("pgd", 0.0)], threat("0.3"))).is_some());
        assert!(verdict("gaat", &[("fgsm", 0.9)], Some(0.9)).is_none());
    }

    #[test]
    fn beyond_the_bound_of_the_training_nothing_is_said() {
        let training =
            Training { method: "rat".parse().ok(), threat: Some(threat("0.3")), ..Training::default() };
        let found = |threat| judged(&[("fgsm", 0.7), ("pgd", 0.0)], threat);
        for (epsilon, is_said) in [("0.3", true), ("0.2", true), ("0.4", false)] {
            assert_eq!(training.collapse(&found(threat(epsilon))).is_some(), is_said, "{epsilon}");
        }
        let l2 = crate::threat::threat(Norm::L2, "0.1");
        assert_eq!(training.collapse(&found(l2)), None);
    }

    #[test]
    fn few_images_prove_nothing() {
        let same = |single, many, images| {
            on_same_images(Share { share: single, images }, Share { share: many, images }).is_some()
        };
        assert!(!same(0.55, 0.10, 20), "11 and 2 of 20 images");
        assert!(same(0.55, 0.10, 200));
        assert!(same(0.9, 0.0, 20));
        assert!(!same(1.0, 0.0, 2) && !same(0.0, 0.0, 0));
        let own = Share { share: 0.75, images: 10_000 };
        let validated = |share, images| on_training_images(own, Share { share, images }, 0.9).is_some();
        assert!(validated(0.096, 200) && !validated(0.0, 2));
        let many = |share| Share { share, images: 1000 };
        assert!(on_training_images(own, many(0.0), 0.6).is_none(), "clean images are not known either");
        assert!(is_suspicious(own, many(0.13)) && !is_suspicious(own, many(0.36)));
    }

    #[test]
    fn a_probe_takes_a_wide_gap_for_a_collapse() {
        assert_eq!(of_check(0.9, 0.0), CheckOutcome::Collapse);
        assert_eq!(of_check(0.3, 0.1), CheckOutcome::Collapse);
        assert_eq!(of_check(0.5, 0.3), CheckOutcome::Unclear);
        assert_eq!(of_check(0.5, 0.45), CheckOutcome::Clear);
        // An untrained network withstands nothing, and a few images are chance.
        assert_eq!(of_check(0.1, 0.05), CheckOutcome::Unclear);
        assert_eq!(of_check(0.0, 0.0), CheckOutcome::Clear);
    }
}
