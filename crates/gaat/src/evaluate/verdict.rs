//! The verdict out of what the stages found.

use super::EvaluateOptions;
use super::alarms::alarms;
use super::classes::classes;
use super::ledger::{Entry, Ledger};
use super::plan::Planned;
use crate::Result;
use crate::batch::Images;
use gaat_spec::statistics::wilson_interval;
use gaat_spec::{AttackResult, AttackSpec, Evaluation, Passes};

/// The verdict on `images` of the classes `names`.
pub(super) fn verdict(
    ledger: &Ledger,
    plan: &[Planned],
    options: &EvaluateOptions,
    images: &Images,
    names: &[String],
    notes: Vec<String>,
) -> Result<Evaluation> {
    let total = images.len();
    let share = |count: usize| count as f64 / total as f64;
    let result = |attack: AttackSpec, name: String, entry: &Entry| AttackResult {
        name,
        attack,
        robust_accuracy: share(entry.withstood()),
        interval: wilson_interval(entry.withstood(), total),
        seconds: entry.seconds,
        passes: entry.passes,
        parts: Vec::new(),
    };
    let mut attacks = Vec::with_capacity(options.attacks.len());
    let mut last_stages = Vec::new();
    for (index, whole) in options.attacks.iter().enumerate() {
        let mut parts = Vec::new();
        for (stage, (planned, entry)) in plan.iter().zip(&ledger.stages).enumerate() {
            let Some((_, part)) = planned.attack.filter(|(of, _)| *of == index) else { continue };
            parts.push(result(part, part.to_string(), entry));
            if plan.get(stage + 1).is_none_or(|next| next.after != stage) {
                last_stages.push(stage);
            }
        }
        attacks.push(whole_result(*whole, parts));
    }
    let clean = ledger.stages.first().map_or(0, Entry::withstood);
    let withstood = ledger.survivors_of_all(&last_stages, options.batch_size).len();
    Ok(Evaluation {
        examples: total,
        threat: options.threat,
        clean_accuracy: share(clean),
        clean_interval: wilson_interval(clean, total),
        alarms: alarms(&attacks),
        attacks,
        robust_accuracy: share(withstood),
        robust_interval: wilson_interval(withstood, total),
        classes: classes(names, images, options.batch_size, ledger, &last_stages)?,
        notes,
        seconds: ledger.stages.iter().map(|entry| entry.seconds).sum(),
    })
}

/// The result of an attack out of its parts: that of the last, which saw what all others left.
fn whole_result(whole: AttackSpec, mut parts: Vec<AttackResult>) -> AttackResult {
    let seconds = parts.iter().map(|part| part.seconds).sum();
    let mut passes = Passes::default();
    for part in &parts {
        passes += part.passes;
    }
    let (robust_accuracy, interval) =
        parts.last().map_or((0.0, (0.0, 1.0)), |last| (last.robust_accuracy, last.interval));
    if !whole.is_ensemble() {
        parts.clear();
    }
    AttackResult { name: whole.to_string(), attack: whole, robust_accuracy, interval, seconds, passes, parts }
}
