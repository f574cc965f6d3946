//! `convnet`: the MNIST network of Wong, Rice and Kolter 2020 (<https://github.com/locuslab/fast_adversarial>).

use super::{Parts, require_side};
use crate::Result;
use crate::nn::builder::{Builder, ConvShape, Start};
use crate::nn::layers::{BlockConv, Conv, Linear, relu};
use crate::nn::network::{Body, Spatial};
use crate::nn::{InputShape, Mode};
use tch::{Kind, Tensor};

struct ConvNet {
    first: BlockConv,
    second: Conv,
    hidden: Linear,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    require_side(builder, input, 4, "it halves them twice, so 4x4 is the least; use `mlp`")?;
    // 4x4 kernels with stride 2 and padding 1 halve each side, rounding down.
    let shape =
        |inputs, outputs| ConvShape { inputs, outputs, kernel: 4, stride: 2, padding: 1, has_bias: true };
    let body = ConvNet {
        first: BlockConv { conv: builder.conv("0", shape(input.channels, 16), Start::Default)? },
        second: builder.conv("2", shape(16, 32), Start::Default)?,
        hidden: builder.linear("5", 32 * (input.height / 4) * (input.width / 4), 100, Start::Default)?,
    };
    let head = builder.linear("7", 100, classes, Start::Default)?;
    Ok(Parts { body: Box::new(body), head, is_spatial: true })
}

impl Body for ConvNet {
    fn features(&self, input: &Tensor, kind: Kind, mode: Mode) -> Result<Tensor> {
        self.features_of(&self.maps(input, mode)?, kind)
    }

    fn spatial(&self) -> Option<&dyn Spatial> {
        Some(self)
    }
}

impl Spatial for ConvNet {
    fn layer(&self) -> &'static str {
        "2"
    }

    fn maps(&self, input: &Tensor, _mode: Mode) -> Result<Tensor> {
        let maps = relu(self.first.forward(input)?)?;
        relu(self.second.forward(&maps)?)
    }

    fn features_of(&self, maps: &Tensor, _kind: Kind) -> Result<Tensor> {
        // By channel, row, column, whatever the order in memory.
        relu(self.hidden.forward(&maps.f_flatten(1, -1)?)?)
    }
}
