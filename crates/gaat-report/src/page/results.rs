//! Verdicts as tables: a row an attack, and a row a class.

use crate::format::{count, decimals, percent, seconds};
use gaat_spec::{AttackResult, ClassResult, Evaluation, judged_in, visible};
use maud::{Markup, html};

/// One verdict: the table, and what makes it less than it looks.
pub(super) fn evaluation(evaluation: &Evaluation) -> Markup {
    let digits = decimals(evaluation.examples);
    let worst = (evaluation.robust_accuracy, evaluation.robust_interval);
    html! {
        div.scroll {
            table {
                tr {
                    th { "attack" } th.right { "accuracy %" } th.right { "95 % interval" } th.right { "seconds" }
                    th { "settings" }
                }
                (row("none (clean)", (evaluation.clean_accuracy, evaluation.clean_interval), digits, None))
                @for result in &evaluation.attacks {
                    @for part in &result.parts { (attack(&format!("+ {}", part.name), part, digits)) }
                    (attack(&result.name, result, digits))
                }
                (row("worst case", worst, digits, None))
            }
        }
        p.soft { (count(evaluation.examples as u64)) " test images, " (evaluation.threat.to_string()) ", " (judged_in(evaluation.precision)) "." }
        @if !evaluation.alarms.is_empty() || !evaluation.notes.is_empty() {
            ul {
                @for alarm in &evaluation.alarms { li.bad { "alarm: " (alarm) } }
                @for note in &evaluation.notes { li { (note) } }
            }
        }
    }
}

fn attack(name: &str, result: &AttackResult, digits: usize) -> Markup {
    row(name, (result.robust_accuracy, result.interval), digits, Some(result))
}

fn row(
    name: &str,
    (share, (low, high)): (f64, (f64, f64)),
    digits: usize,
    result: Option<&AttackResult>,
) -> Markup {
    html! {
        tr {
            td { (name) }
            (bar(share, digits))
            td.right { (percent(low, digits)) " - " (percent(high, digits)) }
            td.right { (result.map(|result| seconds(result.seconds)).unwrap_or_default()) }
            td { (result.map(|result| result.attack.numbers()).unwrap_or_default()) }
        }
    }
}

/// A cell with a share in percent and a bar of that length.
pub(super) fn bar(share: f64, digits: usize) -> Markup {
    let length = format!("--share:{:.1}%", 100.0 * share.clamp(0.0, 1.0));
    html! { td.bar style=(length) { (percent(share, digits)) } }
}

/// Clean and robust accuracy of each class.
pub(super) fn classes(classes: &[ClassResult]) -> Markup {
    html! {
        div.scroll {
            table {
                tr { th { "class" } th.right { "images" } th.right { "clean %" } th.right { "robust %" } }
                @for class in classes {
                    tr {
                        td { (visible(&class.name)) }
                        td.right { (count(class.examples as u64)) }
                        @if class.examples > 0 {
                            (bar(class.clean_accuracy, 1)) (bar(class.robust_accuracy, 1))
                        } @else {
                            td.right { "-" } td.right { "-" }
                        }
                    }
                }
            }
        }
    }
}
