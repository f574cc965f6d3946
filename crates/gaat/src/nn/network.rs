//! A classifier out of an input stage, a body and a last linear layer.

use super::input::InputStage;
use super::layers::Linear;
use super::{Classifier, ComputePrecision, InputShape, Mode, Normalization, ParameterStore};
use crate::Result;
use gaat_spec::ModelName;
use tch::{Kind, Tensor};

/// What differs from one architecture to the next.
pub(super) trait Body: Send {
    /// Features `[N, F]` for the last layer. `kind` is the dtype of the store: global pooling is done in it.
    fn features(&self, input: &Tensor, kind: Kind, mode: Mode) -> Result<Tensor>;

    /// See [`Classifier::variant`].
    fn variant(&self) -> &'static str {
        ""
    }
}

/// The one implementation of [`Classifier`].
pub(super) struct Network {
    pub(super) model: ModelName,
    pub(super) classes: i64,
    pub(super) store: ParameterStore,
    pub(super) input: InputStage,
    pub(super) body: Box<dyn Body>,
    pub(super) head: Linear,
}

impl Classifier for Network {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor> {
        let kind = self.head.master_kind();
        let features = self.body.features(&self.input.prepare(pixels)?, kind, mode)?;
        self.head.forward(&features.f_to_kind(kind)?)
    }

    fn name(&self) -> String {
        self.model.to_string()
    }

    fn variant(&self) -> &'static str {
        self.body.variant()
    }

    fn input_shape(&self) -> InputShape {
        self.input.shape
    }

    fn class_count(&self) -> i64 {
        self.classes
    }

    fn compute_precision(&self) -> ComputePrecision {
        self.input.precision
    }

    fn normalization(&self) -> &Normalization {
        &self.input.normalization
    }

    fn store(&self) -> &ParameterStore {
        &self.store
    }
}
