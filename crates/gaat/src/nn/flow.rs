//! What a network does to its activations, said once by each architecture: carried out on tensors, or written down.

use super::layers::{BatchNorm, BlockConv, Conv, Heads, LayerNorm, Linear, TokenEmbedding};
use crate::error::Result;
use gaat_spec::Nonlinearity;

/// A function of each number by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + exp(-x))`, also called swish.
    Silu,
    /// `x` times the normal distribution function of `x`, by the error function and not by tanh.
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl From<Nonlinearity> for Activation {
    fn from(nonlinearity: Nonlinearity) -> Self {
        match nonlinearity {
            Nonlinearity::Relu => Self::Relu,
            Nonlinearity::Swish => Self::Silu,
        }
    }
}

/// The layers that architectures are made of.
///
/// Maps are `[N, C, H, W]`, tokens `[N, T, D]`, features `[N, F]`. A value that is given away may be overwritten: the
/// backward pass of what made it must not need it.
pub trait Flow {
    /// An activation.
    type Value;

    /// A convolution of maps.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn conv(&self, layer: &Conv, input: &Self::Value) -> Result<Self::Value>;

    /// The same sums as [`conv`](Self::conv), computed on blocks.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn block_conv(&self, layer: &BlockConv, input: &Self::Value) -> Result<Self::Value>;

    /// Batch normalisation of maps, by the statistics of the mode.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn batch_norm(&self, layer: &BatchNorm, input: &Self::Value) -> Result<Self::Value>;

    /// Over the last axis.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn layer_norm(&self, layer: &LayerNorm, input: &Self::Value) -> Result<Self::Value>;

    /// Over the last axis.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn linear(&self, layer: &Linear, input: &Self::Value) -> Result<Self::Value>;

    /// `activation` of each number.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn activate(&self, activation: Activation, input: Self::Value) -> Result<Self::Value>;

    /// The sum of two values of one shape.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn add(&self, sum: Self::Value, other: &Self::Value) -> Result<Self::Value>;

    /// Maps times one factor `[N, C, 1, 1]` a channel.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn scale(&self, maps: &Self::Value, factors: &Self::Value) -> Result<Self::Value>;

    /// The largest of each 2x2 pixels.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn max_pool(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// The largest of the 3x3 pixels around every second one of every second row.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn overlapping_max_pool(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// Means over the pixels, as maps `[N, C, 1, 1]`.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn channel_means(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// Means over the pixels, as features in the dtype of the store.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn global_average(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// Maps as features: by channel, row, column, whatever the order in memory.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn flatten(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// Pixels of maps as tokens, the class token before them, positions added.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn tokens(&self, layer: &TokenEmbedding, maps: &Self::Value) -> Result<Self::Value>;

    /// Multi-head self-attention (Vaswani et al. 2017) of queries, keys and values `[N, T, 3 D]`, one after the other.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn attention(&self, heads: Heads, queries_keys_values: &Self::Value) -> Result<Self::Value>;

    /// Records maps, so that they can be looked at; those of the last call count.
    fn feature_maps(&self, maps: &Self::Value) {
        let _ = maps;
    }

    /// The first token as features.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn first_token(&self, tokens: &Self::Value) -> Result<Self::Value>;

    /// Maps with a row of zeros below and a column of zeros to the right, as TensorFlow pads before a convolution of kernel 3
    /// and stride 2 on maps of even sides.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn pad_end(&self, maps: &Self::Value) -> Result<Self::Value>;

    /// Batch normalisation, then `ReLU`.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn norm_relu(&self, layer: &BatchNorm, input: &Self::Value) -> Result<Self::Value> {
        self.norm_activate(layer, Activation::Relu, input)
    }

    /// Batch normalisation, then `activation`.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    fn norm_activate(
        &self,
        layer: &BatchNorm,
        activation: Activation,
        input: &Self::Value,
    ) -> Result<Self::Value> {
        self.activate(activation, self.batch_norm(layer, input)?)
    }
}
