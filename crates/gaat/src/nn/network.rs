//! A classifier out of an input stage, a body and a last linear layer.

use super::eager::Eager;
use super::flow::Flow;
use super::input::InputStage;
use super::layers::Linear;
use super::trace::{Place, Trace, Tracer};
use super::{Classifier, ComputePrecision, InputShape, Mode, Normalization, ParameterStore};
use crate::Result;
use gaat_spec::ModelName;
use tch::Tensor;

/// What differs from one architecture to the next: its layers, said once.
pub(super) trait Architecture: Send {
    /// Features `[N, F]` for the last layer.
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value>;

    /// See [`Classifier::variant`].
    fn variant(&self) -> &'static str {
        ""
    }
}

/// An [`Architecture`] behind a pointer, with each of the flows that there are.
pub(super) trait Body: Send {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor>;

    fn write_down(&self, flow: &Tracer, input: Place) -> Result<Place>;

    fn variant(&self) -> &'static str;
}

impl<A: Architecture> Body for A {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor> {
        self.features(flow, input)
    }

    fn write_down(&self, flow: &Tracer, input: Place) -> Result<Place> {
        self.features(flow, input)
    }

    fn variant(&self) -> &'static str {
        Architecture::variant(self)
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
        let features = self.body.compute(&Eager { kind, mode }, self.input.prepare(pixels)?)?;
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

    fn trace(&self) -> Result<Trace> {
        let tracer = Tracer::default();
        let mut place = Tracer::pixels();
        let normalization = &self.input.normalization;
        if !normalization.is_identity() {
            place = tracer.normalize(&normalization.mean, &normalization.std, place);
        }
        let features = self.body.write_down(&tracer, place)?;
        tracer.linear(&self.head, &features)?;
        Ok(tracer.finish())
    }
}
