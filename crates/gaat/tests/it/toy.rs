//! Tiny networks in double precision, for tests of derivatives.

use crate::stub::Stub;
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, Rng, build};
use gaat_spec::ModelName;
use tch::{Device, Kind, Tensor};

/// A network of rectifiers for grey 4x4 images and five classes, as initialised.
pub(crate) fn mlp() -> Box<dyn Classifier> {
    let input = InputShape { channels: 1, height: 4, width: 4 };
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Double,
        seed: 3,
        normalization: Normalization::identity(1),
    };
    build(&ModelName::Mlp, input, 5, &options).unwrap()
}

/// A network without kinks: one hidden layer of tanh, weights large enough to bend within a pixel.
pub(crate) fn smooth() -> impl Classifier {
    let draws = Rng::new(11).seeded("weights", 0);
    let normal = |shape: &[i64]| draws.normal(shape, 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    let (first, second) = (normal(&[16, 12]), normal(&[12, 5]));
    Stub::new(mlp(), 5, move |_, pixels, _| {
        Ok(pixels.f_flatten(1, -1)?.f_matmul(&first)?.f_tanh()?.f_matmul(&second)?)
    })
}

/// Grey 4x4 images of noise, and labels.
pub(crate) fn images(count: i64) -> (Tensor, Tensor) {
    let draws = Rng::new(9).seeded("images", 0);
    let pixels = draws.uniform(&[count, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    (pixels, draws.randint(&[count], 0, 5, Device::Cpu).unwrap())
}

/// Largest absolute value.
pub(crate) fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

/// Sum of each example, `[N]`.
pub(crate) fn sums(tensor: &Tensor) -> Tensor {
    tensor.flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
}
