//! Builds a network by name.

use super::input::InputStage;
use super::layers::{BatchNorm, Conv, LayerNorm, Linear, TokenEmbedding};
use super::models;
use super::network::Network;
use super::{Classifier, ComputePrecision, InputShape, Normalization, ParameterStore, Recordings, Rng, Role};
use crate::{Error, Result};
use gaat_spec::ModelName;
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

/// Builds `model` for images of shape `input` and `classes` classes, freshly initialised.
///
/// Each parameter's first value depends on seed and parameter name only, and is the same on every device.
///
/// # Errors
/// When the model cannot take such images, with what to use instead; when the options contradict each other.
pub fn build(
    model: &ModelName,
    input: InputShape,
    classes: i64,
    options: &BuildOptions,
) -> Result<Box<dyn Classifier>> {
    check_sizes(model, input, classes)?;
    let refuse = |reason: String| Err(Error::Model { model: model.to_string(), reason });
    match (options.kind, options.precision) {
        (Kind::Float, _) | (Kind::Double, ComputePrecision::Fp32) => {}
        (kind, precision) => return refuse(format!("parameters of {kind:?} with {precision} computation")),
    }
    let mut builder = Builder {
        store: ParameterStore::new(options.device, options.kind),
        rng: Rng::new(options.seed),
        model: *model,
        is_outline: false,
    };
    let models::Parts { body, head, is_spatial } = models::parts(&mut builder, input, classes)?;
    let input = InputStage::new(
        input,
        options.normalization.clone(),
        options.precision,
        options.kind,
        options.device,
        is_spatial,
    )?;
    let recordings = Recordings::of(options.device)?;
    Ok(Box::new(Network { model: *model, classes, store: builder.store, input, body, head, recordings }))
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

/// How a weight starts out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
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

/// See [`Start::Narrow`]. timm cuts it off at a hundred deviations.
const NARROW: f64 = 0.02;
/// timm's for class tokens.
const NARROWEST: f64 = 1e-6;

/// Shape of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) padding: i64,
    pub(super) groups: i64,
    pub(super) has_bias: bool,
}

impl ConvShape {
    /// 3x3, padded to keep the size, without bias.
    pub(super) fn three(inputs: i64, outputs: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel: 3, stride, padding: 1, groups: 1, has_bias: false }
    }

    /// 3x3 without bias; with stride 2 for maps that are padded before.
    pub(super) fn halving(inputs: i64, outputs: i64, stride: i64) -> Self {
        let padding = i64::from(stride == 1);
        Self { padding, ..Self::three(inputs, outputs, stride) }
    }

    /// 1x1 without bias.
    pub(super) fn one(inputs: i64, outputs: i64, stride: i64) -> Self {
        Self { inputs, outputs, kernel: 1, stride, padding: 0, groups: 1, has_bias: false }
    }
}

/// Makes layers and enters their parameters into the store.
pub(super) struct Builder {
    store: ParameterStore,
    rng: Rng,
    model: ModelName,
    /// Whether tensors are to have their sizes and no memory.
    is_outline: bool,
}

impl Builder {
    /// A builder of layers that have their sizes and no memory.
    pub(super) fn outline(model: &ModelName, input: InputShape, classes: i64) -> Result<Self> {
        check_sizes(model, input, classes)?;
        let store = ParameterStore::new(Device::Cpu, Kind::Float);
        Ok(Self { store, rng: Rng::new(0), model: *model, is_outline: true })
    }

    pub(super) fn into_store(self) -> ParameterStore {
        self.store
    }

    /// One zero, wherever it is looked at.
    fn without_memory(size: &[i64]) -> Result<Tensor> {
        Ok(Tensor::f_zeros(1, (Kind::Float, Device::Cpu))?.f_expand(size, false)?)
    }

    pub(super) fn model(&self) -> ModelName {
        self.model
    }

    pub(super) fn conv(&mut self, name: &str, shape: ConvShape, start: Start) -> Result<Conv> {
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

    pub(super) fn linear(&mut self, name: &str, inputs: i64, outputs: i64, start: Start) -> Result<Linear> {
        let weight = self.weight(name, &[outputs, inputs], inputs, outputs, start)?;
        let bias = self.bias(name, outputs, inputs, start)?;
        Ok(Linear { name: name.to_owned(), weight, bias })
    }

    pub(super) fn batch_norm(&mut self, name: &str, channels: i64) -> Result<BatchNorm> {
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

    pub(super) fn layer_norm(&mut self, name: &str, width: i64) -> Result<LayerNorm> {
        let ones = Tensor::f_ones(width, (Kind::Float, Device::Cpu))?;
        let zeros = Tensor::f_zeros(width, (Kind::Float, Device::Cpu))?;
        Ok(LayerNorm {
            name: name.to_owned(),
            scale: self.store.add(&format!("{name}.weight"), &ones, Role::NormScale)?,
            shift: self.store.add(&format!("{name}.bias"), &zeros, Role::NormShift)?,
        })
    }

    /// A class token and positions for it and `patches` others.
    pub(super) fn tokens(&mut self, patches: i64, width: i64) -> Result<TokenEmbedding> {
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
        start: Start,
    ) -> Result<Tensor> {
        let name = format!("{name}.weight");
        if self.is_outline {
            return self.store.add(&name, &Self::without_memory(size)?, Role::Weight);
        }
        let draws = self.rng.seeded(&format!("init/{name}"), 0);
        // Always drawn as f32 on the CPU, so that device and dtype do not change the start.
        let values = match start {
            Start::Default | Start::ZeroBias => {
                let bound = (fan_in as f64).sqrt().recip();
                draws.uniform(size, -bound, bound, Kind::Float, Device::Cpu)?
            }
            Start::UniformFanOut => {
                let bound = (fan_out as f64).sqrt().recip();
                draws.uniform(size, -bound, bound, Kind::Float, Device::Cpu)?
            }
            Start::KaimingFanOut => {
                draws.normal(size, 0.0, (2.0 / fan_out as f64).sqrt(), Kind::Float, Device::Cpu)?
            }
            Start::Narrow => draws.normal(size, 0.0, NARROW, Kind::Float, Device::Cpu)?,
        };
        self.store.add(&name, &values, Role::Weight)
    }

    fn bias(&mut self, name: &str, outputs: i64, fan_in: i64, start: Start) -> Result<Tensor> {
        let name = format!("{name}.bias");
        if self.is_outline {
            return self.store.add(&name, &Self::without_memory(&[outputs])?, Role::Bias);
        }
        let values = match start {
            Start::Default => {
                let bound = (fan_in as f64).sqrt().recip();
                let draws = self.rng.seeded(&format!("init/{name}"), 0);
                draws.uniform(&[outputs], -bound, bound, Kind::Float, Device::Cpu)?
            }
            Start::KaimingFanOut | Start::ZeroBias | Start::UniformFanOut | Start::Narrow => {
                Tensor::f_zeros(outputs, (Kind::Float, Device::Cpu))?
            }
        };
        self.store.add(&name, &values, Role::Bias)
    }
}
