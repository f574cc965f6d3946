//! Progress of a training: the observer that `gaat train` and `gaat compare` hand to the library.

use super::joined;
use crate::interrupt;
use crate::printer::Printer;
use gaat::train::{Control, Observer};
use gaat_report::format::{count, duration, percent};
use gaat_spec::{EpochRecord, Event};
use indicatif::ProgressBar;

/// Shows events, and asks the run to stop once the user has.
pub(crate) struct TrainingProgress<'a> {
    printer: &'a Printer,
    prefix: String,
    epochs: usize,
    batch_size: usize,
    bar: Option<ProgressBar>,
    loss: RunningMean,
    accuracy: RunningMean,
    /// What the last validation found; shown until the next one.
    validation: String,
    told_of_stop: bool,
}

impl<'a> TrainingProgress<'a> {
    /// `prefix` begins every line, such as `[2/9] rat, seed 0`.
    pub(crate) fn new(printer: &'a Printer, prefix: &str) -> Self {
        Self {
            printer,
            prefix: prefix.to_owned(),
            epochs: 0,
            batch_size: 0,
            bar: None,
            loss: RunningMean::default(),
            accuracy: RunningMean::default(),
            validation: String::new(),
            told_of_stop: false,
        }
    }

    fn line(&self, text: &str) {
        let line = joined(&self.prefix, text);
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.progress(&line)),
            None => self.printer.progress(&line),
        }
    }

    fn show_epoch(&self, bar: &ProgressBar, epoch: usize) {
        bar.set_prefix(joined(&self.prefix, &format!("epoch {epoch}/{}", self.epochs)));
    }

    fn on_step(&mut self, epoch: usize, step: usize, loss: f64, accuracy: f64) {
        self.loss.add(loss);
        self.accuracy.add(accuracy);
        if let Some(bar) = &self.bar {
            self.show_epoch(bar, epoch);
            bar.set_position(step as u64);
            let speed = count((bar.per_sec() * self.batch_size as f64) as u64);
            let (loss, accuracy) = (self.loss.value(), percent(self.accuracy.value(), 1));
            let validation = &self.validation;
            bar.set_message(format!("loss {loss:.3}  train {accuracy} %  {speed} images/s{validation}"));
        }
    }

    fn on_epoch(&mut self, record: &EpochRecord) {
        self.loss = RunningMean::default();
        self.accuracy = RunningMean::default();
        let validation = validation_text(record);
        if self.printer.shows_lines() {
            self.line(&epoch_text(record, self.epochs));
        }
        self.validation = if validation.is_empty() { validation } else { format!("  {validation}") };
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Started { record, steps_per_epoch, steps_done, warnings } => {
                for warning in warnings {
                    self.line(&format!("warning: {warning}"));
                }
                self.epochs = record.recipe.epochs.unwrap_or(0);
                self.batch_size = record.recipe.batch_size.unwrap_or(0);
                self.bar = self.printer.live((self.epochs * steps_per_epoch) as u64);
                if let Some(bar) = &self.bar {
                    self.show_epoch(bar, steps_done / (*steps_per_epoch).max(1) + 1);
                    bar.set_position(*steps_done as u64);
                    // What an earlier process did says nothing about the time left now.
                    bar.reset_eta();
                }
                if *steps_done > 0 {
                    self.line(&format!("going on after step {steps_done}"));
                }
            }
            Event::Step { epoch, step, loss, accuracy, .. } => self.on_step(*epoch, *step, *loss, *accuracy),
            Event::Alarm { epoch, step, name, message, action } => {
                self.line(&format!("epoch {epoch}, step {step}: alarm: {name}: {message}; {action}"));
            }
            Event::Recovered { epoch, step, name, message } => {
                self.line(&format!("epoch {epoch}, step {step}: {name} is over: {message}"));
            }
            Event::Validating { .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message("validating");
                }
            }
            Event::Epoch { record } => self.on_epoch(record),
            Event::Checkpoint { .. } => {}
            Event::Ended { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

impl Observer for TrainingProgress<'_> {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        self.show(event);
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
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// One epoch in one line.
fn epoch_text(record: &EpochRecord, epochs: usize) -> String {
    let mut parts = vec![
        format!("epoch {}/{epochs}", record.epoch),
        format!("loss {:.3}", record.loss),
        format!("train {} %", percent(record.train_accuracy, 1)),
    ];
    parts.extend(Some(validation_text(record)).filter(|text| !text.is_empty()));
    parts.extend(record.gain_ratio.map(|ratio| format!("gain ratio {ratio:.2}")));
    let seconds = record.seconds;
    if seconds.attack > 0.0 {
        parts.push(format!("attack {}", duration(seconds.attack)));
    }
    parts.push(format!("train {}", duration(seconds.train)));
    parts.join("  ")
}

fn validation_text(record: &EpochRecord) -> String {
    let part = |name: &str, value: Option<f64>| value.map(|value| format!(" {name} {} %", percent(value, 1)));
    let parts: String = [part("clean", record.validation_clean), part("robust", record.validation_robust)]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() { parts } else { format!("validation{parts}") }
}

#[derive(Debug, Default)]
struct RunningMean {
    sum: f64,
    count: usize,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> f64 {
        self.sum / self.count as f64
    }
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
            learning_rate: 0.01,
            gain_ratio: Some(1.12),
            refreshes: 1.0,
            alarms: Vec::new(),
        }
    }

    #[test]
    fn an_epoch_is_one_line() {
        let expected = "epoch 3/10  loss 0.410  train 88.1 %  validation clean 97.0 % robust 84.2 %  \
                        gain ratio 1.12  attack 1.20 s  train 2.30 s";
        assert_eq!(epoch_text(&record(), 10), expected);
    }

    #[test]
    fn what_was_not_measured_is_not_shown() {
        let seconds = Seconds { train: 2.0, ..Seconds::default() };
        let bare = EpochRecord {
            validation_clean: None,
            validation_robust: None,
            gain_ratio: None,
            seconds,
            ..record()
        };
        assert_eq!(epoch_text(&bare, 10), "epoch 3/10  loss 0.410  train 88.1 %  train 2.00 s");
    }
}
