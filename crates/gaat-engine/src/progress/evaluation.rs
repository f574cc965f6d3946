//! Progress of an evaluation, with the robust accuracy so far.

use super::joined;
use gaat::evaluate::{Control, Progress, Stage};
use gaat_cli::interrupt;
use gaat_cli::printer::{PATIENCE, Printer};
use gaat_report::format::{count, percent};
use indicatif::ProgressBar;
use std::time::Instant;

/// Shows how far each attack is, and asks to stop once the user has.
pub(crate) struct EvaluationProgress<'a> {
    printer: &'a Printer,
    prefix: String,
    stage: Option<Stage>,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl<'a> EvaluationProgress<'a> {
    pub(crate) fn new(printer: &'a Printer, prefix: &str) -> Self {
        Self { printer, prefix: prefix.to_owned(), stage: None, bar: None, last_line: Instant::now() }
    }

    /// Takes note of `progress`.
    pub(crate) fn update(&mut self, progress: &Progress) -> Control {
        if self.stage.as_ref() != Some(&progress.stage) {
            self.begin(progress);
        }
        let is_whole = progress.done >= progress.total;
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done as u64);
            bar.set_message(format!("{} % so far", percent(progress.robust_accuracy, 1)));
            if is_whole {
                bar.finish_and_clear();
            }
        }
        if self.printer.shows_lines() && (is_whole || self.last_line.elapsed() >= PATIENCE) {
            self.last_line = Instant::now();
            self.printer.progress(&joined(&self.prefix, &line(progress)));
        }
        if interrupt::requested() { Control::Stop } else { Control::Continue }
    }

    fn begin(&mut self, progress: &Progress) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.stage = Some(progress.stage.clone());
        self.last_line = Instant::now();
        self.bar = self.printer.live(progress.total as u64);
        if let Some(bar) = &self.bar {
            bar.set_prefix(joined(&self.prefix, &format!("judging: {}", name(&progress.stage))));
        }
    }
}

impl Drop for EvaluationProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn name(stage: &Stage) -> &str {
    match stage {
        Stage::Clean => "clean",
        Stage::Attack { name } => name,
    }
}

fn line(progress: &Progress) -> String {
    let Progress { stage, done, total, robust_accuracy } = progress;
    let accuracy = percent(*robust_accuracy, 1);
    let share = if done == total {
        format!("{} images", count(*total as u64))
    } else {
        format!("{} of {} images", count(*done as u64), count(*total as u64))
    };
    format!("{} {accuracy} %  ({share})", name(stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_stage_and_how_far_it_is() {
        let stage = Stage::Attack { name: "pgd-50x10".to_owned() };
        let half = Progress { stage: stage.clone(), done: 5000, total: 10_000, robust_accuracy: 0.9 };
        assert_eq!(line(&half), "pgd-50x10 90.0 %  (5,000 of 10,000 images)");
        let whole = Progress { stage: Stage::Clean, done: 300, total: 300, robust_accuracy: 0.97 };
        assert_eq!(line(&whole), "clean 97.0 %  (300 images)");
    }
}
