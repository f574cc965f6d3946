//! Networks: golden values, modes, initialisation, refusals, parameters by name.

mod convolutions;
mod derivatives;
pub(crate) mod exported;
pub(crate) mod golden;
mod initial;
mod modes;
mod refusals;
mod store;

use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, build};
use tch::{Device, Kind};

pub(crate) fn shape(channels: i64, side: i64) -> InputShape {
    InputShape { channels, height: side, width: side }
}

pub(crate) fn options(channels: i64) -> BuildOptions {
    BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed: 0,
        normalization: Normalization::identity(channels),
    }
}

pub(crate) fn network(name: &str, input: InputShape) -> Box<dyn Classifier> {
    build(&name.parse().unwrap(), input, 10, &options(input.channels)).unwrap()
}
