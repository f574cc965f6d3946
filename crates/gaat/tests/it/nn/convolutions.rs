//! Weight gradients that libtorch's oneDNN computes outside its memory, or leaves in part as the memory was: docs/decisions/0018.

use super::shape;
use gaat::nn::{BuildOptions, ComputePrecision, Mode, Normalization, Rng, build, has_bf16};
use gaat_shim::{Graph, channels_last, gradients};
use gaat_testkit::skip;
use tch::{Device, Kind, Tensor};

fn drawn(name: &str, step: u64, size: &[i64]) -> Tensor {
    Rng::new(18).seeded(name, step).uniform(size, -1.0, 1.0, Kind::Float, Device::Cpu).unwrap()
}

/// Leaves memory behind that is full of numbers that are none.
fn soil(size: i64) {
    let soil: Vec<Tensor> =
        (0..8).map(|_| Tensor::full([size], f64::NAN, (Kind::BFloat16, Device::Cpu))).collect();
    drop(soil);
}

fn weight_gradient(pixels: &Tensor, weight: &Tensor, seed: &Tensor, (stride, padding): (i64, i64)) -> Tensor {
    let weight = weight.detach().set_requires_grad(true);
    let maps = pixels.conv2d::<Tensor>(&weight, None, stride, padding, 1, 1);
    let found = gradients(&[&maps], Some(&[seed]), &[&weight], Graph::Free).unwrap();
    found.into_iter().next().flatten().unwrap().to_kind(Kind::Double)
}

/// The weight gradient in `kind` against that in f64.
fn is_right(kind: Kind, step: u64, numbers: [i64; 6]) {
    let [batch, side, inputs, outputs, kernel, stride] = numbers;
    let padding = kernel / 2;
    let pixels = channels_last(&drawn("pixels", step, &[batch, inputs, side, side]).to_kind(kind)).unwrap();
    let weight = drawn("weight", step, &[outputs, inputs, kernel, kernel]).to_kind(kind);
    let maps = pixels.conv2d::<Tensor>(&weight, None, stride, padding, 1, 1);
    let seed = channels_last(&drawn("seed", step, &maps.size()).to_kind(kind)).unwrap();
    let double = |tensor: &Tensor| tensor.to_kind(Kind::Double).contiguous();
    let expected = weight_gradient(&double(&pixels), &double(&weight), &double(&seed), (stride, padding));
    soil(outputs * inputs * kernel * kernel);
    let found = weight_gradient(&pixels, &weight, &seed, (stride, padding));
    let off = (&found - &expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[]);
    let tolerance = if kind == Kind::BFloat16 { 0.02 } else { 1e-5 };
    assert!(off < tolerance, "{numbers:?} in {kind:?}: off by {off}");
}

#[test]
fn weight_gradients_of_strided_pixels_stay_in_their_memory() {
    tch::set_num_threads(2);
    // Unrouted most runs of the first end in "free(): invalid next size" or a segmentation fault.
    for step in 0..80 {
        for kind in [Kind::BFloat16, Kind::Float] {
            is_right(kind, step, [1 + step as i64 % 16, 16, 8, 16, 1, 2]);
            is_right(kind, step, [7, 14, 4, 18, 1, 2]);
        }
    }
}

#[test]
fn weights_that_meet_no_pixel_have_no_gradient() {
    for (step, numbers) in [
        [3, 1, 24, 50, 2, 2],
        [2, 1, 7, 112, 3, 2],
        [9, 1, 144, 32, 5, 1],
        [3, 2, 40, 9, 7, 1],
        [4, 1, 8, 8, 3, 1],
    ]
    .into_iter()
    .cycle()
    .take(40)
    .enumerate()
    {
        is_right(Kind::BFloat16, step as u64, numbers);
        is_right(Kind::Float, step as u64, numbers);
    }
}

#[test]
fn narrow_networks_train_in_bf16() {
    if !has_bf16(Device::Cpu) {
        skip("this processor has no bfloat16 arithmetic");
        return;
    }
    tch::set_num_threads(2);
    for model in ["resnet-18-w8-s2", "preact-resnet-18-w5-s2"] {
        let options = BuildOptions {
            device: Device::Cpu,
            precision: ComputePrecision::Bf16,
            kind: Kind::Float,
            seed: 1,
            normalization: Normalization::identity(3),
        };
        let network = build(&model.parse().unwrap(), shape(3, 32), 3, &options).unwrap();
        let weights = network.store().trainable();
        let weights: Vec<&Tensor> = weights.iter().collect();
        for step in 0..5 {
            let pixels = drawn(model, step, &[3 + step as i64, 3, 32, 32]);
            let loss = network.logits(&pixels, Mode::Train).unwrap().square().sum(Kind::Float);
            for gradient in gradients(&[&loss], None, &weights, Graph::Free).unwrap().into_iter().flatten() {
                assert!(bool::try_from(gradient.isfinite().all()).unwrap(), "{model}, step {step}");
            }
        }
    }
}
