//! The verdict out of what the stages found.

use super::EvaluateOptions;
use super::alarms::alarms;
use super::collapse;
use super::ledger::{Entry, Ledger};
use super::plan::{Planned, Task};
use gaat_spec::evaluation::CurvePoint;
use gaat_spec::statistics::wilson_interval;
use gaat_spec::{AttackResult, AttackSpec, Evaluation, Passes};

/// The verdict on `total` images.
pub(super) fn verdict(
    ledger: &Ledger,
    plan: &[Planned],
    options: &EvaluateOptions,
    total: usize,
    notes: Vec<String>,
) -> Evaluation {
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
    for (index, whole) in options.attacks.iter().enumerate() {
        let mut parts = Vec::new();
        for (planned, entry) in plan.iter().zip(&ledger.stages) {
            match planned.task {
                Task::Attack(of, part) if of == index => parts.push(result(part, part.to_string(), entry)),
                _ => {}
            }
        }
        attacks.push(whole_result(*whole, parts));
    }
    let clean = ledger.stages.first().map_or(0, Entry::withstood);
    let withstood = ledger.withstood_all(&last_stages(plan)).len();
    let curve = plan.iter().zip(&ledger.stages).filter_map(|(planned, entry)| match planned.task {
        Task::Curve(attack) => Some(CurvePoint {
            epsilon: planned.threat.epsilon_length(),
            result: result(attack, attack.to_string(), entry),
        }),
        _ => None,
    });
    let curve = curve.collect();
    let mut verdict = Evaluation {
        examples: total,
        subset: None,
        threat: options.threat,
        precision: None,
        clean_accuracy: share(clean),
        clean_interval: wilson_interval(clean, total),
        alarms: alarms(&attacks),
        attacks,
        robust_accuracy: share(withstood),
        robust_interval: wilson_interval(withstood, total),
        classes: Vec::new(),
        notes,
        curve,
        probes: None,
        seconds: ledger.stages.iter().map(|entry| entry.seconds).sum(),
    };
    verdict.alarms.extend(collapse::alarm(&options.training, &verdict));
    verdict.notes.extend(collapse::note(&options.training, &verdict));
    verdict
}

/// The stage of each attack that saw what all its others left.
pub(super) fn last_stages(plan: &[Planned]) -> Vec<usize> {
    let is_last = |stage: &usize| {
        matches!(plan[*stage].task, Task::Attack(..))
            && plan.get(stage + 1).is_none_or(|next| next.after != *stage)
    };
    (0..plan.len()).filter(is_last).collect()
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
