//! The slope of an objective: its gradients in the weights and in watched pixels, of a batch that is computed in parts, one after the
//! other, and divided among processes.

use super::Objective;
use super::portion::Portion;
use crate::nn::{Classifier, Part, is_joined};
use crate::world::World;
use crate::{Error, Result};
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
        let mut rows = Vec::with_capacity(count);
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
            rows.push(slope.rows()?);
            let Self { loss, weights, .. } = slope;
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
        let [losses, logits, attacked, pixels] = put_together(&rows)?;
        let (losses, logits) = (losses.ok_or_else(nothing)?, logits.ok_or_else(nothing)?);
        Ok(Self { objective: Objective { losses, attacked, logits, watched: None }, loss, weights, pixels })
    }

    /// What has a row for each image, without its graph: losses, logits, attacked losses, gradients in the pixels.
    fn rows(&self) -> Result<[Option<Tensor>; 4]> {
        let Objective { losses, attacked, logits, .. } = &self.objective;
        let copy = |tensor: Option<&Tensor>| -> Result<Option<Tensor>> {
            tensor.map(|tensor| Ok(tensor.f_detach()?.f_alias_copy()?)).transpose()
        };
        Ok([copy(Some(losses))?, copy(Some(logits))?, copy(attacked.as_ref())?, copy(self.pixels.as_ref())?])
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

/// The rows of all parts, one below the other; what the parts have no rows of stays `None`.
fn put_together<const N: usize>(parts: &[[Option<Tensor>; N]]) -> Result<[Option<Tensor>; N]> {
    let mut found = [const { None }; N];
    for (place, whole) in found.iter_mut().enumerate() {
        let rows: Option<Vec<&Tensor>> = parts.iter().map(|part| part[place].as_ref()).collect();
        *whole = rows.map(|rows| Tensor::f_cat(&rows, 0)).transpose()?;
    }
    Ok(found)
}
