//! A run directory as the keeper of a run, and training by a recipe into one.

use super::events::{JsonLines, Observer};
use super::keeper::Keeper;
use super::state_file::State;
use super::tensorboard::TensorBoard;
use super::training::Training;
use crate::Result;
use crate::nn::Classifier;
use crate::run::{RunDirectory, check_precision_kept, parse_device};
use crate::weights::{self, Checkpoint, Description};
use gaat_spec::{CheckedRecipe, Event, RunRecord, Status};
use std::path::PathBuf;

/// Where a run goes, and whether it goes on.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The run directory. A new run needs it absent or empty.
    pub run_dir: PathBuf,
    /// Go on from the saved state of that directory.
    pub resume: bool,
}

/// Trains as `recipe` says and writes the run directory.
///
/// The record that comes back has status [`Status::Done`], or [`Status::Interrupted`] when an observer asked to stop.
/// With `resume` a finished run comes back as it is, an unfinished one goes on: bit for bit on a CPU with the same thread
/// count, on a GPU within rounding.
///
/// # Errors
/// When data, model or device cannot be had; when the run directory is taken or holds another recipe; when the loss is
/// not a number. The last checkpoint stays whole and the record says what happened.
pub fn train(
    recipe: &CheckedRecipe,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<RunRecord> {
    let mut kept = KeptRun::open(recipe, options)?;
    match kept.finished.take() {
        Some(record) => Ok(record),
        None => Training::of(&kept.recipe)?.run(&mut kept, observer),
    }
}

/// The directory of a run with its logs.
#[derive(Debug)]
pub struct KeptRun {
    directory: RunDirectory,
    /// With the precision that the run began with.
    recipe: CheckedRecipe,
    has_state: bool,
    /// The record of a run that has nothing left to do.
    finished: Option<RunRecord>,
    logs: Option<(JsonLines, TensorBoard)>,
}

impl KeptRun {
    /// The directory that `options` name, for a run of `recipe`.
    ///
    /// # Errors
    /// When the directory is taken, or holds a run of another recipe.
    pub fn open(recipe: &CheckedRecipe, options: &TrainOptions) -> Result<Self> {
        let directory = RunDirectory::new(&options.run_dir);
        let has_state = if options.resume {
            directory.check_resumable(recipe)?
        } else {
            directory.check_vacant()?;
            false
        };
        let mut kept = Self { directory, recipe: recipe.clone(), has_state, finished: None, logs: None };
        if has_state {
            let record = kept.directory.read_record()?;
            // `auto` may mean another one on this machine; a run keeps to what it started with.
            kept.recipe.precision.clone_from(&record.environment.precision);
            if record.status == Status::Done {
                kept.finished = Some(record);
            } else {
                let device = parse_device(&recipe.device)?;
                check_precision_kept(&options.run_dir, &kept.recipe.precision, device)?;
            }
        }
        Ok(kept)
    }

    /// The recipe to train by: the one given, with the precision that an earlier part of the run began with.
    pub fn recipe(&self) -> &CheckedRecipe {
        &self.recipe
    }
}

impl Keeper for KeptRun {
    fn found(&mut self) -> Result<Option<State>> {
        if self.has_state { State::read(&self.directory.state()).map(Some) } else { Ok(None) }
    }

    fn state(&mut self, state: &State) -> Result<()> {
        state.write(&self.directory.state())
    }

    fn weights(&mut self, which: Checkpoint, network: &dyn Classifier, about: &Description) -> Result<()> {
        weights::save(&self.directory.weights(which), network, about)
    }

    fn record(&mut self, record: &RunRecord) -> Result<()> {
        self.directory.write_record(record)
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        if let Event::Started { steps_done, .. } = event {
            self.directory.create(&self.recipe)?;
            let lines = JsonLines::append_to(&self.directory.events(), *steps_done)?;
            self.logs = Some((lines, TensorBoard::append_to(&self.directory.curves(), *steps_done)?));
        }
        if let Some((lines, curves)) = &mut self.logs {
            lines.on_event(event)?;
            curves.on_event(event)?;
        }
        Ok(())
    }
}
