//! What one training step may do: the context that the loop lends to a method, and what the method reports.

use super::augment::Placement;
use super::batches::Batches;
use super::consistency::Consistency;
use super::mark::Mark;
use super::memory::Members;
use super::named;
use super::optimizer::Optimizer;
use super::outside::Outside;
use super::portion::Portion;
use super::smooth::Smoothing;
use super::tape::Tape;
use crate::attack::{
    Ascent, Attack, Exact, GradientOracle, Loss, Perturbed, Taylor, Unbounded, UnderAttack, run,
    run_unbounded,
};
use crate::batch::Batch;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Draws, InputShape, Mode, plain_logits};
use crate::taylor::{Expansion, Forecast, GainRatio, TaylorModel, UnreadGain};
use crate::world::World;
use gaat_spec::recipe::AugmentationSpec;
use gaat_spec::{Anchor, Curvature, Passes, Plan, ThreatModel};
use tch::{Device, Kind, Tensor};

/// A way to train.
pub trait TrainingMethod: Send {
    /// One step on `batch`, which calls [`StepContext::descend`] or one of its variants once.
    ///
    /// # Errors
    /// When the network fails.
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport>;

    /// Takes note of what a step has found: on a processor before the next step, on a GPU some steps late, in order, and before
    /// the end of an epoch. Steps that something else did, a burst of PGD or the natural epochs of a delay, come too.
    fn observe(&mut self, _outcome: &StepOutcome) {}

    /// How often in succession the method is given each batch, at least once.
    fn replays(&self) -> usize {
        1
    }

    /// Whether nothing is attacked, so that the best epoch is the one with the highest clean accuracy.
    fn is_natural(&self) -> bool {
        false
    }

    /// Whether it differentiates gradients in the pixels once more, which some operators of a network may not allow.
    fn takes_second_order(&self) -> bool {
        false
    }

    /// What of the method depends on all images of a batch, so that it cannot be divided among processes; `None` where each can compute
    /// its images alone.
    fn indivisible(&self) -> Option<&'static str> {
        None
    }

    /// What of the method keeps the graph of a whole batch, so that a batch cannot be computed in parts, one after the other; `None`
    /// where each part can be computed alone.
    fn needs_whole_graph(&self) -> Option<&'static str> {
        None
    }

    /// Is told before the first step who trains together: what is remembered of each image is divided among these.
    ///
    /// # Errors
    /// When the device has no room.
    fn divide(&mut self, world: &dyn World) -> Result<()> {
        let _ = world;
        Ok(())
    }

    /// What the next step depends on beside the weights, by name, sharing storage with the method. Always the same names
    /// and shapes; of several processes what this one keeps.
    fn state(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// The same where all of `world` ask at once, as one process would have it.
    ///
    /// # Errors
    /// When one of the others cannot be reached.
    fn whole_state(&self, world: &dyn World) -> Result<Vec<(String, Tensor)>> {
        let _ = world;
        Ok(self.state())
    }

    /// Continues from `state`, as [`whole_state`](Self::whole_state) gave it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; then nothing was changed.
    fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        named::copy_into("method", self.state(), state)
    }
}

/// Share of the way from guessing to the least loss.
const NEARLY: f64 = 0.02;

/// What a method that remembers must know of the run.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The threat model at its full size.
    pub threat: ThreatModel,
    /// Training images.
    pub images: usize,
    /// Classes to tell apart.
    pub classes: i64,
    /// The least loss that the labels leave, in nats: 0 but where they are soft.
    pub least_loss: f64,
    /// Images in the largest step: `accumulate` batches.
    pub batch_size: usize,
    /// Shape of an image as the network is given it.
    pub shape: InputShape,
    /// Whether views are as large as the images and not resized, so that what is remembered of an image can be carried to its view
    /// and back.
    pub are_views_whole: bool,
    /// Where batches lie.
    pub device: Device,
    /// Dtype of batches.
    pub kind: Kind,
}

impl Setting {
    /// The setting of a training of `network` on `data`.
    ///
    /// # Errors
    /// When the network cannot take the images, or a batch is too small for it.
    pub fn of(plan: &Plan, data: &Dataset, network: &dyn Classifier) -> Result<Self> {
        let train = data.splits.train.images();
        Ok(Self {
            threat: plan.threat(),
            images: train.len(),
            classes: train.class_count() as i64,
            least_loss: plan.labels().map_or(0.0, |labels| labels.least_loss(train.class_count())),
            batch_size: Batches::of(plan, train.len(), network, 1)?.largest(),
            shape: data.input(),
            are_views_whole: {
                let AugmentationSpec { crop, random_resized_crop, .. } = plan.augmentation();
                crop.is_none() && random_resized_crop == 0.0
            },
            device: network.store().device(),
            kind: network.store().kind(),
        })
    }

    /// The loss from which on a network answers every image alike, or nearly so: what is left of the way from guessing down to the least
    /// loss is all but a fiftieth.
    pub(super) fn flat_loss(&self) -> f64 {
        let guessing = (self.classes as f64).ln();
        guessing - NEARLY * (guessing - self.least_loss)
    }

    /// Size of something of an image's shape for every training image.
    pub(super) fn memory_size(&self) -> [i64; 4] {
        [self.images as i64, self.shape.channels, self.shape.height, self.shape.width]
    }
}

/// What a step found, on the device: a step reads no number back, so that a GPU never waits for the program.
#[derive(Debug)]
pub struct StepReport {
    /// Sum of the losses over the batch as trained on; a scalar.
    pub loss: Tensor,
    /// Images classified correctly as trained on, in the training pass; a scalar.
    pub correct: Tensor,
    /// How well the attack's model predicted the loss.
    pub gain: Option<UnreadGain>,
    /// Gradients that the attack took, a mean over the images of this batch.
    pub refreshes: f64,
}

/// The same, read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOutcome {
    /// Images in the batch.
    pub images: usize,
    /// Sum of the losses over the batch as trained on; finite.
    pub loss: f64,
    /// Images classified correctly as trained on, in the training pass.
    pub correct: usize,
    /// How well the attack's model predicted the loss.
    pub gain: Option<GainRatio>,
    /// Gradients that the attack took, a mean over the images of this batch.
    pub refreshes: f64,
}

/// The loop's loan to a method for one step. Passes and seconds are counted here, not claimed by the method.
pub struct StepContext<'a> {
    pub(super) world: &'a dyn World,
    /// Which images of the batch are computed here.
    pub(super) portion: Portion,
    /// In how many parts they are computed, one after the other.
    pub(super) parts: usize,
    /// Images that the network needs at least to normalise by the statistics of a batch.
    pub(super) least: usize,
    pub(super) classifier: &'a dyn Classifier,
    pub(super) optimizer: &'a mut Optimizer,
    /// As large as the attack is by now.
    pub(super) threat: ThreatModel,
    /// Share of its full size that the attack has by now.
    pub(super) attack_scale: f64,
    /// BatchNorm under the attack.
    pub(super) attack_mode: Mode,
    pub(super) draws: Draws,
    /// Places of the whole batch in the training set, `[N]`, i64, of which the portion is computed here.
    pub(super) whole_indices: Tensor,
    pub(super) placement: Placement,
    /// From 1; natural epochs of a delay do not count.
    pub(super) epoch: usize,
    /// How often the batch has come already.
    pub(super) replay: usize,
    /// Steps of the run before this one.
    pub(super) step: usize,
    /// Share of the run that is done.
    pub(super) progress: f64,
    /// What holds the answer at the attacked point to that at the point of the gradient.
    pub(super) consistency: Option<Consistency>,
    /// What keeps the loss on clean images from jumping.
    pub(super) smoothing: Option<Smoothing>,
    /// Length of the weight perturbation over the norm of the weights.
    pub(super) weight_reach: Option<f64>,
    pub(super) learning_rate: f64,
    /// The numbers of the training.
    pub(super) plan: &'a Plan,
    pub(super) passes: Passes,
    /// Whether the gradients of the descent are finite, bool, on the device: one for each trainable tensor and one for watched
    /// pixels; `None` before there was a descent.
    pub(super) gradients_are_finite: Option<Tensor>,
    /// From when to when attacks continued.
    pub(super) attacks: Vec<(Mark, Mark)>,
    /// Who descends in place of the optimiser, if somebody else does.
    pub(super) outside: Option<Outside>,
}

impl<'a> StepContext<'a> {
    /// The threat model to train against in this step: smaller than the recipe's while the attack warms up.
    pub fn threat(&self) -> &ThreatModel {
        &self.threat
    }

    /// Share of their full size that attack lengths have in this step.
    pub fn attack_scale(&self) -> f64 {
        self.attack_scale
    }

    /// The epoch of the method, from 1: the natural epochs of a delay do not count.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// The numbers of the training: what a key of the recipe says is asked for here.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// How often in succession the method has been given this batch already.
    pub fn replay(&self) -> usize {
        self.replay
    }

    /// Steps of the run before this one, by whatever method.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Share of the run that is done, in `[0, 1]`.
    pub fn progress(&self) -> f64 {
        self.progress
    }

    /// Who asks a memory of images, and about which.
    pub fn members(&self) -> Members<'_> {
        Members { world: self.world, portion: self.portion, indices: &self.whole_indices }
    }

    /// How the batch's images were cropped and flipped.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Images of the whole batch, of which several processes have a part each.
    pub fn images_in_batch(&self) -> usize {
        self.portion.of
    }

    /// The random draws of this step. Attacks draw from them too, in the order of the calls.
    pub fn draws(&self) -> &Draws {
        &self.draws
    }

    /// Lets [`descend`](Self::descend) and its variants perturb the weights by `reach` times each layer's norm.
    pub fn perturb_weights_by(&mut self, reach: f64) {
        self.weight_reach = Some(reach);
    }

    /// Runs `attack` with exact gradients of the cross-entropy.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb(&mut self, attack: &dyn Attack, batch: &Batch) -> Result<Perturbed> {
        self.perturb_against(attack, batch, Loss::CrossEntropy)
    }

    /// Runs `attack` with exact gradients of `loss`.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb_against(&mut self, attack: &dyn Attack, batch: &Batch, loss: Loss) -> Result<Perturbed> {
        let oracle = Exact::of_loss(self.classifier, self.attack_mode, loss).in_parts(self.parts);
        self.attacked(oracle, attack, batch)
    }

    /// Runs `attack` on the first-order model at the point that it asks about first: one gradient.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb_once(&mut self, attack: &dyn Attack, batch: &Batch) -> Result<(Perturbed, Forecast)> {
        self.forecast(self.first_order(batch), attack, batch, run, Perturbed::pixels)
    }

    /// As [`perturb_once`](Self::perturb_once), the result cut to the pixel box but not projected on the ball.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb_once_unbounded(
        &mut self,
        attack: &dyn Attack,
        batch: &Batch,
    ) -> Result<(Unbounded, Forecast)> {
        self.forecast(self.first_order(batch), attack, batch, run_unbounded, Unbounded::pixels)
    }

    /// Runs `attack` on a model that is known already: no pass.
    ///
    /// # Errors
    /// When the attack fails.
    pub fn perturb_around(
        &mut self,
        attack: &dyn Attack,
        batch: &Batch,
        expansion: Expansion<'a>,
    ) -> Result<(Perturbed, Forecast)> {
        let draws = self.draws.branch("curvature");
        let oracle = Taylor::around(self.classifier, self.attack_mode, &self.threat, expansion, draws);
        self.forecast(oracle, attack, batch, run, Perturbed::pixels)
    }

    /// The batch perturbed by `delta` as it is, projected: no pass.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn perturb_with(&mut self, delta: &Tensor, batch: &Batch) -> Result<Perturbed> {
        let given = Ascent { start: delta.shallow_clone(), step_size: 0.0 };
        self.attacked(Exact::new(self.classifier, self.attack_mode), &given, batch)
    }

    /// Logits of `pixels` in the attack's mode, `[N, classes]`, without a graph.
    ///
    /// # Errors
    /// When the network fails.
    pub fn look(&mut self, pixels: &Tensor) -> Result<Tensor> {
        let started = self.mark()?;
        let logits = plain_logits((self.classifier, self.attack_mode), self.parts, pixels)?;
        self.passes += Passes { forward: pixels.size()[0] as u64, ..Passes::default() };
        self.attack_ends(started)?;
        Ok(logits)
    }

    /// Runs the network in the attack's mode and keeps the graph for the descent that follows.
    ///
    /// # Errors
    /// When `work` fails, or where batches are computed in parts: a method that records says so in
    /// [`needs_whole_graph`](TrainingMethod::needs_whole_graph).
    pub fn record<T>(&mut self, work: impl FnOnce(&mut Tape<'_>) -> Result<T>) -> Result<T> {
        if self.parts > 1 {
            return Err(Error::Usage(format!(
                "the method keeps the graph of a whole batch, which is computed in {} parts here: leave accumulate out",
                self.parts
            )));
        }
        let started = self.mark()?;
        let mut tape = Tape::new(self.classifier, self.attack_mode);
        let found = work(&mut tape)?;
        self.passes += tape.passes();
        self.attack_ends(started)?;
        Ok(found)
    }

    pub(super) fn mark(&self) -> Result<Mark> {
        Mark::now(self.classifier.store().device())
    }

    /// What the device was told since `started` was part of the attack.
    pub(super) fn attack_ends(&mut self, started: Mark) -> Result<()> {
        let ended = self.mark()?;
        self.attacks.push((started, ended));
        Ok(())
    }

    pub(super) fn taylor(&self, batch: &Batch, model: TaylorModel) -> Taylor<'a> {
        let draws = self.draws.branch("curvature");
        let oracle = Taylor::new(self.classifier, self.attack_mode, &batch.pixels, model, draws);
        let oracle = oracle.in_parts(self.parts);
        if self.records_for_consistency() { oracle.recording() } else { oracle }
    }

    fn first_order(&self, batch: &Batch) -> Taylor<'a> {
        self.taylor(batch, TaylorModel::once(Anchor::RandomStart, Curvature::None, &self.threat))
    }

    /// Drives `attack` by a Taylor model and asks that about what was delivered.
    fn forecast<P>(
        &mut self,
        mut oracle: Taylor<'a>,
        attack: &dyn Attack,
        batch: &Batch,
        frame: Frame<P>,
        pixels: fn(&P) -> &Tensor,
    ) -> Result<(P, Forecast)> {
        let started = self.mark()?;
        let under = UnderAttack::new(&batch.pixels, batch.attack_targets(), &self.threat, &self.draws);
        let found = frame(attack, &mut oracle, under)?;
        oracle.settle(pixels(&found))?;
        self.passes += oracle.passes();
        self.attack_ends(started)?;
        Ok((found, oracle.into_forecast()?))
    }

    /// Drives `attack` by the network itself.
    fn attacked(&mut self, mut oracle: Exact<'_>, attack: &dyn Attack, batch: &Batch) -> Result<Perturbed> {
        let started = self.mark()?;
        let under = UnderAttack::new(&batch.pixels, batch.attack_targets(), &self.threat, &self.draws);
        let found = run(attack, &mut oracle, under)?;
        self.passes += oracle.passes();
        self.attack_ends(started)?;
        Ok(found)
    }
}

/// [`run`] or [`run_unbounded`].
type Frame<P> = fn(&dyn Attack, &mut dyn GradientOracle, UnderAttack<'_>) -> Result<P>;
