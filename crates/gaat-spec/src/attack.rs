//! Attacks as data: their names, their numbers, and what an ensemble consists of.

use crate::names::named;
use crate::{Error, Norm, PixelLength, Result, ThreatModel, bounds};
use serde::{Deserialize, Serialize};
use std::fmt;

named! {
    /// An attack by name.
    AttackName, "attack" {
        /// One step of length epsilon along the sign of the gradient (Goodfellow et al. 2015).
        Fgsm = "fgsm",
        /// Projected gradient descent (Madry et al. 2018).
        Pgd = "pgd",
        /// PGD on the lead of the best wrong class, the L-infinity attack of Carlini and Wagner (2017).
        PgdMargin = "pgd-margin",
        /// PGD towards each of the likeliest wrong classes.
        PgdT = "pgd-t",
        /// Steps along the accumulated gradient (Dong et al. 2018).
        MiFgsm = "mi-fgsm",
        /// The least L2 perturbation by gradient descent (Carlini and Wagner 2017).
        CarliniWagner = "cw",
        /// Steps onto the nearest linear boundary (Moosavi-Dezfooli et al. 2016).
        DeepFool = "deepfool",
        /// Auto-PGD on the cross-entropy (Croce and Hein 2020).
        ApgdCe = "apgd-ce",
        /// Auto-PGD on the difference of logits ratio; 3 classes at least.
        ApgdDlr = "apgd-dlr",
        /// Auto-PGD towards each of the likeliest wrong classes; 4 classes at least.
        ApgdT = "apgd-t",
        /// Fast adaptive boundary: the nearest point across any boundary (Croce and Hein 2020).
        Fab = "fab",
        /// Fast adaptive boundary towards each of the likeliest wrong classes.
        FabT = "fab-t",
        /// Random search with squares, without gradients (Andriushchenko et al. 2020).
        Square = "square",
        /// AutoAttack, standard: apgd-ce, apgd-t, fab-t, square, each on what the one before left.
        AutoAttack = "autoattack",
        /// AutoAttack for networks that answer at random: apgd-ce and apgd-dlr on averaged gradients.
        AutoAttackRand = "autoattack-rand",
        /// AutoAttack, plus: six attacks, with restarts.
        AutoAttackPlus = "autoattack-plus",
    }
}

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

/// An attack with its numbers. Lengths are in pixel units; an image falls if any one restart succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
#[allow(
    missing_docs,
    reason = "the names say it: steps, restarts, targets (wrong classes), samples (gradients a step), random_start (else \
              from the clean image)"
)]
pub enum AttackSpec {
    #[serde(rename = "fgsm")]
    Fgsm { step_size: PixelLength },
    #[serde(rename = "pgd")]
    Pgd {
        steps: usize,
        restarts: usize,
        step_size: PixelLength,
        #[serde(default = "at_random", skip_serializing_if = "is_at_random")]
        random_start: bool,
    },
    #[serde(rename = "pgd-margin")]
    PgdMargin {
        steps: usize,
        restarts: usize,
        step_size: PixelLength,
        #[serde(default = "at_random", skip_serializing_if = "is_at_random")]
        random_start: bool,
    },
    #[serde(rename = "pgd-t")]
    PgdT {
        steps: usize,
        restarts: usize,
        step_size: PixelLength,
        targets: usize,
        #[serde(default = "at_random", skip_serializing_if = "is_at_random")]
        random_start: bool,
    },
    #[serde(rename = "mi-fgsm")]
    MiFgsm { steps: usize, step_size: PixelLength },
    #[serde(rename = "cw")]
    CarliniWagner { steps: usize, searches: usize },
    #[serde(rename = "deepfool")]
    DeepFool { steps: usize },
    #[serde(rename = "apgd-ce")]
    ApgdCe { steps: usize, restarts: usize, samples: usize },
    #[serde(rename = "apgd-dlr")]
    ApgdDlr { steps: usize, restarts: usize, samples: usize },
    #[serde(rename = "apgd-t")]
    ApgdT { steps: usize, restarts: usize, targets: usize },
    #[serde(rename = "fab")]
    Fab { steps: usize, restarts: usize },
    #[serde(rename = "fab-t")]
    FabT { steps: usize, restarts: usize, targets: usize },
    #[serde(rename = "square")]
    Square { queries: usize, restarts: usize },
    #[serde(rename = "autoattack")]
    AutoAttack,
    #[serde(rename = "autoattack-rand")]
    AutoAttackRand,
    #[serde(rename = "autoattack-plus")]
    AutoAttackPlus,
}

impl AttackSpec {
    /// FGSM under `threat`.
    pub fn fgsm(threat: &ThreatModel) -> Self {
        Self::Fgsm { step_size: threat.epsilon_length() }
    }

    /// PGD under `threat`. Without a step size: the larger of epsilon/4 over 10 steps' reach, that is
    /// `2.5 epsilon / steps`, so that the whole ball can be crossed (Madry et al. 2018).
    ///
    /// # Errors
    /// When steps, restarts or the step size are 0 or out of bounds.
    pub fn pgd(
        threat: &ThreatModel,
        steps: usize,
        restarts: usize,
        step_size: Option<PixelLength>,
    ) -> Result<Self> {
        let (steps, restarts) = (bounds::STEPS.check(steps)?, bounds::RESTARTS.check(restarts)?);
        let step_size = step_size.unwrap_or_else(|| default_step(threat, steps));
        if step_size.value() == 0.0 && threat.epsilon() > 0.0 {
            return Err(Error::value("step-size", 0, "needs a length over 0"));
        }
        Ok(Self::Pgd { steps, restarts, step_size, random_start: true })
    }

    /// An attack with the numbers of its authors; those made of plain steps with 50 steps and, where they start at
    /// random, 10 restarts.
    ///
    /// # Errors
    /// When the attack is not for the norm of `threat`.
    pub fn customary(name: AttackName, threat: &ThreatModel) -> Result<Self> {
        let (steps, restarts, targets, samples) = (AUTO_STEPS, 1, AUTO_TARGETS, 1);
        Ok(match name {
            AttackName::Fgsm => Self::fgsm(threat),
            AttackName::Pgd => Self::pgd(threat, 50, 10, None)?,
            AttackName::PgdMargin => {
                let step_size = default_step(threat, 50);
                Self::PgdMargin { steps: 50, restarts: 10, step_size, random_start: true }
            }
            AttackName::PgdT => {
                let step_size = default_step(threat, 50);
                Self::PgdT { steps: 50, restarts, step_size, targets, random_start: true }
            }
            AttackName::MiFgsm => Self::MiFgsm { steps: 50, step_size: default_step(threat, 50) },
            AttackName::CarliniWagner if threat.norm() == Norm::Linf => {
                let reason = "looks for the least L2 perturbation; use pgd-margin, or the norm l2";
                return Err(Error::value("attack", name, reason));
            }
            AttackName::CarliniWagner => Self::CarliniWagner { steps: 1000, searches: 9 },
            AttackName::DeepFool => Self::DeepFool { steps: 50 },
            AttackName::ApgdCe => Self::ApgdCe { steps, restarts, samples },
            AttackName::ApgdDlr => Self::ApgdDlr { steps, restarts, samples },
            AttackName::ApgdT => Self::ApgdT { steps, restarts, targets },
            AttackName::Fab => Self::Fab { steps, restarts },
            AttackName::FabT => Self::FabT { steps, restarts, targets },
            AttackName::Square => Self::Square { queries: AUTO_QUERIES, restarts },
            AttackName::AutoAttack => Self::AutoAttack,
            AttackName::AutoAttackRand => Self::AutoAttackRand,
            AttackName::AutoAttackPlus => Self::AutoAttackPlus,
        })
    }

    /// Its name.
    pub fn name(&self) -> AttackName {
        match self {
            Self::Fgsm { .. } => AttackName::Fgsm,
            Self::Pgd { .. } => AttackName::Pgd,
            Self::PgdMargin { .. } => AttackName::PgdMargin,
            Self::PgdT { .. } => AttackName::PgdT,
            Self::MiFgsm { .. } => AttackName::MiFgsm,
            Self::CarliniWagner { .. } => AttackName::CarliniWagner,
            Self::DeepFool { .. } => AttackName::DeepFool,
            Self::ApgdCe { .. } => AttackName::ApgdCe,
            Self::ApgdDlr { .. } => AttackName::ApgdDlr,
            Self::ApgdT { .. } => AttackName::ApgdT,
            Self::Fab { .. } => AttackName::Fab,
            Self::FabT { .. } => AttackName::FabT,
            Self::Square { .. } => AttackName::Square,
            Self::AutoAttack => AttackName::AutoAttack,
            Self::AutoAttackRand => AttackName::AutoAttackRand,
            Self::AutoAttackPlus => AttackName::AutoAttackPlus,
        }
    }

    /// Gradient steps of one restart; `None` for attacks without gradients and for ensembles.
    pub fn steps(&self) -> Option<usize> {
        match *self {
            Self::Fgsm { .. } => Some(1),
            Self::Pgd { steps, .. }
            | Self::PgdMargin { steps, .. }
            | Self::PgdT { steps, .. }
            | Self::MiFgsm { steps, .. }
            | Self::CarliniWagner { steps, .. }
            | Self::DeepFool { steps }
            | Self::ApgdCe { steps, .. }
            | Self::ApgdDlr { steps, .. }
            | Self::ApgdT { steps, .. }
            | Self::Fab { steps, .. }
            | Self::FabT { steps, .. } => Some(steps),
            Self::Square { .. } | Self::AutoAttack | Self::AutoAttackRand | Self::AutoAttackPlus => None,
        }
    }

    /// Independent runs, each image judged by its worst.
    pub fn restarts(&self) -> usize {
        let mut copy = *self;
        copy.restarts_mut().map_or(1, |restarts| *restarts)
    }

    /// The steps, to be changed: of FGSM there is always one.
    pub(crate) fn steps_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Pgd { steps, .. }
            | Self::PgdMargin { steps, .. }
            | Self::PgdT { steps, .. }
            | Self::MiFgsm { steps, .. }
            | Self::CarliniWagner { steps, .. }
            | Self::DeepFool { steps }
            | Self::ApgdCe { steps, .. }
            | Self::ApgdDlr { steps, .. }
            | Self::ApgdT { steps, .. }
            | Self::Fab { steps, .. }
            | Self::FabT { steps, .. } => Some(steps),
            _ => None,
        }
    }

    /// The restarts, to be changed, of attacks that start at random.
    pub(crate) fn restarts_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Pgd { restarts, .. }
            | Self::PgdMargin { restarts, .. }
            | Self::PgdT { restarts, .. }
            | Self::ApgdCe { restarts, .. }
            | Self::ApgdDlr { restarts, .. }
            | Self::ApgdT { restarts, .. }
            | Self::Fab { restarts, .. }
            | Self::FabT { restarts, .. }
            | Self::Square { restarts, .. } => Some(restarts),
            _ => None,
        }
    }

    /// Whether it starts at random, to be changed, of attacks that can do without.
    pub(crate) fn random_start_mut(&mut self) -> Option<&mut bool> {
        match self {
            Self::Pgd { random_start, .. }
            | Self::PgdMargin { random_start, .. }
            | Self::PgdT { random_start, .. } => Some(random_start),
            _ => None,
        }
    }

    /// Whether it starts at the clean image though attacks of its name start at random.
    pub fn is_still(&self) -> bool {
        let mut copy = *self;
        copy.random_start_mut().is_some_and(|random_start| !*random_start)
    }

    /// The length of a step, to be changed: that of FGSM is always epsilon.
    pub(crate) fn step_size_mut(&mut self) -> Option<&mut PixelLength> {
        match self {
            Self::Pgd { step_size, .. }
            | Self::PgdMargin { step_size, .. }
            | Self::PgdT { step_size, .. }
            | Self::MiFgsm { step_size, .. } => Some(step_size),
            _ => None,
        }
    }

    /// Length of a step, where it is the same throughout.
    pub fn step_size(&self) -> Option<PixelLength> {
        let mut copy = *self;
        match *self {
            Self::Fgsm { step_size } => Some(step_size),
            _ => copy.step_size_mut().map(|step_size| *step_size),
        }
    }

    /// Its numbers in words, such as `steps 50 of 0.01, starts 10`.
    pub fn numbers(&self) -> String {
        let starts =
            if self.is_still() { "0, from the clean image".to_owned() } else { self.restarts().to_string() };
        match *self {
            Self::Fgsm { step_size } => format!("steps 1 of {:.5}, starts 1", step_size.value()),
            Self::Pgd { steps, step_size, .. }
            | Self::PgdMargin { steps, step_size, .. }
            | Self::MiFgsm { steps, step_size } => {
                format!("steps {steps} of {:.5}, starts {starts}", step_size.value())
            }
            Self::ApgdCe { steps, samples, .. } | Self::ApgdDlr { steps, samples, .. } => {
                format!("steps {steps}, starts {starts}, gradients a step {samples}")
            }
            Self::PgdT { steps, step_size, targets, .. } => {
                format!(
                    "steps {steps} of {:.5}, starts {starts}, target classes {targets}",
                    step_size.value()
                )
            }
            Self::CarliniWagner { steps, searches } => format!("steps {steps}, weights {searches}"),
            Self::Fab { steps, .. } | Self::DeepFool { steps } => format!("steps {steps}, starts {starts}"),
            Self::ApgdT { steps, targets, .. } | Self::FabT { steps, targets, .. } => {
                format!("steps {steps}, starts {starts}, target classes {targets}")
            }
            Self::Square { queries, .. } => format!("queries {queries}, starts {starts}"),
            Self::AutoAttack => "standard".to_owned(),
            Self::AutoAttackRand => "for random networks".to_owned(),
            Self::AutoAttackPlus => "plus".to_owned(),
        }
    }

    fn check_counts(&self) -> Result<()> {
        self.steps().map(|steps| bounds::STEPS.check(steps)).transpose()?;
        bounds::RESTARTS.check(self.restarts())?;
        match *self {
            Self::Square { queries, .. } => bounds::QUERIES.check(queries)?,
            Self::CarliniWagner { searches, .. } => bounds::SEARCHES.check(searches)?,
            _ => 1,
        };
        Ok(())
    }

    /// Whether it consists of several attacks, each run on what the one before left.
    pub fn is_ensemble(&self) -> bool {
        matches!(self, Self::AutoAttack | Self::AutoAttackRand | Self::AutoAttackPlus)
    }

    /// The attacks that it consists of against a network of `classes` classes, in order: itself, or the parts of an
    /// ensemble. Targeted attacks try no more wrong classes than there are.
    ///
    /// # Errors
    /// When a loss of it needs more classes, or a count is out of bounds.
    pub fn parts(&self, classes: usize) -> Result<Vec<Self>> {
        self.check_counts()?;
        let (steps, restarts) = (AUTO_STEPS, 1);
        let ce = |restarts, samples| Self::ApgdCe { steps, restarts, samples };
        let dlr = |restarts, samples| Self::ApgdDlr { steps, restarts, samples };
        let apgd_t = Self::ApgdT { steps, restarts, targets: AUTO_TARGETS };
        let fab_t = Self::FabT { steps, restarts, targets: AUTO_TARGETS };
        let square = Self::Square { queries: AUTO_QUERIES, restarts };
        let parts = match self {
            Self::AutoAttack => vec![ce(1, 1), apgd_t, fab_t, square],
            Self::AutoAttackRand => vec![ce(1, RAND_SAMPLES), dlr(1, RAND_SAMPLES)],
            Self::AutoAttackPlus => {
                let fab = Self::Fab { steps, restarts: PLUS_RESTARTS };
                vec![ce(PLUS_RESTARTS, 1), dlr(PLUS_RESTARTS, 1), fab, square, apgd_t, fab_t]
            }
            single => vec![*single],
        };
        parts.into_iter().map(|part| part.fitted(*self, classes)).collect()
    }

    /// Itself with no more targets than a network of `classes` classes has; `whole` is named in errors.
    fn fitted(self, whole: Self, classes: usize) -> Result<Self> {
        let least = match self {
            Self::ApgdDlr { .. } => 3,
            Self::ApgdT { .. } => 4,
            _ => 2,
        };
        if classes < least {
            let (part, instead) = (self.name(), "apgd-ce,fab-t,square");
            let reason = format!(
                "the loss of {part} compares {least} classes, the network tells {classes} apart; use {instead}"
            );
            return Err(Error::value("attack", whole.name(), reason));
        }
        Ok(match self {
            Self::ApgdT { steps, restarts, targets } => {
                Self::ApgdT { steps, restarts, targets: targets.min(classes - 1) }
            }
            Self::FabT { steps, restarts, targets } => {
                Self::FabT { steps, restarts, targets: targets.min(classes - 1) }
            }
            Self::PgdT { steps, restarts, step_size, targets, random_start } => {
                Self::PgdT { steps, restarts, step_size, targets: targets.min(classes - 1), random_start }
            }
            other => other,
        })
    }
}

/// What is left out of documents: attacks that can start at random do.
fn at_random() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_at_random(random_start: &bool) -> bool {
    *random_start
}

/// Steps of `2.5 epsilon / steps` cross the whole ball (Madry et al. 2018).
fn default_step(threat: &ThreatModel, steps: usize) -> PixelLength {
    threat.epsilon_length().scaled(2.5 / steps as f64)
}

impl fmt::Display for AttackSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        // What an attack is always run with is not said.
        let number = match *self {
            Self::Pgd { steps, .. }
            | Self::PgdMargin { steps, .. }
            | Self::PgdT { steps, .. }
            | Self::MiFgsm { steps, .. } => Some(steps),
            Self::CarliniWagner { steps, .. } => Some(steps).filter(|steps| *steps != 1000),
            Self::DeepFool { steps } => Some(steps).filter(|steps| *steps != 50),
            Self::Square { queries, .. } => Some(queries).filter(|queries| *queries != AUTO_QUERIES),
            Self::Fgsm { .. } => None,
            _ => self.steps().filter(|steps| *steps != AUTO_STEPS),
        };
        let number = number.map(|number| format!("-{number}")).unwrap_or_default();
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
        ThreatModel::new(Norm::Linf, "0.3".parse().unwrap()).unwrap()
    }

    #[test]
    fn every_name_has_numbers_and_keeps_them_in_json() {
        for name in AttackName::ALL {
            let l2 = ThreatModel::new(Norm::L2, "0.5".parse().unwrap()).unwrap();
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
    }

    #[test]
    fn autoattack_is_four_attacks_in_this_order() {
        let parts = AttackSpec::AutoAttack.parts(10).unwrap();
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
        let names =
            |spec: AttackSpec| spec.parts(10).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(AttackSpec::AutoAttackRand), ["apgd-ce", "apgd-dlr"]);
        assert_eq!(
            names(AttackSpec::AutoAttackPlus),
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
        let parts = AttackSpec::AutoAttack.parts(5).unwrap();
        assert!(parts.contains(&AttackSpec::ApgdT { steps: 100, restarts: 1, targets: 4 }), "{parts:?}");
        assert!(parts.contains(&AttackSpec::FabT { steps: 100, restarts: 1, targets: 4 }), "{parts:?}");
        let error = AttackSpec::AutoAttack.parts(3).unwrap_err().to_string();
        assert!(error.contains("apgd-t compares 4 classes") && error.contains("apgd-ce,fab-t"), "{error}");
        assert!(AttackSpec::AutoAttackRand.parts(2).is_err());
        let random = AttackSpec::AutoAttackRand.parts(3).unwrap();
        assert_eq!(
            random.iter().map(AttackSpec::name).collect::<Vec<_>>(),
            [AttackName::ApgdCe, AttackName::ApgdDlr]
        );
        let one = AttackSpec::FabT { steps: 100, restarts: 1, targets: 9 }.parts(2).unwrap();
        assert_eq!(one, [AttackSpec::FabT { steps: 100, restarts: 1, targets: 1 }]);
    }
}
