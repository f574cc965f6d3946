//! Single steps outside the loop, for unit tests.

use super::augment::{Augmentation, Placement};
use super::optimizer::Optimizer;
use super::portion::Portion;
use super::step::{Setting, StepContext, StepReport, TrainingMethod};
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Rng, build};
use crate::world::Alone;
use gaat_spec::recipe::{AugmentationSpec, OptimizerSpec};
use gaat_spec::{Norm, OptimizerName, Passes, PixelLength, Recipe, ThreatModel};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 6;
const SHAPE: InputShape = InputShape { channels: 1, height: 8, width: 8 };

/// A network, plain SGD, and six images of noise that are the whole training set.
pub(super) struct Trial {
    pub(super) classifier: Box<dyn Classifier>,
    pub(super) batch: Batch,
    pub(super) learning_rate: f64,
    pub(super) passes: Passes,
    pub(super) optimizer: Optimizer,
    /// In how many parts the batch is computed.
    pub(super) parts: usize,
}

impl Trial {
    pub(super) fn new(model: &str, kind: Kind) -> Self {
        let options = BuildOptions {
            device: Device::Cpu,
            precision: ComputePrecision::Fp32,
            kind,
            seed: 0,
            normalization: Normalization::identity(1),
        };
        let classifier = build(&model.parse().unwrap(), SHAPE, 10, &options).unwrap();
        let spec = OptimizerSpec {
            name: OptimizerName::Sgd,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            decay_norm_and_bias: false,
        };
        let draws = Rng::new(5).seeded("images", 0);
        let pixels = draws.uniform(&[BATCH, 1, 8, 8], -0.3, 1.3, kind, Device::Cpu).unwrap().clamp(0.0, 1.0);
        let labels = draws.randint(&[BATCH], 0, 10, Device::Cpu).unwrap();
        Self {
            optimizer: Optimizer::new(classifier.store(), spec),
            classifier,
            batch: Batch::new(pixels, labels),
            learning_rate: 0.1,
            passes: Passes::default(),
            parts: 1,
        }
    }

    pub(super) fn setting(&self) -> Setting {
        Setting {
            classes: 10,
            least_loss: 0.0,
            threat: ThreatModel::new(Norm::Linf, PixelLength::new(0.1).unwrap()).unwrap(),
            images: BATCH as usize,
            batch_size: BATCH as usize,
            shape: SHAPE,
            are_views_whole: true,
            device: Device::Cpu,
            kind: self.batch.pixels.kind(),
        }
    }

    /// Hands a context of step `step` to `work`, and adds up its passes.
    pub(super) fn with_context<T>(
        &mut self,
        step: u64,
        work: impl FnOnce(&mut StepContext<'_>, &Batch) -> Result<T>,
    ) -> Result<T> {
        let setting = self.setting();
        let rng = Rng::new(1);
        let still = Augmentation::new(AugmentationSpec::default());
        let placement: Placement =
            still.plan(&self.batch.pixels.size(), Device::Cpu, &rng.seeded("augment", step))?;
        let plan = Recipe::default().check()?.plan;
        let mut context = StepContext {
            world: &Alone,
            portion: Portion { start: 0, images: BATCH as usize, of: BATCH as usize },
            parts: self.parts,
            least: 1,
            classifier: self.classifier.as_ref(),
            optimizer: &mut self.optimizer,
            threat: setting.threat,
            attack_scale: 1.0,
            attack_mode: Mode::TrainFrozenStats,
            draws: rng.seeded("attack", step),
            whole_indices: Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)),
            placement,
            epoch: step as usize + 1,
            replay: step as usize,
            step: step as usize,
            progress: 0.5,
            consistency: None,
            smoothing: None,
            weight_reach: None,
            learning_rate: self.learning_rate,
            plan: &plan,
            passes: Passes::default(),
            gradients_are_finite: None,
            attacks: Vec::new(),
            outside: None,
        };
        let found = work(&mut context, &self.batch);
        self.passes += context.passes;
        found
    }

    /// Step `step` of `method`, each step an epoch.
    pub(super) fn step(&mut self, method: &mut dyn TrainingMethod, step: u64) -> Result<StepReport> {
        self.with_context(step, |context, batch| method.step(context, batch))
    }

    /// All trainable numbers in one row.
    pub(super) fn weights(&self) -> Tensor {
        let all: Vec<Tensor> =
            self.classifier.store().trainable().iter().map(|tensor| tensor.detach().flatten(0, -1)).collect();
        Tensor::cat(&all, 0)
    }
}
