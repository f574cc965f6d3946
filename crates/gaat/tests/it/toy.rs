//! Tiny networks in double precision, for tests of derivatives.

use gaat::nn::{
    BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, ParameterStore, Rng, build,
};
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
pub(crate) struct Smooth {
    first: Tensor,
    second: Tensor,
    /// Lends what is not asked of it here.
    shell: Box<dyn Classifier>,
}

impl Smooth {
    pub(crate) fn new() -> Self {
        let draws = Rng::new(11).seeded("weights", 0);
        let normal = |shape: &[i64]| draws.normal(shape, 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
        Self { first: normal(&[16, 12]), second: normal(&[12, 5]), shell: mlp() }
    }
}

impl Classifier for Smooth {
    fn logits(&self, pixels: &Tensor, _mode: Mode) -> gaat::Result<Tensor> {
        Ok(pixels.f_flatten(1, -1)?.f_matmul(&self.first)?.f_tanh()?.f_matmul(&self.second)?)
    }

    fn name(&self) -> String {
        "smooth".to_owned()
    }

    fn variant(&self) -> &'static str {
        ""
    }

    fn input_shape(&self) -> InputShape {
        self.shell.input_shape()
    }

    fn class_count(&self) -> i64 {
        5
    }

    fn compute_precision(&self) -> ComputePrecision {
        self.shell.compute_precision()
    }

    fn normalization(&self) -> Normalization {
        self.shell.normalization()
    }

    fn store(&self) -> &ParameterStore {
        self.shell.store()
    }
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
