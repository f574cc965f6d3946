//! Progress of a training: the observer that `gaat train` and `gaat compare` hand to the library.

use super::joined;
use super::standing::{Standing, validation};
use gaat::train::{Control, Observer};
use gaat_cli::interrupt::{self, Waiting};
use gaat_cli::printer::{PATIENCE, Printer};
use gaat_report::format::{duration, percent};
use gaat_spec::{EpochRecord, Event};
use indicatif::ProgressBar;
use std::time::Instant;

/// A bar, and under it what is learned and what it takes.
const DISPLAY: &str = "{prefix}  [{bar:24}] {percent:>3} %\n{msg}";

/// Shows events, and asks the run to stop once the user has.
pub(crate) struct TrainingProgress<'a> {
    printer: &'a Printer,
    prefix: String,
    standing: Standing,
    epochs: usize,
    bar: Option<ProgressBar>,
    last_line: Instant,
    told_of_stop: bool,
    /// While there is a checkpoint to write.
    waiting: Option<Waiting>,
}

impl<'a> TrainingProgress<'a> {
    /// `prefix` begins every line, such as `[2/9] rat, seed 0`.
    pub(crate) fn new(printer: &'a Printer, prefix: &str) -> Self {
        Self {
            printer,
            prefix: prefix.to_owned(),
            standing: Standing::default(),
            epochs: 0,
            bar: None,
            last_line: Instant::now(),
            told_of_stop: false,
            waiting: None,
        }
    }

    /// Whether there was anything to train.
    pub(crate) fn has_begun(&self) -> bool {
        self.epochs > 0
    }

    fn line(&mut self, text: &str) {
        let line = joined(&self.prefix, text);
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.progress(&line)),
            None => self.printer.progress(&line),
        }
        self.last_line = Instant::now();
    }

    fn redraw(&self, doing: &str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(joined(&self.prefix, &self.standing.place()));
            bar.set_position(self.standing.step() as u64);
            bar.set_message(format!("  {}{doing}\n  {}", self.standing.learning(), self.standing.effort()));
        }
    }

    fn show(&mut self, event: &Event) {
        self.standing.update(event);
        match event {
            Event::Started { record, steps_done, warnings, .. } => {
                for warning in warnings {
                    self.line(&format!("warning: {warning}"));
                }
                self.epochs = record.recipe.epochs.unwrap_or(0);
                self.bar = self.printer.display(self.standing.steps() as u64, DISPLAY);
                self.redraw("");
                if *steps_done > 0 {
                    self.line(&format!("continuing after step {steps_done}"));
                }
            }
            Event::Step { .. } => {
                self.redraw("");
                if self.printer.shows_lines() && self.last_line.elapsed() >= PATIENCE {
                    let parts = [self.standing.place(), self.standing.learning(), self.standing.effort()];
                    self.line(&parts.join("  "));
                }
            }
            Event::Alarm { epoch, step, name, message, action } => {
                self.line(&format!("epoch {epoch}, step {step}: alarm: {name}: {message}; {action}"));
            }
            Event::Recovered { epoch, step, name, message } => {
                self.line(&format!("epoch {epoch}, step {step}: {name} is over: {message}"));
            }
            Event::Validating { .. } => self.redraw("  validating"),
            Event::Epoch { record, .. } => {
                if self.printer.shows_lines() {
                    self.line(&epoch_text(record, self.epochs));
                }
            }
            Event::Checkpoint { .. } => {}
            Event::Ended { .. } => self.clear(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for TrainingProgress<'_> {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        self.show(event);
        match event {
            Event::Started { .. } => self.waiting = Some(interrupt::wait_for_checkpoint()),
            Event::Ended { .. } => self.waiting = None,
            _ => {}
        }
        if !interrupt::requested() {
            return Ok(Control::Continue);
        }
        if !self.told_of_stop {
            self.told_of_stop = true;
            self.line("stopping with a checkpoint; Ctrl-C again ends at once and loses the epoch");
        }
        Ok(Control::Stop)
    }
}

impl Drop for TrainingProgress<'_> {
    fn drop(&mut self) {
        // A run that ends in an error must not leave half a display above the message.
        self.clear();
    }
}

/// One epoch in one line.
fn epoch_text(record: &EpochRecord, epochs: usize) -> String {
    let mut parts = vec![
        format!("epoch {}/{epochs}", record.epoch),
        format!("loss {:.3}", record.loss),
        format!("train {} %", percent(record.train_accuracy, 1)),
    ];
    parts.extend(Some(validation(record)).filter(|text| !text.is_empty()));
    parts.extend(record.gain_ratio.map(|ratio| format!("gain ratio {ratio:.2}")));
    let seconds = record.seconds;
    if seconds.attack > 0.0 {
        parts.push(format!("refreshes {:.1}  attack {}", record.refreshes, duration(seconds.attack)));
    }
    parts.push(format!("train {}", duration(seconds.train)));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::Seconds;

    fn record() -> EpochRecord {
        EpochRecord {
            epoch: 3,
            seconds: Seconds { attack: 1.2, train: 2.3, evaluation: 0.5, total: 3.5 },
            loss: 0.41,
            train_accuracy: 0.881,
            validation_clean: Some(0.97),
            validation_robust: Some(0.842),
            averaged: None,
            validation_robust_other: None,
            learning_rate: 0.01,
            gain_ratio: Some(1.12),
            residual: None,
            refreshes: 1.0,
            alarms: Vec::new(),
        }
    }

    #[test]
    fn an_epoch_is_one_line() {
        let expected = "epoch 3/10  loss 0.410  train 88.1 %  validation clean 97.0 % robust 84.2 %  \
                        gain ratio 1.12  refreshes 1.0  attack 1.20 s  train 2.30 s";
        assert_eq!(epoch_text(&record(), 10), expected);
    }

    #[test]
    fn what_was_not_measured_is_not_shown() {
        let seconds = Seconds { train: 2.0, ..Seconds::default() };
        let bare = EpochRecord {
            validation_clean: None,
            validation_robust: None,
            gain_ratio: None,
            residual: None,
            seconds,
            ..record()
        };
        assert_eq!(epoch_text(&bare, 10), "epoch 3/10  loss 0.410  train 88.1 %  train 2.00 s");
    }
}
