//! Attacks as data: their names, their numbers, and what an ensemble consists of.

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::names::named;
use crate::threat::{Norm, PixelLength, ThreatModel};
use serde::{Deserialize, Serialize};
use std::fmt;

named! {
    /// An attack by name.
    AttackName, "attack" {
        /// One step of length epsilon along the sign of the gradient (Goodfellow et al. 2015).
        Fgsm = "fgsm",
        /// Projected gradient descent (Madry et al. 2018).
        Pgd = "pgd",
        /// PGD on the margin of the best wrong class over the right one, the L-infinity attack of Carlini and Wagner (2017).
        PgdMargin = "pgd-margin",
        /// PGD towards each of the likeliest wrong classes.
        PgdT = "pgd-t",
        /// Steps along the accumulated gradient (Dong et al. 2018).
        MiFgsm = "mi-fgsm",
        /// The smallest L2 perturbation, by gradient descent (Carlini and Wagner 2017).
        CarliniWagner = "cw",
        /// Steps onto the nearest linear boundary (Moosavi-Dezfooli et al. 2016).
        DeepFool = "deepfool",
        /// Auto-PGD on the cross-entropy (Croce and Hein 2020).
        ApgdCe = "apgd-ce",
        /// Auto-PGD on the difference of logits ratio; 3 classes at least.
        ApgdDlr = "apgd-dlr",
        /// Auto-PGD towards each of the likeliest wrong classes; 4 classes at least.
        ApgdT = "apgd-t",
        /// Fast adaptive boundary: the nearest point across any decision boundary (Croce and Hein 2020).
        Fab = "fab",
        /// Fast adaptive boundary towards each of the likeliest wrong classes.
        FabT = "fab-t",
        /// Random search with squares, without gradients (Andriushchenko et al. 2020).
        Square = "square",
        /// AutoAttack, standard: apgd-ce, apgd-t, fab-t, square, each on the images that withstood those before.
        AutoAttack = "autoattack",
        /// AutoAttack for networks with random outputs: apgd-ce and apgd-dlr on averaged gradients.
        AutoAttackRand = "autoattack-rand",
        /// AutoAttack, plus: six attacks, with restarts.
        AutoAttackPlus = "autoattack-plus",
    }
}

/// Customary steps of attacks that take steps of one length.
const WALK_STEPS: usize = 50;
/// Steps of each gradient attack of AutoAttack.
pub const AUTO_STEPS: usize = 100;
/// Wrong classes that its targeted attacks try, the likeliest first.
pub const AUTO_TARGETS: usize = 9;
/// Queries of its random search.
pub const AUTO_QUERIES: usize = 5000;
/// Gradients averaged for one step against a network that answers at random.
const RAND_SAMPLES: usize = 20;
/// Restarts of the untargeted attacks of AutoAttack plus.
const PLUS_RESTARTS: usize = 5;

/// An attack with its numbers: exactly those that an attack of its name has. An image falls if any one restart succeeds.
///
/// In JSON: `{"name":"pgd","steps":50,"restarts":10,"step_size":"0.01"}`; lengths are in pixel units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct AttackSpec {
    name: AttackName,
    #[serde(flatten)]
    budget: Budget,
}

/// As it stands in JSON: unchecked.
#[derive(Deserialize)]
struct Written {
    name: AttackName,
    #[serde(flatten)]
    budget: Budget,
}

impl TryFrom<Written> for AttackSpec {
    type Error = Error;

    fn try_from(Written { name, budget }: Written) -> Result<Self> {
        // The size of the ball only matters for lengths that are left out, and none may be.
        let usual = customary(name, PixelLength::ZERO);
        // Documents of the first release leave it out, and give numbers that the attack does not have.
        let budget = Budget { random_start: budget.random_start.or(Some(true)), ..budget };
        if let Some(missing) = usual.names().find(|number| !budget.names().any(|given| given == *number)) {
            return Err(Error::value("attack", name, format!("needs the number `{missing}`")));
        }
        Ok(Self { name, budget: usual.overlaid_with(&budget) })
    }
}

/// The numbers of an attack of this name, as its authors spend them in a ball of radius `epsilon`. What is `None` is a number
/// that the attack does not have.
pub(crate) fn customary(name: AttackName, epsilon: PixelLength) -> Budget {
    let none = Budget::default();
    let walk = Budget { steps: Some(WALK_STEPS), step_size: Some(crossing(epsilon, WALK_STEPS)), ..none };
    let random = Budget { random_start: Some(true), ..walk };
    let auto = Budget { steps: Some(AUTO_STEPS), restarts: Some(1), ..none };
    match name {
        AttackName::Fgsm => Budget { step_size: Some(epsilon), ..none },
        AttackName::Pgd | AttackName::PgdMargin => Budget { restarts: Some(10), ..random },
        AttackName::PgdT => Budget { restarts: Some(1), targets: Some(AUTO_TARGETS), ..random },
        AttackName::MiFgsm => walk,
        AttackName::CarliniWagner => Budget { steps: Some(1000), searches: Some(9), ..none },
        AttackName::DeepFool => Budget { steps: Some(50), ..none },
        AttackName::ApgdCe | AttackName::ApgdDlr => Budget { samples: Some(1), ..auto },
        AttackName::ApgdT | AttackName::FabT => Budget { targets: Some(AUTO_TARGETS), ..auto },
        AttackName::Fab => auto,
        AttackName::Square => Budget { queries: Some(AUTO_QUERIES), restarts: Some(1), ..none },
        AttackName::AutoAttack | AttackName::AutoAttackRand | AttackName::AutoAttackPlus => none,
    }
}

/// Steps of `2.5 epsilon / steps` cross the whole ball (Madry et al. 2018).
pub(crate) fn crossing(epsilon: PixelLength, steps: usize) -> PixelLength {
    epsilon.scaled(2.5 / steps as f64)
}

impl AttackSpec {
    /// FGSM under `threat`.
    pub fn fgsm(threat: &ThreatModel) -> Self {
        Self { name: AttackName::Fgsm, budget: customary(AttackName::Fgsm, threat.epsilon_length()) }
    }

    /// PGD under `threat`. Without a step size: `2.5 epsilon / steps`, so that the whole ball can be crossed (Madry et al. 2018).
    ///
    /// # Errors
    /// When steps, restarts or the step size are 0 or out of bounds.
    pub fn pgd(
        threat: &ThreatModel,
        steps: usize,
        restarts: usize,
        step_size: Option<PixelLength>,
    ) -> Result<Self> {
        Budget { steps: Some(steps), restarts: Some(restarts), step_size, ..Budget::default() }
            .attack(AttackName::Pgd, threat)
    }

    /// An attack with the numbers of its authors; those made of plain steps with 50 steps and, where they start at
    /// random, 10 restarts. [`Budget::attack`] gives it others.
    ///
    /// # Errors
    /// When the attack is not for the norm of `threat`.
    pub fn customary(name: AttackName, threat: &ThreatModel) -> Result<Self> {
        if name == AttackName::CarliniWagner && threat.norm() == Norm::Linf {
            let reason = "looks for the least L2 perturbation; use pgd-margin, or the norm l2";
            return Err(Error::value("attack", name, reason));
        }
        Ok(Self { name, budget: customary(name, threat.epsilon_length()) })
    }

    /// The same attack with those numbers of `budget` that it has.
    pub(crate) fn spending(self, budget: &Budget) -> Self {
        Self { budget: self.budget.overlaid_with(budget), ..self }
    }

    /// Its name.
    pub fn name(&self) -> AttackName {
        self.name
    }

    /// Its numbers; `None` are those that an attack of its name does not have.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Gradient steps of one restart; `None` for attacks without gradients and for ensembles.
    pub fn steps(&self) -> Option<usize> {
        if self.name == AttackName::Fgsm { Some(1) } else { self.budget.steps }
    }

    /// Independent runs, each image judged by its worst.
    pub fn restarts(&self) -> usize {
        self.budget.restarts.unwrap_or(1)
    }

    /// Whether it starts at the clean image though attacks of its name start at random.
    pub fn is_still(&self) -> bool {
        self.budget.random_start == Some(false)
    }

    /// Length of a step, where it is the same throughout.
    pub fn step_size(&self) -> Option<PixelLength> {
        self.budget.step_size
    }

    /// Its numbers in words, such as `steps 50 of 0.01, starts 10`.
    pub fn numbers(&self) -> String {
        match self.name {
            AttackName::AutoAttack => return "standard".to_owned(),
            AttackName::AutoAttackRand => return "for random networks".to_owned(),
            AttackName::AutoAttackPlus => return "plus".to_owned(),
            _ => {}
        }
        let Budget { queries, targets, samples, searches, step_size, .. } = self.budget;
        let of = step_size.map(|length| format!(" of {:.5}", length.value())).unwrap_or_default();
        let starts =
            if self.is_still() { "0, from the clean image".to_owned() } else { self.restarts().to_string() };
        let number = |word: &str, count: Option<usize>| count.map(|count| format!("{word} {count}"));
        let words = [
            self.steps().map(|steps| format!("steps {steps}{of}")),
            number("queries", queries),
            Some(format!("starts {starts}")),
            number("gradients a step", samples),
            number("target classes", targets),
            number("weights", searches),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Whether it consists of several attacks, each run on what the one before left.
    pub fn is_ensemble(&self) -> bool {
        matches!(self.name, AttackName::AutoAttack | AttackName::AutoAttackRand | AttackName::AutoAttackPlus)
    }

    /// The attacks that it consists of against a network of `classes` classes, in order: itself, or the parts of an
    /// ensemble. Targeted attacks try no more wrong classes than there are.
    ///
    /// # Errors
    /// When a loss of it needs more classes, or a count is out of bounds.
    pub fn parts(&self, classes: usize) -> Result<Vec<Self>> {
        use AttackName::{
            ApgdCe, ApgdDlr, ApgdT, AutoAttack, AutoAttackPlus, AutoAttackRand, Fab, FabT, Square,
        };
        self.budget.check_counts()?;
        // None of them takes steps of one length, so that epsilon does not matter.
        let part = |name| Self { name, budget: customary(name, PixelLength::ZERO) };
        let averaged =
            |name| part(name).spending(&Budget { samples: Some(RAND_SAMPLES), ..Budget::default() });
        let again =
            |name| part(name).spending(&Budget { restarts: Some(PLUS_RESTARTS), ..Budget::default() });
        let parts = match self.name {
            AutoAttack => [ApgdCe, ApgdT, FabT, Square].map(part).to_vec(),
            AutoAttackRand => [ApgdCe, ApgdDlr].map(averaged).to_vec(),
            AutoAttackPlus => {
                vec![again(ApgdCe), again(ApgdDlr), again(Fab), part(Square), part(ApgdT), part(FabT)]
            }
            _ => vec![*self],
        };
        parts.into_iter().map(|part| part.fitted(self.name, classes)).collect()
    }

    /// Itself with no more targets than a network of `classes` classes has; `whole` is named in errors.
    fn fitted(self, whole: AttackName, classes: usize) -> Result<Self> {
        let least = match self.name {
            AttackName::ApgdDlr => 3,
            AttackName::ApgdT => 4,
            _ => 2,
        };
        if classes < least {
            let (part, instead) = (self.name, "apgd-ce,fab-t,square");
            let reason = format!(
                "the loss of {part} compares {least} classes, and the network has {classes}; use {instead}"
            );
            return Err(Error::value("attack", whole, reason));
        }
        let targets = self.budget.targets.map(|targets| targets.min(classes - 1));
        Ok(Self { budget: Budget { targets, ..self.budget }, ..self })
    }
}

impl fmt::Display for AttackSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, budget } = self;
        let usual = customary(*name, PixelLength::ZERO);
        // What an attack is always run with is not said; of plain steps there is no such number.
        let number = budget.steps.or(budget.queries);
        let is_told = budget.step_size.is_some() || number != usual.steps.or(usual.queries);
        let number = number.filter(|_| is_told).map(|number| format!("-{number}")).unwrap_or_default();
        let restarts = self.restarts();
        let restarts = if restarts == 1 { String::new() } else { format!("x{restarts}") };
        let start = if self.is_still() { "-clean-start" } else { "" };
        f.pad(&format!("{name}{number}{restarts}{start}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threat() -> ThreatModel {
        crate::threat::threat(Norm::Linf, "0.3")
    }

    #[test]
    fn every_name_has_numbers_and_keeps_them_in_json() {
        for name in AttackName::ALL {
            let l2 = crate::threat::threat(Norm::L2, "0.5");
            let threat = if *name == AttackName::CarliniWagner { l2 } else { threat() };
            let spec = AttackSpec::customary(*name, &threat).unwrap();
            assert_eq!(spec.name(), *name);
            let text = serde_json::to_string(&spec).unwrap();
            assert!(text.starts_with(&format!("{{\"name\":\"{name}\"")), "{text}");
            assert_eq!(serde_json::from_str::<AttackSpec>(&text).unwrap(), spec);
            assert!(spec.to_string().starts_with(name.as_str()) && !spec.numbers().is_empty());
        }
    }

    #[test]
    fn documents_of_the_first_release_are_read() {
        let fgsm = r#"{"name":"fgsm","steps":1,"restarts":1,"step_size":"0.3"}"#;
        assert_eq!(serde_json::from_str::<AttackSpec>(fgsm).unwrap(), AttackSpec::fgsm(&threat()));
        let pgd = r#"{"name":"pgd","steps":50,"restarts":10,"step_size":"0.015"}"#;
        let pgd = serde_json::from_str::<AttackSpec>(pgd).unwrap();
        assert_eq!((pgd.to_string().as_str(), pgd.steps(), pgd.restarts()), ("pgd-50x10", Some(50), 10));
        assert!(!pgd.is_still());
        let error =
            serde_json::from_str::<AttackSpec>(r#"{"name":"pgd","steps":50,"restarts":10}"#).unwrap_err();
        assert!(error.to_string().contains("`step_size`"), "{error}");
    }

    #[test]
    fn autoattack_is_four_attacks_in_this_order() {
        let auto = |name| AttackSpec::customary(name, &threat()).unwrap();
        let parts = auto(AttackName::AutoAttack).parts(10).unwrap();
        let words: Vec<_> = parts.iter().map(|part| format!("{part}: {}", part.numbers())).collect();
        assert_eq!(
            words,
            [
                "apgd-ce: steps 100, starts 1, gradients a step 1",
                "apgd-t: steps 100, starts 1, target classes 9",
                "fab-t: steps 100, starts 1, target classes 9",
                "square: queries 5000, starts 1",
            ]
        );
        let names = |name| auto(name).parts(10).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(AttackName::AutoAttackRand), ["apgd-ce", "apgd-dlr"]);
        assert_eq!(
            names(AttackName::AutoAttackPlus),
            ["apgd-cex5", "apgd-dlrx5", "fabx5", "square", "apgd-t", "fab-t"]
        );
    }

    #[test]
    fn the_least_l2_perturbation_is_not_looked_for_in_another_norm() {
        let error = AttackSpec::customary(AttackName::CarliniWagner, &threat()).unwrap_err().to_string();
        assert!(error.contains("pgd-margin"), "{error}");
    }

    #[test]
    fn few_classes_reduce_the_targets_or_are_refused_with_the_reason() {
        let parts = |name, classes| AttackSpec::customary(name, &threat()).unwrap().parts(classes);
        let targets = |parts: &[AttackSpec]| {
            parts.iter().map(|part| (part.name(), part.budget().targets)).collect::<Vec<_>>()
        };
        let five = parts(AttackName::AutoAttack, 5).unwrap();
        assert_eq!(targets(&five)[1..3], [(AttackName::ApgdT, Some(4)), (AttackName::FabT, Some(4))]);
        let error = parts(AttackName::AutoAttack, 3).unwrap_err().to_string();
        assert!(error.contains("apgd-t compares 4 classes") && error.contains("apgd-ce,fab-t"), "{error}");
        assert!(parts(AttackName::AutoAttackRand, 2).is_err());
        let random = parts(AttackName::AutoAttackRand, 3).unwrap();
        let samples: Vec<_> = random.iter().map(|part| (part.name(), part.budget().samples)).collect();
        assert_eq!(samples, [(AttackName::ApgdCe, Some(20)), (AttackName::ApgdDlr, Some(20))]);
        assert_eq!(targets(&parts(AttackName::FabT, 2).unwrap()), [(AttackName::FabT, Some(1))]);
    }
}
