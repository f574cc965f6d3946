//! The report of one run.

use super::gallery::gallery;
use super::results::{classes, evaluation};
use super::{Report, Section, Tile, document, facts, figures, missing};
use crate::analysis::{analysis_markup, analysis_plots};
use crate::curve::curve_plot;
use crate::curves::{OF_THE_ATTACK, run_plots};
use crate::explanation::explanation_markup;
use crate::format::{count, decimals, duration, percent, ratio, run_name};
use crate::plot::Plot;
use gaat_spec::{
    Analysis, Checkpoint, Evaluation, Explanation, Gallery, Recipe, RunRecord, Status, judged_in,
};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// A verdict, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The command as typed; `None` where there was none, or it was not noted.
    pub command: Option<String>,
    /// Which weights.
    pub checkpoint: Checkpoint,
    /// The verdict.
    pub evaluation: Evaluation,
}

/// What the report of a run is made from.
#[derive(Debug, Clone, Copy)]
pub struct RunPage<'a> {
    /// The run directory, as it can be typed into a shell.
    pub directory: &'a str,
    /// Its record.
    pub record: &'a RunRecord,
    /// Its verdicts, oldest first.
    pub judged: &'a [Judged],
    /// Its analysis.
    pub analysis: Option<&'a Analysis>,
    /// Its perturbed images.
    pub gallery: Option<&'a Gallery>,
    /// What its maps are like.
    pub explanation: Option<&'a Explanation>,
}

impl RunPage<'_> {
    /// The report.
    pub fn report(&self) -> Report {
        let mut plots = run_plots(self.record);
        let over_epsilon = self.over_epsilon();
        let models = self.analysis.map(|analysis| analysis_plots("", analysis)).unwrap_or_default();
        let (attack, training): (Vec<&Plot>, Vec<&Plot>) =
            plots.iter().partition(|plot| OF_THE_ATTACK.contains(&plot.file));
        let section = |id, heading, body| Section { id, heading, body };
        let sections = [
            section("results", "Results", self.results()),
            section("training", "Training", self.training(&training)),
            section("attack", "Attack while training", self.attack(&attack)),
            section("epsilon", "Accuracy over epsilon", self.epsilon(over_epsilon.as_ref())),
            section("models", "Taylor models", self.models(&models)),
            section("classes", "Classes", self.classes()),
            section("gallery", "Perturbed images and saliency", self.gallery()),
            section("saliency", "Saliency in numbers", self.saliency()),
            section("run", "What was run", self.what_was_run()),
        ];
        let title = run_name(&self.record.recipe);
        let html = document(&title, &self.subtitle(), &self.tiles(), &sections);
        // The plots of the analysis are files already, beside it.
        plots.extend(over_epsilon);
        Report { html, plots }
    }

    fn subtitle(&self) -> Markup {
        let alarms: usize = self.record.epochs.iter().map(|epoch| epoch.alarms.len()).sum();
        html! {
            (self.headline())
            p.soft {
                code { (self.directory) } ", " (status(self.record.status))
                @if let Some(failure) = &self.record.failure { span.bad { ": " (failure) } }
                @if alarms > 0 { span.bad { ", " (alarms) " alarm" @if alarms > 1 { "s" } " while training" } }
            }
        }
    }

    /// The verdict on the best weights under the threat model that they were trained for, where there is one; on most
    /// images, and of those that by the strongest attacks. Verdicts with another clean accuracy than the latest are of weights that
    /// were trained on since, and are passed over.
    pub(super) fn best_known(&self) -> Option<&Judged> {
        let rank = |judged: &Judged| (self.is_of_the_training(judged), judged.evaluation.examples);
        let latest = self.judged.iter().max_by_key(|judged| rank(judged))?;
        let clean = latest.evaluation.clean_accuracy;
        let alike = self.judged.iter().rev().filter(|judged| {
            rank(judged) == rank(latest) && judged.evaluation.clean_accuracy.total_cmp(&clean).is_eq()
        });
        alike.min_by(|one, other| one.evaluation.robust_accuracy.total_cmp(&other.evaluation.robust_accuracy))
    }

    /// Whether a verdict is on the best weights under the threat model that they were trained for.
    pub(super) fn is_of_the_training(&self, judged: &Judged) -> bool {
        let recipe = &self.record.recipe;
        let threat = judged.evaluation.threat;
        let is_own = (Some(threat.norm()), Some(threat.epsilon_length())) == (recipe.norm, recipe.epsilon);
        is_own && judged.checkpoint == Checkpoint::Best
    }

    pub(super) fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut tile = |value: String, words: &str| tiles.push(Tile { value, words: words.to_owned() });
        if let Some(Judged { evaluation, checkpoint, .. }) = self.best_known() {
            let digits = decimals(evaluation.examples);
            tile(format!("{} %", percent(evaluation.clean_accuracy, digits)), "clean accuracy");
            let names: Vec<&str> = evaluation.attacks.iter().map(|attack| attack.name.as_str()).collect();
            let words = format!(
                "robust accuracy, {} weights, {}, worst of {}",
                checkpoint,
                evaluation.threat,
                names.join(", ")
            );
            tile(format!("{} %", percent(evaluation.robust_accuracy, digits)), &words);
        }
        tile(ratio(self.record.cost_ratio), "the passes of natural training");
        tile(duration(self.record.seconds.total), "time of the training, without validation");
        tiles
    }

    fn results(&self) -> Markup {
        if self.judged.is_empty() {
            return missing("Not judged yet.", &format!("gaat evaluate {}", self.directory));
        }
        html! {
            @for judged in self.judged {
                (evaluation(&judged.evaluation))
                p.soft { "Weights: those of the " (judged.checkpoint.as_str()) " epoch." }
                @if let Some(command) = &judged.command { pre { code { (command) } } }
            }
        }
    }

    fn training(&self, plots: &[&Plot]) -> Markup {
        html! {
            @if plots.is_empty() { p.soft { "No epoch is done yet." } }
            (figures(plots))
            @if let Some(best) = self.record.best_epoch {
                p.soft {
                    "Clean and robust accuracy are those of the validation images. Epoch " (best) " was the best on them; its weights are \
                    the ones that are judged, unless --checkpoint last was given."
                }
            }
        }
    }

    fn attack(&self, plots: &[&Plot]) -> Markup {
        let alarms = self.record.epochs.iter();
        let alarms: Vec<(usize, &String)> =
            alarms.flat_map(|epoch| epoch.alarms.iter().map(|alarm| (epoch.epoch, alarm))).collect();
        let predicts = plots.iter().any(|plot| plot.file == "gain-ratio.svg");
        html! {
            (figures(plots))
            @if !predicts { p.soft { "This method has no model of the loss, and so no gain ratio." } }
            @if alarms.is_empty() {
                p.soft { "No alarm was raised." }
            } @else {
                ul { @for (epoch, alarm) in alarms { li.bad { "epoch " (epoch) ": " (alarm) } } }
            }
        }
    }

    /// The latest verdict over epsilon.
    fn over_epsilon(&self) -> Option<Plot> {
        let mut latest = self.judged.iter().rev();
        let svg = latest.find_map(|judged| curve_plot("Accuracy over epsilon", &judged.evaluation))?;
        Some(Plot { file: "accuracy-over-epsilon.svg", svg })
    }

    fn epsilon(&self, plot: Option<&Plot>) -> Markup {
        match plot {
            None => {
                missing("Not judged over epsilon yet.", &format!("gaat evaluate {} --curve", self.directory))
            }
            Some(plot) => figures(&[plot]),
        }
    }

    fn models(&self, plots: &[Plot]) -> Markup {
        match self.analysis {
            None => missing("Not analysed yet.", &format!("gaat analyze {}", self.directory)),
            Some(analysis) => html! {
                (figures(&plots.iter().collect::<Vec<_>>()))
                details { summary { "The numbers" } (analysis_markup(analysis)) }
            },
        }
    }

    fn classes(&self) -> Markup {
        let found = self.judged.iter().filter(|judged| !judged.evaluation.classes.is_empty());
        match found.max_by_key(|judged| judged.evaluation.examples) {
            None => missing(
                "There are no numbers for each class yet.",
                &format!("gaat evaluate {}", self.directory),
            ),
            Some(judged) => html! {
                (classes(&judged.evaluation.classes))
                p.soft { (count(judged.evaluation.examples as u64)) " test images, " (judged.evaluation.threat.to_string()) ", " (judged_in(judged.evaluation.precision)) "; robust: correct under every attack of that table." }
            },
        }
    }

    fn gallery(&self) -> Markup {
        match self.gallery {
            None => missing("No images saved yet.", &format!("gaat evaluate {}", self.directory)),
            Some(found) => gallery(found),
        }
    }

    fn saliency(&self) -> Markup {
        match self.explanation {
            None => missing("Not explained yet.", &format!("gaat explain {}", self.directory)),
            Some(explanation) => explanation_markup(explanation),
        }
    }

    fn what_was_run(&self) -> Markup {
        let RunRecord { recipe, environment, model, passes, seconds, .. } = self.record;
        let shown = |value: Option<String>| value.unwrap_or_default();
        let rows = [
            ("method", shown(recipe.method.map(|method| method.to_string()))),
            ("data", shown(recipe.dataset.map(|dataset| dataset.to_string()))),
            ("model", format!("{} {} ({} parameters)", model.name, model.variant, count(model.parameters))),
            ("images trained on", count(self.record.images)),
            (
                "passes",
                format!(
                    "{} forward, {} backward to the pixels, {} backward to the weights, {} Hessian-vector",
                    count(passes.forward),
                    count(passes.input_backward),
                    count(passes.full_backward),
                    count(passes.hessian_vector)
                ),
            ),
            (
                "time",
                format!(
                    "attack {}, training pass {}, validation {}",
                    duration(seconds.attack),
                    duration(seconds.train),
                    duration(seconds.evaluation)
                ),
            ),
            ("machine", machine(self.record)),
            ("software", format!("gaat {}, libtorch {}", environment.version, environment.libtorch)),
            (
                "data digest",
                match &self.record.extra_digest {
                    Some(extra) => format!("{}, of the extra images {extra}", self.record.data_digest),
                    None => self.record.data_digest.clone(),
                },
            ),
        ];
        html! {
            (facts(&rows))
            h3 { "To repeat it" }
            pre { code { "gaat train " (self.directory) "/recipe.toml --out again\ngaat evaluate again" } }
            (recipe_shown(recipe))
        }
    }
}

/// A recipe, folded away.
pub(super) fn recipe_shown(recipe: &Recipe) -> Markup {
    match recipe.to_toml() {
        Ok(text) => html! { details { summary { "recipe.toml" } pre { code { (text) } } } },
        Err(error) => html! { p.bad { "The recipe cannot be written: " (error.to_string()) } },
    }
}

/// Where a run was made, in one line.
pub(super) fn machine(record: &RunRecord) -> String {
    let at = &record.environment;
    format!("{}, device {}, threads {}, trained in {}", at.cpu, at.device, at.threads, at.precision)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running, or ended without a record",
        Status::Done => "done",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
    }
}
