//! The stages of an evaluation: the clean images, then every attack, ensembles part by part.

use crate::Result;
use gaat_spec::{AttackSpec, ThreatModel};

/// One stage; the first of a plan has no attack.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    /// Which of the attacks asked for, and the attack of this stage.
    pub(super) attack: Option<(usize, AttackSpec)>,
    /// The stage whose survivors are attacked.
    pub(super) after: usize,
    /// Description, such as `pgd-50x10` or `autoattack fab-t`.
    pub(super) name: String,
}

/// The stages for `attacks` against a network of `classes` classes.
pub(super) fn plan(attacks: &[AttackSpec], classes: usize) -> Result<Vec<Planned>> {
    let mut stages = vec![Planned { attack: None, after: 0, name: "clean".to_owned() }];
    for (index, whole) in attacks.iter().enumerate() {
        let mut after = 0;
        for part in whole.parts(classes)? {
            let name = if whole.is_ensemble() { format!("{whole} {part}") } else { whole.to_string() };
            stages.push(Planned { attack: Some((index, part)), after, name });
            after = stages.len() - 1;
        }
    }
    Ok(stages)
}

/// What the plan does otherwise than the names of the attacks say, and why.
pub(super) fn notes(attacks: &[AttackSpec], classes: usize, threat: &ThreatModel) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for whole in attacks {
        let usual = if whole.is_ensemble() { *whole } else { AttackSpec::customary(whole.name(), threat)? };
        // The parts for so many classes that nothing is reduced.
        let full = usual.parts(usize::MAX)?;
        for (part, full) in whole.parts(classes)?.into_iter().zip(full) {
            let targets = |spec: &AttackSpec| match *spec {
                AttackSpec::ApgdT { targets, .. }
                | AttackSpec::FabT { targets, .. }
                | AttackSpec::PgdT { targets, .. } => Some(targets),
                _ => None,
            };
            if let (Some(found), Some(usual)) = (targets(&part), targets(&full))
                && found < usual
            {
                notes.push(format!(
                    "{} tries {found} wrong classes instead of {usual}: the network knows {classes} classes",
                    part.name()
                ));
            }
        }
    }
    notes.dedup();
    Ok(notes)
}
