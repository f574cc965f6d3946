//! `dm-wide-resnet-D-K`: the wide residual network of `DeepMind`
//! (<https://github.com/google-deepmind/deepmind-research/tree/master/adversarial_robustness>; Gowal et al. 2020, Rebuffi et al.
//! 2021), named as its PyTorch form and `RobustBench`'s `DMWideResNet` name it. Where sides are halved it pads below and to the
//! right alone. Its mean and deviation are not parameters here but the network's normalisation of pixels.

use super::{Parts, require_side};
use crate::nn::InputShape;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Architecture;
use crate::{Error, Result};
use gaat_spec::Nonlinearity;

pub(super) const HEAD: &str = "logits";
const BASE_WIDTH: i64 = 16;

struct Block {
    norm0: BatchNorm,
    conv0: Conv,
    norm1: BatchNorm,
    conv1: Conv,
    shortcut: Option<Conv>,
}

struct DeepMindWideResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: BatchNorm,
    activation: Activation,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    depth: i64,
    widening: i64,
    nonlinearity: Nonlinearity,
) -> Result<Parts> {
    require_side(builder, input, 8, "8x8 is the least; use `convnet` or `mlp`")?;
    if input.height % 4 != 0 || input.width % 4 != 0 {
        let model = builder.model().to_string();
        let reason =
            format!("images of {input} cannot be halved twice evenly, as its padding needs; resize them");
        return Err(Error::Model { model, reason });
    }
    // Two convolutions a block, three stages, four layers outside of them.
    let blocks_per_stage = (depth - 4) / 6;
    let start = Start::KaimingFanOut;
    let stem = builder.conv("init_conv", ConvShape::three(input.channels, BASE_WIDTH, 1), start)?;
    let mut blocks = Vec::new();
    let mut inputs = BASE_WIDTH;
    for stage in 0..3 {
        let outputs = (BASE_WIDTH * widening) << stage;
        for place in 0..blocks_per_stage {
            let stride = if stage > 0 && place == 0 { 2 } else { 1 };
            blocks.push(block(builder, &format!("layer.{stage}.block.{place}"), inputs, outputs, stride)?);
            inputs = outputs;
        }
    }
    let norm = builder.batch_norm("batchnorm", inputs)?;
    let head = builder.linear(HEAD, inputs, classes, Start::ZeroBias)?;
    let body = DeepMindWideResNet { stem, blocks, norm, activation: nonlinearity.into() };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

fn block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Block> {
    let start = Start::KaimingFanOut;
    Ok(Block {
        norm0: builder.batch_norm(&format!("{name}.batchnorm_0"), inputs)?,
        conv0: builder.conv(&format!("{name}.conv_0"), ConvShape::halving(inputs, outputs, stride), start)?,
        norm1: builder.batch_norm(&format!("{name}.batchnorm_1"), outputs)?,
        conv1: builder.conv(&format!("{name}.conv_1"), ConvShape::three(outputs, outputs, 1), start)?,
        // Widths differ wherever strides do: every stage doubles the width.
        shortcut: if inputs == outputs {
            None
        } else {
            let shape = ConvShape::one(inputs, outputs, stride);
            Some(builder.conv(&format!("{name}.shortcut"), shape, start)?)
        },
    })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, activation: Activation, input: &F::Value) -> Result<F::Value> {
        let active = flow.norm_activate(&self.norm0, activation, input)?;
        let maps = super::padded_conv(flow, &self.conv0, &active)?;
        let maps = flow.conv(&self.conv1, &flow.norm_activate(&self.norm1, activation, &maps)?)?;
        // The shortcut convolution sees the activated input, the identity shortcut the raw one.
        match &self.shortcut {
            Some(shortcut) => flow.add(maps, &flow.conv(shortcut, &active)?),
            None => flow.add(maps, input),
        }
    }
}

impl Architecture for DeepMindWideResNet {
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
        Some("layer.2")
    }
}
