//! The first sentences of a run's page: is the network robust, can the number be trusted, what did it cost.

use super::run::{Judged, RunPage};
use crate::format::{count, decimals, percent, ratio};
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
            return "Not judged on test images yet.".to_owned();
        };
        let digits = decimals(evaluation.examples);
        let (low, high) = evaluation.robust_interval;
        format!(
            "{} % of {} test images withstand every attack within {} (95 % interval {} to {} %), {} % are classified correctly clean \
             ({checkpoint} weights).",
            percent(evaluation.robust_accuracy, digits),
            count(evaluation.examples as u64),
            evaluation.threat,
            percent(low, digits),
            percent(high, digits),
            percent(evaluation.clean_accuracy, digits),
        )
    }

    /// Whether the number can be trusted.
    fn trust(&self) -> Markup {
        let Some(Judged { evaluation, .. }) = self.best_known() else {
            let command = format!("gaat evaluate {}", self.directory);
            return html! { "Robustness is known from validation images alone; judge the run by " code { (command) } "." };
        };
        let alarms = evaluation.alarms.len();
        if alarms > 0 {
            let plural = if alarms == 1 { "alarm was" } else { "alarms were" };
            return html! { span.bad { "Do not trust the first number: " (alarms) " " (plural) " raised (Results)." } };
        }
        if has_autoattack(evaluation) {
            return html! { "AutoAttack was among the attacks and no alarm was raised, so the number can be compared with published ones." };
        }
        let command = format!("gaat evaluate {} --attack autoattack", self.directory);
        html! {
            "No alarm was raised, but AutoAttack was not run: the attacks that were run can overestimate the robustness, most of all of \
             training with one gradient a batch. To publish the number, run " code { (command) } "."
        }
    }

    fn cost(&self) -> String {
        let recipe = &self.record.recipe;
        let base = recipe.method.map(|method| method.base);
        let own =
            format!("The training took {} the passes of natural training", ratio(self.record.cost_ratio));
        match base {
            Some(BaseMethod::Natural | BaseMethod::Rat) | None => format!("{own}."),
            Some(_) => {
                // K forward and backward passes of the attack, then a forward and a full backward pass, over the latter.
                let steps = recipe.steps.unwrap_or(RAT_STEPS);
                let rat = (2 * steps + 3) as f64 / 3.0;
                format!("{own}; PGD adversarial training with {steps} steps takes {}.", ratio(rat))
            }
        }
    }
}

fn has_autoattack(evaluation: &Evaluation) -> bool {
    let names = [AttackName::AutoAttack, AttackName::AutoAttackPlus, AttackName::AutoAttackRand];
    evaluation.attacks.iter().any(|result| names.contains(&result.attack.name()))
}
