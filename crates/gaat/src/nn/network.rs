//! A classifier out of an input stage, a body and a last linear layer.

use super::builder::{BuildOptions, Builder};
use super::catalogue::Architecture;
use super::classifier::{Classifier, FeatureMaps, InputShape, Mode};
use super::eager::Eager;
use super::flow::Flow;
use super::input::{InputStage, Normalization};
use super::layers::Linear;
use super::precision::ComputePrecision;
use super::recordings::Recordings;
use super::store::ParameterStore;
use super::trace::{Slot, Trace, Tracer};
use crate::error::Result;
use gaat_spec::ModelName;
use std::sync::Arc;
use tch::Tensor;

/// What differs from one architecture to the next: its layers, said once to a [`Flow`], which computes them or writes them
/// down for an export.
pub trait Body: Send {
    /// Features `[N, F]` for the last layer, from images `[N, C, H, W]` as normalised.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value>;

    /// See [`Classifier::feature_layer`].
    fn feature_layer(&self) -> Option<&str> {
        None
    }

    /// See [`Classifier::variant`].
    #[allow(clippy::unnecessary_literal_bound, reason = "a network may hold the text itself")]
    fn variant(&self) -> &str {
        ""
    }
}

/// A [`Body`] behind a pointer, with each of the flows that there are.
pub(super) trait Layered: Send {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor>;

    fn write_down(&self, flow: &Tracer, input: Slot) -> Result<Slot>;

    fn feature_layer(&self) -> Option<&str>;

    fn variant(&self) -> &str;
}

impl<B: Body> Layered for B {
    fn compute(&self, flow: &Eager, input: Tensor) -> Result<Tensor> {
        self.features(flow, input)
    }

    fn write_down(&self, flow: &Tracer, input: Slot) -> Result<Slot> {
        self.features(flow, input)
    }

    fn feature_layer(&self) -> Option<&str> {
        Body::feature_layer(self)
    }

    fn variant(&self) -> &str {
        Body::variant(self)
    }
}

/// The implementation of [`Classifier`] that a [`Builder`] makes.
pub(super) struct Network {
    pub(super) model: ModelName,
    /// Builds the network once more.
    pub(super) architecture: Arc<dyn Architecture>,
    pub(super) classes: i64,
    pub(super) store: ParameterStore,
    pub(super) input: InputStage,
    pub(super) body: Box<dyn Layered>,
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
        let architecture = Arc::clone(&self.architecture);
        let builder =
            Builder::new(self.model, Arc::clone(&architecture), self.input.shape, self.classes, &options)?;
        architecture.build(builder)
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

    fn feature_layer(&self) -> Option<&str> {
        self.body.feature_layer()
    }

    fn name(&self) -> String {
        self.model.to_string()
    }

    fn variant(&self) -> &str {
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

    fn normalization(&self) -> Normalization {
        self.input.normalization.clone()
    }

    fn store(&self) -> &ParameterStore {
        &self.store
    }

    fn recordings(&self, _mode: Mode) -> Option<&Recordings> {
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
