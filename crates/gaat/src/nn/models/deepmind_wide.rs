//! `dm-wide-resnet-D-K`: the wide residual network of `DeepMind`
//! (<https://github.com/google-deepmind/deepmind-research/tree/master/adversarial_robustness>; Gowal et al. 2020, Rebuffi et al.
//! 2021), named as its PyTorch form and `RobustBench`'s `DMWideResNet` name it. Where sides are halved it pads below and to the
//! right alone. Its mean and deviation are not parameters here but the network's normalisation of pixels.

use super::preactivation::{Definition, PreActivation};
use super::{Parts, Stages, require_side};
use crate::error::{Error, Result};
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use gaat_spec::{Nonlinearity, ShortcutInput};

pub(super) const HEAD: &str = "logits";
const BLOCK: Definition = Definition {
    norms: ["batchnorm_0", "batchnorm_1"],
    convs: ["conv_0", "conv_1"],
    shortcut: "shortcut",
    start: Initial::KaimingFanOut,
    halving: ConvShape::halving,
    shortcut_shape: ConvShape::one,
};

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
    let stages = Stages::wide(depth, widening);
    let stem = builder.conv(
        "init_conv",
        ConvShape::three(input.channels, stages.inputs, 1),
        Initial::KaimingFanOut,
    )?;
    let name = |stage| format!("layer.{stage}.block");
    let (blocks, inputs) = stages.build(builder, name, |builder, name, inputs, outputs, stride| {
        BLOCK.block(builder, name, inputs, outputs, stride)
    })?;
    let norm = Some(builder.batch_norm("batchnorm", inputs)?);
    let head = builder.linear(HEAD, inputs, classes, Initial::ZeroBias)?;
    let body = PreActivation {
        stem,
        blocks,
        norm,
        activation: nonlinearity.into(),
        shortcut: ShortcutInput::Activated,
        feature_layer: "layer.2",
        variant: "",
    };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}
