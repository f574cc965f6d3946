//! The loop: steps, epochs, events, checkpoints, and every way to end.

use super::events::JsonLines;
use super::session::{Session, Stepped};
use super::tensorboard::TensorBoard;
use super::{Control, Observer};
use crate::Result;
use crate::run::{RunDirectory, parse_device};
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
    let mut precision = recipe.precision.clone();
    if has_state {
        let record = directory.read_record()?;
        if record.status == Status::Done {
            return Ok(record);
        }
        // `auto` may choose otherwise today; a run keeps to what it started with.
        precision = record.environment.precision;
    }
    // Before the data is read, which may take a while.
    parse_device(&recipe.device)?;
    let mut session = Session::new(recipe, &directory, &precision)?;
    directory.create(recipe)?;
    if has_state {
        session.restore()?;
    }
    let mut observers = Observers {
        lines: JsonLines::append_to(&directory.events(), session.steps)?,
        curves: TensorBoard::append_to(&directory.curves(), session.steps)?,
        user: observer,
    };
    // tch panics where libtorch throws, out of memory above all; the record must not say "running" for ever.
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut session, &mut observers)));
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(panic) => {
            session.record.status = Status::Failed;
            session.record.failure = Some("libtorch or gaat panicked; the error output says why".to_owned());
            directory.write_record(&session.record)?;
            resume_unwind(panic);
        }
    };
    match outcome {
        Ok(status) => {
            session.record.status = status;
            session.save_state()?;
            observers.tell(&Event::Ended { record: Box::new(session.record.clone()) })?;
            Ok(session.record)
        }
        Err(error) => {
            // The state on disk stays that of the last checkpoint: it is whole and the weights now may not be.
            session.record.status = Status::Failed;
            session.record.failure = Some(error.to_string());
            directory.write_record(&session.record)?;
            observers.tell(&Event::Ended { record: Box::new(session.record.clone()) })?;
            Err(error)
        }
    }
}

fn run(session: &mut Session<'_>, observers: &mut Observers<'_>) -> Result<Status> {
    observers.tell(&Event::Started {
        record: Box::new(session.record.clone()),
        steps_per_epoch: session.steps_per_epoch(),
        steps_done: session.steps,
        warnings: session.warnings.clone(),
    })?;
    while session.steps < session.total_steps() {
        let epoch = session.epoch();
        session.step()?;
        let is_epoch_end = session.is_epoch_end();
        let mut control = settle(session, observers, is_epoch_end)?;
        if is_epoch_end {
            if observers.tell(&Event::Validating { epoch })? == Control::Stop {
                control = Control::Stop;
            }
            let (record, alarm) = session.finish_epoch()?;
            let best = session.checkpoint_epoch()?;
            let done = Event::Epoch { record, cost_ratio: session.record.cost_ratio };
            for event in alarm.into_iter().chain([done, Event::Checkpoint { epoch, best }]) {
                if observers.tell(&event)? == Control::Stop {
                    control = Control::Stop;
                }
            }
        }
        if control == Control::Stop && session.steps < session.total_steps() {
            settle(session, observers, true)?;
            return Ok(Status::Interrupted);
        }
    }
    Ok(Status::Done)
}

/// Tells of the steps that are there by now, of all of them with `all`, and lets the watch follow them up.
fn settle(session: &mut Session<'_>, observers: &mut Observers<'_>, all: bool) -> Result<Control> {
    let mut control = Control::Continue;
    let mut question = None;
    // A probe asks the network as it is: steps that it has done already come first.
    while let Some(stepped) = session.settled(all || question.is_some())? {
        let Stepped { epoch, step, outcome, learning_rate, seconds } = stepped;
        let images = outcome.images as f64;
        let event = Event::Step {
            epoch,
            step,
            images: outcome.images,
            loss: outcome.loss / images,
            accuracy: outcome.correct as f64 / images,
            learning_rate,
            gain_ratio: outcome.gain.and_then(|gain| gain.value()),
            refreshes: outcome.refreshes,
            seconds,
        };
        if observers.tell(&event)? == Control::Stop {
            control = Control::Stop;
        }
        question = question.or(session.watch_step(&outcome));
    }
    if let Some(question) = question
        && let Some(event) = session.follow_up(question)?
        && observers.tell(&event)? == Control::Stop
    {
        control = Control::Stop;
    }
    Ok(control)
}

/// The run's own logs and whoever else listens.
struct Observers<'a> {
    lines: JsonLines,
    curves: TensorBoard,
    user: &'a mut dyn Observer,
}

impl Observers<'_> {
    fn tell(&mut self, event: &Event) -> Result<Control> {
        self.lines.on_event(event)?;
        self.curves.on_event(event)?;
        self.user.on_event(event)
    }
}
