//! The curves of a run for TensorBoard: `tensorboard --logdir runs` shows every run below `runs` by its folder.

use super::events::{Control, Observer};
use crate::error::Result;
use gaat_files::tfevents::EventFile;
use gaat_spec::{EpochRecord, Event};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes the numbers of steps and epochs into one event file. A resumed run continues in it.
#[derive(Debug)]
pub(super) struct TensorBoard {
    file: EventFile,
    /// The last step; epochs are shown at their last one.
    step: usize,
}

impl TensorBoard {
    /// Continues after the first `length` records.
    pub(super) fn append_to(path: &Path, length: usize) -> Result<Self> {
        Ok(Self { file: EventFile::append_to(path, length, now())?, step: 0 })
    }

    /// Records so far.
    pub(super) fn length(&self) -> usize {
        self.file.length()
    }

    /// Brings all records to the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        Ok(self.file.sync()?)
    }

    fn write(&mut self, values: &[(&str, Option<f64>)]) -> Result<()> {
        let known: Vec<_> = values.iter().filter_map(|(tag, value)| Some((*tag, (*value)?))).collect();
        Ok(self.file.scalars(now(), self.step, &known)?)
    }
}

impl Observer for TensorBoard {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        match event {
            Event::Step { step, loss, accuracy, learning_rate, gain_ratio, refreshes, .. } => {
                self.step = *step;
                self.write(&[
                    ("step/loss", Some(*loss)),
                    ("step/accuracy", Some(*accuracy)),
                    ("step/learning_rate", Some(*learning_rate)),
                    ("step/gain_ratio", *gain_ratio),
                    ("step/refreshes", Some(*refreshes)),
                ])?;
            }
            Event::Epoch { record, cost_ratio } => {
                self.write(&of_epoch(record, *cost_ratio))?;
                self.file.flush()?;
            }
            Event::Ended { .. } => self.file.flush()?,
            _ => {}
        }
        Ok(Control::Continue)
    }
}

fn of_epoch(record: &EpochRecord, cost_ratio: f64) -> [(&'static str, Option<f64>); 13] {
    [
        ("validation/clean", record.validation_clean),
        ("validation/robust", record.validation_robust),
        ("epoch/loss", Some(record.loss)),
        ("epoch/train_accuracy", Some(record.train_accuracy)),
        ("epoch/learning_rate", Some(record.learning_rate)),
        ("attack/gain_ratio", record.gain_ratio),
        ("attack/residual", record.residual),
        ("attack/refreshes", Some(record.refreshes)),
        ("attack/alarms", Some(record.alarms.len() as f64)),
        ("cost/seconds", Some(record.seconds.total)),
        ("cost/seconds_attack", Some(record.seconds.attack)),
        ("cost/seconds_validation", Some(record.seconds.evaluation)),
        ("cost/passes_over_natural", Some(cost_ratio)),
    ]
}

/// Seconds since 1970, as TensorBoard counts time; 0 for a clock before that.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
