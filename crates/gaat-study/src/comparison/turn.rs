//! What a comparison tells its observer, and what the observer may answer.

use gaat::evaluate::{Control, Progress};
use gaat_report::ComparedRun;
use gaat_spec::{Event, MethodName};

/// The run whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// From 0.
    pub index: usize,
    /// Runs of the comparison.
    pub count: usize,
    /// Its method.
    pub method: MethodName,
    /// Its seed.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Happened<'a> {
    /// The turn of a run has come.
    Begins,
    /// The run is trained.
    Training(&'a Event),
    /// The run is judged.
    Judging(&'a Progress),
    /// The run is done, or has failed.
    Ended(&'a ComparedRun),
    /// Something that stops nothing.
    Warning(&'a str),
}

/// The observer of a comparison; a closure will do. [`Control::Stop`] ends the comparison, after a checkpoint where a run is being
/// trained.
pub trait Observer {
    /// Takes note of what happened to the run whose turn it is.
    fn on(&mut self, turn: &Turn, happened: Happened<'_>) -> Control;
}

impl<F: FnMut(&Turn, Happened<'_>) -> Control> Observer for F {
    fn on(&mut self, turn: &Turn, happened: Happened<'_>) -> Control {
        self(turn, happened)
    }
}

/// Tells an observer of comparisons the events of one training.
pub(super) struct TrainingObserver<'a> {
    pub(super) turn: &'a Turn,
    pub(super) observer: &'a mut dyn Observer,
}

impl gaat::train::Observer for TrainingObserver<'_> {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        Ok(self.observer.on(self.turn, Happened::Training(event)))
    }
}
