//! One step of the loop: what is lent to the method, and what the device was told until its numbers are there.

use super::collapse::Guard;
use super::consistency::Consistency;
use super::feed::Served;
use super::labels::soften;
use super::mark::Mark;
use super::methods::Natural;
use super::reading::{Reading, Spent};
use super::run::Run;
use super::step::{StepContext, StepOutcome, TrainingMethod};
use crate::error::{Error, Result};
use crate::nn::{Mode, ParameterStore, Rng, try_algorithms};
use gaat_spec::{AttackStatistics, Event, Passes, Seconds};

impl Run<'_> {
    /// One optimiser step, which the books hand out once it is read.
    pub(super) fn launch_step(&mut self) -> Result<()> {
        let done = self.books.steps();
        self.launch(done).map_err(|error| located(error, self.calendar.epoch(done), done + 1))
    }

    /// The step after `done` steps.
    fn launch(&mut self, done: usize) -> Result<()> {
        try_algorithms(true);
        let device = self.trained.network.store().device();
        let started = Mark::now(device)?;
        let (plan, calendar) = (&self.plan, self.calendar);
        let progress = calendar.progress(done);
        let learning_rate = plan.schedule().at(progress);
        let attack_scale = plan.attack_scale(progress);
        let world = self.world.as_ref();
        let Served { batch, portion, parts, whole_indices, placement } =
            self.feed.serve(calendar.batch_number(done), world)?;
        let draws = Rng::new(plan.seed()).seeded("attack", done as u64);
        let draws = draws.cut(portion.start, portion.images, portion.of);
        let batch = match plan.labels() {
            Some(spec) => soften(batch, spec, self.trained.network.class_count(), &draws.branch("labels"))?,
            None => batch,
        };
        let mut context = StepContext {
            world,
            portion,
            parts,
            least: self.feed.least(),
            classifier: self.trained.network.as_ref(),
            optimizer: &mut self.trained.optimizer,
            threat: plan.threat().scaled(attack_scale),
            attack_scale,
            attack_mode: match plan.attack_statistics() {
                AttackStatistics::Batch => Mode::TrainFrozenStats,
                AttackStatistics::Running => Mode::Eval,
            },
            draws,
            whole_indices,
            placement,
            epoch: calendar.method_epoch(done),
            replay: calendar.replay(done),
            step: done,
            progress,
            consistency: plan.consistency().map(|spec| Consistency::of(spec, done, progress)),
            smoothing: None,
            weight_reach: None,
            learning_rate,
            plan,
            passes: Passes::default(),
            gradients_are_finite: None,
            attacks: Vec::new(),
            outside: None,
        };
        let burst = self.guard.as_mut().and_then(Guard::burst);
        let method: &mut dyn TrainingMethod =
            if calendar.is_natural(done) { &mut Natural } else { burst.unwrap_or(self.method.as_mut()) };
        context.classifier.begin_step(Rng::new(plan.seed()), done as u64);
        let report = method.step(&mut context, &batch)?;
        let StepContext { passes, attacks, gradients_are_finite, .. } = context;
        let spent = Spent { world, images: portion, passes };
        let reading = Reading::start(&report, gradients_are_finite.as_ref(), spent)?;
        self.trained.follow()?;
        let (epoch, step, ended) = (calendar.epoch(done), done + 1, Mark::now(device)?);
        let launched = Launched { epoch, step, learning_rate, reading, started, attacks, ended };
        self.books.enter(launched);
        Ok(())
    }
}

/// A step that is done.
pub(super) struct Stepped {
    pub(super) epoch: usize,
    pub(super) step: usize,
    pub(super) outcome: StepOutcome,
    /// What the step has cost.
    pub(super) passes: Passes,
    pub(super) learning_rate: f64,
    pub(super) seconds: Seconds,
}

impl Stepped {
    /// What observers are told of the step.
    pub(super) fn event(&self) -> Event {
        let outcome = &self.outcome;
        let images = outcome.images as f64;
        Event::Step {
            epoch: self.epoch,
            step: self.step,
            images: outcome.images,
            loss: outcome.loss / images,
            accuracy: outcome.correct as f64 / images,
            learning_rate: self.learning_rate,
            gain_ratio: outcome.gain.and_then(|gain| gain.value()),
            refreshes: outcome.refreshes,
            seconds: self.seconds,
        }
    }
}

/// A step that the device was told to do.
pub(super) struct Launched {
    epoch: usize,
    step: usize,
    learning_rate: f64,
    reading: Reading,
    started: Mark,
    /// From when to when attacks continued.
    attacks: Vec<(Mark, Mark)>,
    ended: Mark,
}

impl Launched {
    /// Waits until it is done; the weights that it went down on are those of `store`.
    pub(super) fn read(self, store: &ParameterStore) -> Result<Stepped> {
        let (epoch, step) = (self.epoch, self.step);
        self.numbers(store).map_err(|error| located(error, epoch, step))
    }

    fn numbers(self, store: &ParameterStore) -> Result<Stepped> {
        let Self { epoch, step, learning_rate, reading, started, attacks, ended } = self;
        let (outcome, passes) = reading.finish(store)?;
        let mut attack = 0.0;
        for (started, ended) in attacks {
            attack += started.seconds_to(&ended)?;
        }
        let total = started.seconds_to(&ended)?;
        let seconds = Seconds { attack, train: total - attack, evaluation: 0.0, total };
        Ok(Stepped { epoch, step, outcome, passes, learning_rate, seconds })
    }
}

/// Says where in the run libtorch failed, or numbers ceased to be finite and what is left then; any other error is handed on as it is.
pub(super) fn located(error: Error, epoch: usize, step: usize) -> Error {
    let left = match &error {
        Error::Diverged { .. } => "the weights were left as they were",
        Error::NotFinite(_) => "they were not saved",
        _ => return error.while_doing(|| format!("training at epoch {epoch}, step {step}")),
    };
    let reason = format!(
        "{error}; {left}, and what earlier epochs have saved is untouched. A lower learning-rate or a clip-norm usually helps"
    );
    Error::Training { epoch, step, reason }
}
