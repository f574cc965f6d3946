//! A classifier out of an input stage, a body and a last linear layer.

use super::builder::{BuildOptions, build};
use super::eager::Eager;
use super::flow::Flow;
use super::input::InputStage;
use super::layers::Linear;
use super::trace::{Place, Trace, Tracer};
use super::{
    Classifier, ComputePrecision, FeatureMaps, InputShape, Mode, Normalization, ParameterStore, Recordings,
};
use crate::Result;
use gaat_spec::ModelName;
use tch::Tensor;

/// What differs from one architecture to the next: its layers, said once.
pub(super) trait Architecture: Send {
    /// Features `[N, F]` for the last layer.
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value>;

    /// See [`Classifier::feature_layer`].
    fn feature_layer(&self) -> Option<&'static str> {
        None
    }

    /// See [`Classifier::variant`].
    fn variant(&self) -> &'static str {
        ""
    }
}

/// An [`Architecture`] behind a pointer, with each of the flows that there are.
pub(super) trait Body: Send {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor>;

    fn write_down(&self, flow: &Tracer, input: Place) -> Result<Place>;

    fn feature_layer(&self) -> Option<&'static str>;

    fn variant(&self) -> &'static str;
}

impl<A: Architecture> Body for A {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor> {
        self.features(flow, input)
    }

    fn write_down(&self, flow: &Tracer, input: Place) -> Result<Place> {
        self.features(flow, input)
    }

    fn feature_layer(&self) -> Option<&'static str> {
        Architecture::feature_layer(self)
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
    pub(super) recordings: Option<Recordings>,
}

impl Network {
    /// The same network with fresh weights.
    fn rebuilt(&self) -> Result<Box<dyn Classifier>> {
        let options = BuildOptions {
            device: self.store.device(),
            precision: self.input.precision,
            kind: self.store.kind(),
            seed: 0,
            normalization: self.input.normalization.clone(),
        };
        build(&self.model, self.input.shape, self.classes, &options)
    }

    /// Logits, and the feature maps that they come from where there are any.
    fn computed(&self, pixels: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        let kind = self.head.master_kind();
        let flow = Eager::new(kind, mode);
        let features = self.body.compute(&flow, self.input.prepare(pixels)?)?;
        Ok((self.head.forward(&features.f_to_kind(kind)?)?, flow.maps.into_inner()))
    }
}

impl Classifier for Network {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.computed(pixels, mode)?.0)
    }

    fn feature_maps(&self, pixels: &Tensor, mode: Mode) -> Result<Option<FeatureMaps>> {
        let (logits, maps) = self.computed(pixels, mode)?;
        Ok(maps.map(|maps| FeatureMaps { maps, logits }))
    }

    fn feature_layer(&self) -> Option<&'static str> {
        self.body.feature_layer()
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

    fn recordings(&self) -> Option<&Recordings> {
        self.recordings.as_ref()
    }

    fn replica(&self) -> Result<Option<Box<dyn Classifier>>> {
        let twin = self.rebuilt()?;
        twin.store().share(&self.store)?;
        Ok(Some(twin))
    }

    fn twin(&self) -> Result<Option<Box<dyn Classifier>>> {
        Ok(Some(self.rebuilt()?))
    }

    fn head(&self) -> Option<&str> {
        Some(&self.head.name)
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
