//! What a run leaves behind: a keeper is given state, weights, record and events as they come.

use super::state_file::State;
use crate::error::Result;
use crate::nn::Classifier;
use crate::weights::{Checkpoint, Description};
use gaat_spec::{Event, RunRecord};

/// Keeps what a run leaves, and hands back what an earlier part of the run has left. A run directory is one.
pub trait Keeper {
    /// The state to continue from, where an earlier part of the run has left one.
    ///
    /// # Errors
    /// When a state is there and cannot be read.
    fn found(&mut self) -> Result<Option<State>>;

    /// What the observer should hear of what was found; asked once, after [`found`](Self::found).
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Is shown the network before its first step, after [`Event::Started`]: what else is needed to open its weights is kept here.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    fn network(&mut self, network: &dyn Classifier) -> Result<()> {
        let _ = network;
        Ok(())
    }

    /// Keeps all that the next step depends on, after the events that led to it. The tensors are those of the run, so that what stays in memory has to be a
    /// copy.
    ///
    /// # Errors
    /// When the state cannot be kept; the run ends with the error.
    fn state(&mut self, state: &State) -> Result<()>;

    /// Keeps the weights of `network`, which `about` describes, after the state of a whole epoch; the same again where an
    /// earlier part of the run was cut off before.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    fn weights(&mut self, which: Checkpoint, network: &dyn Classifier, about: &Description) -> Result<()>;

    /// Keeps the record so far.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    fn record(&mut self, record: &RunRecord) -> Result<()>;

    /// Takes note of `event`, before the observer does: of [`Event::Started`] before anything is kept.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    fn event(&mut self, event: &Event) -> Result<()> {
        let _ = event;
        Ok(())
    }
}

/// Keeps nothing: for tests, for a search over many short runs, and for a caller that wants the record alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Keeper for Nothing {
    fn found(&mut self) -> Result<Option<State>> {
        Ok(None)
    }

    fn state(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }

    fn weights(&mut self, _which: Checkpoint, _network: &dyn Classifier, _about: &Description) -> Result<()> {
        Ok(())
    }

    fn record(&mut self, _record: &RunRecord) -> Result<()> {
        Ok(())
    }
}
