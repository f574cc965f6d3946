//! One step of steepest ascent from a given perturbation, of a length of its own for every pixel.

use super::ball;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use crate::error::Result;
use tch::Tensor;

/// `start + lengths * direction`, the direction taken from the gradient at `clean + start`, where neither ball nor box cuts the start
/// first.
#[derive(Debug)]
pub struct Stride {
    /// Perturbation to start from, `[N, C, H, W]`.
    pub start: Tensor,
    /// Length of the step for every pixel, pixel units; of any shape that broadcasts to that of the start.
    pub lengths: Tensor,
    /// Share of the slopes of each image, those of the smallest size, that count as 0; in `[0, 1)`.
    pub zeroed: f64,
}

impl Attack for Stride {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, .. } = batch;
        let gradient = without_smallest(&oracle.at(&(clean + &self.start), labels)?.gradient, self.zeroed)?;
        Ok(&self.start + ball::steepest_ascent(&gradient, threat.norm()) * &self.lengths)
    }
}

/// `gradient` (`[N, C, H, W]`) with the slopes of each image below the quantile `share` of their sizes set to 0 (Golgooni et al. 2021,
/// algorithm 1).
fn without_smallest(gradient: &Tensor, share: f64) -> Result<Tensor> {
    if share == 0.0 {
        return Ok(gradient.shallow_clone());
    }
    let sizes = gradient.f_abs()?;
    // Quantiles are computed of f32 and f64 alone.
    let flat = sizes.f_flatten(1, -1)?;
    let least = flat.f_quantile_scalar(share, 1, true, "linear")?;
    let is_small = sizes.f_lt_tensor(&ball::column(&least.f_squeeze_dim(1)?))?;
    Ok(gradient.f_masked_fill(&is_small, 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::ascent::Ascent;
    use crate::attack::oracle::Exact;
    use crate::attack::run::run_unbounded;
    use crate::nn::{Mode, Rng, build};
    use gaat_spec::{Norm, PixelLength, ThreatModel};
    use tch::{Device, Kind};

    #[test]
    fn the_smallest_slopes_of_each_image_are_zero_and_the_rest_stays() {
        let gradient = Tensor::from_slice(&[1.0, -4.0, 3.0, -2.0, 50.0, 10.0, -20.0, 0.0]).view([2, 1, 2, 2]);
        let found = Vec::<f64>::try_from(without_smallest(&gradient, 0.5).unwrap().flatten(0, -1)).unwrap();
        assert_eq!(found, [0.0, -4.0, 3.0, 0.0, 50.0, 0.0, -20.0, 0.0]);
        assert_eq!(without_smallest(&gradient, 0.0).unwrap(), gradient);
    }

    #[test]
    fn even_lengths_are_those_of_an_ascent_and_drawn_ones_are_each_pixels_own() {
        let options = crate::nn::BuildOptions {
            device: Device::Cpu,
            precision: crate::nn::ComputePrecision::Fp32,
            kind: Kind::Double,
            seed: 0,
            normalization: crate::nn::Normalization::identity(1),
        };
        let shape = crate::nn::InputShape { channels: 1, height: 4, width: 4 };
        let network = build(&"mlp".parse().unwrap(), shape, 5, &options).unwrap();
        let draws = Rng::new(1).seeded("attack", 0);
        let uniform = |low, high| draws.uniform(&[3, 1, 4, 4], low, high, Kind::Double, Device::Cpu).unwrap();
        let (clean, start, shares) = (uniform(0.4, 0.6), uniform(-0.1, 0.1), uniform(0.0, 1.0));
        let labels = Tensor::from_slice(&[0i64, 3, 2]);
        let threat = ThreatModel::new(Norm::Linf, PixelLength::new(0.1).unwrap()).unwrap();
        let went = |attack: &dyn Attack| {
            let mut oracle = Exact::new(network.as_ref(), Mode::Eval);
            let under = UnderAttack::new(&clean, &labels, &threat, &draws);
            run_unbounded(attack, &mut oracle, under).unwrap().pixels() - &clean - &start
        };
        let stride = |lengths: Tensor| Stride { start: start.shallow_clone(), lengths, zeroed: 0.0 };
        let even = went(&Ascent { start: start.shallow_clone(), step_size: 0.05 });
        let same = went(&stride(Tensor::full([1], 0.05, (Kind::Double, Device::Cpu))));
        assert_eq!(even, same);
        let drawn = went(&stride(&shares * 0.05));
        assert!((drawn - even * shares).abs().max().double_value(&[]) < 1e-15);
    }
}
