//! `preact-resnet-18`: He et al. 2016, as <https://github.com/locuslab/fast_adversarial> defines it today: the
//! shortcut convolution is fed the raw input of its block, and a batch normalisation precedes the pooling.
//!
//! The other public definitions differ in the shortcut (<https://github.com/kuangliu/pytorch-cifar> feeds it the activated
//! input), in that normalisation (`RobustBench`'s of 2020 lack it) or in the nonlinearity: [`PreActForm`] says which.

use super::{Parts, four_stages, layer, require_shrinking};
use crate::Result;
use crate::nn::InputShape;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Architecture;
use gaat_spec::{PreActForm, ShortcutInput};

pub(super) const HEAD: &str = "linear";

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
    /// None where nothing lies between the last block and the pooling.
    norm: Option<BatchNorm>,
    form: PreActForm,
}

pub(super) fn parts(
    builder: &mut Builder,
    input: InputShape,
    classes: i64,
    width: i64,
    stem_stride: i64,
    form: PreActForm,
) -> Result<Parts> {
    require_shrinking(builder, input, 8 * stem_stride)?;
    let stem = builder.conv("conv1", ConvShape::three(input.channels, width, stem_stride), Start::Default)?;
    let (blocks, inputs) = four_stages(builder, width, layer, block)?;
    let norm = if form.is_bare { None } else { Some(builder.batch_norm("bn", inputs)?) };
    let head = builder.linear(HEAD, inputs, classes, Start::Default)?;
    Ok(Parts { body: Box::new(PreActResNet { stem, blocks, norm, form }), head, is_spatial: true })
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
    fn forward<F: Flow>(&self, flow: &F, form: PreActForm, input: &F::Value) -> Result<F::Value> {
        let activation = Activation::from(form.nonlinearity);
        let active = flow.norm_activate(&self.norm1, activation, input)?;
        let maps = flow.conv(&self.conv1, &active)?;
        let maps = flow.conv(&self.conv2, &flow.norm_activate(&self.norm2, activation, &maps)?)?;
        match (&self.shortcut, form.shortcut) {
            (Some(shortcut), ShortcutInput::Raw) => flow.add(maps, &flow.conv(shortcut, input)?),
            (Some(shortcut), ShortcutInput::Activated) => flow.add(maps, &flow.conv(shortcut, &active)?),
            (None, _) => flow.add(maps, input),
        }
    }
}

impl Architecture for PreActResNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut maps = flow.conv(&self.stem, &input)?;
        for block in &self.blocks {
            maps = block.forward(flow, self.form, &maps)?;
        }
        if let Some(norm) = &self.norm {
            maps = flow.norm_activate(norm, self.form.nonlinearity.into(), &maps)?;
        }
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&'static str> {
        Some("layer4")
    }

    fn variant(&self) -> &'static str {
        match (self.form.shortcut, self.form.is_bare) {
            (ShortcutInput::Raw, false) => "raw-shortcut, final-batchnorm",
            (ShortcutInput::Raw, true) => "raw-shortcut, no final batchnorm",
            (ShortcutInput::Activated, false) => "activated-shortcut, final-batchnorm",
            (ShortcutInput::Activated, true) => "activated-shortcut, no final batchnorm",
        }
    }
}
