//! `wide-resnet-D-K`: Zagoruyko and Komodakis 2016 without dropout, named as TRADES
//! (<https://github.com/yaodongyu/TRADES>) and `RobustBench` name it, less TRADES' unused `sub_block1`.

use super::{Parts, require_side};
use crate::Result;
use crate::nn::InputShape;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Architecture;
use gaat_spec::Nonlinearity;

pub(super) const HEAD: &str = "fc";
const BASE_WIDTH: i64 = 16;

struct Block {
    norm1: BatchNorm,
    conv1: Conv,
    norm2: BatchNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

struct WideResNet {
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
    // Two convolutions a block, three stages, four layers outside of them.
    let blocks_per_stage = (depth - 4) / 6;
    let stem =
        builder.conv("conv1", ConvShape::three(input.channels, BASE_WIDTH, 1), Start::KaimingFanOut)?;
    let mut blocks = Vec::new();
    let mut inputs = BASE_WIDTH;
    for stage in 0..3 {
        let outputs = (BASE_WIDTH * widening) << stage;
        for place in 0..blocks_per_stage {
            let stride = if stage > 0 && place == 0 { 2 } else { 1 };
            let name = format!("block{}.layer.{place}", stage + 1);
            blocks.push(block(builder, &name, inputs, outputs, stride)?);
            inputs = outputs;
        }
    }
    let norm = builder.batch_norm("bn1", inputs)?;
    let head = builder.linear(HEAD, inputs, classes, Start::ZeroBias)?;
    let body = WideResNet { stem, blocks, norm, activation: nonlinearity.into() };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

fn block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Block> {
    let start = Start::KaimingFanOut;
    Ok(Block {
        norm1: builder.batch_norm(&format!("{name}.bn1"), inputs)?,
        conv1: builder.conv(&format!("{name}.conv1"), ConvShape::three(inputs, outputs, stride), start)?,
        norm2: builder.batch_norm(&format!("{name}.bn2"), outputs)?,
        conv2: builder.conv(&format!("{name}.conv2"), ConvShape::three(outputs, outputs, 1), start)?,
        // Widths differ wherever strides do: every stage doubles the width.
        shortcut: if inputs == outputs {
            None
        } else {
            let shape = ConvShape::one(inputs, outputs, stride);
            Some(builder.conv(&format!("{name}.convShortcut"), shape, start)?)
        },
    })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, activation: Activation, input: &F::Value) -> Result<F::Value> {
        let active = flow.norm_activate(&self.norm1, activation, input)?;
        let maps = flow.conv(&self.conv1, &active)?;
        let maps = flow.conv(&self.conv2, &flow.norm_activate(&self.norm2, activation, &maps)?)?;
        // The shortcut convolution sees the activated input, the identity shortcut the raw one.
        match &self.shortcut {
            Some(shortcut) => flow.add(maps, &flow.conv(shortcut, &active)?),
            None => flow.add(maps, input),
        }
    }
}

impl Architecture for WideResNet {
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
        Some("block3")
    }
}
