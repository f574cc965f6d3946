//! How straight the loss is along the attack's step, smoothed over steps: what SORA shortens its steps by.
//!
//! `c = <sign g, g'> / |g|_1`, a mean over the images: `g` the gradient before the step and `g'` that after it, which the descent's own
//! backward pass leaves. 1 where the loss is linear. On a quadratic loss and a step along the sign of the gradient it is `2 rho - 1`,
//! `rho` the gain ratio.

use super::step::StepContext;
use crate::error::Result;
use tch::{Kind, Tensor};

/// Share of one step in the smoothed value, and its first value (SORA's authors' `train.py`).
const SHARE: f64 = 0.05;
const FIRST: f64 = 0.99;
/// Keeps the division finite where an image has no gradient.
const LEAST_NORM: f64 = 1e-30;

/// The smoothed value `v`, on the device.
#[derive(Debug)]
pub(super) struct Linearity(Tensor);

impl Linearity {
    /// Before any step.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn new(kind: Kind, device: tch::Device) -> Result<Self> {
        Ok(Self(Tensor::f_full([1], FIRST, (kind, device))?))
    }

    /// Length of a step over its full one: `min(1, limit / (1 - v))`, `[1]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn factor(&self, limit: f64) -> Result<Tensor> {
        // Where v is 1 the quotient is infinite, and the minimum 1.
        Ok((self.0.f_neg()? + 1.0).f_reciprocal()?.f_mul_scalar(limit)?.f_clamp_max(1.0)?)
    }

    /// Takes note of the gradients `before` and `after` the step, each `[N, C, H, W]`.
    ///
    /// # Errors
    /// When another process cannot be reached.
    pub(super) fn observe(
        &mut self,
        context: &StepContext<'_>,
        before: &Tensor,
        after: &Tensor,
    ) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let of_image =
            |values: Tensor| values.f_sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>);
        let norms = of_image(before.f_abs()?)?.f_clamp_min(LEAST_NORM)?;
        let sum = (of_image(before.f_sign()? * after)? / norms).f_sum(self.0.kind())?;
        if !context.portion.is_all() {
            context.world.sum(&[sum.shallow_clone()])?;
        }
        let mean = (sum / context.images_in_batch() as f64).f_clamp(-1.0, 1.0)?;
        Ok(self.0.f_copy_(&(&self.0 * (1.0 - SHARE) + mean * SHARE))?)
    }

    /// What the next step depends on, sharing storage.
    pub(super) fn state(&self) -> (String, Tensor) {
        ("linearity".to_owned(), self.0.shallow_clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trial::Trial;

    #[test]
    fn on_a_quadratic_it_is_twice_the_gain_ratio_less_one() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let draws = crate::nn::Rng::new(4).seeded("quadratic", 0);
        let random = |shape: &[i64]| draws.normal(shape, 0.0, 1.0, Kind::Double, tch::Device::Cpu).unwrap();
        let (before, half) = (random(&[6, 1, 8, 8]), random(&[64, 64]));
        let hessian = (&half + half.tr()) * 0.5;
        let step = before.sign() * 0.03;
        let bent = step.flatten(1, -1).matmul(&hessian).view_as(&before);
        let after = &before + &bent;
        let of_image =
            |values: Tensor| values.flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let predicted = of_image(&before * &step);
        let ratio = (&predicted + of_image(&step * &bent) * 0.5) / predicted;
        let mut linearity = Linearity::new(Kind::Double, tch::Device::Cpu).unwrap();
        trial.with_context(0, |context, _| linearity.observe(context, &before, &after)).unwrap();
        let agreement = (ratio * 2.0 - 1.0).mean(Kind::Double).double_value(&[]).clamp(-1.0, 1.0);
        let found = linearity.0.double_value(&[0]);
        assert!((found - (FIRST * 0.95 + agreement * 0.05)).abs() < 1e-12, "{found}, {agreement}");
    }

    #[test]
    fn a_straight_loss_leaves_the_step_whole_and_a_bent_one_shortens_it() {
        for (value, factor) in [(1.0, 1.0), (0.99, 1.0), (0.98, 1.0), (0.9, 0.2), (-1.0, 0.01)] {
            let found = Linearity(Tensor::from_slice(&[value])).factor(0.02).unwrap().double_value(&[0]);
            assert!((found - factor).abs() < 1e-12, "{value}: {found}");
        }
    }
}
