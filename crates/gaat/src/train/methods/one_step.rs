//! One step along one gradient: FGSM-RS, N-FGSM, ZeroGrad, SORA, LIET and FGSM-UAP, which are this with other keys.

use crate::batch::Batch;
use crate::error::Result;
use crate::train::linearity::Linearity;
use crate::train::opening::Opening;
use crate::train::step::{Setting, StepContext, StepReport, TrainingMethod};
use gaat_spec::OneStepSpec;
use tch::Tensor;

/// `d = P(e + a sign(g(x + e)))`: `e` where the opening says, `a` the length of the step or for each pixel the share of it that is
/// drawn, P the projection on the ball or, as published of some, none; the pixel box cuts the result.
///
/// | method | e | a | P |
/// |---|---|---|---|
/// | FGSM-RS (Wong et al. 2020) | uniform in the ball | 1.25 epsilon | ball |
/// | N-FGSM (de Jorge et al. 2022) | uniform over twice the ball | epsilon | none |
/// | ZeroGrad (Golgooni et al. 2021) | uniform in the ball | 2 epsilon, 0 for the smallest 35 % of the slopes | ball |
/// | SORA (arXiv 2606.00738) | uniform in the ball | `2 epsilon u min(1, 0.02 / (1 - v))`, u uniform for each pixel | none |
/// | LIET (github.com/fzjcdt/LIET) | label-indicative and noise | epsilon | ball up to 8/255 |
/// | FGSM-UAP (arXiv 2604.22853, `fgsm_uap.py`) | one perturbation for all images | epsilon | ball |
///
/// LIET and FGSM-UAP hold the answers at both ends together (`consistency`). Cost: (F + Bi) + 3 = 5 units, and what consistency adds.
///
/// Several authors cut `x + e` to the pixel box before the gradient. Here it is not cut (decision record 0001): where half of the
/// pixels are black that loses half of the noise, and with it what keeps a method from collapse. The gain ratio is that of the model
/// at the delivered point, so that the cut after the step counts.
#[derive(Debug)]
pub struct OneStep {
    spec: OneStepSpec,
    opening: Opening,
    linearity: Option<Linearity>,
}

impl OneStep {
    /// The method of `spec`.
    ///
    /// # Errors
    /// When the device has no room for what it learns.
    pub fn new(spec: OneStepSpec, setting: &Setting) -> Result<Self> {
        let linearity = spec.limit.map(|_| Linearity::new(setting.kind, setting.device)).transpose()?;
        Ok(Self { opening: Opening::of(spec.opening, setting)?, spec, linearity })
    }

    fn is_projected(&self) -> bool {
        self.spec.opening.projection.is_on(false)
    }

    /// Length of the step now, `[1]`, pixel units.
    fn length(&self, context: &StepContext<'_>, batch: &Batch) -> Result<Tensor> {
        let full = self.spec.step_size.value() * context.attack_scale();
        let pixels = &batch.pixels;
        let length = Tensor::f_full([1], full, (pixels.kind(), pixels.device()))?;
        match (&self.linearity, self.spec.limit) {
            (Some(linearity), Some(limit)) => Ok(length * linearity.factor(limit)?),
            _ => Ok(length),
        }
    }
}

impl TrainingMethod for OneStep {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let length = self.length(context, batch)?;
        let is_projected = self.is_projected();
        let stride = self.opening.stride(context, batch, &length, self.spec.zeroed, is_projected)?;
        let (pixels, forecast) = if is_projected {
            let (perturbed, forecast) = context.perturb_once(&stride, batch)?;
            (perturbed.into_pixels(), forecast)
        } else {
            let (unbounded, forecast) = context.perturb_once_unbounded(&stride, batch)?;
            (unbounded.into_pixels(), forecast)
        };
        let descent = match &self.linearity {
            Some(_) => context.descend_watching(&pixels, batch)?,
            None => context.descend_consistently(&pixels, batch, &forecast)?,
        };
        self.opening.learn(context, &forecast.gradient)?;
        if let (Some(linearity), Some(after)) = (&mut self.linearity, &descent.gradient) {
            linearity.observe(context, &forecast.gradient, after)?;
        }
        let gain = forecast.gain(&descent.attacked)?;
        Ok(StepReport { loss: descent.loss, correct: descent.correct, gain: Some(gain), refreshes: 1.0 })
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.opening.state().into_iter().chain(self.linearity.as_ref().map(Linearity::state)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Exact, GradientOracle, ball};
    use crate::nn::Mode;
    use crate::train::trial::Trial;
    use gaat_spec::{AttackStart, OpeningSpec, PixelLength, Projection, StepDraw};
    use tch::Kind;

    /// N-FGSM at the epsilon of a trial, changed by `change`.
    fn method(trial: &Trial, change: impl FnOnce(&mut OneStepSpec)) -> OneStep {
        let opening = OpeningSpec { noise: 2.0, projection: Projection::Never, ..OpeningSpec::USUAL };
        let step_size = trial.setting().threat.epsilon_length();
        let mut spec = OneStepSpec { step_size, opening, zeroed: 0.0, limit: None };
        change(&mut spec);
        OneStep::new(spec, &trial.setting()).unwrap()
    }

    fn sum(values: &Tensor) -> f64 {
        values.sum(Kind::Double).double_value(&[])
    }

    #[test]
    fn the_point_is_that_of_the_formula_and_leaves_the_ball() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let epsilon = trial.setting().threat.epsilon();
        let noise = trial
            .with_context(0, |context, batch| {
                ball::random_start(&batch.pixels, context.threat(), context.draws())
            })
            .unwrap();
        let anchor = &trial.batch.pixels + noise * 2.0;
        let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
        let at_anchor = oracle.at(&anchor, &trial.batch.labels).unwrap();
        let point = (&anchor + at_anchor.gradient.sign() * epsilon).clamp(0.0, 1.0);
        let at_point = oracle.at(&point, &trial.batch.labels).unwrap();
        let farthest = (&point - &trial.batch.pixels).abs().max().double_value(&[]);
        assert!(farthest > 2.0 * epsilon && farthest <= 3.0 * epsilon, "{farthest}");

        let mut method = method(&trial, |_| ());
        let report = trial.step(&mut method, 0).unwrap();
        let loss = sum(&at_point.losses);
        assert!((report.loss.double_value(&[]) - loss).abs() < 1e-10, "trained at that very point");
        let gain = (loss - sum(&at_anchor.losses)) / sum(&(at_anchor.gradient * (point - anchor)));
        let found = report.gain.unwrap();
        let ratio = found.actual.double_value(&[]) / found.predicted.double_value(&[]);
        assert!((ratio / gain - 1.0).abs() < 1e-9, "{gain}");
    }

    /// The perturbation that `method` trains on in its next step, and its start.
    fn delivered(trial: &mut Trial, method: &mut OneStep, step: u64) -> (Tensor, Tensor) {
        let projected = method.is_projected();
        trial
            .with_context(step, |context, batch| {
                let length = method.length(context, batch)?;
                let stride = method.opening.stride(context, batch, &length, method.spec.zeroed, projected)?;
                let start = stride.start.shallow_clone();
                let pixels = if projected {
                    context.perturb_once(&stride, batch)?.0.into_pixels()
                } else {
                    context.perturb_once_unbounded(&stride, batch)?.0.into_pixels()
                };
                Ok((pixels - &batch.pixels, start))
            })
            .unwrap()
    }

    #[test]
    fn projected_perturbations_lie_in_the_ball_and_drawn_lengths_differ() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let epsilon = trial.setting().threat.epsilon();
        let mut projected = method(&trial, |spec| spec.opening.projection = Projection::Always);
        let farthest = delivered(&mut trial, &mut projected, 0).0.abs().max().double_value(&[]);
        assert!(farthest <= epsilon + 1e-12, "{farthest}");
        let mut drawn = method(&trial, |spec| spec.opening.draw = StepDraw::Uniform);
        let (delta, start) = delivered(&mut trial, &mut drawn, 0);
        // Where the box does not cut, a pixel goes from 0 to the whole step.
        let inside =
            (&trial.batch.pixels + &delta).clamp(0.01, 0.99).eq_tensor(&(&trial.batch.pixels + &delta));
        let went = (delta - start).abs().masked_select(&inside) / epsilon;
        assert!(went.max().double_value(&[]) <= 1.0 + 1e-9 && went.std(true).double_value(&[]) > 0.2);
        let mean = went.mean(Kind::Double).double_value(&[]);
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn a_universal_start_is_one_for_all_images_and_follows_their_mean_gradient() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let epsilon = trial.setting().threat.epsilon();
        let mut method = method(&trial, |spec| {
            spec.opening = OpeningSpec { start: AttackStart::Universal, ..OpeningSpec::USUAL };
        });
        let mut momentum = Tensor::zeros([1, 1, 8, 8], (Kind::Double, tch::Device::Cpu));
        let mut expected = None;
        for step in 0..4 {
            let before = method.state()[0].1.copy();
            let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
            if let Some(expected) = &expected {
                assert_eq!(&before, expected, "step {step}");
                let anchor = &trial.batch.pixels + &before * epsilon;
                let gradient = oracle.at(&anchor, &trial.batch.labels).unwrap().gradient;
                let norm = gradient.abs().sum(Kind::Double);
                momentum =
                    gradient.mean_dim(Some([0i64].as_slice()), true, None::<Kind>) / norm + momentum * 0.3;
            }
            trial.step(&mut method, step).unwrap();
            if step == 0 {
                // The first perturbation is drawn in the step.
                momentum = method.state()[1].1.copy();
                expected = Some(method.state()[0].1.copy());
                assert!(expected.as_ref().unwrap().abs().max().double_value(&[]) <= 1.0);
            } else {
                expected = Some((before + momentum.sign()).clamp(-1.0, 1.0));
            }
        }
        assert_eq!(Some(method.state()[0].1.copy()), expected);
        let (_, start) = delivered(&mut trial, &mut method, 4);
        assert!(
            start.size() == [6, 1, 8, 8]
                && (start.get(0) - start.get(5)).abs().max().double_value(&[]) == 0.0
        );
    }

    #[test]
    fn a_label_indicative_start_climbs_the_loss_of_the_class_where_noise_does_not_stand() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let epsilon = trial.setting().threat.epsilon();
        let mut method = method(&trial, |spec| {
            spec.opening = OpeningSpec { start: AttackStart::LabelIndicative, ..OpeningSpec::USUAL };
        });
        let grey = Tensor::full([10, 1, 8, 8], 0.5, (Kind::Double, tch::Device::Cpu));
        let classes = Tensor::arange(10, (Kind::Int64, tch::Device::Cpu));
        let mut oracle = Exact::new(trial.classifier.as_ref(), Mode::Eval);
        let signs = oracle.at(&grey, &classes).unwrap().gradient.sign() * epsilon;
        let own = signs.index_select(0, &trial.batch.labels);
        let mut seen = [0, 0];
        for step in 0..20 {
            let (_, start) = delivered(&mut trial, &mut method, step);
            assert!(start.abs().max().double_value(&[]) <= epsilon);
            let agree = |sign: f64| {
                (&start - &own * sign)
                    .abs()
                    .lt(1e-12)
                    .to_kind(Kind::Double)
                    .mean(Kind::Double)
                    .double_value(&[])
            };
            let (plus, minus) = (agree(1.0), agree(-1.0));
            let (kept, other) = (plus.max(minus), plus.min(minus));
            assert!((0.4..0.95).contains(&kept) && other < 0.01, "step {step}: {plus} and {minus}");
            seen[usize::from(plus > minus)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 2), "either sign comes: {seen:?}");
        // One look at ten grey images in twenty steps of six images each.
        assert_eq!((trial.passes.forward, trial.passes.input_backward), (120 + 10, 120 + 10));
    }

    #[test]
    fn a_bent_loss_shortens_the_steps_of_sora() {
        let mut trial = Trial::new("mlp", Kind::Double);
        let step_size = PixelLength::new(0.2).unwrap();
        let mut method = method(&trial, |spec| {
            spec.opening.noise = 1.0;
            (spec.step_size, spec.limit) = (step_size, Some(0.005));
        });
        let length = |trial: &mut Trial, method: &OneStep| {
            trial.with_context(0, |context, batch| method.length(context, batch)).unwrap().double_value(&[0])
        };
        assert!((length(&mut trial, &method) - 0.1).abs() < 1e-12, "half as far where v is 0.99");
        for step in 0..40 {
            trial.step(&mut method, step).unwrap();
        }
        let linearity = method.state()[0].1.double_value(&[0]);
        let expected = 0.2 * (0.005 / (1.0 - linearity)).min(1.0);
        assert!((linearity - 0.99).abs() > 1e-4, "{linearity}");
        assert!((length(&mut trial, &method) - expected).abs() < 1e-12, "{linearity}");
        assert_eq!(trial.passes.full_backward, 40 * 6, "the gradient after the step is free");
    }
}
