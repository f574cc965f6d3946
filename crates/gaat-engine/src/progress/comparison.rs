//! Progress of a comparison: which run has its turn, how its training and its judgement go, and how it ended.

use super::evaluation::EvaluationProgress;
use super::training::TrainingProgress;
use gaat::evaluate::Control;
use gaat::train::Observer as _;
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use gaat_report::ComparedRun;
use gaat_report::format::{duration, percent};
use gaat_study::comparison::{Happened, Observer, Turn};

/// What is shown of the run whose turn it is.
enum Shown<'a> {
    Nothing,
    Training(TrainingProgress<'a>),
    Judging(EvaluationProgress<'a>),
}

/// Shows the runs one after the other, and asks to stop once the user has.
pub(crate) struct ComparisonProgress<'a> {
    printer: &'a Printer,
    shown: Shown<'a>,
}

impl<'a> ComparisonProgress<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self { printer, shown: Shown::Nothing }
    }

    fn ended(&self, prefix: &str, run: &ComparedRun) {
        if let Some(reason) = &run.failure {
            self.printer.progress(&format!("{prefix}  failed: {reason}"));
        } else if let (Some(record), Some(evaluation)) = (&run.record, &run.evaluation) {
            self.printer.progress(&format!(
                "{prefix}  clean {} %  worst case {} %  in {}",
                percent(evaluation.clean_accuracy, 1),
                percent(evaluation.robust_accuracy, 1),
                duration(record.seconds.total)
            ));
        }
    }
}

impl Observer for ComparisonProgress<'_> {
    fn on(&mut self, turn: &Turn, happened: Happened<'_>) -> Control {
        let Turn { index, count, method, seed } = turn;
        let prefix = format!("[{}/{count}] {method}, seed {seed}", index + 1);
        match happened {
            Happened::Training(event) => {
                if !matches!(self.shown, Shown::Training(_)) {
                    self.shown = Shown::Training(TrainingProgress::new(self.printer, &prefix));
                }
                if let Shown::Training(progress) = &mut self.shown
                    && let Ok(control) = progress.on_event(event)
                {
                    return control;
                }
            }
            Happened::Judging(now) => {
                if !matches!(self.shown, Shown::Judging(_)) {
                    self.shown = Shown::Judging(EvaluationProgress::new(self.printer, &prefix));
                }
                if let Shown::Judging(progress) = &mut self.shown {
                    return progress.update(now);
                }
            }
            Happened::Ended(run) => {
                self.shown = Shown::Nothing;
                self.ended(&prefix, run);
            }
            Happened::Warning(warning) => self.printer.warning(warning),
            // The turn of the next run; no display of the last one may be left.
            _ => self.shown = Shown::Nothing,
        }
        if interrupt::requested() { Control::Stop } else { Control::Continue }
    }
}
