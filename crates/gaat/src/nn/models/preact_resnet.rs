//! `preact-resnet-18`: He et al. 2016, as <https://github.com/locuslab/fast_adversarial> defines it today: the
//! shortcut convolution is fed the raw input of its block, and a batch normalisation precedes the pooling.
//!
//! The other public definitions differ in the shortcut (<https://github.com/kuangliu/pytorch-cifar> feeds it the activated
//! input), in that normalisation (`RobustBench`'s of 2020 lack it) or in the nonlinearity: [`PreActForm`] says which.

use super::preactivation::{Definition, PreActivation};
use super::{Parts, Stages, layer, require_shrinking};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use gaat_spec::{PreActForm, ShortcutInput};

pub(super) const HEAD: &str = "linear";
const BLOCK: Definition = Definition {
    norms: ["bn1", "bn2"],
    convs: ["conv1", "conv2"],
    shortcut: "shortcut.0",
    start: Initial::Default,
    halving: ConvShape::three,
    shortcut_shape: ConvShape::one,
};

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    stem_stride: i64,
    form: PreActForm,
) -> Result<Parts> {
    require_shrinking(builder, input, 8 * stem_stride)?;
    let stem =
        builder.conv("conv1", ConvShape::three(input.channels, width, stem_stride), Initial::Default)?;
    let (blocks, inputs) =
        Stages::of_depth_18(width).build(builder, layer, |builder, name, inputs, outputs, stride| {
            BLOCK.block(builder, name, inputs, outputs, stride)
        })?;
    let norm = if form.is_bare { None } else { Some(builder.batch_norm("bn", inputs)?) };
    let head = builder.linear(HEAD, inputs, classes, Initial::Default)?;
    let body = PreActivation {
        stem,
        blocks,
        norm,
        activation: form.nonlinearity.into(),
        shortcut: form.shortcut,
        feature_layer: "layer4",
        variant: match (form.shortcut, form.is_bare) {
            (ShortcutInput::Raw, false) => "raw-shortcut, final-batchnorm",
            (ShortcutInput::Raw, true) => "raw-shortcut, no final batchnorm",
            (ShortcutInput::Activated, false) => "activated-shortcut, final-batchnorm",
            (ShortcutInput::Activated, true) => "activated-shortcut, no final batchnorm",
        },
    };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}
