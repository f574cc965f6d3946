//! A network written down layer by layer, for export: what it computes in evaluation, from pixels to logits.

use super::flow::{Activation, Flow};
use super::layers::{BatchNorm, BlockConv, Conv, Heads, LayerNorm, Linear, TokenEmbedding};
use crate::error::Result;
use std::cell::RefCell;
use tch::Tensor;

/// Steps in the order of their computation. Value 0 is the pixels, value `i + 1` what step `i` makes; the last is the
/// logits.
#[derive(Debug, Default)]
pub struct Trace {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One layer, and the values that it takes.
#[derive(Debug)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// Numbers of the values that it is done to, all of earlier steps.
    pub inputs: Vec<usize>,
}

/// A weight, under its key in a PyTorch state dict.
#[derive(Debug)]
pub struct Parameter {
    /// Its key.
    pub name: String,
    /// The tensor, shared with the network.
    pub tensor: Tensor,
}

/// What a step does. Maps are `[N, C, H, W]`, tokens `[N, T, D]`, features `[N, F]`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation {
    /// Subtracts `mean` from each channel and divides it by `std`.
    Normalize {
        /// One number a channel.
        mean: Vec<f64>,
        /// One number above zero a channel.
        std: Vec<f64>,
    },
    /// Convolution of maps with a square kernel, zeros around them.
    Conv {
        /// `[outputs, inputs / groups, kernel, kernel]`.
        weight: Parameter,
        /// `[outputs]`.
        bias: Option<Parameter>,
        /// Pixels from one place of the kernel to the next.
        stride: i64,
        /// Zeros on each side.
        padding: i64,
        /// Groups of channels that do not mix.
        groups: i64,
    },
    /// Batch normalisation of maps by running statistics.
    BatchNorm {
        /// `[C]`, as the other three.
        scale: Parameter,
        /// Added last.
        shift: Parameter,
        /// Running mean.
        mean: Parameter,
        /// Running variance.
        variance: Parameter,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Layer normalisation over the last axis.
    LayerNorm {
        /// `[D]`, as the shift.
        scale: Parameter,
        /// Added last.
        shift: Parameter,
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x W^T + b` over the last axis of features or tokens.
    Linear {
        /// `[outputs, inputs]`.
        weight: Parameter,
        /// `[outputs]`.
        bias: Parameter,
    },
    /// A function of each number.
    Activation(Activation),
    /// Sum of two values of one shape.
    Add,
    /// Maps times factors `[N, C, 1, 1]`.
    Scale,
    /// The largest of each 2x2 pixels.
    MaxPool,
    /// The same of 3x3 pixels around every second one of every second row.
    OverlappingMaxPool,
    /// A row of zeros below maps and a column of zeros to their right.
    PadEnd,
    /// Means over the pixels, as maps `[N, C, 1, 1]`.
    ChannelMeans,
    /// Means over the pixels, as features.
    GlobalAverage,
    /// Maps as features, by channel, row, column.
    Flatten,
    /// Pixels as tokens, row by row, after a class token; positions added.
    Tokens {
        /// `[1, 1, D]`.
        class: Parameter,
        /// `[1, T, D]`.
        positions: Parameter,
    },
    /// Multi-head self-attention of queries, keys and values that lie one after the other: `[N, T, 3 D]` to `[N, T, D]`.
    Attention {
        /// Parts that D is cut into.
        heads: i64,
        /// Numbers of a part; its square root is divided out of the scores.
        depth: i64,
    },
    /// The first token as features.
    FirstToken,
}

/// Writes down what is asked of it.
#[derive(Default)]
pub(super) struct Tracer {
    trace: RefCell<Trace>,
}

/// Number of a value of the trace.
#[derive(Clone, Copy)]
pub(super) struct Slot(usize);

impl Tracer {
    pub(super) fn pixels() -> Slot {
        Slot(0)
    }

    pub(super) fn normalize(&self, mean: &[f64], std: &[f64], pixels: Slot) -> Slot {
        self.note(Operation::Normalize { mean: mean.to_vec(), std: std.to_vec() }, &[pixels])
    }

    pub(super) fn finish(self) -> Trace {
        self.trace.into_inner()
    }

    fn note(&self, operation: Operation, inputs: &[Slot]) -> Slot {
        let steps = &mut self.trace.borrow_mut().steps;
        steps.push(Step { operation, inputs: inputs.iter().map(|place| place.0).collect() });
        Slot(steps.len())
    }
}

fn parameter(layer: &str, suffix: &str, tensor: &Tensor) -> Parameter {
    Parameter { name: format!("{layer}.{suffix}"), tensor: tensor.shallow_clone() }
}

impl Flow for Tracer {
    type Value = Slot;

    fn conv(&self, layer: &Conv, input: &Slot) -> Result<Slot> {
        let Conv { name, weight, bias, stride, padding, groups, .. } = layer;
        let operation = Operation::Conv {
            weight: parameter(name, "weight", weight),
            bias: bias.as_ref().map(|bias| parameter(name, "bias", bias)),
            stride: *stride,
            padding: *padding,
            groups: *groups,
        };
        Ok(self.note(operation, &[*input]))
    }

    fn block_conv(&self, layer: &BlockConv, input: &Slot) -> Result<Slot> {
        self.conv(&layer.conv, input)
    }

    fn batch_norm(&self, layer: &BatchNorm, input: &Slot) -> Result<Slot> {
        let BatchNorm { name, scale, shift, running_mean, running_variance } = layer;
        let operation = Operation::BatchNorm {
            scale: parameter(name, "weight", scale),
            shift: parameter(name, "bias", shift),
            mean: parameter(name, "running_mean", running_mean),
            variance: parameter(name, "running_var", running_variance),
            epsilon: BatchNorm::EPSILON,
        };
        Ok(self.note(operation, &[*input]))
    }

    fn layer_norm(&self, layer: &LayerNorm, input: &Slot) -> Result<Slot> {
        let LayerNorm { name, scale, shift } = layer;
        let (scale, shift) = (parameter(name, "weight", scale), parameter(name, "bias", shift));
        Ok(self.note(Operation::LayerNorm { scale, shift, epsilon: LayerNorm::EPSILON }, &[*input]))
    }

    fn linear(&self, layer: &Linear, input: &Slot) -> Result<Slot> {
        let Linear { name, weight, bias } = layer;
        let (weight, bias) = (parameter(name, "weight", weight), parameter(name, "bias", bias));
        Ok(self.note(Operation::Linear { weight, bias }, &[*input]))
    }

    fn activate(&self, activation: Activation, input: Slot) -> Result<Slot> {
        Ok(self.note(Operation::Activation(activation), &[input]))
    }

    fn add(&self, sum: Slot, other: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::Add, &[sum, *other]))
    }

    fn scale(&self, maps: &Slot, factors: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::Scale, &[*maps, *factors]))
    }

    fn max_pool(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::MaxPool, &[*maps]))
    }

    fn overlapping_max_pool(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::OverlappingMaxPool, &[*maps]))
    }

    fn pad_end(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::PadEnd, &[*maps]))
    }

    fn channel_means(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::ChannelMeans, &[*maps]))
    }

    fn global_average(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::GlobalAverage, &[*maps]))
    }

    fn flatten(&self, maps: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::Flatten, &[*maps]))
    }

    fn tokens(&self, layer: &TokenEmbedding, maps: &Slot) -> Result<Slot> {
        let class = Parameter { name: TokenEmbedding::CLASS.to_owned(), tensor: layer.class.shallow_clone() };
        let positions =
            Parameter { name: TokenEmbedding::POSITIONS.to_owned(), tensor: layer.positions.shallow_clone() };
        Ok(self.note(Operation::Tokens { class, positions }, &[*maps]))
    }

    fn attention(&self, heads: Heads, queries_keys_values: &Slot) -> Result<Slot> {
        Ok(self
            .note(Operation::Attention { heads: heads.count, depth: heads.depth }, &[*queries_keys_values]))
    }

    fn first_token(&self, tokens: &Slot) -> Result<Slot> {
        Ok(self.note(Operation::FirstToken, &[*tokens]))
    }
}
