//! The watch against collapse: when the alarm is raised, what is done about it, and when it is over.

use super::probe::{Probe, STEPS};
use super::sentinel::{Sentinel, Signal};
use super::snapshot::Snapshot;
use super::{Setting, StepOutcome, TrainingMethod, methods};
use crate::Result;
use gaat_spec::{CheckedRecipe, CollapsePolicy, MethodSpec, PgdSpec, PixelLength};
use serde::{Deserialize, Serialize};

/// Steps of a burst, at least.
const LEAST_BURST: usize = 50;
/// A loss of this share of that of guessing is flat: PGD would keep it there.
const FLAT: f64 = 0.98;
/// A fall of the validation accuracy within so many standard deviations of the best one is chance.
const DEVIATIONS: f64 = 3.0;
/// Longest burst over the first one, as a power of two.
const MOST_DOUBLINGS: u32 = 20;

/// What of the watch survives a stop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WatchState {
    sentinel: Sentinel,
    /// Whether an alarm was raised that is not over.
    raised: bool,
    /// Steps left of the burst that is going on.
    burst_left: usize,
    /// Bursts begun.
    bursts: u32,
}

/// Why the watch wants a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Does the low gain ratio mean a collapse?
    Suspected,
    /// Does the high one mean that the collapse is over?
    Improved,
    /// Has the burst helped?
    BurstOver,
}

/// What the watch has found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// An alarm, with what is done.
    Raised { message: String, action: String },
    /// The end of one.
    Over { message: String },
}

/// Watches over one run and holds what it may go back to.
pub(super) struct Watch {
    policy: CollapsePolicy,
    /// Steps of the first burst.
    burst_length: usize,
    /// The loss of guessing.
    guessing: f64,
    burst: Box<dyn TrainingMethod>,
    pub(super) state: WatchState,
    pub(super) healthy: Option<Snapshot>,
    /// The network now is as healthy as can be told.
    snapshot_due: bool,
    rollback_due: bool,
}

impl Watch {
    /// The watch that `recipe` asks for.
    pub(super) fn new(
        recipe: &CheckedRecipe,
        setting: &Setting,
        steps_per_epoch: usize,
    ) -> Result<Option<Self>> {
        let Some(policy) = recipe.on_collapse else { return Ok(None) };
        let step_size = PixelLength::new(recipe.threat.epsilon() / 4.0)?;
        let pgd = MethodSpec::Rat(PgdSpec { steps: STEPS, step_size, random_start: true });
        Ok(Some(Self {
            policy,
            burst_length: (steps_per_epoch / 2).max(LEAST_BURST),
            guessing: (setting.classes as f64).ln(),
            burst: methods::build(pgd, recipe.awp, setting)?,
            state: WatchState::default(),
            healthy: None,
            snapshot_due: false,
            rollback_due: false,
        }))
    }

    /// What stands in for the method while a burst goes on.
    pub(super) fn burst(&mut self) -> Option<&mut dyn TrainingMethod> {
        (self.state.burst_left > 0).then_some(self.burst.as_mut())
    }

    /// Takes note of an adversarial step.
    pub(super) fn after_step(&mut self, outcome: &StepOutcome) -> Option<Question> {
        if self.state.burst_left > 0 {
            self.state.burst_left -= 1;
            return (self.state.burst_left == 0).then_some(Question::BurstOver);
        }
        let StepOutcome { images, loss, correct, gain, .. } = *outcome;
        let signal = self.state.sentinel.observe(gain?, loss, correct, images)?;
        let question = match signal {
            Signal::Low if self.may_raise() => Question::Suspected,
            Signal::High if self.state.raised => Question::Improved,
            _ => return None,
        };
        self.state.sentinel.rest();
        Some(question)
    }

    /// Answers `question` by a probe, or by the gain ratio alone where there is nothing to probe with.
    pub(super) fn answer(&mut self, question: Question, probe: Option<Probe>) -> Option<Finding> {
        let Some(found) = probe else {
            let ratio = self.state.sentinel.ratio().unwrap_or_default();
            let message = format!("gain ratio {ratio:.2}, not confirmed by a probe");
            return match question {
                Question::Suspected => Some(self.raise(message)),
                Question::Improved => self.end(message),
                Question::BurstOver => None,
            };
        };
        // Where the running statistics lag behind, evaluation mode withstands little of anything, while the batches of
        // the training, in its own mode, show how well the training attack is learned.
        let trained = self.state.sentinel.accuracy().unwrap_or_default();
        let found = Probe { single: found.single.max(trained), ..found };
        let message = format!(
            "{:.1} % withstand one step, {:.1} % PGD-{STEPS}",
            100.0 * found.single,
            100.0 * found.pgd
        );
        if found.is_collapse() {
            return (question != Question::Improved).then(|| self.raise(message));
        }
        self.snapshot_due |= found.is_clear();
        self.end(message)
    }

    /// Judges an epoch by its robust validation accuracy on `images` images and the best one before it.
    pub(super) fn after_epoch(
        &mut self,
        robust: Option<f64>,
        best: Option<f64>,
        images: usize,
    ) -> Option<Finding> {
        let Some(robust) = robust else {
            self.snapshot_due |= !self.state.raised && self.state.sentinel.is_high();
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
        if robust < chance.max(best / 2.0) || self.state.sentinel.is_low() {
            return None;
        }
        self.snapshot_due = true;
        self.end(message)
    }

    /// Whether the network is to be kept, asked once.
    pub(super) fn take_snapshot_due(&mut self) -> bool {
        std::mem::take(&mut self.snapshot_due) && self.policy == CollapsePolicy::Rollback
    }

    /// Whether the network is to be set back, asked once.
    pub(super) fn take_rollback_due(&mut self) -> bool {
        std::mem::take(&mut self.rollback_due)
    }

    /// Who only warns says it once; a remedy may be needed again.
    fn may_raise(&self) -> bool {
        !self.state.raised || self.policy != CollapsePolicy::Warn
    }

    fn raise(&mut self, message: String) -> Finding {
        self.state.raised = true;
        let is_flat = self.state.sentinel.loss().is_some_and(|loss| loss >= FLAT * self.guessing);
        let action = match self.policy {
            CollapsePolicy::Warn => "nothing is done".to_owned(),
            _ if is_flat => "nothing is done while the loss is that of guessing".to_owned(),
            CollapsePolicy::Refine => self.begin_burst(),
            CollapsePolicy::Rollback => {
                self.rollback_due = self.healthy.is_some();
                let first = if self.rollback_due {
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
        self.state.sentinel.forget();
        format!("{} steps of PGD-{STEPS} instead of the method's own", self.state.burst_left)
    }

    fn end(&mut self, message: String) -> Option<Finding> {
        std::mem::take(&mut self.state.raised).then_some(Finding::Over { message })
    }
}
