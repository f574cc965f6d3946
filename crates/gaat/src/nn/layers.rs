//! Layers: weights that are shared with the store, and how they meet activations.
//!
//! A layer casts its f32 weights to the precision of the activations that it is given; batch normalisation keeps
//! its parameters and statistics in the dtype of the store.

use super::classifier::Mode;
use super::joined::normalised;
use crate::error::{Error, Result};
use gaat_shim::{RunningNorm, running_norm};
use tch::{Device, Tensor};

/// A convolution with square kernel and no dilation. `name` is that of its module in PyTorch, as in all layers.
#[derive(Debug)]
pub struct Conv {
    pub(super) name: String,
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) stride: i64,
    pub(super) padding: i64,
    pub(super) groups: i64,
    /// Of the weight, where the layer halves maps on a CPU.
    pub(super) halving_order: Option<Tensor>,
}

impl Conv {
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let weight = self.weight.f_to_kind(input.kind())?;
        let bias = self.bias.as_ref().map(|bias| bias.f_to_kind(input.kind())).transpose()?;
        if let (Some(order), Some(bias), true) = (&self.halving_order, &bias, is_differentiated(input)) {
            return Ok(gaat_shim::halving_conv(input, &weight, bias, order)?);
        }
        Ok(input.f_conv2d(&weight, bias, self.stride, self.padding, 1, self.groups)?)
    }
}

/// Whether somebody asks for the gradient in maps that can be halved evenly.
fn is_differentiated(input: &Tensor) -> bool {
    let size = input.size();
    input.requires_grad() && size[2] % 2 == 0 && size[3] % 2 == 0
}

/// A convolution of kernel 4, stride 2 and padding 1 on images of even sides, computed as one of kernel 2 and stride
/// 1 on 2x2 blocks of pixels taken as channels.
///
/// The sums are the same, up to their order. With one input channel oneDNN's gradient of the strided form in the
/// pixels takes most of an attack's time; this form takes a third off it. Where that gradient is not needed, as in a
/// descent, or on a GPU, the strided form is taken.
#[derive(Debug)]
pub struct BlockConv {
    pub(super) conv: Conv,
}

impl BlockConv {
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let size = input.size();
        let (channels, height, width) = (size[1], size[2], size[3]);
        let pays = input.requires_grad() && input.device() == Device::Cpu;
        if !pays || height % 2 != 0 || width % 2 != 0 {
            return self.conv.forward(input);
        }
        let blocks = gaat_shim::pixel_blocks(input)?;
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
pub struct Linear {
    pub(super) name: String,
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
pub struct BatchNorm {
    pub(super) name: String,
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
    pub(super) running_mean: Tensor,
    pub(super) running_variance: Tensor,
}

impl BatchNorm {
    pub(super) const MOMENTUM: f64 = 0.1;
    pub(super) const EPSILON: f64 = 1e-5;

    /// # Errors
    /// [`Error::OneValue`] where statistics of the batch are asked for and a channel has one number: libtorch would make the
    /// running variance NaN without a word.
    pub(super) fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        // A frozen layer is the same function whatever the batch, and its statistics stay.
        let mode = if self.scale.requires_grad() { mode } else { Mode::Eval };
        if mode != Mode::Eval && input.numel() <= self.scale.numel() {
            return Err(Error::OneValue { layer: self.name.clone() });
        }
        let (mean, variance) = match mode {
            Mode::Eval => {
                let Self { scale, shift, running_mean: mean, running_variance: variance, .. } = self;
                let norm = RunningNorm { scale, shift, mean, variance, epsilon: Self::EPSILON };
                return Ok(running_norm(input, norm)?);
            }
            Mode::Train => (Some(&self.running_mean), Some(&self.running_variance)),
            // Without running statistics libtorch normalises by the batch and remembers nothing.
            Mode::TrainFrozenStats => (None, None),
        };
        if let Some(normal) = normalised(self, input, mode == Mode::Train)? {
            return Ok(normal);
        }
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        Ok(input.f_batch_norm(scale, shift, mean, variance, true, Self::MOMENTUM, Self::EPSILON, true)?)
    }
}

/// Layer normalisation over the last axis, computed in the dtype of the store.
#[derive(Debug)]
pub struct LayerNorm {
    pub(super) name: String,
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
}

impl LayerNorm {
    /// That of timm's vision transformers.
    pub(super) const EPSILON: f64 = 1e-6;

    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        let precise = input.f_to_kind(self.scale.kind())?;
        let normal = precise.f_layer_norm(self.scale.size(), scale, shift, Self::EPSILON, false)?;
        Ok(normal.f_to_kind(input.kind())?)
    }
}

/// How attention cuts up its values.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// How many.
    pub count: i64,
    /// Numbers of each.
    pub depth: i64,
}

/// What turns patches of an image into tokens: a token of its own for the class, and a place for each.
#[derive(Debug)]
pub struct TokenEmbedding {
    /// `[1, 1, D]`.
    pub(super) class: Tensor,
    /// `[1, T, D]`.
    pub(super) positions: Tensor,
}

impl TokenEmbedding {
    pub(super) const CLASS: &str = "cls_token";
    pub(super) const POSITIONS: &str = "pos_embed";

    pub(super) fn forward(&self, maps: &Tensor) -> Result<Tensor> {
        let patches = maps.f_flatten(2, -1)?.f_transpose(1, 2)?;
        let (count, _, width) = patches.size3()?;
        let class = self.class.f_to_kind(maps.kind())?.f_expand([count, 1, width], false)?;
        let tokens = Tensor::f_cat(&[class, patches], 1)?;
        Ok(tokens.f_add(&self.positions.f_to_kind(maps.kind())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::rng::Rng;
    use gaat_shim::{Graph, gradients};
    use tch::{Device, Kind};

    fn norm(kind: Kind) -> BatchNorm {
        let draw = |place, low, high| {
            Rng::new(5).seeded("norm", place).uniform(&[3], low, high, kind, Device::Cpu).unwrap()
        };
        BatchNorm {
            name: "norm".to_owned(),
            scale: draw(0, -2.0, 2.0).set_requires_grad(true),
            shift: draw(1, -1.0, 1.0).set_requires_grad(true),
            running_mean: draw(2, -1.0, 1.0),
            running_variance: draw(3, 0.1, 2.0),
        }
    }

    fn plainly(norm: &BatchNorm, input: &Tensor) -> Tensor {
        let (mean, variance) = (Some(&norm.running_mean), Some(&norm.running_variance));
        input.batch_norm(Some(&norm.scale), Some(&norm.shift), mean, variance, false, 0.0, 1e-5, true)
    }

    fn drawn(name: &str, shape: &[i64], kind: Kind) -> Tensor {
        let numbers = Rng::new(6).seeded(name, 0).uniform(shape, -1.0, 1.0, Kind::Double, Device::Cpu);
        numbers.unwrap().to_kind(kind).set_requires_grad(true)
    }

    /// `output` of `inputs`, and the first and second derivatives of a bent sum of it.
    fn derivatives(output: &Tensor, inputs: &[&Tensor]) -> Vec<Tensor> {
        let bent = output * output * output;
        let first = gradients(&[&bent], None, inputs, Graph::Record).unwrap();
        let first: Vec<Tensor> = first.into_iter().map(Option::unwrap).collect();
        let again: Vec<Tensor> = first.iter().map(|gradient| gradient * gradient).collect();
        let again: Vec<&Tensor> = again.iter().collect();
        let second = gradients(&again, None, inputs, Graph::Keep).unwrap();
        first.into_iter().chain(second.into_iter().map(Option::unwrap)).collect()
    }

    /// What `pixel_blocks` moves in one copy, by libtorch's own operations.
    fn plain_blocks(image: &Tensor) -> Tensor {
        let (count, channels, height, width) = image.size4().unwrap();
        let (rows, columns) = (height / 2 + 1, width / 2 + 1);
        let padded = image.constant_pad_nd([1, 1, 1, 1]).reshape([count, channels, rows, 2, columns, 2]);
        padded.permute([0, 1, 3, 5, 2, 4]).reshape([count, 4 * channels, rows, columns])
    }

    #[test]
    fn blocks_have_the_numbers_and_both_derivatives_of_libtorch_in_every_dtype_and_memory_order() {
        for shape in [[2, 3, 4, 6], [1, 1, 2, 2], [3, 1, 8, 8], [0, 1, 4, 4]] {
            for kind in [Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double] {
                let image = drawn("image", &shape, kind);
                let longer = drawn("longer", &[image.numel() as i64 + 1], kind);
                let odd_place = longer.narrow(0, 1, image.numel() as i64).view(shape);
                for image in [&image, &gaat_shim::channels_last(&image).unwrap(), &odd_place] {
                    let ours = gaat_shim::pixel_blocks(image).unwrap();
                    assert!(ours.permute([0, 2, 3, 1]).is_contiguous(), "{shape:?} {kind:?}");
                    assert_eq!(ours, plain_blocks(image), "{shape:?} {kind:?}");
                }
            }
        }
        for shape in [[2, 3, 4, 6], [1, 1, 2, 2], [3, 1, 8, 8]] {
            let image = drawn("image", &shape, Kind::Double);
            let found = [gaat_shim::pixel_blocks(&image).unwrap(), plain_blocks(&image)].map(|blocks| {
                // Behind another number, so that the gradient of the blocks begins at an odd place.
                let flat = blocks.permute([0, 2, 3, 1]).reshape([-1]);
                derivatives(
                    &Tensor::cat(&[Tensor::ones([1], (Kind::Double, Device::Cpu)), flat], 0),
                    &[&image],
                )
            });
            assert_eq!(found[0], found[1], "{shape:?}");
        }
    }

    #[test]
    fn halving_has_the_numbers_and_both_derivatives_of_libtorch() {
        for (height, width, channels, outputs) in [(14, 14, 3, 5), (6, 2, 1, 2)] {
            let input = drawn("maps", &[2, channels, height, width], Kind::Double);
            let weight = drawn("weight", &[outputs, channels, 4, 4], Kind::Double);
            let bias = drawn("bias", &[outputs], Kind::Double);
            let order = gaat_shim::halving_order(outputs, channels).unwrap();
            for maps in [input.shallow_clone(), gaat_shim::channels_last(&input).unwrap()] {
                let ours = gaat_shim::halving_conv(&maps, &weight, &bias, &order).unwrap();
                let theirs = maps.conv2d(&weight, Some(&bias), 2, 1, 1, 1);
                assert_eq!(ours, theirs);
                let inputs = [&input, &weight, &bias];
                let pairs = derivatives(&ours, &inputs).into_iter().zip(derivatives(&theirs, &inputs));
                for (place, (ours, theirs)) in pairs.enumerate() {
                    assert!(
                        ours.allclose(&theirs, 1e-9, 1e-9, false),
                        "{height}x{width}, derivative {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_rectifier_takes_gradients_in_any_memory_order() {
        let input = drawn("maps", &[2, 3, 4, 5], Kind::Double);
        for maps in [input.shallow_clone(), gaat_shim::channels_last(&input).unwrap()] {
            let bent = |rectified: Tensor| rectified.flatten(1, -1).sin();
            let ours = bent(gaat_shim::ordered_relu(&(&maps * 2.0)).unwrap());
            let theirs = bent((&maps * 2.0).relu());
            assert_eq!(ours, theirs);
            let pairs = derivatives(&ours, &[&input]).into_iter().zip(derivatives(&theirs, &[&input]));
            for (ours, theirs) in pairs {
                assert!(ours.allclose(&theirs, 1e-12, 1e-12, false));
            }
        }
    }

    #[test]
    fn evaluation_mode_has_the_numbers_and_both_derivatives_of_libtorch() {
        let norm = norm(Kind::Double);
        for shape in [&[4, 3, 2, 5][..], &[4, 3]] {
            let input = Rng::new(5).seeded("input", 0).uniform(shape, -1.0, 1.0, Kind::Double, Device::Cpu);
            let input = input.unwrap().set_requires_grad(true);
            let inputs = [&input, &norm.scale, &norm.shift];
            let (ours, theirs) = (norm.forward(&input, Mode::Eval).unwrap(), plainly(&norm, &input));
            assert_eq!(ours, theirs);
            let pairs = derivatives(&ours, &inputs).into_iter().zip(derivatives(&theirs, &inputs));
            for (place, (ours, theirs)) in pairs.enumerate() {
                assert!(ours.allclose(&theirs, 1e-10, 1e-10, false), "{shape:?}, derivative {place}");
            }
        }
    }

    #[test]
    fn evaluation_mode_takes_bf16_maps_and_f32_statistics() {
        let norm = norm(Kind::Float);
        let input =
            Rng::new(5).seeded("input", 0).uniform(&[4, 3, 2, 5], -1.0, 1.0, Kind::Float, Device::Cpu);
        let input = input.unwrap().to_kind(Kind::BFloat16).set_requires_grad(true);
        let (ours, theirs) = (norm.forward(&input, Mode::Eval).unwrap(), plainly(&norm, &input));
        assert_eq!(ours, theirs);
        let [ours, theirs] = [ours, theirs].map(|output| {
            let found = gradients(&[&output], None, &[&input, &norm.scale], Graph::Free).unwrap();
            found.into_iter().map(|gradient| gradient.unwrap().to_kind(Kind::Float)).collect::<Vec<_>>()
        });
        // The factor of a channel is rounded to bf16 in the gradient of the maps; the sums of the rest are those of f32.
        assert!(ours[0].allclose(&theirs[0], 0.01, 1e-6, false));
        assert!(ours[1].allclose(&theirs[1], 0.01, 1e-3, false));
    }
}
