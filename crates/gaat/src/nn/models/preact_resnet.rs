//! `preact-resnet-18`: He et al. 2016, as <https://github.com/locuslab/fast_adversarial> defines it today: the
//! shortcut convolution is fed the raw input of its block, and a batch normalisation precedes the pooling.
//!
//! Definitions whose shortcut is fed the activated input have the same names and shapes: the variant tells.

use super::{Parts, require_side};
use crate::Result;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::layers::{BatchNorm, Conv, global_average};
use crate::nn::network::Body;
use crate::nn::{InputShape, Mode};
use tch::{Kind, Tensor};

const BLOCKS: i64 = 2;

struct Block {
    norm1: BatchNorm,
    conv1: Conv,
    norm2: BatchNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

struct PreActResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: BatchNorm,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    stem_stride: i64,
) -> Result<Parts> {
    let least = 8 * stem_stride;
    let reason =
        format!("it shrinks them {least}-fold, so {least}x{least} is the least; use `convnet` or `mlp`");
    require_side(builder, input, least, &reason)?;
    let stem = builder.conv("conv1", ConvShape::three(input.channels, width, stem_stride), Start::Default)?;
    let mut blocks = Vec::new();
    let mut inputs = width;
    for stage in 0..4 {
        let outputs = width << stage;
        for place in 0..BLOCKS {
            let stride = if stage > 0 && place == 0 { 2 } else { 1 };
            let name = format!("layer{}.{place}", stage + 1);
            blocks.push(block(builder, &name, inputs, outputs, stride)?);
            inputs = outputs;
        }
    }
    let norm = builder.batch_norm("bn", inputs)?;
    let head = builder.linear("linear", inputs, classes, Start::Default)?;
    Ok(Parts { body: Box::new(PreActResNet { stem, blocks, norm }), head, is_spatial: true })
}

fn block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, stride: i64) -> Result<Block> {
    let needs_shortcut = stride != 1 || inputs != outputs;
    Ok(Block {
        norm1: builder.batch_norm(&format!("{name}.bn1"), inputs)?,
        conv1: builder.conv(
            &format!("{name}.conv1"),
            ConvShape::three(inputs, outputs, stride),
            Start::Default,
        )?,
        norm2: builder.batch_norm(&format!("{name}.bn2"), outputs)?,
        conv2: builder.conv(
            &format!("{name}.conv2"),
            ConvShape::three(outputs, outputs, 1),
            Start::Default,
        )?,
        shortcut: if needs_shortcut {
            let shape = ConvShape::one(inputs, outputs, stride);
            Some(builder.conv(&format!("{name}.shortcut.0"), shape, Start::Default)?)
        } else {
            None
        },
    })
}

impl Block {
    fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        let active = self.norm1.forward_relu(input, mode)?;
        let maps = self.conv1.forward_norm_relu(&self.norm2, &active, mode)?;
        let mut maps = self.conv2.forward(&maps)?;
        // No one else holds the convolution's output, and its backward pass does not need it.
        match &self.shortcut {
            Some(shortcut) => Ok(maps.f_add_(&shortcut.forward(input)?)?),
            None => Ok(maps.f_add_(input)?),
        }
    }
}

impl Body for PreActResNet {
    fn features(&self, input: &Tensor, kind: Kind, mode: Mode) -> Result<Tensor> {
        let mut maps = self.stem.forward(input)?;
        for block in &self.blocks {
            maps = block.forward(&maps, mode)?;
        }
        global_average(&self.norm.forward_relu(&maps, mode)?, kind)
    }

    fn variant(&self) -> &'static str {
        "raw-shortcut, final-batchnorm"
    }
}
