//! `mlp`: two hidden layers of 256, as `nn.Sequential(Flatten, Linear, ReLU, Linear, ReLU, Linear)`.

use super::Parts;
use crate::Result;
use crate::nn::builder::{Builder, Start};
use crate::nn::layers::{Linear, relu};
use crate::nn::network::Body;
use crate::nn::{InputShape, Mode};
use tch::{Kind, Tensor};

const HIDDEN: i64 = 256;

struct Mlp {
    first: Linear,
    second: Linear,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    let body = Mlp {
        first: builder.linear("1", input.size(), HIDDEN, Start::Default)?,
        second: builder.linear("3", HIDDEN, HIDDEN, Start::Default)?,
    };
    let head = builder.linear("5", HIDDEN, classes, Start::Default)?;
    Ok(Parts { body: Box::new(body), head, is_spatial: false })
}

impl Body for Mlp {
    fn features(&self, input: &Tensor, _kind: Kind, _mode: Mode) -> Result<Tensor> {
        let hidden = relu(self.first.forward(&input.f_flatten(1, -1)?)?)?;
        relu(self.second.forward(&hidden)?)
    }
}
