//! Makes layers with their first weights, and puts a network together.

use super::catalogue::Architecture;
use super::classifier::{Classifier, InputShape};
use super::input::{InputStage, Normalization};
use super::layers::{BatchNorm, BlockConv, Conv, LayerNorm, Linear, TokenEmbedding};
use super::network::{Body, Network};
use super::precision::ComputePrecision;
use super::recordings::Recordings;
use super::rng::Rng;
use super::store::{ParameterStore, Role};
use crate::error::{Error, Result};
use gaat_spec::ModelName;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// How to build a network.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Where its parameters live.
    pub device: Device,
    /// In which precision its body computes.
    pub precision: ComputePrecision,
    /// Dtype of parameters, statistics and logits: [`Kind::Float`], or [`Kind::Double`] for exact tests.
    pub kind: Kind,
    /// Seed of the initial weights.
    pub seed: u64,
    /// What is done to the pixels first.
    pub normalization: Normalization,
}

/// Images beyond these would overflow the sizes of layers long before they filled the memory.
const MOST_CHANNELS: i64 = 1 << 12;
const MOST_SIDE: i64 = 1 << 16;
const MOST_CLASSES: i64 = 1 << 24;

fn check_sizes(model: &ModelName, input: InputShape, classes: i64) -> Result<()> {
    let refuse = |reason: String| Err(Error::Model { model: model.to_string(), reason });
    if input.channels < 1 || input.height < 1 || input.width < 1 {
        return refuse(format!("images of shape {input} are empty"));
    }
    if input.channels > MOST_CHANNELS || input.height.max(input.width) > MOST_SIDE {
        return refuse(format!(
            "images of shape {input} are too large: {MOST_CHANNELS} channels and sides of {MOST_SIDE} are the most"
        ));
    }
    if classes < 2 {
        return refuse(format!("{classes} classes: at least 2 are needed"));
    }
    if classes > MOST_CLASSES {
        return refuse(format!("{classes} classes: {MOST_CLASSES} are the most"));
    }
    Ok(())
}

/// How a weight is drawn at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initial {
    /// PyTorch's own: uniform in plus or minus `1 / sqrt(fan_in)`, for weight and bias alike.
    Default,
    /// He et al. 2015 over the outputs: normal with variance `2 / fan_out`; bias zero.
    KaimingFanOut,
    /// PyTorch's own for the weight; bias zero.
    ZeroBias,
    /// torchvision's for the last layer: uniform in plus or minus `1 / sqrt(fan_out)`; bias zero.
    UniformFanOut,
    /// timm's for transformers: normal with deviation 0.02; bias zero.
    Narrow,
}

/// See [`Initial::Narrow`]. timm cuts it off at a hundred deviations.
const NARROW: f64 = 0.02;
/// timm's for class tokens.
const NARROWEST: f64 = 1e-6;

/// Shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    /// Pixels from one output to the next.
    pub stride: i64,
    /// Zeros on each side.
    pub padding: i64,
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Whether each output has a number of its own added.
    pub has_bias: bool,
}

impl ConvShape {
    /// 3x3, padded to keep the size, without bias.
    pub fn three(inputs: i64, outputs: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel: 3, stride, padding: 1, groups: 1, has_bias: false }
    }

    /// 3x3 without bias; with stride 2 for maps that are padded before.
    pub(super) fn halving(inputs: i64, outputs: i64, stride: i64) -> Self {
        let padding = i64::from(stride == 1);
        Self { padding, ..Self::three(inputs, outputs, stride) }
    }

    /// 1x1 without bias.
    pub fn one(inputs: i64, outputs: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel: 1, stride, padding: 0, groups: 1, has_bias: false }
    }
}

/// Makes layers and enters their parameters into the store of one network, in the order of the calls.
///
/// Each parameter's first value depends on seed and parameter name only, and is the same on every device.
pub struct Builder {
    store: ParameterStore,
    rng: Rng,
    model: ModelName,
    architecture: Arc<dyn Architecture>,
    input: InputShape,
    classes: i64,
    options: BuildOptions,
    /// Whether tensors are to have their sizes and no memory.
    is_outline: bool,
}

impl Builder {
    /// A builder of `model`, of `architecture`, for images of shape `input` and `classes` classes.
    ///
    /// # Errors
    /// When there is nothing to see or to tell apart, or the options contradict each other.
    pub(super) fn new(
        model: ModelName,
        architecture: Arc<dyn Architecture>,
        input: InputShape,
        classes: i64,
        options: &BuildOptions,
    ) -> Result<Self> {
        check_sizes(&model, input, classes)?;
        let refuse = |reason: String| Err(Error::Model { model: model.to_string(), reason });
        match (options.kind, options.precision) {
            (Kind::Float, _) | (Kind::Double, ComputePrecision::Fp32) => {}
            (kind, precision) => {
                return refuse(format!("parameters of {kind:?} with {precision} computation"));
            }
        }
        Ok(Self {
            store: ParameterStore::new(options.device, options.kind),
            rng: Rng::new(options.seed),
            model,
            architecture,
            input,
            classes,
            options: options.clone(),
            is_outline: false,
        })
    }

    /// A builder of the layers of a published network that have their sizes and no memory.
    pub(super) fn outline(model: &ModelName, input: InputShape, classes: i64) -> Result<Self> {
        let normalization = Normalization { mean: Vec::new(), std: Vec::new() };
        let (device, precision, kind) = (Device::Cpu, ComputePrecision::Fp32, Kind::Float);
        let options = BuildOptions { device, precision, kind, seed: 0, normalization };
        let published = Arc::new(super::models::Published);
        Ok(Self { is_outline: true, ..Self::new(*model, published, input, classes, &options)? })
    }

    pub(super) fn into_store(self) -> ParameterStore {
        self.store
    }

    /// One zero, wherever it is looked at.
    fn without_memory(size: &[i64]) -> Result<Tensor> {
        Ok(Tensor::f_zeros(1, (Kind::Float, Device::Cpu))?.f_expand(size, false)?)
    }

    /// The network asked for.
    pub fn model(&self) -> ModelName {
        self.model
    }

    /// Shape of the images.
    pub fn input(&self) -> InputShape {
        self.input
    }

    /// Number of classes.
    pub fn classes(&self) -> i64 {
        self.classes
    }

    /// Device, dtype, precision and normalisation, for a network that does without [`network`](Self::network).
    pub fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// A network of the layers in `body` and a last linear layer, `head`. `is_spatial` where the body begins with a
    /// convolution.
    ///
    /// # Errors
    /// When the normalisation does not fit the images, or libtorch has no room.
    pub fn network(
        self,
        body: impl Body + 'static,
        head: Linear,
        is_spatial: bool,
    ) -> Result<Box<dyn Classifier>> {
        self.boxed(Box::new(body), head, is_spatial)
    }

    pub(super) fn boxed(
        self,
        body: Box<dyn super::network::Layered>,
        head: Linear,
        is_spatial: bool,
    ) -> Result<Box<dyn Classifier>> {
        let Self { store, model, architecture, input, classes, options, .. } = self;
        let BuildOptions { device, precision, kind, .. } = options;
        let stage =
            InputStage::new(input, options.normalization.clone(), precision, kind, device, is_spatial)?;
        let recordings = Recordings::of(device)?;
        Ok(Box::new(Network { model, architecture, classes, store, input: stage, body, head, recordings }))
    }

    /// A convolution called `name`.
    ///
    /// # Errors
    /// When the name is taken, or libtorch has no room; as all layers.
    pub fn conv(&mut self, name: &str, shape: ConvShape, start: Initial) -> Result<Conv> {
        let ConvShape { inputs, outputs, kernel, stride, padding, groups, has_bias } = shape;
        let size = [outputs, inputs / groups, kernel, kernel];
        // PyTorch takes the fans of a grouped convolution from the shape of its weight.
        let (fan_in, fan_out) = (size[1] * kernel * kernel, outputs * kernel * kernel);
        let weight = self.weight(name, &size, fan_in, fan_out, start)?;
        let bias = if has_bias { Some(self.bias(name, outputs, fan_in, start)?) } else { None };
        let halves = (kernel, stride, padding, groups) == (4, 2, 1, 1)
            && weight.device() == Device::Cpu
            && !self.is_outline;
        let halving_order = if halves { Some(gaat_shim::halving_order(outputs, inputs)?) } else { None };
        Ok(Conv { name: name.to_owned(), weight, bias, stride, padding, groups, halving_order })
    }

    /// The same convolution, computed on blocks of 2x2 pixels where that is faster: for kernels of 4, stride 2, padding 1.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn block_conv(&mut self, name: &str, shape: ConvShape, start: Initial) -> Result<BlockConv> {
        Ok(BlockConv { conv: self.conv(name, shape, start)? })
    }

    /// A linear layer with bias, `[outputs, inputs]`.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn linear(&mut self, name: &str, inputs: i64, outputs: i64, start: Initial) -> Result<Linear> {
        let weight = self.weight(name, &[outputs, inputs], inputs, outputs, start)?;
        let bias = self.bias(name, outputs, inputs, start)?;
        Ok(Linear { name: name.to_owned(), weight, bias })
    }

    /// Batch normalisation of so many channels.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn batch_norm(&mut self, name: &str, channels: i64) -> Result<BatchNorm> {
        let ones = || Tensor::f_ones(channels, (Kind::Float, Device::Cpu));
        let zeros = || Tensor::f_zeros(channels, (Kind::Float, Device::Cpu));
        let mut add =
            |suffix: &str, tensor: Tensor, role| self.store.add(&format!("{name}.{suffix}"), &tensor, role);
        Ok(BatchNorm {
            name: name.to_owned(),
            scale: add("weight", ones()?, Role::NormScale)?,
            shift: add("bias", zeros()?, Role::NormShift)?,
            running_mean: add("running_mean", zeros()?, Role::Buffer)?,
            running_variance: add("running_var", ones()?, Role::Buffer)?,
        })
    }

    /// Layer normalisation over an axis of `width`.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn layer_norm(&mut self, name: &str, width: i64) -> Result<LayerNorm> {
        let ones = Tensor::f_ones(width, (Kind::Float, Device::Cpu))?;
        let zeros = Tensor::f_zeros(width, (Kind::Float, Device::Cpu))?;
        Ok(LayerNorm {
            name: name.to_owned(),
            scale: self.store.add(&format!("{name}.weight"), &ones, Role::NormScale)?,
            shift: self.store.add(&format!("{name}.bias"), &zeros, Role::NormShift)?,
        })
    }

    /// A class token and positions for it and `patches` others.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn tokens(&mut self, patches: i64, width: i64) -> Result<TokenEmbedding> {
        let mut add = |name: &str, count, deviation| {
            let size = [1, count, width];
            let values = if self.is_outline {
                Self::without_memory(&size)?
            } else {
                let draws = self.rng.seeded(&format!("init/{name}"), 0);
                draws.normal(&size, 0.0, deviation, Kind::Float, Device::Cpu)?
            };
            self.store.add(name, &values, Role::Embedding)
        };
        let class = add(TokenEmbedding::CLASS, 1, NARROWEST)?;
        Ok(TokenEmbedding { class, positions: add(TokenEmbedding::POSITIONS, patches + 1, NARROW)? })
    }

    fn weight(
        &mut self,
        name: &str,
        size: &[i64],
        fan_in: i64,
        fan_out: i64,
        start: Initial,
    ) -> Result<Tensor> {
        let name = format!("{name}.weight");
        if self.is_outline {
            return self.store.add(&name, &Self::without_memory(size)?, Role::Weight);
        }
        let draws = self.rng.seeded(&format!("init/{name}"), 0);
        // Always drawn as f32 on the CPU, so that device and dtype do not change the start.
        let values = match start {
            Initial::Default | Initial::ZeroBias => {
                let bound = (fan_in as f64).sqrt().recip();
                draws.uniform(size, -bound, bound, Kind::Float, Device::Cpu)?
            }
            Initial::UniformFanOut => {
                let bound = (fan_out as f64).sqrt().recip();
                draws.uniform(size, -bound, bound, Kind::Float, Device::Cpu)?
            }
            Initial::KaimingFanOut => {
                draws.normal(size, 0.0, (2.0 / fan_out as f64).sqrt(), Kind::Float, Device::Cpu)?
            }
            Initial::Narrow => draws.normal(size, 0.0, NARROW, Kind::Float, Device::Cpu)?,
        };
        self.store.add(&name, &values, Role::Weight)
    }

    fn bias(&mut self, name: &str, outputs: i64, fan_in: i64, start: Initial) -> Result<Tensor> {
        let name = format!("{name}.bias");
        if self.is_outline {
            return self.store.add(&name, &Self::without_memory(&[outputs])?, Role::Bias);
        }
        let values = match start {
            Initial::Default => {
                let bound = (fan_in as f64).sqrt().recip();
                let draws = self.rng.seeded(&format!("init/{name}"), 0);
                draws.uniform(&[outputs], -bound, bound, Kind::Float, Device::Cpu)?
            }
            Initial::KaimingFanOut | Initial::ZeroBias | Initial::UniformFanOut | Initial::Narrow => {
                Tensor::f_zeros(outputs, (Kind::Float, Device::Cpu))?
            }
        };
        self.store.add(&name, &values, Role::Bias)
    }
}
