//! Steps that the device was told to do, until their numbers are there.

use crate::train::StepOutcome;
use crate::train::mark::Mark;
use crate::train::reading::Reading;
use crate::{Error, Result};
use gaat_spec::Seconds;

/// Steps that a GPU may be behind: the program tells it the next ones while their numbers are on the way, so that it never
/// waits. What hangs on those numbers, refinement and alarms, follows as many steps late.
pub(super) const IN_FLIGHT: usize = 4;

/// A step that is done.
pub(in crate::train) struct Stepped {
    pub(in crate::train) epoch: usize,
    pub(in crate::train) step: usize,
    pub(in crate::train) outcome: StepOutcome,
    pub(in crate::train) learning_rate: f64,
    pub(in crate::train) seconds: Seconds,
}

/// A step that the device was told to do.
pub(super) struct Launched {
    pub(super) epoch: usize,
    pub(super) step: usize,
    pub(super) learning_rate: f64,
    pub(super) reading: Reading,
    pub(super) started: Mark,
    pub(super) attacks: Vec<(Mark, Mark)>,
    pub(super) ended: Mark,
}

impl Launched {
    /// Waits until it is done.
    pub(super) fn read(self) -> Result<Stepped> {
        let (epoch, step) = (self.epoch, self.step);
        self.numbers().map_err(|error| located(error, epoch, step))
    }

    fn numbers(self) -> Result<Stepped> {
        let Self { epoch, step, learning_rate, reading, started, attacks, ended } = self;
        let outcome = reading.finish()?;
        let mut attack = 0.0;
        for (started, ended) in attacks {
            attack += started.seconds_to(&ended)?;
        }
        let total = started.seconds_to(&ended)?;
        let seconds = Seconds { attack, train: total - attack, evaluation: 0.0, total };
        Ok(Stepped { epoch, step, outcome, learning_rate, seconds })
    }
}

/// Says where in the run something went wrong, and what is left.
pub(super) fn located(error: Error, epoch: usize, step: usize) -> Error {
    match error {
        Error::Usage(reason) => Error::Training {
            epoch,
            step,
            reason: format!(
                "{reason}; the checkpoints of the last whole epoch are untouched. A lower --learning-rate or a \
                 --clip-norm usually helps"
            ),
        },
        other => other,
    }
}
