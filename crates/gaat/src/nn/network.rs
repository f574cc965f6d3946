//! A classifier out of an input stage, a body and a last linear layer.

use super::input::InputStage;
use super::layers::Linear;
use super::{Classifier, ComputePrecision, FeatureMaps, InputShape, Mode, Normalization, ParameterStore};
use crate::Result;
use gaat_spec::ModelName;
use tch::{Kind, Tensor};

/// What differs from one architecture to the next.
pub(super) trait Body: Send {
    /// Features `[N, F]` for the last layer. `kind` is the dtype of the store: global pooling is done in it.
    fn features(&self, input: &Tensor, kind: Kind, mode: Mode) -> Result<Tensor>;

    /// The same in two halves, for architectures with feature maps.
    fn spatial(&self) -> Option<&dyn Spatial> {
        None
    }

    /// See [`Classifier::variant`].
    fn variant(&self) -> &'static str {
        ""
    }
}

/// A body that ends in feature maps and what is made of them.
pub(super) trait Spatial {
    /// See [`Classifier::feature_layer`].
    fn layer(&self) -> &'static str;

    /// Feature maps `[N, K, h, w]` of the last convolutional stage.
    fn maps(&self, input: &Tensor, mode: Mode) -> Result<Tensor>;

    /// Features `[N, F]` from those maps, which stay as they are.
    fn features_of(&self, maps: &Tensor, kind: Kind) -> Result<Tensor>;
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

    fn feature_maps(&self, pixels: &Tensor, mode: Mode) -> Result<Option<FeatureMaps>> {
        let Some(body) = self.body.spatial() else { return Ok(None) };
        let kind = self.head.master_kind();
        let maps = body.maps(&self.input.prepare(pixels)?, mode)?;
        let logits = self.head.forward(&body.features_of(&maps, kind)?.f_to_kind(kind)?)?;
        Ok(Some(FeatureMaps { maps, logits }))
    }

    fn feature_layer(&self) -> Option<&'static str> {
        self.body.spatial().map(Spatial::layer)
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
