//! `efficientnet-b0`: Tan and Le 2019 as torchvision defines it (`torchvision.models.efficientnet_b0`), with the names of
//! its parameters, but in the CIFAR form: a stem of stride 1, so `features[0][0].stride = (1, 1)` there.
//!
//! Without dropout and stochastic depth: an attack must climb the network that the descent goes down on.

use super::{Parts, require_shrinking};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BatchNorm, Conv};
use crate::nn::network::Body;

pub(super) const HEAD: &str = "classifier.1";
const STEM_WIDTH: i64 = 32;
const LAST_WIDTH: i64 = 1280;

/// Expansion, kernel, stride, output channels, blocks: table 1 of the paper.
const STAGES: [(i64, i64, i64, i64, i64); 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];

struct Normalised {
    conv: Conv,
    norm: BatchNorm,
}

/// An inverted bottleneck with squeeze and excitation.
struct Block {
    expand: Option<Normalised>,
    depthwise: Normalised,
    squeeze: Conv,
    excite: Conv,
    project: Normalised,
    has_shortcut: bool,
}

struct EfficientNet {
    stem: Normalised,
    blocks: Vec<Block>,
    last: Normalised,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    require_shrinking(builder, input, 16)?;
    let stem = normalised(builder, "features.0", ConvShape::three(input.channels, STEM_WIDTH, 1))?;
    let mut blocks = Vec::new();
    let mut inputs = STEM_WIDTH;
    for (stage, (expansion, kernel, stride, outputs, count)) in STAGES.into_iter().enumerate() {
        for place in 0..count {
            let stride = if place == 0 { stride } else { 1 };
            let shape = ConvShape { kernel, stride, ..ConvShape::one(inputs, outputs, 1) };
            let name = format!("features.{}.{place}.block", stage + 1);
            blocks.push(block(builder, &name, expansion, shape)?);
            inputs = outputs;
        }
    }
    let last = normalised(builder, "features.8", ConvShape::one(inputs, LAST_WIDTH, 1))?;
    let head = builder.linear(HEAD, LAST_WIDTH, classes, Initial::UniformFanOut)?;
    Ok(Parts { body: Box::new(EfficientNet { stem, blocks, last }), head, is_spatial: true })
}

fn normalised(builder: &mut Builder, name: &str, shape: ConvShape) -> Result<Normalised> {
    let conv = builder.conv(&format!("{name}.0"), shape, Initial::KaimingFanOut)?;
    Ok(Normalised { conv, norm: builder.batch_norm(&format!("{name}.1"), shape.outputs)? })
}

/// `shape`: channels from end to end, kernel and stride of the depthwise convolution.
fn block(builder: &mut Builder, name: &str, expansion: i64, shape: ConvShape) -> Result<Block> {
    let ConvShape { inputs, outputs, kernel, stride, .. } = shape;
    let inner = inputs * expansion;
    let mut place = 0;
    let mut next = || {
        place += 1;
        format!("{name}.{}", place - 1)
    };
    let expand = if expansion == 1 {
        None
    } else {
        Some(normalised(builder, &next(), ConvShape::one(inputs, inner, 1))?)
    };
    let shape =
        ConvShape { kernel, padding: kernel / 2, groups: inner, ..ConvShape::one(inner, inner, stride) };
    let depthwise = normalised(builder, &next(), shape)?;
    let (excitation, squeezed) = (next(), (inputs / 4).max(1));
    let gate = |inputs, outputs| ConvShape { has_bias: true, ..ConvShape::one(inputs, outputs, 1) };
    let start = Initial::KaimingFanOut;
    Ok(Block {
        expand,
        depthwise,
        squeeze: builder.conv(&format!("{excitation}.fc1"), gate(inner, squeezed), start)?,
        excite: builder.conv(&format!("{excitation}.fc2"), gate(squeezed, inner), start)?,
        project: normalised(builder, &next(), ConvShape::one(inner, outputs, 1))?,
        has_shortcut: stride == 1 && inputs == outputs,
    })
}

impl Normalised {
    fn forward<F: Flow>(&self, flow: &F, input: &F::Value) -> Result<F::Value> {
        flow.batch_norm(&self.norm, &flow.conv(&self.conv, input)?)
    }

    fn active<F: Flow>(&self, flow: &F, input: &F::Value) -> Result<F::Value> {
        flow.activate(Activation::Silu, self.forward(flow, input)?)
    }
}

impl Block {
    fn forward<F: Flow>(&self, flow: &F, input: &F::Value) -> Result<F::Value> {
        let maps = match &self.expand {
            Some(expand) => self.depthwise.active(flow, &expand.active(flow, input)?)?,
            None => self.depthwise.active(flow, input)?,
        };
        let squeezed = flow.conv(&self.squeeze, &flow.channel_means(&maps)?)?;
        let excited = flow.conv(&self.excite, &flow.activate(Activation::Silu, squeezed)?)?;
        let maps = flow.scale(&maps, &flow.activate(Activation::Sigmoid, excited)?)?;
        let maps = self.project.forward(flow, &maps)?;
        if self.has_shortcut { flow.add(maps, input) } else { Ok(maps) }
    }
}

impl Body for EfficientNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let mut maps = self.stem.active(flow, &input)?;
        for block in &self.blocks {
            maps = block.forward(flow, &maps)?;
        }
        let maps = self.last.active(flow, &maps)?;
        flow.feature_maps(&maps);
        flow.global_average(&maps)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some("features.8")
    }
}
