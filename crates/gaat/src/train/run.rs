//! The loop: the feed serves a batch, the method steps on it, the books keep what the step found, and the guard looks on.

use super::books::Books;
use super::calendar::Calendar;
use super::chance::Chance;
use super::collapse::Guard;
use super::events::{Control, Observer};
use super::feed::Feed;
use super::keeper::Keeper;
use super::statistics::joined;
use super::step::TrainingMethod;
use super::trained::Trained;
use super::validation::{Accuracy, Validation};
use crate::error::Result;
use crate::nn::with_joined;
use crate::world::{World, any};
use gaat_spec::{Event, Plan, Status};
use std::sync::Arc;

/// The parts of a run, each with a verb of its own.
pub(super) struct Run<'a> {
    pub(super) plan: Plan,
    pub(super) world: Arc<dyn World>,
    pub(super) keeper: &'a mut dyn Keeper,
    pub(super) calendar: Calendar,
    pub(super) feed: Feed,
    pub(super) trained: Trained,
    pub(super) method: Box<dyn TrainingMethod>,
    pub(super) books: Books,
    pub(super) validation: Validation,
    pub(super) guard: Option<Guard>,
    pub(super) chance: Chance,
    pub(super) class_names: Vec<String>,
    /// What the reader of the data and the maker of the run had to say.
    pub(super) warnings: Vec<String>,
}

impl Run<'_> {
    /// Trains to the end, or until `observer` asks to stop.
    pub(super) fn run(&mut self, observer: &mut dyn Observer) -> Result<Status> {
        with_joined(joined(&self.plan, self.world.as_ref()), || self.run_joined(observer))
    }

    fn run_joined(&mut self, observer: &mut dyn Observer) -> Result<Status> {
        self.tell(&self.started(), observer)?;
        self.keeper.network(self.trained.network.as_ref())?;
        while !self.is_done() {
            self.launch_step()?;
            let is_epoch_end = self.calendar.is_epoch_end(self.books.steps());
            let mut control = self.settle(is_epoch_end, observer)?;
            if is_epoch_end {
                control = control.or(self.end_epoch(observer)?);
            }
            if any(self.world.as_ref(), control == Control::Stop)? && !self.is_done() {
                self.settle(true, observer)?;
                return self.check_finite().map(|()| Status::Interrupted);
            }
        }
        Ok(Status::Done)
    }

    fn is_done(&self) -> bool {
        self.books.steps() >= self.calendar.total()
    }

    /// Tells of the steps that are there by now, of all of them with `all`, and lets the guard follow them up.
    fn settle(&mut self, all: bool, observer: &mut dyn Observer) -> Result<Control> {
        let mut control = Control::Continue;
        let mut question = None;
        // A check asks the network as it is: steps that it has done already come first.
        while let Some(stepped) =
            self.books.read_next(all || question.is_some(), self.trained.network.store())?
        {
            self.method.observe(&stepped.outcome);
            control = control.or(self.tell(&stepped.event(), observer)?);
            question = question.or(self.guard.as_mut().and_then(|guard| guard.after_step(&stepped.outcome)));
        }
        let (Some(question), Some(guard)) = (question, &mut self.guard) else { return Ok(control) };
        let threat = self.plan.threat_at(self.calendar.progress(self.books.steps()));
        let images = &self.validation.attacked;
        let world = self.world.as_ref();
        match guard.follow_up(question, &mut self.trained, images, &threat, &mut self.books, world)? {
            Some(event) => Ok(control.or(self.tell(&event, observer)?)),
            None => Ok(control),
        }
    }

    /// Validates, lets the guard judge, and keeps the epoch; then the guard acts.
    pub(super) fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<Control> {
        self.check_finite()?;
        let epoch = self.calendar.epoch(self.books.steps() - 1);
        let control = self.tell(&Event::Validating { epoch }, observer)?;
        self.trained.average_statistics(self.world.as_ref())?;
        self.refresh_average()?;
        let accuracy = self.validate(epoch)?;
        let alarms = self.judge(epoch, accuracy)?;
        Ok(control.or(self.keep_epoch(epoch, accuracy, alarms, observer)?))
    }

    /// The alarms that an epoch validated to `accuracy` raises, or ends.
    fn judge(&mut self, epoch: usize, accuracy: Accuracy) -> Result<Vec<Event>> {
        let Self { guard, validation, trained, books, chance, world, .. } = self;
        let alarm = match guard {
            Some(guard) => guard.after_epoch(accuracy, validation, trained, books, world.as_ref())?,
            None => None,
        };
        let stuck = chance.after_epoch(epoch, accuracy.clean, validation.images.len(), books);
        Ok(alarm.into_iter().chain(stuck).collect())
    }
}
