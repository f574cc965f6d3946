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
        self.with(&self.weight, self.bias.as_ref(), input)
    }

    /// Convolution, normalisation and rectification. Running statistics are folded into the weights, which spares a pass
    /// over the activation, forward and backward.
    pub(super) fn forward_norm_relu(&self, norm: &BatchNorm, input: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode != Mode::Eval {
            return norm.forward_relu(&self.forward(input)?, mode);
        }
        let (scale, shift) = norm.running()?;
        let shift = match &self.bias {
            Some(bias) => shift.f_add(&bias.f_mul(&scale)?)?,
            None => shift,
        };
        let weight = self.weight.f_mul(&scale.f_view([-1, 1, 1, 1])?)?;
        relu(self.with(&weight, Some(&shift), input)?)
    }

    fn with(&self, weight: &Tensor, bias: Option<&Tensor>, input: &Tensor) -> Result<Tensor> {
        let weight = weight.f_to_kind(input.kind())?;
        let bias = bias.map(|bias| bias.f_to_kind(input.kind())).transpose()?;
        Ok(input.f_conv2d(&weight, bias, self.stride, self.padding, 1, 1)?)
    }
}

/// A convolution of kernel 4, stride 2 and padding 1 on images of even sides, computed as one of kernel 2 and stride
/// 1 on 2x2 blocks of pixels taken as channels.
///
/// The sums are the same, up to their order. With one input channel oneDNN's gradient of the strided form in the
/// pixels takes most of an attack's time; this form takes a third off it.
#[derive(Debug)]
pub(super) struct BlockConv {
    pub(super) conv: Conv,
}

impl BlockConv {
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let size = input.size();
        let (count, channels, height, width) = (size[0], size[1], size[2], size[3]);
        if height % 2 != 0 || width % 2 != 0 {
            return self.conv.forward(input);
        }
        let (rows, columns) = (height / 2 + 1, width / 2 + 1);
        let padded = input.f_contiguous()?.f_constant_pad_nd([1, 1, 1, 1])?;
        let blocks =
            padded.f_reshape([count, channels, rows, 2, columns, 2])?.f_permute([0, 1, 3, 5, 2, 4])?;
        let blocks = blocks.f_reshape([count, 4 * channels, rows, columns])?;
        let weight = self.conv.weight.f_to_kind(input.kind())?;
        let outputs = weight.size()[0];
        let weight = weight.f_reshape([outputs, channels, 2, 2, 2, 2])?.f_permute([0, 1, 3, 5, 2, 4])?;
        let weight = weight.f_reshape([outputs, 4 * channels, 2, 2])?;
        let bias = self.conv.bias.as_ref().map(|bias| bias.f_to_kind(input.kind())).transpose()?;
        Ok(blocks.f_conv2d(&weight, bias, 1, 0, 1, 1)?)
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

    /// What evaluation multiplies each channel by, and what it adds then.
    fn running(&self) -> Result<(Tensor, Tensor)> {
        let scale = self.scale.f_mul(&self.running_variance.f_add_scalar(Self::EPSILON)?.f_rsqrt()?)?;
        let shift = self.shift.f_sub(&self.running_mean.f_mul(&scale)?)?;
        Ok((scale, shift))
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
