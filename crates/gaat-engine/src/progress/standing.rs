//! How a training stands, as told by its events: the numbers of the display, without the display.

use gaat_report::format::{count, percent};
use gaat_spec::{EpochRecord, Event, Seconds};

/// What the events have told so far.
#[derive(Debug, Default)]
pub(super) struct Standing {
    epochs: usize,
    steps: usize,
    epoch: usize,
    step: usize,
    /// Sums over the epoch so far.
    sums: Sums,
    validation: String,
    alarms: usize,
    /// The name of an alarm that is not over.
    alarm: Option<String>,
    /// Steps that this process did, and the seconds that they and the validations took.
    steps_here: usize,
    seconds_here: f64,
}

#[derive(Debug, Default)]
struct Sums {
    images: f64,
    loss: f64,
    right: f64,
    refreshes: f64,
    gain: f64,
    gains: f64,
    seconds: Seconds,
}

impl Standing {
    /// Takes note of `event`.
    pub(super) fn update(&mut self, event: &Event) {
        match event {
            Event::Started { record, steps_per_epoch, steps_done, .. } => {
                self.epochs = record.recipe.epochs.unwrap_or(0);
                self.steps = self.epochs * steps_per_epoch;
                self.step = *steps_done;
                self.epoch = steps_done / (*steps_per_epoch).max(1) + 1;
                self.validation = record.epochs.last().map(validation).unwrap_or_default();
                self.alarms = record.epochs.iter().map(|epoch| epoch.alarms.len()).sum();
            }
            Event::Step { epoch, step, images, loss, accuracy, gain_ratio, refreshes, seconds, .. } => {
                let sums = &mut self.sums;
                let images = *images as f64;
                sums.images += images;
                sums.loss += images * loss;
                sums.right += images * accuracy;
                sums.refreshes += images * refreshes;
                if let Some(ratio) = gain_ratio.filter(|ratio| ratio.is_finite()) {
                    sums.gain += ratio;
                    sums.gains += 1.0;
                }
                sums.seconds += *seconds;
                (self.epoch, self.step) = (*epoch, *step);
                self.steps_here += 1;
                self.seconds_here += seconds.total;
            }
            Event::Alarm { name, .. } => {
                self.alarms += 1;
                self.alarm = Some(name.clone());
            }
            Event::Recovered { name, .. } => self.alarm = self.alarm.take().filter(|alarm| alarm != name),
            Event::Epoch { record, .. } => {
                self.sums = Sums::default();
                self.validation = validation(record);
                self.seconds_here += record.seconds.evaluation;
            }
            Event::Validating { .. } | Event::Checkpoint { .. } | Event::Ended { .. } => {}
        }
    }

    /// Steps of the whole run.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Steps that are done.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// Where the run is: `epoch 3/10  step 1,203/4,690`.
    pub(super) fn place(&self) -> String {
        let (step, steps) = (count(self.step as u64), count(self.steps as u64));
        format!("epoch {}/{}  step {step}/{steps}", self.epoch, self.epochs)
    }

    /// What is learned: loss and accuracies of this epoch, and the last validation.
    pub(super) fn learning(&self) -> String {
        let Sums { images, loss, right, .. } = self.sums;
        let mut parts = Vec::new();
        if images > 0.0 {
            parts.push(format!("loss {:.3}  train {} %", loss / images, percent(right / images, 1)));
        }
        parts.extend(Some(self.validation.clone()).filter(|text| !text.is_empty()));
        parts.join("  ")
    }

    /// What it takes: time left, throughput, the attack's share of the time, its gradients, alarms.
    pub(super) fn effort(&self) -> String {
        let Sums { images, refreshes, gain, gains, seconds, .. } = self.sums;
        let mut parts: Vec<String> =
            self.time_left().map(|left| format!("{} left", about(left))).into_iter().collect();
        if images > 0.0 && seconds.total > 0.0 {
            parts.push(format!("{} images/s", count((images / seconds.total) as u64)));
        }
        if seconds.attack > 0.0 {
            parts.push(format!("attack {} %", percent(seconds.attack / seconds.total, 0)));
        }
        if refreshes > 0.0 {
            parts.push(format!("refreshes {:.1}", refreshes / images));
        }
        if gains > 0.0 {
            parts.push(format!("gain ratio {:.2}", gain / gains));
        }
        match (&self.alarm, self.alarms) {
            (Some(name), _) => parts.push(format!("ALARM: {name}")),
            (None, 0) => {}
            (None, 1) => parts.push("1 alarm".to_owned()),
            (None, alarms) => parts.push(format!("{alarms} alarms")),
        }
        parts.join("  ")
    }

    /// By the mean of what this process has done so far, validation included.
    fn time_left(&self) -> Option<f64> {
        let left = self.steps.saturating_sub(self.step) as f64;
        (self.steps_here > 0).then(|| self.seconds_here / self.steps_here as f64 * left)
    }
}

/// The validation of an epoch: `validation clean 97.0 % robust 84.2 %`; empty where there was none.
pub(super) fn validation(record: &EpochRecord) -> String {
    let part = |name: &str, value: Option<f64>| value.map(|value| format!(" {name} {} %", percent(value, 1)));
    let parts: String = [part("clean", record.validation_clean), part("robust", record.validation_robust)]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() { parts } else { format!("validation{parts}") }
}

/// A duration that does not flicker: seconds, minutes, or hours and minutes.
fn about(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=89 => format!("{whole} s"),
        90..=5399 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: usize, seconds: Seconds, gain_ratio: Option<f64>, refreshes: f64) -> Event {
        let (epoch, images, learning_rate) = (3, 100, 0.1);
        let (loss, accuracy) = (0.25 * step as f64 - 250.0, 0.875);
        Event::Step { epoch, step, images, loss, accuracy, learning_rate, gain_ratio, refreshes, seconds }
    }

    fn seconds(attack: f64, train: f64) -> Seconds {
        Seconds { attack, train, evaluation: 0.0, total: attack + train }
    }

    fn alarm() -> Event {
        let (name, message, action) = ("collapse".to_owned(), String::new(), String::new());
        Event::Alarm { epoch: 3, step: 1002, name, message, action }
    }

    fn recovered() -> Event {
        Event::Recovered { epoch: 3, step: 1003, name: "collapse".to_owned(), message: String::new() }
    }

    #[test]
    fn the_numbers_of_an_epoch_are_means_over_its_images() {
        let mut standing = Standing { epochs: 10, steps: 5000, ..Standing::default() };
        standing.update(&step(1001, seconds(0.06, 0.04), Some(0.9), 1.0));
        standing.update(&step(1002, seconds(0.06, 0.04), Some(1.1), 2.0));
        assert_eq!(standing.place(), "epoch 3/10  step 1,002/5,000");
        assert_eq!(standing.learning(), "loss 0.375  train 87.5 %");
        // 3,998 steps of 0.1 s are left.
        let numbers = "7 min left  1,000 images/s  attack 60 %  refreshes 1.5  gain ratio 1.00";
        assert_eq!(standing.effort(), numbers);
        standing.update(&alarm());
        assert_eq!(standing.effort(), format!("{numbers}  ALARM: collapse"));
        standing.update(&recovered());
        assert_eq!(standing.effort(), format!("{numbers}  1 alarm"));
    }

    #[test]
    fn natural_training_tells_of_no_attack() {
        let mut standing = Standing { epochs: 10, steps: 2000, ..Standing::default() };
        standing.update(&step(1001, seconds(0.0, 1.0), None, 0.0));
        assert_eq!(standing.effort(), "17 min left  100 images/s");
    }

    #[test]
    fn durations_are_round() {
        assert_eq!(
            (about(89.4), about(90.0), about(7260.0)),
            ("89 s".into(), "2 min".into(), "2 h 01 min".into())
        );
    }
}
