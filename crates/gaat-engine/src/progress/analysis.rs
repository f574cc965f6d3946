//! Progress of an analysis: which model is at which epsilon.

use gaat::analyze::{Control, Progress};
use gaat_cli::interrupt;
use gaat_cli::printer::Printer;
use indicatif::ProgressBar;

/// Shows how far an analysis is, and asks to stop once the user has.
pub(crate) struct AnalysisProgress<'a> {
    printer: &'a Printer,
    bar: Option<ProgressBar>,
    /// Epsilon as last told in lines.
    told: String,
}

impl<'a> AnalysisProgress<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self { printer, bar: None, told: String::new() }
    }

    /// Takes note of `progress`.
    pub(crate) fn update(&mut self, progress: &Progress) -> Control {
        if self.bar.is_none() {
            self.bar = self.printer.live(progress.total as u64);
            if let Some(bar) = &self.bar {
                bar.set_prefix("analysing");
            }
        }
        let epsilon = progress.epsilon.to_string();
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done as u64);
            bar.set_message(format!("epsilon {epsilon}, {}", progress.subject));
        }
        if self.printer.shows_lines() && self.told != epsilon {
            self.printer
                .progress(&format!("epsilon {epsilon}  ({} of {} batches)", progress.done, progress.total));
            self.told = epsilon;
        }
        if interrupt::requested() { Control::Stop } else { Control::Continue }
    }
}

impl Drop for AnalysisProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
