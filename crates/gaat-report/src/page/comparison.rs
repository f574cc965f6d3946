//! The report of a comparison.

use super::gallery::gallery;
use super::headline::comparison_headline;
use super::results::bar;
use super::run::{machine, recipe_shown};
use super::{Report, Section, document, figures, missing};
use crate::compare::{ComparedRun, Spread, methods};
use crate::curves::{OF_THE_ATTACK, comparison_plots};
use crate::document::Document;
use crate::explanation::explanation_markup;
use crate::frontier::frontier;
use crate::plot::Plot;
use gaat_spec::{Explanation, Gallery, MethodName, visible};
use maud::{Markup, html};

/// What the report of a comparison is made from.
#[derive(Debug, Clone, Copy)]
pub struct ComparisonPage<'a> {
    /// Its directory, as it can be typed into a shell.
    pub directory: &'a str,
    /// The command that it came from; `None` where it was not noted.
    pub command: Option<&'a str>,
    /// Title, runs and summary.
    pub document: Document<'a>,
    /// Perturbed images of runs, each with the name of its run.
    pub galleries: &'a [(String, Gallery)],
    /// How far the maps of its runs agree.
    pub explanation: Option<&'a Explanation>,
}

impl ComparisonPage<'_> {
    /// The report.
    pub fn report(&self) -> Report {
        let plots = comparison_plots(self.document.runs);
        let frontier = frontier("Robustness over cost", self.document.summary);
        let frontier = frontier.map(|svg| Plot { file: "frontier.svg", svg });
        let (attack, training): (Vec<&Plot>, Vec<&Plot>) =
            plots.iter().partition(|plot| OF_THE_ATTACK.contains(&plot.file));
        let section = |id, heading, body| Section { id, heading, body };
        let sections = [
            section("results", "Results", self.results()),
            section("frontier", "Cost and robustness", Self::cost(frontier.as_ref())),
            section(
                "training",
                "Training",
                html! {
                    @if training.is_empty() { p.soft { "No epoch is done yet." } }
                    (figures(&training))
                    p.soft { "Accuracies are those of the validation images: mean and standard deviation over the runs of a method." }
                },
            ),
            section("attack", "Attack while training", self.attack(&attack)),
            section("classes", "Classes", self.classes()),
            section("gallery", "Perturbed images and saliency", self.galleries()),
            section(
                "saliency",
                "Saliency in numbers",
                match self.explanation {
                    None => missing("Not explained yet.", &format!("gaat explain {}/*-s*", self.directory)),
                    Some(explanation) => explanation_markup(explanation),
                },
            ),
            section("run", "What was run", self.what_was_run()),
        ];
        let subtitle = html! { (comparison_headline(&self.document)) p.soft { code { (self.directory) } } };
        let html = document(self.document.title, &subtitle, &[], &sections);
        let files = frontier.clone().into_iter().chain(plots.iter().cloned());
        Report { html, plots: files.collect() }
    }

    fn results(&self) -> Markup {
        let Document { planned, runs, .. } = self.document;
        html! {
            @if runs.len() < planned { p { (runs.len()) " of " (planned) " runs so far." } }
            (self.document.table().to_html())
            ul { @for note in self.document.notes() { li { (note) } } }
        }
    }

    fn cost(frontier: Option<&Plot>) -> Markup {
        html! {
            @if let Some(plot) = frontier {
                (figures(&[plot]))
                p.soft { "Robust accuracy is that of the test images, under all attacks together: mean and standard deviation over the seeds. Methods on \
                    the dashed line are not beaten by a cheaper method." }
            } @else {
                p.soft { "No run is finished yet." }
            }
        }
    }

    fn attack(&self, plots: &[&Plot]) -> Markup {
        let records = self.document.runs.iter().filter_map(|run| Some((run, run.record.as_ref()?)));
        let alarms = records.flat_map(|(run, record)| {
            record.epochs.iter().flat_map(move |epoch| {
                epoch.alarms.iter().map(move |alarm| (run.method, run.seed, epoch.epoch, alarm))
            })
        });
        let alarms: Vec<(MethodName, u64, usize, &String)> = alarms.collect();
        html! {
            (figures(plots))
            @if alarms.is_empty() {
                p.soft { "No alarm was raised." }
            } @else {
                ul {
                    @for (method, seed, epoch, alarm) in alarms {
                        li.bad { (method.to_string()) ", seed " (seed) ", epoch " (epoch) ": " (alarm) }
                    }
                }
            }
        }
    }

    /// Worst-case accuracy of each class under each method, means over the seeds.
    fn classes(&self) -> Markup {
        let runs = self.document.runs;
        let judged =
            |run: &&ComparedRun| run.evaluation.as_ref().is_some_and(|found| !found.classes.is_empty());
        let Some(names) = runs.iter().find(judged).and_then(|run| run.evaluation.as_ref()) else {
            return html! { p.soft { "There are no numbers for each class: an older version of gaat made the verdicts." } };
        };
        let methods = methods(runs);
        let share = |method: MethodName, class: &str| {
            let own =
                runs.iter().filter(|run| run.method == method).filter_map(|run| run.evaluation.as_ref());
            let found = own
                .filter_map(|own| own.classes.iter().find(|found| found.name == class && found.examples > 0));
            Spread::of(&found.map(|found| found.robust_accuracy).collect::<Vec<_>>())
        };
        html! {
            div.scroll {
                table {
                    tr { th { "class" } @for method in &methods { th.right { (method.to_string()) } } }
                    @for class in &names.classes {
                        tr {
                            td { (visible(&class.name)) }
                            @for method in &methods {
                                @match share(*method, &class.name) {
                                    Some(found) => (bar(found.mean, 1)),
                                    None => td.right { "-" },
                                }
                            }
                        }
                    }
                }
            }
            p.soft { "Robust accuracy in %, under all attacks together: mean over the seeds." }
        }
    }

    fn galleries(&self) -> Markup {
        if self.galleries.is_empty() {
            return missing("No images saved yet.", "gaat evaluate RUN, for a run of this comparison");
        }
        html! {
            @for (index, (name, found)) in self.galleries.iter().enumerate() {
                details open[index == 0] { summary { (name) } (gallery(found)) }
            }
        }
    }

    fn what_was_run(&self) -> Markup {
        let record = self.document.runs.iter().find_map(|run| run.record.as_ref());
        html! {
            @if let Some(command) = self.command { pre { code { (command) } } }
            ul { @for line in self.document.circumstances() { li { (line) } } }
            div.scroll { (self.document.runs_table().to_html()) }
            @if let Some(record) = record {
                p.soft { "The recipe of the first run, made on " (machine(record)) ":" }
                (recipe_shown(&record.recipe))
            }
        }
    }
}
