//! The run's own logs, `events.jsonl` and the curves, kept in step with its state.
//!
//! Before a state is saved, everything that led to it is written and synced, and the state counts what is in the logs then. A
//! resumed run cuts them there and continues: no line is lost, doubled or half. How often a run was started and stopped does not
//! count.

use super::events::{JsonLines, Observer};
use super::tensorboard::TensorBoard;
use crate::error::Result;
use crate::run::RunDirectory;
use gaat_spec::Event;
use serde::{Deserialize, Serialize};

/// Lines and records of the logs that belong to a state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lengths {
    events: usize,
    curves: usize,
}

/// Both logs.
#[derive(Debug)]
pub(super) struct Logs {
    lines: JsonLines,
    curves: TensorBoard,
}

impl Logs {
    /// Continues in the logs of `directory` where they held `lengths`; also a warning where they hold less now.
    ///
    /// # Errors
    /// When they cannot be read or written, or another program's file has the name of one.
    pub(super) fn open(directory: &RunDirectory, lengths: Lengths) -> Result<(Self, Option<String>)> {
        let lines = JsonLines::append_to(&directory.events(), lengths.events)?;
        let curves = TensorBoard::append_to(&directory.curves(), lengths.curves)?;
        let found = Lengths { events: lines.length(), curves: curves.length() };
        let is_short = found.events < lengths.events || (found.curves < lengths.curves);
        let warning = is_short.then(|| {
            "events.jsonl or the curves are shorter than when the state was saved: what is missing cannot be made again"
                .to_owned()
        });
        Ok((Self { lines, curves }, warning))
    }

    /// Writes `event` down.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn write(&mut self, event: &Event) -> Result<()> {
        self.lines.on_event(event)?;
        self.curves.on_event(event)?;
        Ok(())
    }

    /// Brings all that was written to the disk; what the logs hold now.
    ///
    /// # Errors
    /// When that fails.
    pub(super) fn sync(&mut self) -> Result<Lengths> {
        self.lines.sync()?;
        self.curves.sync()?;
        Ok(Lengths { events: self.lines.length(), curves: self.curves.length() })
    }
}
