//! `convnet`: the MNIST network of Wong, Rice and Kolter 2020 (<https://github.com/locuslab/fast_adversarial>).

use super::{Parts, require_side};
use crate::error::Result;
use crate::nn::builder::{Builder, ConvShape, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::{BlockConv, Conv, Linear};
use crate::nn::network::Body;

pub(super) const HEAD: &str = "7";

struct ConvNet {
    first: BlockConv,
    second: Conv,
    hidden: Linear,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    require_side(builder, input, 4, "it halves them twice, so 4x4 is the least; use `mlp`")?;
    // 4x4 kernels with stride 2 and padding 1 halve each side, rounding down.
    let shape = |inputs, outputs| ConvShape {
        inputs,
        outputs,
        kernel: 4,
        stride: 2,
        padding: 1,
        groups: 1,
        has_bias: true,
    };
    let body = ConvNet {
        first: builder.block_conv("0", shape(input.channels, 16), Initial::Default)?,
        second: builder.conv("2", shape(16, 32), Initial::Default)?,
        hidden: builder.linear("5", 32 * (input.height / 4) * (input.width / 4), 100, Initial::Default)?,
    };
    let head = builder.linear(HEAD, 100, classes, Initial::Default)?;
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

impl Body for ConvNet {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let relu = |value| flow.activate(Activation::Relu, value);
        let maps = relu(flow.block_conv(&self.first, &input)?)?;
        let maps = relu(flow.conv(&self.second, &maps)?)?;
        flow.feature_maps(&maps);
        relu(flow.linear(&self.hidden, &flow.flatten(&maps)?)?)
    }

    fn feature_layer(&self) -> Option<&str> {
        Some("2")
    }
}
