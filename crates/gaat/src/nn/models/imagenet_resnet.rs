//! `imagenet-resnet-18` and `imagenet-resnet-50`: He et al. 2015 in the form for photographs, as torchvision defines them: a stem of
//! 7x7 and stride 2, pooling, and in the blocks of three convolutions the stride on the middle one.

use super::{Parts, layer, require_shrinking};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Body;
use gaat_spec::ImageNetDepth;

pub(super) const HEAD: &str = "fc";
/// Channels behind the stem.
const WIDTH: i64 = 64;
/// Sides of an image over those of the last maps.
const FOLD: i64 = 32;

struct Block {
    /// The first convolution with its normalisation, and the others, before each of which comes a nonlinearity.
    convs: ((Conv, BatchNorm), Vec<(Conv, BatchNorm)>),
    shortcut: Option<(Conv, BatchNorm)>,
}

struct ImageNetResNet {
    stem: (Conv, BatchNorm),
    blocks: Vec<Block>,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    depth: ImageNetDepth,
) -> Result<Parts> {
    require_shrinking(builder, input, FOLD)?;
    let shape = ConvShape { kernel: 7, padding: 3, ..ConvShape::three(input.channels, WIDTH, 2) };
    let stem = (builder.conv("conv1", shape, Initial::KaimingFanOut)?, builder.batch_norm("bn1", WIDTH)?);
    let (counts, growth) = match depth {
        ImageNetDepth::Eighteen => ([2, 2, 2, 2], 1),
        ImageNetDepth::Fifty => ([3, 4, 6, 3], 4),
    };
    let (mut blocks, mut inputs) = (Vec::new(), WIDTH);
    for (stage, count) in counts.into_iter().enumerate() {
        let width = WIDTH << stage;
        for place in 0..count {
            let stride = if stage > 0 && place == 0 { 2 } else { 1 };
            let name = format!("{}.{place}", layer(stage));
            let (first, rest) = match depth {
                ImageNetDepth::Eighteen => {
                    (ConvShape::three(inputs, width, stride), vec![ConvShape::three(width, width, 1)])
                }
                ImageNetDepth::Fifty => (
                    ConvShape::one(inputs, width, 1),
                    vec![ConvShape::three(width, width, stride), ConvShape::one(width, growth * width, 1)],
                ),
            };
            let shortcut = (stride != 1 || inputs != growth * width)
                .then(|| ConvShape::one(inputs, growth * width, stride));
            blocks.push(block(builder, &name, first, &rest, shortcut)?);
            inputs = growth * width;
        }
    }
    let head = builder.linear(HEAD, inputs, classes, Initial::Default)?;
    Ok(Parts { body: Box::new(ImageNetResNet { stem, blocks }), head, is_spatial: true })
}

fn block(
    builder: &mut Builder,
    name: &str,
    first: ConvShape,
    rest: &[ConvShape],
    shortcut: Option<ConvShape>,
) -> Result<Block> {
    let mut normalised = |conv: &str, norm: &str, shape: ConvShape| -> Result<(Conv, BatchNorm)> {
        let conv = builder.conv(&format!("{name}.{conv}"), shape, Initial::KaimingFanOut)?;
        Ok((conv, builder.batch_norm(&format!("{name}.{norm}"), shape.outputs)?))
    };
    let first = normalised("conv1", "bn1", first)?;
    let mut others = Vec::new();
    for (place, shape) in (2..).zip(rest) {
        others.push(normalised(&format!("conv{place}"), &format!("bn{place}"), *shape)?);
    }
    let shortcut = match shortcut {
        Some(shape) => Some(normalised("downsample.0", "downsample.1", shape)?),
        None => None,
    };
    Ok(Block { convs: (first, others), shortcut })
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, input: &F::Value) -> Result<F::Value> {
        let (first, rest) = &self.convs;
        let mut maps = flow.batch_norm(&first.1, &flow.conv(&first.0, input)?)?;
        for (conv, norm) in rest {
            let active = flow.activate(Activation::Relu, maps)?;
            maps = flow.batch_norm(norm, &flow.conv(conv, &active)?)?;
        }
        let sum = match &self.shortcut {
            Some((conv, norm)) => flow.add(maps, &flow.batch_norm(norm, &flow.conv(conv, input)?)?),
            None => flow.add(maps, input),
        };
        flow.activate(Activation::Relu, sum?)
    }
}

impl Body for ImageNetResNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let stem = flow.norm_activate(&self.stem.1, Activation::Relu, &flow.conv(&self.stem.0, &input)?)?;
        let mut maps = flow.overlapping_max_pool(&stem)?;
        for block in &self.blocks {
            maps = block.forward(flow, &maps)?;
        }
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some("layer4")
    }
}
