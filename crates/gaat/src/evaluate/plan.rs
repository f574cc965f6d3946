//! The stages of an evaluation: the clean images, then every attack, ensembles part by part.

use super::{CurveAttack, EvaluateOptions};
use crate::error::{Error, Result};
use gaat_spec::{AttackSpec, Norm, ThreatModel, long_step};

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Task {
    /// Looks at the clean images: the first stage of a plan.
    Clean,
    /// Runs the attack asked for at this place, or a part of it.
    Attack(usize, AttackSpec),
    /// Runs the attack of a point of the curve.
    Curve(AttackSpec),
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) task: Task,
    /// Which perturbations count here.
    pub(super) threat: ThreatModel,
    /// The stage whose survivors are attacked.
    pub(super) after: usize,
    /// Description, such as `pgd-50x10` or `autoattack fab-t`.
    pub(super) name: String,
}

/// The stages of the attacks that `options` name against a network of `classes` classes, and of the curve.
pub(super) fn plan(options: &EvaluateOptions, classes: usize) -> Result<Vec<Planned>> {
    let mut stages = attacks(&options.attacks, &options.threat, classes)?;
    check(&options.curve, options.threat.norm())?;
    let mut after = 0;
    for point in &options.curve {
        for attack in point.attack.parts(classes)? {
            let name = format!("{attack} at {}", point.threat.epsilon_length());
            stages.push(Planned { task: Task::Curve(attack), threat: point.threat, after, name });
            // An image that fell within a smaller ball has fallen: that perturbation lies in the larger one too.
            after = stages.len() - 1;
        }
    }
    Ok(stages)
}

fn check(curve: &[CurveAttack], norm: Norm) -> Result<()> {
    let rises = curve.is_sorted_by(|before, after| before.threat.epsilon() < after.threat.epsilon());
    let is_of_norm = curve.iter().all(|point| point.threat.norm() == norm);
    let is_single = curve.iter().all(|point| !point.attack.is_ensemble());
    if rises && is_of_norm && is_single {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "accuracy over epsilon needs epsilons in rising order, all in {norm}, and one attack that is no ensemble"
    )))
}

/// The stages of `attacks` alone.
fn attacks(attacks: &[AttackSpec], threat: &ThreatModel, classes: usize) -> Result<Vec<Planned>> {
    let mut stages = vec![Planned { task: Task::Clean, threat: *threat, after: 0, name: "clean".to_owned() }];
    for (index, whole) in attacks.iter().enumerate() {
        let mut after = 0;
        for part in whole.parts(classes)? {
            let name = if whole.is_ensemble() { format!("{whole} {part}") } else { whole.to_string() };
            stages.push(Planned { task: Task::Attack(index, part), threat: *threat, after, name });
            after = stages.len() - 1;
        }
    }
    Ok(stages)
}

/// What the plan does otherwise than the names of the attacks say, and why; and steps that are longer than the ball.
pub(super) fn notes(options: &EvaluateOptions, classes: usize) -> Result<Vec<String>> {
    let EvaluateOptions { attacks, curve, threat, .. } = options;
    let mut notes = fewer_targets(attacks, classes, threat)?;
    let long = |attack: &AttackSpec, threat: &ThreatModel, who: &str| {
        attack.step_size().and_then(|step_size| long_step(who, step_size, threat))
    };
    notes.extend(attacks.iter().filter_map(|attack| long(attack, threat, &attack.to_string())));
    notes.extend(curve.iter().filter_map(|CurveAttack { attack, threat }| {
        long(attack, threat, &format!("{attack} at {}", threat.epsilon_length()))
    }));
    Ok(notes)
}

fn fewer_targets(attacks: &[AttackSpec], classes: usize, threat: &ThreatModel) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for whole in attacks {
        let usual = if whole.is_ensemble() { *whole } else { AttackSpec::customary(whole.name(), threat)? };
        // The parts for so many classes that nothing is reduced.
        let full = usual.parts(usize::MAX)?;
        for (part, full) in whole.parts(classes)?.into_iter().zip(full) {
            if let (Some(found), Some(usual)) = (part.budget().targets, full.budget().targets)
                && found < usual
            {
                notes.push(format!(
                    "{} tries {found} wrong classes instead of {usual}: the network has {classes} classes",
                    part.name()
                ));
            }
        }
    }
    notes.dedup();
    Ok(notes)
}
