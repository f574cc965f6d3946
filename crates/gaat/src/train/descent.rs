//! The descent: one optimiser step on whatever a method wants to be small.

use super::optimizer::clip;
use super::outside;
use super::slope::Slope;
use super::step::StepContext;
use super::tape::Tape;
use crate::attack::ball;
use crate::attack::oracle::losses;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::nn::{Mode, Part, Role, answer, recorded};
use gaat_shim::in_order_of;
use tch::{Kind, Tensor};

/// Keeps the division finite where a layer has no gradient (Wu et al. 2020, `utils_awp.py`).
const LEAST_NORM: f64 = 1e-20;

/// What a descent goes down on.
#[derive(Debug)]
pub struct Objective {
    /// Loss of each image with its graph, `[N]`; the mean is descended.
    pub losses: Tensor,
    /// Loss of each image that a model of the attack predicted, `[N]`, where the objective is not that alone.
    pub attacked: Option<Tensor>,
    /// Logits whose verdicts count as the images' own, `[N, classes]`.
    pub logits: Tensor,
    /// A leaf of the graph, `[N, C, H, W]`, whose gradient is wanted too.
    pub watched: Option<Tensor>,
}

/// What the descent found, on the device.
#[derive(Debug)]
pub struct Descent {
    /// Loss of each image before the update, `[N]`.
    pub losses: Tensor,
    /// Sum of `losses`; a scalar, f64. Where it or a gradient is not finite there was no update.
    pub loss: Tensor,
    /// Sum of the losses that a model of the attack predicted; a scalar, f64.
    pub attacked: Tensor,
    /// Images classified correctly before the update; a scalar.
    pub correct: Tensor,
    /// Gradient of the summed losses in the watched pixels, `[N, C, H, W]`, from the same backward pass.
    pub gradient: Option<Tensor>,
}

/// How an objective is put together of a part of the batch, once for each backward pass that is needed.
pub(super) type Build<'b> = &'b mut dyn FnMut(&mut Tape<'_>, Part) -> Result<Objective>;

/// The summed loss of some images, a scalar, f64, and the gradients of its mean in the weights.
pub(super) struct Sloped {
    pub(super) loss: Tensor,
    pub(super) weights: Vec<Tensor>,
}

/// One forward and one full backward pass of a part of the batch with BatchNorm in the given mode.
type Sloping<'s, 'a> = &'s mut dyn FnMut(&mut StepContext<'a>, Mode, Part) -> Result<Slope>;

/// Perturbed weights, each with its value before, and what the objective was there.
struct WeightAscent {
    kept: Vec<(Tensor, Tensor)>,
    objective: Objective,
    loss: Tensor,
    /// Whether each gradient that was gone up is finite, bool.
    are_finite: Tensor,
}

impl<'a> StepContext<'a> {
    /// One optimiser step on the mean cross-entropy at `pixels`, which are those of `batch` perturbed.
    ///
    /// # Errors
    /// When the network fails.
    pub fn descend(&mut self, pixels: &Tensor, batch: &Batch) -> Result<Descent> {
        if let Some(outside) = &mut self.outside {
            return outside.pixels(self.classifier, pixels, batch);
        }
        self.follow(batch, &mut |context, mode, part| context.plain_slope(mode, (pixels, batch, part), false))
    }

    /// As [`descend`](Self::descend), and hands back the step of length `step_size`, times the attack's present scale, up
    /// the gradient at `pixels` that the same backward pass leaves, `[N, C, H, W]`.
    ///
    /// # Errors
    /// As [`descend`](Self::descend).
    pub fn descend_stepping(
        &mut self,
        pixels: &Tensor,
        batch: &Batch,
        step_size: f64,
    ) -> Result<(Descent, Tensor)> {
        let descent = self.descend_watching(pixels, batch)?;
        let Some(gradient) = &descent.gradient else {
            return Err(Error::Usage("the descent handed back no gradient in the pixels".to_owned()));
        };
        let step = ball::steepest_ascent(gradient, self.threat().norm()) * (step_size * self.attack_scale());
        Ok((descent, step))
    }

    /// As [`descend`](Self::descend), and leaves the gradient at `pixels` of the same backward pass in [`Descent::gradient`].
    ///
    /// # Errors
    /// As [`descend`](Self::descend).
    pub fn descend_watching(&mut self, pixels: &Tensor, batch: &Batch) -> Result<Descent> {
        self.follow(batch, &mut |context, mode, part| context.plain_slope(mode, (pixels, batch, part), true))
    }

    /// One optimiser step on the mean of what `build` records on the tape for the images of `batch`. Where a batch is computed in parts
    /// `build` is called for each of them, and takes its rows of every tensor ([`Part::of`]); else for one part that is the whole
    /// batch. Under weight perturbation it is called for each part twice, the second time at the perturbed weights, so it must not
    /// keep a graph from the first.
    ///
    /// # Errors
    /// When the network fails, or `build` gives no loss for each image of its part.
    pub fn descend_on(&mut self, batch: &Batch, build: Build<'_>) -> Result<Descent> {
        if let Some(outside) = &mut self.outside {
            return outside.objective(self.classifier, batch, build);
        }
        self.follow(batch, &mut |context, mode, part| context.slope(mode, part, build))
    }

    /// One optimiser step down a slope. Nothing is read from the device: where the loss or a gradient is not finite the
    /// optimiser is told so there, and changes nothing.
    fn follow(&mut self, batch: &Batch, sloping: Sloping<'_, 'a>) -> Result<Descent> {
        if self.outside.is_some() {
            return Err(outside::impossible());
        }
        // Before any weight is perturbed.
        let smoothing = self.smoothing_slope(batch)?;
        let ascent = match self.weight_reach {
            Some(reach) => Some(self.perturb_weights(reach, sloping)?),
            None => None,
        };
        let slope = self.slope_of_parts(Mode::Train, sloping);
        let slope = slope.and_then(|mut slope| {
            for (gradient, more) in slope.weights.iter_mut().zip(smoothing.iter().flatten()) {
                *gradient = gradient.f_add(more)?;
            }
            let finite = slope.join(self.world, self.portion)?;
            Ok((slope, finite))
        });
        let mut before = None;
        if let Some(WeightAscent { kept, objective, loss, are_finite }) = ascent {
            restore(kept)?;
            before = Some((objective, loss, are_finite));
        }
        let (Slope { objective, loss, mut weights, pixels }, (is_finite, mut are_finite)) = slope?;
        if let Some((.., in_ascent)) = &before {
            are_finite = are_finite.f_logical_and(in_ascent)?;
        }
        let is_void =
            is_finite.f_logical_and(&are_finite.f_all()?)?.f_logical_not()?.f_to_kind(Kind::Float)?;
        self.gradients_are_finite = Some(are_finite);
        if let Some(limit) = self.plan.clip_norm() {
            clip(&mut weights, limit)?;
        }
        self.optimizer.step(&weights, self.learning_rate, &is_void)?;
        // What is reported is said of the weights as they are, not of the perturbed ones, but for the reason of a failure.
        let (objective, loss) = match before {
            Some((objective, before, in_ascent)) => {
                let says_all = is_finite.f_logical_or(&in_ascent.f_all()?.f_logical_not()?)?;
                (objective, before.f_where_self(&says_all, &loss)?)
            }
            None => (objective, loss),
        };
        let attacked = match &objective.attacked {
            Some(losses) => losses.f_detach()?.f_sum(Kind::Double)?,
            None => loss.shallow_clone(),
        };
        let correct = answer::right(&objective.logits, &batch.labels)?.f_sum(Kind::Int64)?;
        Ok(Descent { losses: objective.losses.f_detach()?, loss, attacked, correct, gradient: pixels })
    }

    /// The slope of all images that are computed here.
    fn slope_of_parts(&mut self, mode: Mode, sloping: Sloping<'_, 'a>) -> Result<Slope> {
        let (portion, parts) = (self.portion, self.parts);
        Slope::of_parts(portion, parts, &mut |part| sloping(self, mode, part))
    }

    fn slope(&mut self, mode: Mode, part: Part, build: Build<'_>) -> Result<Slope> {
        let mut tape = Tape::new(self.classifier, mode);
        let objective = build(&mut tape, part)?;
        self.passes += tape.passes();
        if objective.losses.size() != [part.images() as i64] {
            return Err(Error::Shape {
                what: "the losses of a descent".to_owned(),
                expected: format!("one for each of {} images", part.images()),
                found: format!("{:?}", objective.losses.size()),
            });
        }
        Slope::of(self.classifier, objective, self.portion.share_of(part))
    }

    /// The slope of the cross-entropy at a part of `pixels`, which are watched or not: the same passes at every step, so that they
    /// can be recorded.
    fn plain_slope(
        &mut self,
        mode: Mode,
        (pixels, batch, part): (&Tensor, &Batch, Part),
        is_watching: bool,
    ) -> Result<Slope> {
        let (classifier, share) = (self.classifier, self.portion.share_of(part));
        let recordings = classifier.recordings(mode);
        let (pixels, targets) = (part.of(pixels)?, part.of(batch.targets())?);
        let inputs = [&pixels, &targets];
        let pass = |inputs: &[&Tensor]| {
            let pixels = inputs[0].f_detach()?.f_set_requires_grad(is_watching)?;
            let logits = classifier.logits(&pixels, mode)?;
            let losses = losses(&logits, inputs[1])?;
            let watched = is_watching.then(|| pixels.shallow_clone());
            let slope = Slope::of(classifier, Objective { losses, attacked: None, logits, watched }, share)?;
            let Slope { objective, loss, mut weights, pixels } = slope;
            if recordings.is_some() {
                // As the optimiser wants them: what is done here is recorded too.
                let pairs = classifier.store().trainable_entries().zip(&weights);
                let ordered = pairs.map(|(entry, gradient)| Ok(in_order_of(&entry.tensor, gradient)?));
                weights = ordered.collect::<Result<_>>()?;
            }
            let Objective { losses, logits, .. } = objective;
            let found = [losses.f_detach()?, logits.f_detach()?, loss];
            Ok(found.into_iter().chain(pixels).chain(weights).collect())
        };
        let name = if is_watching { "watching descent" } else { "descent" };
        let mut found = recorded(recordings, (name, mode), &inputs, &pass)?.into_iter();
        self.passes += Tape::pass(&pixels);
        let lost = || Error::Libtorch("a pass gave fewer results than it was asked for".to_owned());
        let mut next = || found.next().ok_or_else(lost);
        let (mut losses, logits, loss) = (next()?, next()?, next()?);
        let pixels = is_watching.then(next).transpose()?;
        if recordings.is_some() {
            // Methods may keep them, and the next step writes where this one did.
            losses = losses.f_alias_copy()?;
        }
        let attacked = if batch.has_one_loss() {
            None
        } else {
            Some(crate::attack::oracle::losses(&logits, &part.of(batch.attack_targets())?)?)
        };
        let objective = Objective { losses, attacked, logits, watched: None };
        Ok(Slope { objective, loss, weights: found.collect(), pixels })
    }

    /// Loss and slope of the clean images here, running statistics left alone.
    pub(super) fn clean_slope(&mut self, batch: &Batch) -> Result<Sloped> {
        let slope = self.slope_of_parts(Mode::TrainFrozenStats, &mut |context, mode, part| {
            context.plain_slope(mode, (&batch.pixels, batch, part), false)
        })?;
        Ok(Sloped { loss: slope.loss, weights: slope.weights })
    }

    /// Moves every weight tensor `w` (no bias, no BatchNorm) by `reach |w| g / |g|` up the gradient `g` of the objective
    /// (Wu et al. 2020, equation 8), and hands back the weights as they were.
    fn perturb_weights(&mut self, reach: f64, sloping: Sloping<'_, 'a>) -> Result<WeightAscent> {
        let mut slope = self.slope_of_parts(Mode::TrainFrozenStats, sloping)?;
        let (_, are_finite) = slope.join(self.world, self.portion)?;
        let _no_grad = tch::no_grad_guard();
        let mut kept = Vec::new();
        for (entry, gradient) in self.classifier.store().trainable_entries().zip(&slope.weights) {
            if entry.role == Role::Weight {
                let mut weight = entry.tensor.shallow_clone();
                kept.push((weight.shallow_clone(), weight.f_detach()?.f_alias_copy()?));
                let reach = length(&weight)? / (length(gradient)? + LEAST_NORM) * reach;
                let _ = weight.f_add_(&(gradient * reach))?;
            }
        }
        Ok(WeightAscent { kept, objective: slope.objective, loss: slope.loss, are_finite })
    }
}

/// Length of a whole tensor, a scalar, f64: its squares neither overflow nor vanish.
fn length(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_norm_scalaropt_dtype(2.0, Kind::Double)?)
}

fn restore(kept: Vec<(Tensor, Tensor)>) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    for (mut weight, before) in kept {
        weight.f_copy_(&before)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Exact, GradientOracle};
    use crate::train::optimizer::Optimizer;
    use crate::train::trial::Trial;
    use gaat_spec::Passes;
    use gaat_spec::recipe::OptimizerSpec;

    #[test]
    fn perturbed_weights_are_restored_bit_for_bit() {
        let mut trial = Trial::new("convnet", Kind::Float);
        trial.learning_rate = 0.0;
        let before = trial.weights();
        trial
            .with_context(0, |context, batch| {
                context.perturb_weights_by(0.05);
                context.descend(&batch.pixels, batch)
            })
            .unwrap();
        assert_eq!(trial.weights(), before);
        assert_eq!(trial.passes, Passes { forward: 12, full_backward: 12, ..Passes::default() });
    }

    #[test]
    fn what_is_reported_is_said_of_the_weights_as_they_are() {
        let found = [None, Some(0.3)].map(|reach| {
            let mut trial = Trial::new("mlp", Kind::Double);
            let descend = |context: &mut StepContext<'_>, batch: &crate::batch::Batch| {
                context.weight_reach = reach;
                context.descend(&batch.pixels, batch)
            };
            let Descent { losses, loss, correct, .. } = trial.with_context(0, descend).unwrap();
            (Vec::<f64>::try_from(losses).unwrap(), loss.double_value(&[]), correct.int64_value(&[]))
        });
        assert_eq!(found[0], found[1]);
    }

    #[test]
    fn the_step_follows_the_gradient_at_the_perturbed_weights() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let reach = 0.05;
        let store = trial.classifier.store();
        let gradients = || {
            let logits = trial.classifier.logits(&trial.batch.pixels, Mode::Eval).unwrap();
            let loss = losses(&logits, &trial.batch.labels).unwrap().mean(Kind::Double);
            Tensor::run_backward(&[loss], &store.trainable(), false, false)
        };
        let start = trial.weights();
        let first = gradients();
        let guard = tch::no_grad_guard();
        let kept: Vec<Tensor> = store.trainable().iter().map(Tensor::copy).collect();
        for (entry, gradient) in store.trainable_entries().zip(&first) {
            if entry.role == Role::Weight {
                let scale = entry.tensor.norm() / gradient.norm() * reach;
                let _ = entry.tensor.shallow_clone().g_add_(&(gradient * scale));
            }
        }
        let second = tch::with_grad(gradients);
        for (entry, before) in store.trainable_entries().zip(&kept) {
            entry.tensor.shallow_clone().copy_(before);
        }
        assert_eq!(trial.weights(), start);
        drop(guard);
        let flat: Vec<Tensor> = second.iter().map(|gradient| gradient.flatten(0, -1)).collect();
        let expected = start - Tensor::cat(&flat, 0) * 0.1;
        trial
            .with_context(0, |context, batch| {
                context.perturb_weights_by(reach);
                context.descend(&batch.pixels, batch)
            })
            .unwrap();
        let gap = (trial.weights() - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-14, "{gap}");
    }

    #[test]
    fn the_watched_gradient_is_that_of_the_summed_loss_and_free() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::TrainFrozenStats);
        let expected = oracle.at(&trial.batch.pixels, &trial.batch.labels).unwrap();
        let mut plain = Trial::new("mlp", Kind::Double);
        let descent =
            trial.with_context(0, |context, batch| context.descend_watching(&batch.pixels, batch)).unwrap();
        plain.with_context(0, |context, batch| context.descend(&batch.pixels, batch)).unwrap();
        assert_eq!(trial.weights(), plain.weights());
        assert_eq!((trial.passes, plain.passes.input_backward), (plain.passes, 0));
        let gap = (descent.gradient.unwrap() - expected.gradient).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "{gap}");
        assert!((descent.losses - expected.losses).abs().max().double_value(&[]) < 1e-12);
    }

    const ADAM: OptimizerSpec = OptimizerSpec {
        name: gaat_spec::OptimizerName::Adam,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.1,
        decay_norm_and_bias: true,
    };

    #[test]
    fn a_gradient_that_is_not_finite_leaves_weights_and_memory_as_they_were() {
        for reach in [None, Some(0.1)] {
            let mut trial = Trial::new("mlp", Kind::Float);
            trial.optimizer = Optimizer::new(trial.classifier.store(), ADAM);
            trial.learning_rate = 1e-3;
            // One step, so that the optimiser has a memory.
            trial.with_context(0, |context, batch| context.descend(&batch.pixels, batch)).unwrap();
            let memory = |trial: &Trial| {
                let state = trial.optimizer.state();
                Tensor::cat(&state.iter().map(|(_, tensor)| tensor.flatten(0, -1)).collect::<Vec<_>>(), 0)
            };
            let before = (trial.weights(), memory(&trial).copy());
            let (loss, flags) = trial
                .with_context(1, |context, batch| {
                    context.weight_reach = reach;
                    let descent = context.descend_on(batch, &mut |tape, _| {
                        let logits = tape.logits(&batch.pixels)?;
                        // The root of 0: a finite value with an infinite slope, times 0.
                        let roots =
                            (&logits * 0.0).square().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
                        let losses = losses(&logits, &batch.labels)? + roots.sqrt();
                        Ok(Objective { losses, attacked: None, logits, watched: None })
                    })?;
                    Ok((descent.loss.double_value(&[]), context.gradients_are_finite.take().unwrap()))
                })
                .unwrap();
            assert!(loss.is_finite(), "{loss}");
            assert_eq!(flags.any().int64_value(&[]), 0, "every gradient is NaN");
            assert_eq!((trial.weights(), memory(&trial)), before, "{reach:?}");
        }
    }

    #[test]
    fn weights_are_perturbed_by_the_same_length_whatever_the_size_of_the_gradient() {
        for size in [1e-25f32, 1e-12, 1.0, 1e12, 1e25] {
            let gradient = Tensor::from_slice(&[3.0 * size, 4.0 * size]);
            let found = (length(&gradient).unwrap()).double_value(&[]) / f64::from(size);
            assert!((found - 5.0).abs() < 1e-5, "{size}: {found}");
        }
        assert_eq!(length(&Tensor::from_slice(&[0f32; 3])).unwrap().double_value(&[]), 0.0);
    }
}
