//! A second-order model of each example's loss around an anchor.

use super::{GainRatio, curvature};
use crate::Result;
use gaat_spec::Curvature;
use tch::{Kind, Tensor};

/// `m(p) = l(a) + g.s + 1/2 s.H s` with `s = p - a`, an example at a time (arXiv 2309.09464, equation for the
/// Taylor expansion of the adversarial loss; the remainder R is what it leaves out).
#[derive(Debug)]
pub struct Expansion {
    /// The point of expansion `a`, `[N, C, H, W]`; it may lie outside `[0, 1]`.
    pub anchor: Tensor,
    /// `l(a)`, `[N]`.
    pub losses: Tensor,
    /// `g`: gradient of the summed loss at `a`, `[N, C, H, W]`.
    pub gradient: Tensor,
    /// Model of `H`.
    pub curvature: Curvature,
}

impl Expansion {
    /// Ratio of the increase from the anchor to `pixels`, where the summed loss is `loss`, to the predicted one. No pass
    /// through the network.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn gain_ratio(&self, pixels: &Tensor, loss: f64) -> Result<GainRatio> {
        let sum = |values: &Tensor| -> Result<f64> { Ok(values.f_sum(Kind::Double)?.f_double_value(&[])?) };
        Ok(GainRatio::new(loss - sum(&self.losses)?, sum(&self.predicted_gain(pixels))?))
    }

    /// Gradient of the model at `point`: `g + H s`, `[N, C, H, W]`.
    pub fn gradient_at(&self, point: &Tensor) -> Tensor {
        match curvature::product(self.curvature, &self.gradient, &(point - &self.anchor)) {
            None => self.gradient.shallow_clone(),
            Some(product) => &self.gradient + product,
        }
    }

    /// Predicted increase of the loss from the anchor to `point`: `g.s + 1/2 s.H s`, `[N]`.
    pub fn predicted_gain(&self, point: &Tensor) -> Tensor {
        let displacement = point - &self.anchor;
        let slope = match curvature::product(self.curvature, &self.gradient, &displacement) {
            None => self.gradient.shallow_clone(),
            Some(product) => &self.gradient + product * 0.5,
        };
        (slope * displacement).sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>)
    }
}
