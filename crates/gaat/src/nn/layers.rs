//! Layers: weights that are shared with the store, and how they meet activations.
//!
//! A layer casts its f32 weights to the precision of the activations that it is given; batch normalisation keeps
//! its parameters and statistics in the dtype of the store.

use super::Mode;
use crate::Result;
use tch::Tensor;

/// A convolution with square kernel and no dilation or groups.
#[derive(Debug)]
pub(super) struct Conv {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) stride: i64,
    pub(super) padding: i64,
}

impl Conv {
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let weight = self.weight.f_to_kind(input.kind())?;
        let bias = self.bias.as_ref().map(|bias| bias.f_to_kind(input.kind())).transpose()?;
        Ok(input.f_conv2d(&weight, bias, self.stride, self.padding, 1, 1)?)
    }
}

/// A linear layer with bias.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Linear {
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let weight = self.weight.f_to_kind(input.kind())?;
        let bias = self.bias.f_to_kind(input.kind())?;
        Ok(input.f_linear(&weight, Some(bias))?)
    }

    pub(super) fn master_kind(&self) -> tch::Kind {
        self.weight.kind()
    }
}

/// Batch normalisation over images and pixels.
#[derive(Debug)]
pub(super) struct BatchNorm {
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
    pub(super) running_mean: Tensor,
    pub(super) running_variance: Tensor,
}

impl BatchNorm {
    const MOMENTUM: f64 = 0.1;
    const EPSILON: f64 = 1e-5;

    pub(super) fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        // Without running statistics libtorch normalises by the batch and remembers nothing.
        let (mean, variance) = match mode {
            Mode::TrainFrozenStats => (None, None),
            Mode::Train | Mode::Eval => (Some(&self.running_mean), Some(&self.running_variance)),
        };
        let is_batch = mode != Mode::Eval;
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        Ok(input.f_batch_norm(scale, shift, mean, variance, is_batch, Self::MOMENTUM, Self::EPSILON, true)?)
    }

    /// Normalisation, then rectification in place: the backward pass of the former does not need its output.
    pub(super) fn forward_relu(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        relu(self.forward(input, mode)?)
    }
}

/// Rectifies in place an activation that nobody else needs any more.
pub(super) fn relu(mut activation: Tensor) -> Result<Tensor> {
    Ok(activation.f_relu_()?)
}

/// Mean over all pixels in the dtype `kind`: `[N, C, H, W]` to `[N, C]`.
pub(super) fn global_average(activation: &Tensor, kind: tch::Kind) -> Result<Tensor> {
    Ok(activation.f_mean_dim([2, 3].as_slice(), false, kind)?)
}
