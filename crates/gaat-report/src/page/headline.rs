//! The first sentences of a page: is the network robust, can the number be trusted, what did it cost; of a comparison, which method
//! is the most robust and which is the cheapest.

use super::run::{Judged, RunPage};
use crate::compare::Row;
use crate::document::Document;
use crate::format::{count, decimals, percent, ratio, spread};
use gaat_spec::method::BaseMethod;
use gaat_spec::{AttackName, Evaluation};
use maud::{Markup, html};

/// Steps of RAT's attack where the method of the run has none: those of the field on CIFAR-10.
const RAT_STEPS: usize = 10;

impl RunPage<'_> {
    pub(super) fn headline(&self) -> Markup {
        html! {
            p { strong { (self.robustness()) } " " (self.trust()) " " (self.cost()) }
        }
    }

    fn robustness(&self) -> String {
        let Some(Judged { evaluation, checkpoint, .. }) = self.best_known() else {
            return "The network has not been judged on test images yet.".to_owned();
        };
        let collapsed = if has_collapsed(evaluation) {
            "The network is not robust: its training has collapsed (catastrophic overfitting). "
        } else {
            ""
        };
        format!("{collapsed}{} (weights of the {checkpoint} epoch).", withstanding(evaluation))
    }

    /// Whether the number can be trusted.
    fn trust(&self) -> Markup {
        let Some(Judged { evaluation, .. }) = self.best_known() else {
            let command = format!("gaat evaluate {}", self.directory);
            return html! {
                "What is known of its robustness comes from validation images. To judge it, run " code { (command) } "."
            };
        };
        let alarms = evaluation.alarms.len();
        if alarms == 1 && has_collapsed(evaluation) {
            return html! { span.bad { "The alarm below the table under Results says how the collapse showed." } };
        }
        if let Some(said) = said_by_alarms_or_autoattack(evaluation) {
            return said;
        }
        let command = format!("gaat evaluate {} --attack autoattack", self.directory);
        html! {
            (WEAKER) " "
            @if let Some(found) = self.autoattack_on_fewer() {
                "AutoAttack was run on " (count(found.examples as u64)) " test images only: "
                (percent(found.robust_accuracy, decimals(found.examples))) " % of these withstand it. "
            }
            "Before you publish the number, run " code { (command) } "."
        }
    }

    /// The latest verdict by AutoAttack on the weights and under the threat model of the training, of however few images.
    fn autoattack_on_fewer(&self) -> Option<&Evaluation> {
        let mut found = self.judged.iter().rev().filter(|judged| self.is_of_the_training(judged));
        found.find(|judged| has_autoattack(&judged.evaluation)).map(|judged| &judged.evaluation)
    }

    fn cost(&self) -> String {
        let recipe = &self.record.recipe;
        let base = recipe.method.map(|method| method.base);
        let own =
            format!("The training cost {} the passes of natural training", ratio(self.record.cost_ratio));
        match base {
            Some(BaseMethod::Natural | BaseMethod::Rat) | None => format!("{own}."),
            Some(_) => {
                // K forward and backward passes of the attack, then a forward and a full backward pass, over the latter.
                let steps = recipe.steps.unwrap_or(RAT_STEPS);
                let rat = (2 * steps + 3) as f64 / 3.0;
                format!("{own}; PGD adversarial training (RAT) with {steps} steps costs {}.", ratio(rat))
            }
        }
    }
}

/// What is to be said where no alarm was raised and AutoAttack was not among the attacks.
const WEAKER: &str = "No alarm was raised, but AutoAttack was not among the attacks, and weaker attacks can overestimate the robustness, \
                      most of all that of training with one gradient for each batch.";

/// The first sentences of the page of a verdict alone.
pub(super) fn verdict_headline(evaluation: &Evaluation) -> Markup {
    html! {
        p {
            strong { (withstanding(evaluation)) "." } " "
            @if let Some(said) = said_by_alarms_or_autoattack(evaluation) { (said) } @else { (WEAKER) }
        }
    }
}

/// How robust, under what, and how accurate without an attack.
fn withstanding(evaluation: &Evaluation) -> String {
    let digits = decimals(evaluation.examples);
    let (low, high) = evaluation.robust_interval;
    let names: Vec<&str> = evaluation.attacks.iter().map(|attack| attack.name.as_str()).collect();
    format!(
        "{} % of {} test images withstand all attacks that were run ({}) within {} (95 % interval {} to {} %); {} % are classified \
         correctly without an attack",
        percent(evaluation.robust_accuracy, digits),
        count(evaluation.examples as u64),
        names.join(", "),
        evaluation.threat,
        percent(low, digits),
        percent(high, digits),
        percent(evaluation.clean_accuracy, digits),
    )
}

/// Whether the number can be trusted, where alarms or AutoAttack decide that.
fn said_by_alarms_or_autoattack(evaluation: &Evaluation) -> Option<Markup> {
    let alarms = evaluation.alarms.len();
    if alarms > 0 {
        let plural = if alarms == 1 { "alarm was" } else { "alarms were" };
        return Some(html! {
            span.bad {
                "Do not trust this number: " (alarms) " " (plural) " raised. The lines below the table under Results say why the number \
                 may be too good."
            }
        });
    }
    has_autoattack(evaluation).then(|| {
        html! { "AutoAttack was among the attacks and no alarm was raised, so the number can be compared with published ones." }
    })
}

/// The first sentences of the page of a comparison; nothing where no run is judged yet.
pub(super) fn comparison_headline(document: &Document) -> Markup {
    let summary = document.summary;
    let attacked = summary.rows.iter().filter(|row| row.method.base != BaseMethod::Natural);
    let attacked: Vec<(&Row, f64, f64)> = attacked
        .filter_map(|row| {
            Some((row, row.worst_case?.mean, row.cost_ratio.map_or(f64::NAN, |cost| cost.mean)))
        })
        .collect();
    let Some(best) = attacked.iter().max_by(|one, other| one.1.total_cmp(&other.1)) else { return html! {} };
    let cheapest = attacked.iter().min_by(|one, other| one.2.total_cmp(&other.2)).unwrap_or(best);
    let digits = decimals(summary.examples);
    let sentence = |(row, _, cost): &(&Row, f64, f64)| {
        let robust = spread(row.worst_case.as_ref(), |value| percent(value, digits));
        format!("{} ({robust} % for {} the passes of natural training)", row.method, ratio(*cost))
    };
    let collapsed: usize = summary.rows.iter().map(|row| row.collapsed.len()).sum();
    let records = document.runs.iter().filter_map(|run| run.record.as_ref());
    let alarmed = records.filter(|record| record.epochs.iter().any(|epoch| !epoch.alarms.is_empty())).count();
    let of_runs = |some: usize| format!("{some} of {} runs", document.runs.len());
    let with_autoattack = document.runs.iter().filter_map(|run| run.evaluation.as_ref()).any(has_autoattack);
    html! {
        p {
            strong {
                "Of the methods that train against attacks, the most robust on " (count(summary.examples as u64)) " test images is "
                (sentence(best))
                @if best.0.method == cheapest.0.method { ", which is the cheapest too. " } @else { "; the cheapest is " (sentence(cheapest)) ". " }
            }
            @if collapsed > 0 { span.bad { (of_runs(collapsed)) " collapsed (†). " } }
            @if alarmed > 0 { span.bad { (of_runs(alarmed)) " raised an alarm while training. " } }
            @if with_autoattack {
                "AutoAttack was among the attacks, so the numbers can be compared with published ones."
            } @else {
                "AutoAttack was not among the attacks, and weaker attacks can overestimate the robustness; " code { "--judge autoattack" }
                " adds it."
            }
        }
    }
}

/// Whether an alarm says that the training has collapsed.
fn has_collapsed(evaluation: &Evaluation) -> bool {
    evaluation.alarms.iter().any(|alarm| alarm.starts_with("collapse:"))
}

fn has_autoattack(evaluation: &Evaluation) -> bool {
    let names = [AttackName::AutoAttack, AttackName::AutoAttackPlus, AttackName::AutoAttackRand];
    evaluation.attacks.iter().any(|result| names.contains(&result.attack.name()))
}
