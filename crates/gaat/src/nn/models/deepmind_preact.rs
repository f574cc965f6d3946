//! `dm-preact-resnet-18`: the pre-activation network of `DeepMind`, named as its PyTorch form and `RobustBench`'s `DMPreActResNet`
//! name it. Shortcuts are convolutions of 3x3 of the raw input; where sides are halved it pads below and to the right alone.
//! Its mean and deviation are not parameters here but the network's normalisation of pixels.

use super::preactivation::{Definition, PreActivation};
use super::{Parts, Stages, require_shrinking};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use gaat_spec::{Nonlinearity, ShortcutInput};

pub(super) const HEAD: &str = "logits";
const BLOCK: Definition = Definition {
    norms: ["batchnorm_0", "batchnorm_1"],
    convs: ["conv_2d_1", "conv_2d_2"],
    shortcut: "shortcut",
    start: Initial::Default,
    halving: ConvShape::halving,
    shortcut_shape: ConvShape::halving,
};

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    nonlinearity: Nonlinearity,
) -> Result<Parts> {
    require_shrinking(builder, input, 8)?;
    let stem = builder.conv("conv_2d", ConvShape::three(input.channels, width, 1), Initial::Default)?;
    let name = |stage| format!("layer_{stage}");
    let (blocks, inputs) =
        Stages::of_depth_18(width).build(builder, name, |builder, name, inputs, outputs, stride| {
            BLOCK.block(builder, name, inputs, outputs, stride)
        })?;
    let norm = Some(builder.batch_norm("batchnorm", inputs)?);
    let head = builder.linear(HEAD, inputs, classes, Initial::Default)?;
    let body = PreActivation {
        stem,
        blocks,
        norm,
        activation: nonlinearity.into(),
        shortcut: ShortcutInput::Raw,
        feature_layer: "layer_3",
        variant: "",
    };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}
