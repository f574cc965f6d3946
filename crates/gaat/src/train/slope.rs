//! The slope of an objective: its gradients in the weights and in watched pixels, of a batch that is computed in parts, one after the
//! other, and divided among processes.

use super::descent::Objective;
use super::portion::Portion;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Part, Rows, is_joined};
use crate::world::World;
use gaat_shim::are_finite;
use tch::{Kind, Tensor};

/// An objective with the gradients of its mean.
pub(super) struct Slope {
    pub(super) objective: Objective,
    /// Sum of its losses; a scalar, f64.
    pub(super) loss: Tensor,
    pub(super) weights: Vec<Tensor>,
    pub(super) pixels: Option<Tensor>,
}

impl Slope {
    /// Of the images whose objective it is, `share` of a whole batch. Where processes normalise together the gradient of one is that
    /// of all losses, so that each loss counts as much as it does in the whole batch before any gradient is taken.
    pub(super) fn of(classifier: &dyn Classifier, objective: Objective, share: f64) -> Result<Self> {
        let mean = objective.losses.f_mean(objective.losses.kind())?;
        let share = if is_joined() { share } else { 1.0 };
        let descended = if share < 1.0 { mean.f_mul_scalar(share)? } else { mean.shallow_clone() };
        let mut inputs = classifier.store().trainable();
        let parameters = inputs.len();
        inputs.extend(objective.watched.iter().map(Tensor::shallow_clone));
        let mut weights = Tensor::f_run_backward(&[&descended], &inputs, false, false)?;
        let count = objective.losses.size()[0] as f64;
        let loss = mean.f_detach()?.f_to_kind(Kind::Double)? * count;
        let pixels = match weights.split_off(parameters).pop() {
            // Of the sum, as everywhere, while the weights follow the mean.
            Some(gradient) => Some(gradient.f_contiguous()? * (count / share)),
            None => None,
        };
        Ok(Self { objective, loss, weights, pixels })
    }

    /// That of a `portion` in `count` parts, of which `sloping` gives each its own. Its weights count by its share in the whole batch;
    /// no more than the graph of one part and the gradients in the weights twice lie in memory.
    pub(super) fn of_parts(
        portion: Portion,
        count: usize,
        sloping: &mut dyn FnMut(Part) -> Result<Self>,
    ) -> Result<Self> {
        let mut sum: Option<(Tensor, Vec<Tensor>)> = None;
        let (mut rows, mut has) = (Rows::default(), (false, false));
        for part in Part::all(portion.images, count) {
            let mut slope = sloping(part)?;
            let share = portion.share_of(part);
            if share < 1.0 && !is_joined() {
                for gradient in &mut slope.weights {
                    *gradient = gradient.f_mul_scalar(share)?;
                }
            }
            if count == 1 {
                return Ok(slope);
            }
            let Self { objective: Objective { losses, logits, attacked, .. }, loss, weights, pixels } = slope;
            has = (attacked.is_some(), pixels.is_some());
            let of_images = [losses, logits].into_iter().chain(attacked).chain(pixels);
            rows.put(part, &of_images.collect::<Vec<_>>())?;
            sum = Some(match sum {
                // A copy: where passes are recorded, the next one writes where this one did.
                None => (loss.f_alias_copy()?, weights),
                Some((before, mut gradients)) => {
                    for (gradient, own) in gradients.iter_mut().zip(&weights) {
                        let _ = gradient.f_add_(own)?;
                    }
                    (before + loss, gradients)
                }
            });
        }
        let nothing = || Error::Usage("a batch without an image has no slope".to_owned());
        let (loss, weights) = sum.ok_or_else(nothing)?;
        let mut rows = rows.into_results().into_iter();
        let (losses, logits) = (rows.next().ok_or_else(nothing)?, rows.next().ok_or_else(nothing)?);
        let attacked = if has.0 { rows.next() } else { None };
        let pixels = if has.1 { rows.next() } else { None };
        Ok(Self { objective: Objective { losses, attacked, logits, watched: None }, loss, weights, pixels })
    }

    /// The slope of the whole batch where each of `world` has that of its `portion`: the mean of all losses is descended. Hands
    /// back whether its loss is finite, and whether each gradient is; scalar and `[tensors]`, bool.
    pub(super) fn join(&mut self, world: &dyn World, portion: Portion) -> Result<(Tensor, Tensor)> {
        let mut whole = self.loss.shallow_clone();
        if !portion.is_all() {
            whole = whole.f_alias_copy()?;
            let common = self.weights.iter().chain([&whole]).map(Tensor::shallow_clone);
            world.sum(&common.collect::<Vec<_>>())?;
        }
        let gradients: Vec<&Tensor> = self.weights.iter().chain(&self.pixels).collect();
        let mut finite = are_finite(&gradients)?;
        if !portion.is_all() && self.pixels.is_some() {
            // Those in the weights are common, and those in the pixels each one's own.
            let broken = finite.f_logical_not()?.f_to_kind(Kind::Float)?;
            world.sum(&[broken.shallow_clone()])?;
            finite = broken.f_logical_not()?;
        }
        Ok((whole.f_isfinite()?, finite))
    }
}
