//! One file an architecture.

mod convnet;
mod deepmind_preact;
mod deepmind_wide;
mod efficientnet;
mod imagenet_resnet;
mod mlp;
mod preact_resnet;
mod preactivation;
mod resnet;
mod vgg;
mod vit;
mod wide_resnet;

use super::builder::Builder;
use super::catalogue::Architecture;
use super::classifier::{Classifier, InputShape};
use super::flow::Flow;
use super::layers::{Conv, Linear};
use super::network::Layered;
use crate::error::{Error, Result};
use gaat_spec::ModelName;

/// What an architecture contributes to a network.
pub(super) struct Parts {
    pub(super) body: Box<dyn Layered>,
    pub(super) head: Linear,
    /// Whether the body starts with a convolution.
    pub(super) is_spatial: bool,
}

/// The networks of this folder.
pub(super) struct Published;

impl Architecture for Published {
    fn claims(&self, name: &str) -> bool {
        name.parse::<ModelName>().and_then(ModelName::published).is_ok()
    }

    fn build(&self, mut builder: Builder) -> Result<Box<dyn Classifier>> {
        let (input, classes) = (builder.input(), builder.classes());
        let Parts { body, head, is_spatial } = parts(&mut builder, input, classes)?;
        builder.boxed(body, head, is_spatial)
    }
}

/// The parts of the builder's model, with all parameters entered in the order of the PyTorch definition.
pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    match builder.model() {
        ModelName::ConvNet => convnet::parts(builder, input, classes),
        ModelName::Mlp => mlp::parts(builder, input, classes),
        ModelName::Vgg16 => vgg::parts(builder, input, classes),
        ModelName::PreActResNet18 { width, stem_stride, form } => {
            preact_resnet::parts(builder, input, classes, width.into(), stem_stride.into(), form)
        }
        ModelName::ResNet18 { width, stem_stride, nonlinearity } => {
            resnet::parts(builder, input, classes, width.into(), stem_stride.into(), nonlinearity)
        }
        ModelName::WideResNet { depth, widening, nonlinearity } => {
            wide_resnet::parts(builder, input, classes, depth.into(), widening.into(), nonlinearity)
        }
        ModelName::DeepMindWideResNet { depth, widening, nonlinearity } => {
            deepmind_wide::parts(builder, input, classes, depth.into(), widening.into(), nonlinearity)
        }
        ModelName::DeepMindPreActResNet18 { width, nonlinearity } => {
            deepmind_preact::parts(builder, input, classes, width.into(), nonlinearity)
        }
        ModelName::ImageNetResNet { depth } => imagenet_resnet::parts(builder, input, classes, depth),
        ModelName::EfficientNetB0 => efficientnet::parts(builder, input, classes),
        ModelName::VitTiny => vit::parts(builder, input, classes),
        ModelName::Own(_) => Err(builder.model().published().map_or_else(Into::into, |model| Error::Model {
            model: model.to_string(),
            reason: "is not among the published networks".to_owned(),
        })),
    }
}

/// Name of the last linear layer of `model`, such as `fc`: the length of its bias is the number of classes.
pub(crate) fn head(model: &ModelName) -> &'static str {
    match model {
        ModelName::ConvNet => convnet::HEAD,
        ModelName::Mlp => mlp::HEAD,
        ModelName::Vgg16 => vgg::HEAD,
        ModelName::PreActResNet18 { .. } => preact_resnet::HEAD,
        ModelName::ResNet18 { .. } => resnet::HEAD,
        ModelName::WideResNet { .. } => wide_resnet::HEAD,
        ModelName::DeepMindWideResNet { .. } => deepmind_wide::HEAD,
        ModelName::DeepMindPreActResNet18 { .. } => deepmind_preact::HEAD,
        ModelName::ImageNetResNet { .. } => imagenet_resnet::HEAD,
        ModelName::EfficientNetB0 => efficientnet::HEAD,
        ModelName::VitTiny => vit::HEAD,
        // Only the network itself knows.
        ModelName::Own(_) => "",
    }
}

/// The stages of a residual network: from the second on a stage doubles the channels and halves the sides.
struct Stages {
    count: usize,
    blocks_each: i64,
    /// Channels that the first block is given.
    inputs: i64,
    /// Channels of the first stage.
    width: i64,
}

impl Stages {
    /// Of depth 18: four stages of two blocks, the first of `width` channels, as it is given.
    fn of_depth_18(width: i64) -> Self {
        Self { count: 4, blocks_each: 2, inputs: width, width }
    }

    /// Of a wide residual network: three stages after 16 channels; two convolutions a block, four layers outside of them.
    fn wide(depth: i64, widening: i64) -> Self {
        const INPUTS: i64 = 16;
        Self { count: 3, blocks_each: (depth - 4) / 6, inputs: INPUTS, width: INPUTS * widening }
    }

    /// The blocks made by `block` (of name, channels in and out, stride), and the channels that the last one leaves; `name`
    /// names the stages.
    fn build<B>(
        &self,
        builder: &mut Builder,
        name: impl Fn(usize) -> String,
        block: impl Fn(&mut Builder, &str, i64, i64, i64) -> Result<B>,
    ) -> Result<(Vec<B>, i64)> {
        let mut blocks = Vec::new();
        let mut inputs = self.inputs;
        for stage in 0..self.count {
            let outputs = self.width << stage;
            for place in 0..self.blocks_each {
                let stride = if stage > 0 && place == 0 { 2 } else { 1 };
                let name = format!("{}.{place}", name(stage));
                blocks.push(block(builder, &name, inputs, outputs, stride)?);
                inputs = outputs;
            }
        }
        Ok((blocks, inputs))
    }
}

/// Name of a stage in most definitions.
fn layer(stage: usize) -> String {
    format!("layer{}", stage + 1)
}

/// A convolution; one of [`ConvShape::halving`](super::builder::ConvShape::halving) that halves the sides gets zeros below and to
/// the right.
fn padded_conv<F: Flow>(flow: &F, conv: &Conv, maps: &F::Value) -> Result<F::Value> {
    // A kernel of 1x1 needs no padding, and any other that has none of its own is such a one.
    let pads_end = conv.padding == 0 && conv.weight.size()[2] > 1;
    if pads_end { flow.conv(conv, &flow.pad_end(maps)?) } else { flow.conv(conv, maps) }
}

/// Refuses images with a side below `least`.
fn require_side(builder: &Builder, input: InputShape, least: i64, reason: &str) -> Result<()> {
    if input.height.min(input.width) >= least {
        return Ok(());
    }
    Err(Error::Model {
        model: builder.model().to_string(),
        reason: format!("images of {input} are too small: {reason}"),
    })
}

/// Refuses images that a network which shrinks them `fold`-fold would make nothing of.
fn require_shrinking(builder: &Builder, input: InputShape, fold: i64) -> Result<()> {
    let reason =
        format!("it shrinks them {fold}-fold, so {fold}x{fold} is the least; use `convnet` or `mlp`");
    require_side(builder, input, fold, &reason)
}
