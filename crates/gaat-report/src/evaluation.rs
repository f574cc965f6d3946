//! A verdict as text: a line an attack, and what makes the numbers less than they look.

use crate::curve::curve_text;
use crate::format::{decimals, percent, seconds};
use crate::table::{Align, Table};
use gaat_spec::evaluation::{NoiseProbe, Probes};
use gaat_spec::{AttackResult, Evaluation};
use std::fmt::Write as _;

/// The table of `evaluation` under `title`, with its curve, what the probes found, notes and alarms.
pub fn evaluation_text(title: &str, evaluation: &Evaluation) -> String {
    let digits = decimals(evaluation.examples);
    let mut table = Table::new([
        ("attack", Align::Left),
        ("accuracy %", Align::Right),
        ("95 % interval", Align::Right),
        ("step", Align::Right),
        ("seconds", Align::Right),
    ]);
    let interval = |(low, high): (f64, f64)| format!("{} - {}", percent(low, digits), percent(high, digits));
    table.push([
        "none (clean)".to_owned(),
        percent(evaluation.clean_accuracy, digits),
        interval(evaluation.clean_interval),
    ]);
    let mut row = |name: String, result: &AttackResult| {
        table.push([
            name,
            percent(result.robust_accuracy, digits),
            interval(result.interval),
            result.attack.step_size().map(|step| format!("{:.4}", step.value())).unwrap_or_default(),
            seconds(result.seconds),
        ]);
    };
    for result in &evaluation.attacks {
        for part in &result.parts {
            row(format!("  {}", part.name), part);
        }
        row(result.name.clone(), result);
    }
    let worst = percent(evaluation.robust_accuracy, digits);
    table.push(["worst case".to_owned(), worst, interval(evaluation.robust_interval)]);
    let lines = |word: &str, lines: &[String]| -> String {
        lines.iter().map(|line| ["\n", word, ": ", line].concat()).collect()
    };
    let (notes, alarms) = (lines("note", &evaluation.notes), lines("alarm", &evaluation.alarms));
    let curve = curve_text(evaluation).map(|curve| format!("\n{curve}")).unwrap_or_default();
    let probes = evaluation.probes.as_ref().map(tried).unwrap_or_default();
    format!("{title}\n\n{}{curve}{probes}{notes}{alarms}", table.to_text())
}

/// What the probes found, a line each. The images are those that the network classifies correctly clean.
fn tried(probes: &Probes) -> String {
    let examples = probes.examples;
    let share = |accuracy: f64| percent(accuracy, decimals(examples));
    let NoiseProbe { draws, accuracy, .. } = probes.noise;
    let mut text = format!(
        "\nprobes for masked gradients, accuracy % on {examples} images that are correct clean\n  random noise, {draws} draws: {}\n",
        share(accuracy)
    );
    for probe in &probes.interior {
        let shares = probe.shares.iter().map(|at| format!("{} at {}", share(at.accuracy), at.share));
        let _ = writeln!(
            text,
            "  {} perturbation cut to a share: {}",
            probe.attack,
            shares.collect::<Vec<_>>().join(", ")
        );
    }
    let budgets = probes.budget.iter();
    let budgets =
        budgets.map(|at| format!("{} by {} at epsilon {}", share(at.accuracy), at.attack, at.epsilon));
    let _ = writeln!(text, "  larger budgets: {}", budgets.collect::<Vec<_>>().join(", "));
    text
}
