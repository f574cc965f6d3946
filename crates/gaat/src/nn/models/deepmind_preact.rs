//! `dm-preact-resnet-18`: the pre-activation network of `DeepMind`, named as its PyTorch form and `RobustBench`'s `DMPreActResNet`
//! name it. Shortcuts are convolutions of 3x3 of the raw input; where sides are halved it pads below and to the right alone.
//! Its mean and deviation are not parameters here but the network's normalisation of pixels.

use super::{Parts, four_stages, padded_conv, require_shrinking};
use crate::Result;
use crate::nn::InputShape;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Architecture;
use gaat_spec::Nonlinearity;

pub(super) const HEAD: &str = "logits";

struct Block {
    norm0: BatchNorm,
    conv1: Conv,
    norm1: BatchNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

struct DeepMindPreActResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: BatchNorm,
    activation: Activation,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    nonlinearity: Nonlinearity,
) -> Result<Parts> {
    require_shrinking(builder, input, 8)?;
    let stem = builder.conv("conv_2d", ConvShape::three(input.channels, width, 1), Start::Default)?;
    let (blocks, inputs) = four_stages(builder, width, |stage| format!("layer_{stage}"), block)?;
    let norm = builder.batch_norm("batchnorm", inputs)?;
    let head = builder.linear(HEAD, inputs, classes, Start::Default)?;
    let body = DeepMindPreActResNet { stem, blocks, norm, activation: nonlinearity.into() };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

fn block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Block> {
    let halving = ConvShape::halving(inputs, outputs, stride);
    let start = Start::Default;
    Ok(Block {
        norm0: builder.batch_norm(&format!("{name}.batchnorm_0"), inputs)?,
        conv1: builder.conv(&format!("{name}.conv_2d_1"), halving, start)?,
        norm1: builder.batch_norm(&format!("{name}.batchnorm_1"), outputs)?,
        conv2: builder.conv(&format!("{name}.conv_2d_2"), ConvShape::three(outputs, outputs, 1), start)?,
        shortcut: if stride != 1 || inputs != outputs {
            Some(builder.conv(&format!("{name}.shortcut"), halving, start)?)
        } else {
            None
        },
    })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, activation: Activation, input: &F::Value) -> Result<F::Value> {
        let active = flow.norm_activate(&self.norm0, activation, input)?;
        let maps = padded_conv(flow, &self.conv1, &active)?;
        let maps = flow.conv(&self.conv2, &flow.norm_activate(&self.norm1, activation, &maps)?)?;
        match &self.shortcut {
            Some(shortcut) => flow.add(maps, &padded_conv(flow, shortcut, input)?),
            None => flow.add(maps, input),
        }
    }
}

impl Architecture for DeepMindPreActResNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut maps = flow.conv(&self.stem, &input)?;
        for block in &self.blocks {
            maps = block.forward(flow, self.activation, &maps)?;
        }
        let maps = flow.norm_activate(&self.norm, self.activation, &maps)?;
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&'static str> {
        Some("layer_3")
    }
}
