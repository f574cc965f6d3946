//! The loop: the feed serves a batch, the method steps on it, the books keep what the step found, and the guard looks on.

use super::books::Books;
use super::calendar::Calendar;
use super::chance::Chance;
use super::collapse::Guard;
use super::events::{Control, Observer};
use super::feed::Feed;
use super::keeper::Keeper;
use super::launch::located;
use super::state_file::WeightsOnDisk;
use super::step::TrainingMethod;
use super::trained::Trained;
use super::validation::Validation;
use crate::Result;
use crate::nn::try_algorithms;
use gaat_spec::{Event, Plan, Status};
use std::time::Instant;

/// The parts of a run, each with a verb of its own.
pub(super) struct Run<'a> {
    pub(super) plan: Plan,
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
        self.tell(&self.started(), observer)?;
        while !self.is_done() {
            self.launch_step()?;
            let is_epoch_end = self.calendar.is_epoch_end(self.books.steps());
            let mut control = self.settle(is_epoch_end, observer)?;
            if is_epoch_end {
                control = control.or(self.end_epoch(observer)?);
            }
            if control == Control::Stop && !self.is_done() {
                self.settle(true, observer)?;
                self.check_finite()?;
                return Ok(Status::Interrupted);
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
        match guard.follow_up(question, &mut self.trained, images, &threat, &mut self.books)? {
            Some(event) => Ok(control.or(self.tell(&event, observer)?)),
            None => Ok(control),
        }
    }

    /// Validates, closes the books of the epoch, saves it, and lets the guard act.
    ///
    /// The state comes first, after all that leads to it: what a kill keeps from being written after it, weights and record,
    /// is made again from it.
    pub(super) fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<Control> {
        let epoch = self.calendar.epoch(self.books.steps() - 1);
        self.check_finite()?;
        let mut control = self.tell(&Event::Validating { epoch }, observer)?;
        try_algorithms(false);
        let started = Instant::now();
        let accuracy = self.validation.judge(self.trained.judged());
        let accuracy = accuracy.map_err(|error| located(error, epoch, self.books.steps()))?;
        self.books.add_evaluation(started.elapsed().as_secs_f64());
        let alarm = match &mut self.guard {
            Some(guard) => guard.after_epoch(accuracy, &self.validation, &self.trained, &mut self.books)?,
            None => None,
        };
        let stuck =
            self.chance.after_epoch(epoch, accuracy.clean, self.validation.images.len(), &mut self.books);
        let record = self.books.close_epoch(epoch, accuracy);
        let best = self.books.is_last_best(self.method.is_natural());
        if best {
            self.books.record.best_epoch = Some(epoch);
        }
        let done = Event::Epoch { record, cost_ratio: self.books.record.cost_ratio };
        let events: Vec<Event> =
            alarm.into_iter().chain(stuck).chain([done, Event::Checkpoint { epoch, best }]).collect();
        for event in &events {
            self.keeper.event(event)?;
        }
        self.save_state(WeightsOnDisk::Outdated)?;
        self.follow_state()?;
        for event in &events {
            control = control.or(observer.on_event(event)?);
        }
        Ok(control)
    }
}
