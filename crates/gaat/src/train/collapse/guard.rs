//! The guard against collapse: when the alarm is raised, what is done about it, and when it is over.

use super::check::{Check, STEPS};
use super::rollback::Snapshot;
use super::signal::{Signal, SmoothedGain};
use crate::batch::Images;
use crate::error::Result;
use crate::nn::{Rng, try_algorithms};
use crate::train::books::Books;
use crate::train::calendar::Calendar;
use crate::train::methods;
use crate::train::step::{Setting, StepOutcome, TrainingMethod};
use crate::train::trained::Trained;
use crate::train::validation::{Accuracy, Validation};
use crate::world::{World, of_leader};
use gaat_spec::collapse::{Share, is_suspicious, on_same_images, on_training_images};
use gaat_spec::{CollapsePolicy, Event, MethodSpec, PgdSpec, PixelLength, Plan, Seconds, ThreatModel};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The name of the alarm in events and records.
const NAME: &str = "collapse";
/// Steps of a burst, at least.
const LEAST_BURST: usize = 50;
/// A fall of the validation accuracy within so many standard deviations of the best one is chance.
const DEVIATIONS: f64 = 3.0;
/// Longest burst over the first one, as a power of two.
const MOST_DOUBLINGS: u32 = 20;

/// What of the guard survives a stop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct GuardState {
    #[serde(rename = "sentinel")]
    gain: SmoothedGain,
    /// Whether an alarm was raised that is not over.
    raised: bool,
    /// Steps left of the current burst.
    burst_left: usize,
    /// Bursts begun.
    bursts: u32,
    /// The network now is as healthy as can be told.
    snapshot_due: bool,
    rollback_due: bool,
}

/// Why the guard wants a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) enum Question {
    /// Does the low gain ratio mean a collapse?
    Suspected,
    /// Does the high one mean that the collapse is over?
    Improved,
    /// Has the burst helped?
    BurstOver,
}

/// What the guard has found.
#[derive(Debug, Clone, PartialEq)]
enum Finding {
    /// An alarm, with what is done.
    Raised { message: String, action: String },
    /// The end of one.
    Over { message: String },
}

/// Guards one run and holds what it may go back to.
pub(in crate::train) struct Guard {
    policy: CollapsePolicy,
    calendar: Calendar,
    rng: Rng,
    /// The first step, from 0, from which on the training attack has its full size.
    full_from: usize,
    /// Steps of the first burst.
    burst_length: usize,
    /// The loss of guessing.
    guessing: f64,
    /// From here on PGD would keep the loss where it is.
    flat_loss: f64,
    burst: Box<dyn TrainingMethod>,
    pub(in crate::train) state: GuardState,
    pub(in crate::train) healthy: Option<Snapshot>,
}

impl Guard {
    /// The guard of adversarial training, which follows the policy of `plan`; without one it only warns.
    pub(in crate::train) fn new(plan: &Plan, setting: &Setting, calendar: Calendar) -> Result<Option<Self>> {
        if plan.is_natural() {
            return Ok(None);
        }
        let is_full =
            |done: &usize| !calendar.is_natural(*done) && plan.attack_scale(calendar.progress(*done)) >= 1.0;
        let step_size = PixelLength::new(plan.threat().epsilon() / 4.0)?;
        let pgd = MethodSpec::Rat(PgdSpec { steps: STEPS, step_size, random_start: true });
        Ok(Some(Self {
            policy: plan.on_collapse().unwrap_or(CollapsePolicy::Warn),
            calendar,
            full_from: (0..calendar.total()).find(is_full).unwrap_or(calendar.total()),
            rng: Rng::new(plan.seed()),
            burst_length: (calendar.steps_per_epoch / 2).max(LEAST_BURST),
            guessing: (setting.classes as f64).ln(),
            flat_loss: setting.flat_loss(),
            burst: methods::build(pgd, plan.awp(), setting)?,
            state: GuardState::default(),
            healthy: None,
        }))
    }

    /// What stands in for the method while a burst continues.
    pub(in crate::train) fn burst(&mut self) -> Option<&mut dyn TrainingMethod> {
        (self.state.burst_left > 0).then_some(self.burst.as_mut())
    }

    /// Takes note of an adversarial step; what it makes the guard ask.
    pub(in crate::train) fn after_step(&mut self, outcome: &StepOutcome) -> Option<Question> {
        if self.state.burst_left > 0 {
            self.state.burst_left -= 1;
            return (self.state.burst_left == 0).then_some(Question::BurstOver);
        }
        let StepOutcome { images, loss, correct, gain, .. } = *outcome;
        let signal = self.state.gain.observe(gain?, loss, correct, images)?;
        let question = match signal {
            Signal::Low if self.may_raise() => Question::Suspected,
            Signal::High if self.state.raised => Question::Improved,
            _ => return None,
        };
        self.state.gain.rest();
        Some(question)
    }

    /// Follows up `question`, once no step is unread: checks the network in training on `images` under the attack at its
    /// present size, which counts as part of the attack. What is found is done at once and told.
    pub(in crate::train) fn follow_up(
        &mut self,
        question: Question,
        trained: &mut Trained,
        images: &Images<'_>,
        threat: &ThreatModel,
        books: &mut Books,
        world: &dyn World,
    ) -> Result<Option<Event>> {
        let check = self.check(trained, images, threat, books, world)?;
        let finding = self.answer(question, check);
        let event = finding.map(|finding| self.tell(finding, books));
        self.act(trained)?;
        Ok(event)
    }

    /// Judges the epoch just validated to `accuracy`, before its record is kept. What is to be done waits for
    /// [`act`](Self::act), so that the weights that are saved are those that were judged.
    pub(in crate::train) fn after_epoch(
        &mut self,
        accuracy: Accuracy,
        validation: &Validation,
        trained: &Trained,
        books: &mut Books,
        world: &dyn World,
    ) -> Result<Option<Event>> {
        if books.steps() <= self.calendar.natural_epochs * self.calendar.steps_per_epoch {
            return Ok(None);
        }
        let finding = match self.hollow(accuracy, validation, trained, books, world)? {
            Some(message) => self.may_raise().then(|| self.raise(message)),
            None => self.judge_epoch(accuracy.robust, books.best_robust(), validation.attacked.len()),
        };
        Ok(finding.map(|finding| self.tell(finding, books)))
    }

    /// What shows that the accuracy under the training's own attack is hollow, by the rule of [`gaat_spec::collapse`]: it
    /// stands far above that of PGD on validation images, and either nothing is left there though clean images are known, or one
    /// step on the same images stands as far above, which overfitting does not explain.
    fn hollow(
        &self,
        accuracy: Accuracy,
        validation: &Validation,
        trained: &Trained,
        books: &mut Books,
        world: &dyn World,
    ) -> Result<Option<String>> {
        let (Some(robust), Some(clean)) = (accuracy.robust, accuracy.clean) else { return Ok(None) };
        // While the training attack grows, that of the validation is another.
        let is_full = books.steps().saturating_sub(self.calendar.steps_per_epoch) >= self.full_from;
        if !is_full || self.state.burst_left > 0 {
            return Ok(None);
        }
        let own = books.sums.accuracy();
        let many = Share { share: robust, images: validation.attacked.len() };
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        if on_training_images(own, many, clean).is_some() {
            return Ok(Some(format!(
                "{} of the training images withstand the training's own attack, but only {} of {} validation images withstand PGD-{}",
                percent(own.share),
                percent(robust),
                many.images,
                validation.steps
            )));
        }
        if !is_suspicious(own, many) {
            return Ok(None);
        }
        let Some(check) = self.check(trained, &validation.attacked, &validation.threat, books, world)? else {
            return Ok(None);
        };
        let share = |share| Share { share, images: check.images };
        let found = on_same_images(share(check.single), share(check.pgd));
        Ok(found.map(|_| {
            format!(
                "{} of {} validation images withstand one step, {} PGD-{STEPS}; {} of the training images the training's own \
                 attack",
                percent(check.single),
                check.images,
                percent(check.pgd),
                percent(own.share)
            )
        }))
    }

    /// Keeps the weights or goes back to those that were kept, where a finding asks for it.
    pub(in crate::train) fn act(&mut self, trained: &mut Trained) -> Result<()> {
        // Who only warns or refines goes back to nothing.
        if std::mem::take(&mut self.state.snapshot_due) && self.policy == CollapsePolicy::Rollback {
            self.healthy = Some(Snapshot::take(trained)?);
        }
        if let (true, Some(healthy)) = (std::mem::take(&mut self.state.rollback_due), &self.healthy) {
            healthy.restore(trained)?;
        }
        Ok(())
    }

    /// `None` without images.
    pub(super) fn check(
        &self,
        trained: &Trained,
        images: &Images<'_>,
        threat: &ThreatModel,
        books: &mut Books,
        world: &dyn World,
    ) -> Result<Option<Check>> {
        if images.is_empty() {
            return Ok(None);
        }
        try_algorithms(false);
        let started = Instant::now();
        let draws = self.rng.seeded("probe", 0);
        let (check, passes) = Check::of(trained.network.as_ref(), images, threat, &draws)?;
        books.charge(passes);
        // All act on the leader's verdict: another machine may round it to the other side.
        let [single, pgd] = of_leader(world, [check.single, check.pgd])?;
        let check = Check { single, pgd, ..check };
        let attack = started.elapsed().as_secs_f64();
        books.sums.seconds += Seconds { attack, total: attack, ..Seconds::default() };
        Ok(Some(check))
    }

    /// An alarm enters the books of its epoch.
    fn tell(&self, finding: Finding, books: &mut Books) -> Event {
        let step = books.steps();
        let epoch = self.calendar.epoch(step.saturating_sub(1));
        let name = NAME.to_owned();
        match finding {
            Finding::Raised { message, action } => {
                books.sums.alarms.push(format!("{name} at step {step}: {message}; {action}"));
                Event::Alarm { epoch, step, name, message, action }
            }
            Finding::Over { message } => Event::Recovered { epoch, step, name, message },
        }
    }

    /// Answers `question` by a check, or by the gain ratio alone where there is nothing to check with.
    fn answer(&mut self, question: Question, check: Option<Check>) -> Option<Finding> {
        let Some(found) = check else {
            let ratio = self.state.gain.ratio().unwrap_or_default();
            let message = format!("gain ratio {ratio:.2}, not confirmed by the check");
            return match question {
                Question::Suspected => Some(self.raise(message)),
                Question::Improved => self.end(message),
                Question::BurstOver => None,
            };
        };
        // Where the running statistics lag behind, evaluation mode withstands little of anything, while the batches of
        // the training, in its own mode, show how well the training attack is learned.
        let trained = self.state.gain.accuracy().unwrap_or_default();
        let found = Check { single: found.single.max(trained), ..found };
        let message = format!(
            "{:.1} % withstand one step, {:.1} % PGD-{STEPS}",
            100.0 * found.single,
            100.0 * found.pgd
        );
        if found.is_collapse() {
            return (question != Question::Improved).then(|| self.raise(message));
        }
        self.state.snapshot_due |= found.is_clear();
        self.end(message)
    }

    /// Judges an epoch by its robust validation accuracy on `images` images and the best one before it.
    fn judge_epoch(&mut self, robust: Option<f64>, best: Option<f64>, images: usize) -> Option<Finding> {
        let Some(robust) = robust else {
            self.state.snapshot_due |= !self.state.raised && self.state.gain.is_high();
            return None;
        };
        let chance = (-self.guessing).exp();
        let best = best.unwrap_or_default();
        let message = format!(
            "robust validation accuracy {:.1} %, {:.1} % at best before",
            100.0 * robust,
            100.0 * best
        );
        let noise = (best * (1.0 - best) / images.max(1) as f64).sqrt();
        if best >= 2.0 * chance && robust < best / 2.0 && best - robust > DEVIATIONS * noise {
            return (self.state.burst_left == 0 && self.may_raise()).then(|| self.raise(message));
        }
        if robust < chance.max(best / 2.0) || self.state.gain.is_low() {
            return None;
        }
        self.state.snapshot_due = true;
        self.end(message)
    }

    /// Who only warns says it once; a remedy may be needed again.
    fn may_raise(&self) -> bool {
        !self.state.raised || self.policy != CollapsePolicy::Warn
    }

    fn raise(&mut self, message: String) -> Finding {
        self.state.raised = true;
        let is_flat = self.state.gain.loss().is_some_and(|loss| loss >= self.flat_loss);
        let action = match self.policy {
            CollapsePolicy::Warn => "the training goes on unchanged".to_owned(),
            _ if is_flat => "the training goes on unchanged while the loss is that of guessing".to_owned(),
            CollapsePolicy::Refine => self.begin_burst(),
            CollapsePolicy::Rollback => {
                self.state.rollback_due = self.healthy.is_some();
                let first = if self.state.rollback_due {
                    "back to the last healthy network"
                } else {
                    "no healthy network to go back to yet"
                };
                format!("{first}; {}", self.begin_burst())
            }
        };
        Finding::Raised { message, action }
    }

    fn begin_burst(&mut self) -> String {
        let doublings = self.state.bursts.min(MOST_DOUBLINGS);
        self.state.burst_left = self.burst_length << doublings;
        self.state.bursts += 1;
        self.state.gain.forget();
        format!("{} steps of PGD-{STEPS} instead of the method's own", self.state.burst_left)
    }

    fn end(&mut self, message: String) -> Option<Finding> {
        std::mem::take(&mut self.state.raised).then_some(Finding::Over { message })
    }
}
