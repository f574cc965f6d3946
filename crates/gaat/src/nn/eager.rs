//! Layers carried out on tensors.

use super::classifier::Mode;
use super::flow::{Activation, Flow};
use super::layers::{BatchNorm, BlockConv, Conv, Heads, LayerNorm, Linear, TokenEmbedding};
use crate::error::Result;
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// Computes at once. `kind` is the dtype of the store: means and softmax are taken in it.
pub(super) struct Eager {
    pub(super) kind: Kind,
    pub(super) mode: Mode,
    /// The last feature maps.
    pub(super) maps: RefCell<Option<Tensor>>,
}

impl Eager {
    pub(super) fn new(kind: Kind, mode: Mode) -> Self {
        Self { kind, mode, maps: RefCell::new(None) }
    }
}

impl Flow for Eager {
    type Value = Tensor;

    fn conv(&self, layer: &Conv, input: &Tensor) -> Result<Tensor> {
        layer.forward(input)
    }

    fn block_conv(&self, layer: &BlockConv, input: &Tensor) -> Result<Tensor> {
        layer.forward(input)
    }

    fn batch_norm(&self, layer: &BatchNorm, input: &Tensor) -> Result<Tensor> {
        layer.forward(input, self.mode)
    }

    fn layer_norm(&self, layer: &LayerNorm, input: &Tensor) -> Result<Tensor> {
        layer.forward(input)
    }

    fn linear(&self, layer: &Linear, input: &Tensor) -> Result<Tensor> {
        layer.forward(input)
    }

    fn activate(&self, activation: Activation, mut input: Tensor) -> Result<Tensor> {
        Ok(match activation {
            // In place: no convolution, linear layer, normalisation or sum needs its output for its backward pass.
            Activation::Relu if input.dim() == 4 && input.device() == Device::Cpu => {
                gaat_shim::ordered_relu(&input)?
            }
            Activation::Relu => input.f_relu_()?,
            Activation::Silu => input.f_silu()?,
            Activation::Gelu => input.f_gelu("none")?,
            Activation::Sigmoid => input.f_sigmoid()?,
        })
    }

    fn add(&self, mut sum: Tensor, other: &Tensor) -> Result<Tensor> {
        Ok(sum.f_add_(other)?)
    }

    fn scale(&self, maps: &Tensor, factors: &Tensor) -> Result<Tensor> {
        Ok(maps.f_mul(factors)?)
    }

    fn max_pool(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_max_pool2d(2, 2, 0, 1, false)?)
    }

    fn overlapping_max_pool(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_max_pool2d(3, 2, 1, 1, false)?)
    }

    fn pad_end(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_constant_pad_nd([0, 1, 0, 1])?)
    }

    fn channel_means(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_mean_dim([2, 3].as_slice(), true, self.kind)?.f_to_kind(maps.kind())?)
    }

    fn global_average(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_mean_dim([2, 3].as_slice(), false, self.kind)?)
    }

    fn flatten(&self, maps: &Tensor) -> Result<Tensor> {
        Ok(maps.f_flatten(1, -1)?)
    }

    fn tokens(&self, layer: &TokenEmbedding, maps: &Tensor) -> Result<Tensor> {
        layer.forward(maps)
    }

    fn attention(&self, heads: Heads, queries_keys_values: &Tensor) -> Result<Tensor> {
        let Heads { count: heads, depth } = heads;
        let (count, tokens, _) = queries_keys_values.size3()?;
        let parts = queries_keys_values.f_reshape([count, tokens, 3, heads, depth])?;
        let parts = parts.f_permute([2, 0, 3, 1, 4])?;
        let (queries, keys, values) = (parts.f_select(0, 0)?, parts.f_select(0, 1)?, parts.f_select(0, 2)?);
        let queries = queries * (depth as f64).sqrt().recip();
        // libtorch's fused attention has no second derivatives, which curvatures need.
        let weights = queries.f_matmul(&keys.f_transpose(-2, -1)?)?.f_softmax(-1, self.kind)?;
        let mixed = weights.f_to_kind(values.kind())?.f_matmul(&values)?;
        Ok(mixed.f_transpose(1, 2)?.f_reshape([count, tokens, heads * depth])?)
    }

    fn feature_maps(&self, maps: &Tensor) {
        self.maps.replace(Some(maps.shallow_clone()));
    }

    fn first_token(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(tokens.f_select(1, 0)?)
    }
}
