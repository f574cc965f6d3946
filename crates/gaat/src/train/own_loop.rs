//! A method in a loop of one's own: it says what to train on, the loop descends, and a collapse is looked out for.

use super::augment::Placement;
use super::collapse::{Check, Signal, SmoothedGain};
use super::labels::soften;
use super::methods;
use super::optimizer::Optimizer;
use super::outside::{Outside, Wanted, impossible};
use super::portion::Portion;
use super::step::{Setting, StepContext, StepOutcome, StepReport, TrainingMethod};
use crate::batch::{Batch, Images};
use crate::error::{Error, Result};
use crate::nn::{Classifier, Mode, ParameterStore, Rng};
use crate::taylor::GainRatio;
use crate::world::Alone;
use gaat_spec::{
    AttackStatistics, CheckedRecipe, MethodSpec, OneStepSpec, Passes, Plan, Projection, ThreatModel,
};
use tch::Tensor;

/// One step of many against one, on a batch: the method is thought to have collapsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The step, from 1.
    pub step: usize,
    /// What was seen.
    pub message: String,
}

/// What a step waits for until the loop tells its loss.
struct Pending {
    report: StepReport,
    batch: Batch,
    /// Whether the report knows the loss.
    knows_loss: bool,
}

/// A training method without optimiser, data and schedule.
pub struct OwnLoop {
    plan: Plan,
    method: Box<dyn TrainingMethod>,
    optimizer: Optimizer,
    gain: SmoothedGain,
    pending: Option<Pending>,
    passes: Passes,
    done: usize,
    /// Steps of the whole training, where they are known.
    total: Option<usize>,
}

/// `method`, with an adaptive projection of `gaat` replaced by projection in every step. Adaptive projection leaves the ball in the
/// second half of a training, and a loop that does not say its number of steps does not say where that half begins.
fn kept_in_the_ball(mut method: MethodSpec) -> MethodSpec {
    if let MethodSpec::Gaat(spec) = &mut method
        && spec.opening.projection == Projection::Adaptive
    {
        spec.opening.projection = Projection::Always;
    }
    method
}

impl OwnLoop {
    /// The method of `recipe` in the given setting, for a loop of `total` steps; without them nothing of the method grows or fades
    /// over the training, and a walk of `gaat` that may leave the ball late in a run stays in it.
    ///
    /// # Errors
    /// When the method is made of its own backward pass, or of several methods one after the other.
    pub fn new(recipe: &CheckedRecipe, setting: &Setting, total: Option<usize>) -> Result<Self> {
        let plan = recipe.plan.clone();
        let is_of_the_descent = matches!(
            recipe.method,
            MethodSpec::Free { .. } | MethodSpec::FgsmMep { .. } | MethodSpec::GaatMemory { .. }
        );
        if is_of_the_descent || plan.awp().is_some() {
            return Err(impossible());
        }
        let has_limit = matches!(recipe.method, MethodSpec::OneStep(OneStepSpec { limit: Some(_), .. }));
        let terms = [
            ("step-limit", has_limit),
            ("consistency", plan.consistency().is_some()),
            ("converge-smooth", plan.converge_smooth().is_some()),
        ];
        if let Some((key, _)) = terms.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::Usage(format!(
                "{key} needs the backward pass of the descent, which a loop of your own makes itself: set {key} to 0, or train with a \
                 whole training"
            )));
        }
        if plan.accumulate() > 1 {
            return Err(Error::Usage(
                "a loop of your own accumulates gradients itself: leave accumulate out".to_owned(),
            ));
        }
        if plan.mixing().is_some() || plan.extra().is_some() {
            return Err(Error::Usage(
                "the images are those of a loop of your own, which mixes them or adds others itself: leave mixup, cutmix and extra-data \
                 out"
                .to_owned(),
            ));
        }
        if plan.natural_epochs() > 0 {
            return Err(Error::Usage(
                "a delay is the affair of a loop of your own: train naturally first, then by the method"
                    .to_owned(),
            ));
        }
        let method = if total.is_none() { kept_in_the_ball(recipe.method) } else { recipe.method };
        Ok(Self {
            method: methods::build(method, None, setting)?,
            optimizer: Optimizer::new(&ParameterStore::new(setting.device, setting.kind), plan.optimizer()),
            gain: SmoothedGain::default(),
            pending: None,
            passes: Passes::default(),
            done: 0,
            plan,
            total,
        })
    }

    /// The images to train on in place of `batch`, whose places in the training set are `indices` (`[N]`, i64): `[N, C, H, W]`.
    /// [`observe`](Self::observe) has to follow.
    ///
    /// # Errors
    /// When the method trains on more than images, or the network fails.
    pub fn perturb(&mut self, network: &dyn Classifier, batch: Batch, indices: Tensor) -> Result<Tensor> {
        self.step(network, batch, indices, Wanted::Pixels)
    }

    /// The loss of each image of `batch` as the method trains on it, `[N]`, with its graph: the mean is to be descended.
    /// [`observe`](Self::observe) has to follow.
    ///
    /// # Errors
    /// When the method is made of its own backward pass, or the network fails.
    pub fn losses(&mut self, network: &dyn Classifier, batch: Batch, indices: Tensor) -> Result<Tensor> {
        self.step(network, batch, indices, Wanted::Losses)
    }

    fn step(
        &mut self,
        network: &dyn Classifier,
        batch: Batch,
        indices: Tensor,
        wanted: Wanted,
    ) -> Result<Tensor> {
        let (plan, done) = (&self.plan, self.done);
        if plan.labels().is_some() && wanted == Wanted::Pixels {
            return Err(Error::Usage(
                "soft labels are part of the method's loss, which images alone do not give; ask for its loss"
                    .to_owned(),
            ));
        }
        let progress = self.progress();
        let attack_scale = plan.attack_scale(progress);
        network.begin_step(Rng::new(plan.seed()), done as u64);
        let draws = Rng::new(plan.seed()).seeded("attack", done as u64);
        let batch = match plan.labels() {
            Some(spec) => soften(batch, spec, network.class_count(), &draws.branch("labels"))?,
            None => batch,
        };
        let mut context = StepContext {
            world: &Alone,
            portion: Portion::new(&Alone, batch.len()),
            parts: 1,
            least: 1,
            classifier: network,
            optimizer: &mut self.optimizer,
            threat: plan.threat().scaled(attack_scale),
            attack_scale,
            attack_mode: match plan.attack_statistics() {
                AttackStatistics::Batch => Mode::TrainFrozenStats,
                AttackStatistics::Running => Mode::Eval,
            },
            draws,
            whole_indices: indices,
            placement: Placement::identity(),
            epoch: 1,
            replay: 0,
            step: done,
            progress,
            smoothing: None,
            weight_reach: None,
            consistency: None,
            learning_rate: 0.0,
            plan,
            passes: Passes::default(),
            gradients_are_finite: None,
            attacks: Vec::new(),
            outside: Some(Outside::new(wanted)),
        };
        let report = self.method.step(&mut context, &batch)?;
        let StepContext { passes, outside, .. } = context;
        let found = outside.ok_or_else(impossible)?.into_found()?;
        self.passes += passes;
        self.done += 1;
        self.pending = Some(Pending { report, batch, knows_loss: wanted == Wanted::Losses });
        Ok(found)
    }

    /// Takes note of the mean loss of the step before, and looks for a collapse where the method suggests one: on the images of
    /// that step, one step of epsilon against PGD.
    ///
    /// # Errors
    /// When there was no step, or the network fails.
    pub fn observe(&mut self, network: &dyn Classifier, loss: f64) -> Result<Option<Alarm>> {
        let Some(Pending { report, batch, knows_loss }) = self.pending.take() else {
            return Err(Error::Usage(
                "there is no step that a loss could be of: perturb a batch first".to_owned(),
            ));
        };
        let images = batch.len();
        let sum = loss * images as f64;
        let gain = match &report.gain {
            Some(gain) => {
                let to_come = if knows_loss { 0.0 } else { sum };
                let read = |number: &Tensor| number.f_double_value(&[]);
                Some(GainRatio::new(read(&gain.actual)? + to_come, read(&gain.predicted)?))
            }
            None => None,
        };
        let correct = report.correct.f_double_value(&[])? as usize;
        let outcome = StepOutcome { images, loss: sum, correct, gain, refreshes: report.refreshes };
        self.method.observe(&outcome);
        let Some(gain) = gain else { return Ok(None) };
        if self.gain.observe(gain, sum, correct, images) != Some(Signal::Low) {
            return Ok(None);
        }
        self.gain.rest();
        let Batch { pixels, labels, .. } = batch;
        let threat = self.threat();
        let draws = Rng::new(self.plan.seed()).seeded("check", 0);
        let (check, cost) = Check::of(network, &Images::on_device(pixels, labels)?, &threat, &draws)?;
        self.passes += cost;
        Ok(check.is_collapse().then(|| Alarm {
            step: self.done,
            message: format!(
                "collapse: {:.0} % of the batch withstand one step of {}, {:.0} % PGD too, and the attack's model predicts its gain \
                 badly",
                check.single * 100.0,
                threat.epsilon_length(),
                check.pgd * 100.0
            ),
        }))
    }

    fn progress(&self) -> f64 {
        self.total.map_or(1.0, |total| ((self.done as f64 + 0.5) / total.max(1) as f64).min(1.0))
    }

    /// The threat model at its present size.
    pub fn threat(&self) -> ThreatModel {
        self.plan.threat_at(self.progress())
    }

    /// Passes of the attacks and checks so far.
    pub fn passes(&self) -> Passes {
        self.passes
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.done
    }

    /// The smoothed gain ratio, once it says anything.
    pub fn gain_ratio(&self) -> Option<f64> {
        self.gain.ratio()
    }
}
