//! What a session does for its watch against collapse: probes, snapshots, rollbacks, and telling of them.

use super::Session;
use crate::Result;
use crate::nn::try_algorithms;
use crate::train::StepOutcome;
use crate::train::averaging::Averaging;
use crate::train::probe::Probe;
use crate::train::snapshot::Snapshot;
use crate::train::watch::{Finding, Question};
use gaat_spec::{Event, Seconds};
use std::time::Instant;

/// The name of the alarm in events and records.
const NAME: &str = "collapse";

impl Session<'_> {
    /// What a step makes the watch ask.
    pub(in crate::train) fn watch_step(&mut self, outcome: &StepOutcome) -> Option<Question> {
        self.watch.as_mut()?.after_step(outcome)
    }

    /// Follows up a question, once no step is unread: whatever is found is done at once and told.
    pub(in crate::train) fn follow_up(&mut self, question: Question) -> Result<Option<Event>> {
        let probe = self.probe()?;
        let finding = self.watch.as_mut().and_then(|watch| watch.answer(question, probe));
        let event = finding.map(|finding| self.told(finding));
        self.follow_watch()?;
        Ok(event)
    }

    /// Judges the epoch just validated, before its record is kept. What is to be done waits for
    /// [`follow_watch`](Self::follow_watch), so that the weights that are saved are those that were judged.
    pub(super) fn watch_epoch(&mut self, robust: Option<f64>) -> Option<Event> {
        if self.steps <= self.recipe.natural_epochs * self.steps_per_epoch() {
            return None;
        }
        let best = self.record.epochs.iter().filter_map(|epoch| epoch.validation_robust).reduce(f64::max);
        let finding = self.watch.as_mut()?.after_epoch(robust, best, self.attacked.len())?;
        Some(self.told(finding))
    }

    /// Takes the snapshot or goes back to the one that the watch has asked for.
    pub(super) fn follow_watch(&mut self) -> Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let average = self.averaging.as_ref().map(Averaging::network);
        let network = self.classifier.as_ref();
        if watch.take_snapshot_due() {
            watch.healthy = Some(Snapshot::take(network, average, &self.optimizer)?);
        }
        if let (true, Some(healthy)) = (watch.take_rollback_due(), &watch.healthy) {
            healthy.restore(network, average, &mut self.optimizer)?;
        }
        Ok(())
    }

    /// Probes the network in training, at the present size of the attack; counted as part of the attack.
    pub(super) fn probe(&mut self) -> Result<Option<Probe>> {
        if self.attacked.is_empty() {
            return Ok(None);
        }
        try_algorithms(false);
        let started = Instant::now();
        let threat = self.recipe.threat.scaled(self.recipe.attack_scale(self.progress()));
        let draws = self.rng.seeded("probe", 0);
        let (probe, passes) = Probe::of(self.classifier.as_ref(), &self.attacked, &threat, &draws)?;
        self.record.passes += passes;
        self.record.cost_ratio = self.record.passes.cost_ratio(self.record.images);
        let attack = started.elapsed().as_secs_f64();
        self.sums.seconds += Seconds { attack, total: attack, ..Seconds::default() };
        Ok(Some(probe))
    }

    fn told(&mut self, finding: Finding) -> Event {
        let step = self.steps;
        let epoch = (step - 1) / self.steps_per_epoch() + 1;
        let name = NAME.to_owned();
        match finding {
            Finding::Raised { message, action } => {
                self.sums.alarms.push(format!("{name} at step {step}: {message}; {action}"));
                Event::Alarm { epoch, step, name, message, action }
            }
            Finding::Over { message } => Event::Recovered { epoch, step, name, message },
        }
    }
}
