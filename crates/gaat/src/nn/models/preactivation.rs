//! Networks of pre-activation blocks (He et al. 2016): each block normalises and activates before it convolves.
//!
//! The public definitions of such networks differ in names, in how weights start, in the padding where sides are halved, and in
//! what the shortcut convolution is fed. A definition is a [`Definition`]; the computation is one.

use super::padded_conv;
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Body;
use gaat_spec::ShortcutInput;

/// The shape of a convolution, from its channels in and out and its stride.
type Shape = fn(i64, i64, i64) -> ConvShape;

/// How one public definition names and shapes the layers of a block.
pub(super) struct Definition {
    /// Names within a block: the two normalisations.
    pub(super) norms: [&'static str; 2],
    /// The two convolutions.
    pub(super) convs: [&'static str; 2],
    pub(super) shortcut: &'static str,
    pub(super) start: Initial,
    /// Of the first convolution, which may halve the sides.
    pub(super) halving: Shape,
    pub(super) shortcut_shape: Shape,
}

impl Definition {
    /// The block `name`; the shortcut is a convolution where sides or channels change.
    pub(super) fn block(
        &self,
        builder: &mut Builder,
        name: &str,
        inputs: i64,
        outputs: i64,
        stride: i64,
    ) -> Result<Block> {
        let own = |layer: &str| format!("{name}.{layer}");
        let shape = (self.halving)(inputs, outputs, stride);
        Ok(Block {
            norm1: builder.batch_norm(&own(self.norms[0]), inputs)?,
            conv1: builder.conv(&own(self.convs[0]), shape, self.start)?,
            norm2: builder.batch_norm(&own(self.norms[1]), outputs)?,
            conv2: builder.conv(&own(self.convs[1]), ConvShape::three(outputs, outputs, 1), self.start)?,
            shortcut: if stride != 1 || inputs != outputs {
                let shape = (self.shortcut_shape)(inputs, outputs, stride);
                Some(builder.conv(&own(self.shortcut), shape, self.start)?)
            } else {
                None
            },
        })
    }
}

pub(super) struct Block {
    norm1: BatchNorm,
    conv1: Conv,
    norm2: BatchNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

pub(super) struct PreActivation {
    pub(super) stem: Conv,
    pub(super) blocks: Vec<Block>,
    /// None where nothing lies between the last block and the pooling.
    pub(super) norm: Option<BatchNorm>,
    pub(super) activation: Activation,
    /// What the shortcut convolutions are fed; a shortcut without a convolution takes the raw input.
    pub(super) shortcut: ShortcutInput,
    pub(super) feature_layer: &'static str,
    pub(super) variant: &'static str,
}

impl PreActivation {
    fn block<F: Flow>(&self, flow: &F, block: &Block, input: &F::Value) -> Result<F::Value> {
        let active = flow.norm_activate(&block.norm1, self.activation, input)?;
        let maps = padded_conv(flow, &block.conv1, &active)?;
        let maps = flow.conv(&block.conv2, &flow.norm_activate(&block.norm2, self.activation, &maps)?)?;
        match (&block.shortcut, self.shortcut) {
            (Some(shortcut), ShortcutInput::Raw) => flow.add(maps, &padded_conv(flow, shortcut, input)?),
            (Some(shortcut), ShortcutInput::Activated) => {
                flow.add(maps, &padded_conv(flow, shortcut, &active)?)
            }
            (None, _) => flow.add(maps, input),
        }
    }
}

impl Body for PreActivation {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut maps = flow.conv(&self.stem, &input)?;
        for block in &self.blocks {
            maps = self.block(flow, block, &maps)?;
        }
        if let Some(norm) = &self.norm {
            maps = flow.norm_activate(norm, self.activation, &maps)?;
        }
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some(self.feature_layer)
    }

    fn variant(&self) -> &str {
        self.variant
    }
}
