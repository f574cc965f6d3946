//! A run that is trained, in a few lines.

use crate::format::{NOTHING, duration, percent, ratio, run_name, typed};
use gaat_spec::{RunRecord, visible_path};
use std::path::Path;

/// How the run of `record` in `directory` ended: its time, its best epoch, its cost, its alarms, and what comes next.
pub fn trained_text(directory: &Path, record: &RunRecord) -> String {
    let seconds = record.seconds;
    let whole = duration(seconds.total + seconds.evaluation);
    let mut lines = vec![format!(
        "{}: {whole} (attack {}, training {}, validation {})",
        run_name(&record.recipe),
        duration(seconds.attack),
        duration(seconds.train),
        duration(seconds.evaluation)
    )];
    let best = record.best_epoch.and_then(|best| record.epochs.iter().find(|epoch| epoch.epoch == best));
    if let Some(best) = best {
        let accuracy =
            |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), |value| percent(value, 1) + " %");
        let steps = record.recipe.validation_steps.unwrap_or_default();
        lines.push(format!(
            "validation   clean {}   pgd-{steps} {}   (epoch {}, the best)",
            accuracy(best.validation_clean),
            accuracy(best.validation_robust),
            best.epoch
        ));
    }
    lines.push(format!("cost         {} the passes of natural training", ratio(record.cost_ratio)));
    for epoch in &record.epochs {
        lines.extend(epoch.alarms.iter().map(|alarm| format!("alarm        epoch {}: {alarm}", epoch.epoch)));
    }
    lines.push(format!("run          {}", visible_path(directory)));
    lines.push(format!("report       {}", visible_path(&directory.join("report.html"))));
    lines.push(format!("next         gaat evaluate {}", typed(directory)));
    lines.join("\n")
}
