//! A whole training: a run is made or resumed, goes through the loop, and every way to end is written down.

use super::events::{Control, JsonLines, Observer};
use super::run::Run;
use super::tensorboard::TensorBoard;
use crate::Result;
use crate::run::{RunDirectory, check_precision_kept, parse_device};
use gaat_spec::{CheckedRecipe, Event, RunRecord, Status};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
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
    let directory = RunDirectory::new(&options.run_dir);
    let has_state = if options.resume {
        directory.check_resumable(recipe)?
    } else {
        directory.check_vacant()?;
        false
    };
    // Before the data is read, which may take a while.
    let device = parse_device(&recipe.device)?;
    let mut precision = recipe.precision.clone();
    if has_state {
        let record = directory.read_record()?;
        if record.status == Status::Done {
            return Ok(record);
        }
        // `auto` may mean another one on this machine; a run keeps to what it started with.
        precision = record.environment.precision;
        check_precision_kept(&options.run_dir, &precision, device)?;
    }
    let mut run = Run::new(recipe, &directory, &precision)?;
    directory.create(recipe)?;
    if has_state {
        run.restore()?;
    }
    let mut observers = Observers {
        lines: JsonLines::append_to(&directory.events(), run.books.steps())?,
        curves: TensorBoard::append_to(&directory.curves(), run.books.steps())?,
        user: observer,
    };
    // tch panics where libtorch throws, out of memory above all; the record must not say "running" for ever.
    let outcome = catch_unwind(AssertUnwindSafe(|| run.run(&mut observers)));
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(panic) => {
            fail(&mut run, "libtorch or gaat panicked; the error output says why");
            resume_unwind(panic);
        }
    };
    match outcome {
        Ok(status) => {
            run.books.record.status = status;
            run.save_state()?;
            observers.on_event(&Event::Ended { record: Box::new(run.books.record.clone()) })?;
            Ok(run.books.record)
        }
        Err(error) => {
            // The state on disk stays that of the last checkpoint: it is whole and the weights now may not be.
            fail(&mut run, &error.to_string());
            // An observer that fails too must not hide why the run has failed.
            let _ = observers.on_event(&Event::Ended { record: Box::new(run.books.record) });
            Err(error)
        }
    }
}

/// Records that the run has failed and why. Where that cannot be written, a full disk say, the caller's own error or panic is
/// still the one to tell of.
fn fail(run: &mut Run<'_>, why: &str) {
    run.books.record.status = Status::Failed;
    run.books.record.failure = Some(why.to_owned());
    let _ = run.directory.write_record(&run.books.record);
}

/// The run's own logs and whoever else listens.
struct Observers<'a> {
    lines: JsonLines,
    curves: TensorBoard,
    user: &'a mut dyn Observer,
}

impl Observer for Observers<'_> {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        self.lines.on_event(event)?;
        self.curves.on_event(event)?;
        self.user.on_event(event)
    }
}
