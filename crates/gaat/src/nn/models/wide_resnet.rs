//! `wide-resnet-D-K`: Zagoruyko and Komodakis 2016 without dropout, named as TRADES
//! (<https://github.com/yaodongyu/TRADES>) and `RobustBench` name it, less TRADES' unused `sub_block1`.

use super::preactivation::{Definition, PreActivation};
use super::{Parts, Stages, require_side};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use gaat_spec::{Nonlinearity, ShortcutInput};

pub(super) const HEAD: &str = "fc";
const BLOCK: Definition = Definition {
    norms: ["bn1", "bn2"],
    convs: ["conv1", "conv2"],
    shortcut: "convShortcut",
    start: Initial::KaimingFanOut,
    halving: ConvShape::three,
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
    let stages = Stages::wide(depth, widening);
    let stem =
        builder.conv("conv1", ConvShape::three(input.channels, stages.inputs, 1), Initial::KaimingFanOut)?;
    let name = |stage| format!("block{}.layer", stage + 1);
    let (blocks, inputs) = stages.build(builder, name, |builder, name, inputs, outputs, stride| {
        BLOCK.block(builder, name, inputs, outputs, stride)
    })?;
    let norm = Some(builder.batch_norm("bn1", inputs)?);
    let head = builder.linear(HEAD, inputs, classes, Initial::ZeroBias)?;
    let body = PreActivation {
        stem,
        blocks,
        norm,
        activation: nonlinearity.into(),
        shortcut: ShortcutInput::Activated,
        feature_layer: "block3",
        variant: "",
    };
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}
