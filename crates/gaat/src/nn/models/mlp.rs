//! `mlp`: two hidden layers of 256, as `nn.Sequential(Flatten, Linear, ReLU, Linear, ReLU, Linear)`.

use super::Parts;
use crate::error::Result;
use crate::nn::builder::{Builder, Initial};
use crate::nn::classifier::InputShape;
use crate::nn::flow::{Activation, Flow};
use crate::nn::layers::Linear;
use crate::nn::network::Body;

pub(super) const HEAD: &str = "5";
const HIDDEN: i64 = 256;

struct Mlp {
    first: Linear,
    second: Linear,
}

pub(super) fn parts(builder: &mut Builder, input: InputShape, classes: i64) -> Result<Parts> {
    let body = Mlp {
        first: builder.linear("1", input.size(), HIDDEN, Initial::Default)?,
        second: builder.linear("3", HIDDEN, HIDDEN, Initial::Default)?,
    };
    let head = builder.linear(HEAD, HIDDEN, classes, Initial::Default)?;
    Ok(Parts { body: Box::new(body), head, is_spatial: false })
}

impl Body for Mlp {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> Result<F::Value> {
        let relu = |value| flow.activate(Activation::Relu, value);
        let hidden = relu(flow.linear(&self.first, &flow.flatten(&input)?)?)?;
        relu(flow.linear(&self.second, &hidden)?)
    }
}
