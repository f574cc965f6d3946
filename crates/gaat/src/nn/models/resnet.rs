//! `resnet-18`: He et al. 2015 in the CIFAR form of <https://github.com/kuangliu/pytorch-cifar>: a stem of 3x3 without
//! pooling, shortcuts by 1x1 convolutions with batch normalisation. TRADES and `RobustBench` define the same.

use super::{Parts, Stages, layer, require_shrinking};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Body;
use gaat_spec::Nonlinearity;

pub(super) const HEAD: &str = "linear";

struct Block {
    first: (Conv, BatchNorm),
    second: (Conv, BatchNorm),
    shortcut: Option<(Conv, BatchNorm)>,
}

struct ResNet {
    stem: (Conv, BatchNorm),
    blocks: Vec<Block>,
    activation: Activation,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    stem_stride: i64,
    nonlinearity: Nonlinearity,
) -> Result<Parts> {
    require_shrinking(builder, input, 8 * stem_stride)?;
    let shape = ConvShape::three(input.channels, width, stem_stride);
    let stem = (builder.conv("conv1", shape, Initial::Default)?, builder.batch_norm("bn1", width)?);
    let (blocks, inputs) = Stages::of_depth_18(width).build(builder, layer, block)?;
    let head = builder.linear(HEAD, inputs, classes, Initial::Default)?;
    Ok(Parts {
        body: Box::new(ResNet { stem, blocks, activation: nonlinearity.into() }),
        head,
        is_spatial: true,
    })
}

fn block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Block> {
    let mut normalised = |conv: &str, norm: &str, shape| -> Result<(Conv, BatchNorm)> {
        let conv = builder.conv(&format!("{name}.{conv}"), shape, Initial::Default)?;
        Ok((conv, builder.batch_norm(&format!("{name}.{norm}"), outputs)?))
    };
    Ok(Block {
        first: normalised("conv1", "bn1", ConvShape::three(inputs, outputs, stride))?,
        second: normalised("conv2", "bn2", ConvShape::three(outputs, outputs, 1))?,
        shortcut: if stride == 1 && inputs == outputs {
            None
        } else {
            Some(normalised("shortcut.0", "shortcut.1", ConvShape::one(inputs, outputs, stride))?)
        },
    })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, activation: Activation, input: &F::Value) -> Result<F::Value> {
        let maps = flow.norm_activate(&self.first.1, activation, &flow.conv(&self.first.0, input)?)?;
        let maps = flow.batch_norm(&self.second.1, &flow.conv(&self.second.0, &maps)?)?;
        let sum = match &self.shortcut {
            Some((conv, norm)) => flow.add(maps, &flow.batch_norm(norm, &flow.conv(conv, input)?)?),
            None => flow.add(maps, input),
        };
        flow.activate(activation, sum?)
    }
}

impl Body for ResNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut maps =
            flow.norm_activate(&self.stem.1, self.activation, &flow.conv(&self.stem.0, &input)?)?;
        for block in &self.blocks {
            maps = block.forward(flow, self.activation, &maps)?;
        }
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some("layer4")
    }
}
