//! The door of every network: checks the pixels, normalises them, brings them into layout and precision.

use super::classifier::InputShape;
use super::precision::ComputePrecision;
use crate::error::{Error, Result};
use std::fmt;
use tch::{Device, Kind, Tensor};

/// What is subtracted from and divided out of each colour channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// Subtracted; one number a channel, in units of pixels in `[0, 1]`.
    pub mean: Vec<f64>,
    /// Divided by; one number above zero a channel.
    pub std: Vec<f64>,
}

impl Normalization {
    /// Leaves the pixels as they are.
    pub fn identity(channels: i64) -> Self {
        let count = usize::try_from(channels).unwrap_or(0);
        Self { mean: vec![0.0; count], std: vec![1.0; count] }
    }

    /// Whether it leaves the pixels as they are.
    pub fn is_identity(&self) -> bool {
        self.mean.iter().all(|&mean| mean == 0.0) && self.std.iter().all(|&std| std == 1.0)
    }

    /// Whether it is written for pixels from 0 to 255: no mean of pixels in `[0, 1]` is above 1, nor their deviation above 2.
    pub fn is_for_bytes(&self) -> bool {
        self.mean.iter().any(|&mean| mean > 1.0) || self.std.iter().any(|&std| std > 2.0)
    }

    /// The same for pixels of another scale: mean and deviation divided by `factor`.
    #[must_use]
    pub fn divided(&self, factor: f64) -> Self {
        let divide = |numbers: &[f64]| numbers.iter().map(|number| number / factor).collect();
        Self { mean: divide(&self.mean), std: divide(&self.std) }
    }

    fn check(&self, channels: i64) -> Result<()> {
        let fits = |values: &[f64]| values.len() as i64 == channels && values.iter().all(|v| v.is_finite());
        if fits(&self.mean) && fits(&self.std) && self.std.iter().all(|&std| std > 0.0) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "normalisation needs {channels} means and {channels} deviations above zero, found mean {:?}, std {:?}",
            self.mean, self.std
        )))
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = |numbers: &[f64]| numbers.iter().map(|n| (n * 1e6).round() / 1e6).collect::<Vec<_>>();
        write!(formatter, "mean {:?}, std {:?}", rounded(&self.mean), rounded(&self.std))
    }
}

/// Turns pixels into what the first layer wants.
#[derive(Debug)]
pub(super) struct InputStage {
    pub(super) shape: InputShape,
    pub(super) normalization: Normalization,
    pub(super) precision: ComputePrecision,
    kind: Kind,
    device: Device,
    /// Mean and deviation as `[1, C, 1, 1]`.
    scaling: Option<(Tensor, Tensor)>,
    is_spatial: bool,
}

impl InputStage {
    /// `is_spatial`: whether the first layer is a convolution and gains from channels-last memory.
    pub(super) fn new(
        shape: InputShape,
        normalization: Normalization,
        precision: ComputePrecision,
        kind: Kind,
        device: Device,
        is_spatial: bool,
    ) -> Result<Self> {
        normalization.check(shape.channels)?;
        let column = |values: &[f64]| -> Result<Tensor> {
            let row = Tensor::f_from_slice(values)?.f_view([1, shape.channels, 1, 1])?;
            Ok(row.f_to_kind(kind)?.f_to_device(device)?)
        };
        let scaling = if normalization.is_identity() {
            None
        } else {
            Some((column(&normalization.mean)?, column(&normalization.std)?))
        };
        Ok(Self { shape, normalization, precision, kind, device, scaling, is_spatial })
    }

    /// The same once more, for another thread.
    pub(super) fn replica(&self) -> Self {
        let scaling = self.scaling.as_ref().map(|(mean, std)| (mean.shallow_clone(), std.shallow_clone()));
        Self { normalization: self.normalization.clone(), scaling, ..*self }
    }

    pub(super) fn prepare(&self, pixels: &Tensor) -> Result<Tensor> {
        self.check(pixels)?;
        let mut ready = pixels.shallow_clone();
        if let Some((mean, deviation)) = &self.scaling {
            ready = ready.f_sub(mean)?.f_div(deviation)?;
        }
        if self.precision == ComputePrecision::Bf16 {
            ready = ready.f_to_kind(Kind::BFloat16)?;
        }
        if !self.is_spatial {
            return Ok(ready);
        }
        if self.shape.channels > 1 {
            return Ok(gaat_shim::channels_last(&ready)?);
        }
        // With one channel both layouts are the same bytes and libtorch would continue in NCHW: these strides say NHWC.
        Ok(ready.f_contiguous()?.f_squeeze_dim(1)?.f_unsqueeze(-1)?.f_permute([0, 3, 1, 2])?)
    }

    fn check(&self, pixels: &Tensor) -> Result<()> {
        let InputShape { channels, height, width } = self.shape;
        let size = pixels.size();
        let fits = size.len() == 4 && size[0] > 0 && size[1..] == [channels, height, width];
        if !fits || pixels.kind() != self.kind {
            return Err(Error::Shape {
                what: "pixels".to_owned(),
                expected: format!("[N >= 1, {channels}, {height}, {width}] of {:?}", self.kind),
                found: format!("{size:?} of {:?}", pixels.kind()),
            });
        }
        if pixels.device() != self.device {
            return Err(Error::Usage(format!(
                "the pixels are on {:?}, the network is on {:?}",
                pixels.device(),
                self.device
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_channels_last_too() {
        for channels in [1, 3] {
            let shape = InputShape { channels, height: 5, width: 7 };
            let identity = Normalization::identity(channels);
            let precision = ComputePrecision::Fp32;
            let stage = InputStage::new(shape, identity, precision, Kind::Float, Device::Cpu, true).unwrap();
            let pixels =
                Tensor::arange(2 * shape.size(), (Kind::Float, Device::Cpu)).view([2, channels, 5, 7]);
            let ready = stage.prepare(&pixels).unwrap();
            assert_eq!(ready.stride(), [shape.size(), 1, 7 * channels, channels]);
            assert_eq!(ready, pixels);
            // The layout lasts: a convolution's output has channels innermost.
            let weight = Tensor::ones([4, channels, 3, 3], (Kind::Float, Device::Cpu));
            assert_eq!(ready.conv2d::<Tensor>(&weight, None, 1, 1, 1, 1).stride()[1], 1);
        }
    }

    #[test]
    fn channels_are_scaled_one_by_one() {
        let shape = InputShape { channels: 2, height: 1, width: 1 };
        let normalization = Normalization { mean: vec![0.5, 0.25], std: vec![0.5, 2.0] };
        let precision = ComputePrecision::Fp32;
        let stage =
            InputStage::new(shape, normalization, precision, Kind::Double, Device::Cpu, false).unwrap();
        let pixels = Tensor::from_slice(&[1.0, 0.75]).view([1, 2, 1, 1]);
        assert_eq!(
            Vec::<f64>::try_from(stage.prepare(&pixels).unwrap().flatten(0, -1)).unwrap(),
            [1.0, 0.25]
        );
    }
}
