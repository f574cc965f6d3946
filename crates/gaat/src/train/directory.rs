//! A run directory as the keeper of a run, and training by a recipe into one.

use super::events::Observer;
use super::keeper::{Keeper, Nothing};
use super::logs::{Lengths, Logs};
use super::state_file::{State, WeightsOnDisk};
use super::training::Training;
use crate::device::parse_device;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::lock::Owner;
use crate::nn::{Catalogue, Classifier};
use crate::run::{RunDirectory, check_precision_kept};
use crate::weights::{self, Checkpoint, Description};
use crate::world::{Alone, World, document_of_leader};
use gaat_spec::{CheckedRecipe, Event, RunRecord, Status};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Said where a run is to continue and has saved no state.
const BEGINS: &str = "no state was saved yet: the run begins at the beginning";

/// Where a run goes, and whether it continues.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The run directory. A new run needs it absent or empty.
    pub run_dir: PathBuf,
    /// Continue from the saved state of that directory.
    pub resume: bool,
}

/// Trains as `recipe` says and writes the run directory.
///
/// The record that comes back has status [`Status::Done`], or [`Status::Interrupted`] when an observer asked to stop.
/// With `resume` a finished run comes back as it is, an unfinished one continues: bit for bit on a CPU with the same thread
/// count, on a GPU within rounding.
///
/// # Errors
/// When data, model or device cannot be had; when the run directory is taken, in use by another process, or holds another
/// recipe; when its state is gone or damaged; when the loss is not a number. The last checkpoint stays whole and the record says what happened.
pub fn train(
    recipe: &CheckedRecipe,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<RunRecord> {
    train_of(&Catalogue::standard(), recipe, options, observer)
}

/// The same, of a network of `catalogue`.
///
/// # Errors
/// As [`train`].
pub fn train_of(
    catalogue: &Catalogue,
    recipe: &CheckedRecipe,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<RunRecord> {
    train_in(&(Arc::new(Alone) as Arc<dyn World>), catalogue, recipe, options, observer)
}

/// The same, in one of several processes, which all call this with the same recipe. The leader alone writes, and a run that is
/// finished already comes back in all of them.
///
/// # Errors
/// As [`train`]; also when one of the others fails, cannot be reached, or trains by another recipe or on other images.
pub fn train_in(
    world: &Arc<dyn World>,
    catalogue: &Catalogue,
    recipe: &CheckedRecipe,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<RunRecord> {
    let trained = trained_in(world, catalogue, recipe, options, observer);
    world.part(trained.as_ref().err().map(ToString::to_string).as_deref());
    trained
}

fn trained_in(
    world: &Arc<dyn World>,
    catalogue: &Catalogue,
    recipe: &CheckedRecipe,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<RunRecord> {
    let mut kept = (world.rank() == 0).then(|| KeptRun::open(recipe, options)).transpose()?;
    let opened = match &mut kept {
        Some(kept) => Opened { precision: kept.recipe.precision.clone(), finished: kept.finished.take() },
        None => Opened { precision: String::new(), finished: None },
    };
    let opened = opened.of_leader(world.as_ref())?;
    if let Some(record) = opened.finished {
        return Ok(record);
    }
    let mut recipe = recipe.clone();
    recipe.precision = opened.precision;
    let training = Training { world: Arc::clone(world), ..Training::of(&recipe, catalogue)? };
    match &mut kept {
        Some(kept) => training.run(kept, observer),
        None => training.run(&mut Nothing, observer),
    }
}

/// What the directory of a run says before it is trained, which the leader alone sees.
#[derive(Serialize, Deserialize)]
struct Opened {
    precision: String,
    finished: Option<RunRecord>,
}

impl Opened {
    fn of_leader(self, world: &dyn World) -> Result<Self> {
        if world.size() == 1 {
            return Ok(self);
        }
        let document = serde_json::to_vec(&self).map_err(std::io::Error::from)?;
        let document = document_of_leader(world, document)?;
        Ok(serde_json::from_slice(&document).map_err(std::io::Error::from)?)
    }
}

/// The directory of a run with its logs, which no other process writes into meanwhile.
#[derive(Debug)]
pub struct KeptRun {
    directory: RunDirectory,
    /// With the precision that the run began with.
    recipe: CheckedRecipe,
    has_state: bool,
    /// The record of a run that has nothing left to do.
    finished: Option<RunRecord>,
    logs: Option<Logs>,
    warnings: Vec<String>,
    _owner: Owner,
}

impl KeptRun {
    /// The directory that `options` name, for a run of `recipe`.
    ///
    /// # Errors
    /// When the directory is taken, in use by another process, or holds a run of another recipe; when the state of the run is
    /// damaged or gone.
    pub fn open(recipe: &CheckedRecipe, options: &TrainOptions) -> Result<Self> {
        let directory = RunDirectory::new(&options.run_dir);
        if !options.resume {
            directory.check_vacant()?;
        }
        let owner = Owner::of(&options.run_dir, "training")?;
        directory.sweep();
        let saved = if options.resume {
            directory.find_state(recipe)?
        } else {
            directory.check_vacant()?;
            None
        };
        let begins = (options.resume && saved.is_none()).then(|| BEGINS.to_owned());
        let mut kept = Self {
            directory,
            recipe: recipe.clone(),
            has_state: saved.is_some(),
            finished: None,
            logs: None,
            warnings: begins.into_iter().collect(),
            _owner: owner,
        };
        if let Some(record) = saved {
            // `auto` may mean another one on this machine; a run keeps to what it started with.
            kept.recipe.precision.clone_from(&record.environment.precision);
            if record.status == Status::Done {
                kept.finished = Some(kept.directory.complete(recipe, record)?);
            } else {
                let device = parse_device(&recipe.device)?;
                check_precision_kept(&options.run_dir, &kept.recipe.precision, device)?;
            }
        }
        Ok(kept)
    }

    /// Without the file of the best epoch so far, the best of the epochs to come is kept.
    fn check_best(&mut self, state: &mut State) -> Result<()> {
        let path = self.directory.weights(Checkpoint::Best);
        let Some(epoch) = state.position.record.best_epoch else { return Ok(()) };
        if state.position.weights == WeightsOnDisk::Outdated && epoch == state.position.record.epochs.len() {
            return Ok(());
        }
        if !path.exists() {
            self.warnings.push(format!(
                "the weights of epoch {epoch}, the best so far, are gone: the best of the epochs to come is kept instead"
            ));
            state.position.record.best_epoch = None;
            return Ok(());
        }
        let found = weights::load(&path)?.0.epoch;
        if found != epoch {
            let reason = format!(
                "holds the weights of epoch {found}, where those of epoch {epoch} belong; restore the file"
            );
            return Err(Error::File { path, reason });
        }
        Ok(())
    }

    /// The recipe to train by: the one given, with the precision that an earlier part of the run began with.
    pub fn recipe(&self) -> &CheckedRecipe {
        &self.recipe
    }
}

impl Keeper for KeptRun {
    fn found(&mut self) -> Result<Option<State>> {
        if !self.has_state {
            return Ok(None);
        }
        let mut state = State::read(&self.directory.state())?;
        self.check_best(&mut state)?;
        let (logs, warning) = Logs::open(&self.directory, state.logs)?;
        self.logs = Some(logs);
        self.warnings.extend(warning);
        Ok(Some(state))
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn network(&mut self, network: &dyn Classifier) -> Result<()> {
        let path = self.directory.graph();
        match network.exported() {
            Some(network) if !path.exists() => write_atomically(&path, &network.graph_alone()?),
            _ => Ok(()),
        }
    }

    fn state(&mut self, state: &State) -> Result<()> {
        let logs = self.logs.as_mut().map(Logs::sync).transpose()?;
        state.write_with(&self.directory.state(), logs.unwrap_or_default())
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
            if *steps_done == 0 && !self.has_state {
                self.logs = Some(Logs::open(&self.directory, Lengths::default())?.0);
            }
        }
        match &mut self.logs {
            Some(logs) => logs.write(event),
            None => Ok(()),
        }
    }
}
