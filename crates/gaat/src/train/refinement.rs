//! Dynamic refinement: how many gradients GAAT takes for a batch, driven by the gain ratio that it gets for nothing.
//!
//! One gradient serves a batch while it predicts the loss. Where the loss bends (ratio off 1) in the second half of the
//! run, when the learning rate falls and details are learned, a third of the images get three more. Where the model is about
//! to become useless (ratio far below 1, which is how catastrophic overfitting begins), every image gets more, up to
//! PGD. The walk on the model is as long as the model can be trusted (trust regions: Conn, Gould and Toint 2000, section
//! 6.1), and in the second half of the run an adaptive walk leaves the ball where the model predicts the loss. Decision records
//! 0007 and 0019 have the experiments.

use super::portion::Portion;
use super::step::StepContext;
use crate::attack::{Ascent, Attack, Exact, GradientOracle, UnderAttack, run, run_unbounded};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::taylor::{Forecast, GainRatio, TaylorModel};
use gaat_spec::GaatSpec;
use tch::{Kind, Tensor};

/// Decay a step of the smoothed sums.
const DECAY: f64 = 0.9;
/// Share of the run before which a bent loss is left alone and every walk stays in the ball.
const LATE: f64 = 0.5;
/// A ratio outside this band begins to refine, one inside the narrower band ends it.
const BENT: (f64, f64) = (0.85, 1.15);
const STRAIGHT: (f64, f64) = (0.95, 1.05);
/// What a bent loss is answered with.
const SOME: (f64, usize) = (0.33, 3);
/// Length of the walk on the model where it overrates the attack, and where it underrates it, over that of the recipe.
const SHORT: f64 = 0.75;
const LONG: f64 = 1.25;
/// A ratio that has once been above the first and falls below the second is on its way to collapse.
const HEALTHY: f64 = 0.7;
const FAILING: f64 = 0.5;
/// Rounds for every image, rung by rung.
const LADDER: [usize; 4] = [1, 2, 4, 9];
/// Steps between two rungs up, and healthy steps before one down.
const PATIENCE: usize = 10;
const CALM: usize = 50;
/// Steps after which a ratio that was never healthy is no longer put down to an untrained network.
const UNTRAINED: usize = 100;
/// Below this predicted increase an image, in nats, the ratio says nothing.
const LEAST_GAIN: f64 = 1e-3;

/// What a batch gets beyond its first gradient, and how far that carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Length of the walk on the model over that of the recipe.
    pub reach: f64,
    /// Share of the images that get any: those whose predicted loss is highest.
    pub share: f64,
    /// Gradients for each of them.
    pub rounds: usize,
    /// Whether an adaptive walk may leave the ball: late in the run, where the gain ratio says that the model predicts the loss.
    pub may_leave: bool,
}

impl Effort {
    /// One gradient for the batch and no more.
    pub const NONE: Self = Self { reach: 1.0, share: 0.0, rounds: 0, may_leave: false };

    /// Images of a batch of `count` that get more gradients: two at least where there are two, because one has no statistics of
    /// a batch.
    pub fn images(&self, count: usize) -> usize {
        if self.rounds == 0 { 0 } else { ((self.share * count as f64).ceil() as usize).max(2).min(count) }
    }

    /// Step of a round over epsilon: together the rounds go one and a half epsilon, or a quarter each where they are many.
    fn step(&self) -> f64 {
        (1.5 / self.rounds as f64).clamp(0.25, 0.5)
    }
}

/// Turns gain ratios into plans.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Controller {
    actual: f64,
    predicted: f64,
    is_armed: bool,
    is_bent: bool,
    rung: usize,
    since_rung: usize,
    calm: usize,
    steps: usize,
}

impl Controller {
    /// What the coming batch gets, at `progress` in `[0, 1]` of the run.
    pub(super) fn plan(&self, progress: f64) -> Effort {
        let (share, rounds) = match self.rung {
            0 if progress >= LATE && self.is_bent => SOME,
            0 => (0.0, 0),
            rung => (1.0, LADDER[rung - 1]),
        };
        let is_predicted = self.ratio().is_some_and(|ratio| (BENT.0..=BENT.1).contains(&ratio));
        Effort { reach: self.reach(), share, rounds, may_leave: progress >= LATE && is_predicted }
    }

    fn reach(&self) -> f64 {
        match self.ratio() {
            Some(ratio) if ratio < BENT.0 => SHORT,
            Some(ratio) if ratio > 1.0 && self.is_bent => LONG,
            _ => 1.0,
        }
    }

    fn ratio(&self) -> Option<f64> {
        (self.predicted >= LEAST_GAIN).then(|| self.actual / self.predicted)
    }

    /// Takes note of a batch of `images`, whose mean loss was `loss`; from `flat` on it would be that of a constant predictor, where
    /// stronger attacks would keep it.
    pub(super) fn observe(&mut self, gain: GainRatio, images: usize, loss: f64, flat: f64) {
        if !gain.is_finite() {
            return;
        }
        self.actual = DECAY * self.actual + (1.0 - DECAY) * gain.actual() / images as f64;
        self.predicted = DECAY * self.predicted + (1.0 - DECAY) * gain.predicted() / images as f64;
        self.since_rung += 1;
        self.steps += 1;
        let Some(ratio) = self.ratio() else { return };
        let inside = |band: (f64, f64)| (band.0..=band.1).contains(&ratio);
        self.is_bent = if self.is_bent { !inside(STRAIGHT) } else { !inside(BENT) };
        self.is_armed |= ratio >= HEALTHY || self.steps >= UNTRAINED;
        self.calm = if ratio >= HEALTHY { self.calm + 1 } else { 0 };
        let is_flat = loss >= flat;
        if self.is_armed && ratio < FAILING && !is_flat && self.since_rung >= PATIENCE {
            self.climb_to((self.rung + 1).min(LADDER.len()));
        } else if self.rung > 0 && (is_flat || self.calm >= CALM) {
            self.climb_to(self.rung - 1);
        }
    }

    fn climb_to(&mut self, rung: usize) {
        (self.rung, self.since_rung, self.calm) = (rung, 0, 0);
    }

    /// Everything that it continues from, `[8]`, f64.
    pub(super) fn state(&self) -> Tensor {
        let flags = [self.is_armed, self.is_bent].map(|flag| f64::from(u8::from(flag)));
        let counts = [self.rung, self.since_rung, self.calm, self.steps].map(|count| count as f64);
        let all =
            [self.actual, self.predicted, flags[0], flags[1], counts[0], counts[1], counts[2], counts[3]];
        Tensor::from_slice(&all)
    }

    /// Continues from `state`, as [`state`](Self::state) gave it.
    pub(super) fn load(&mut self, state: &Tensor) -> Result<()> {
        let numbers = Vec::<f64>::try_from(state)?;
        let [actual, predicted, armed, bent, rung, since_rung, calm, steps] = numbers[..] else {
            return Err(Error::Usage(format!("a refinement of 8 numbers was expected, found {numbers:?}")));
        };
        *self = Self {
            actual,
            predicted,
            is_armed: armed != 0.0,
            is_bent: bent != 0.0,
            rung: (rung as usize).min(LADDER.len()),
            since_rung: since_rung as usize,
            calm: calm as usize,
            steps: steps as usize,
        };
        Ok(())
    }
}

impl StepContext<'_> {
    /// Runs `attack` on the Taylor model of `model`, and then walks on with exact gradients, in the ball, for the images that `plan`
    /// chooses. The others are projected on the ball where `model` and `plan` say so. Hands back the images, `[N, C, H, W]` in `[0, 1]`, and what
    /// the last expansion says about them.
    ///
    /// # Errors
    /// When the network fails.
    pub fn perturb_refined(
        &mut self,
        attack: &dyn Attack,
        batch: &Batch,
        model: GaatSpec,
        plan: Effort,
    ) -> Result<(Tensor, Forecast)> {
        let started = self.mark()?;
        let mut oracle = self.taylor(batch, TaylorModel::of(&model, self.attack_scale, &self.threat));
        let under = UnderAttack::new(&batch.pixels, batch.attack_targets(), &self.threat, &self.draws);
        let mut found = if model.opening.projection.is_on(plan.may_leave) {
            run(attack, &mut oracle, under)?.into_pixels()
        } else {
            run_unbounded(attack, &mut oracle, under)?.into_pixels()
        };
        oracle.settle(&found)?;
        let chosen = plan.images(self.portion.of);
        let hardest = if chosen > 0 {
            let Forecast { anchor_losses, gains, .. } = oracle.forecast()?;
            self.hardest(&(anchor_losses + gains), chosen)?
        } else {
            Tensor::f_zeros([0], (Kind::Int64, batch.labels.device()))?
        };
        if hardest.size()[0] > 0 {
            let part = batch.select(&hardest)?;
            let mut exact = Exact::new(self.classifier, self.attack_mode).in_parts(self.parts_of(part.len()));
            let mut walked = found.f_index_select(0, &hardest)?;
            for _ in 0..plan.rounds {
                let start = &walked - &part.pixels;
                let ascent = Ascent { start, step_size: plan.step() * self.threat.epsilon() };
                let under = UnderAttack::new(&part.pixels, part.attack_targets(), &self.threat, &self.draws);
                walked = run(&ascent, &mut exact, under)?.into_pixels();
            }
            found = found.f_index_copy(0, &hardest, &walked)?;
            oracle.settle(&found)?;
            self.passes += exact.passes();
        }
        self.passes += oracle.passes();
        self.attack_ends(started)?;
        Ok((found, oracle.into_forecast()?))
    }

    /// In how many parts `images` are computed, so that none is larger than those of the portion, and none has one image alone,
    /// which has no statistics of a batch, where there are more.
    fn parts_of(&self, images: usize) -> usize {
        let at_once = self.portion.images.div_ceil(self.parts);
        images.div_ceil(at_once).min(images / 2).max(1)
    }

    /// Places here of the `count` images of the whole batch with the highest `losses` (`[N]`, of the images here), `[M]`, i64.
    fn hardest(&self, losses: &Tensor, count: usize) -> Result<Tensor> {
        let Portion { start, images, of } = self.portion;
        let highest = |losses: &Tensor| losses.f_topk(count as i64, 0, true, false);
        if self.portion.is_all() {
            return Ok(highest(losses)?.1);
        }
        let all = Tensor::f_zeros([of as i64], (losses.kind(), losses.device()))?;
        self.portion.cut(&all)?.f_copy_(losses)?;
        self.world.sum(&[all.shallow_clone()])?;
        let places = highest(&all)?.1 - start as i64;
        let is_here = places.f_ge(0)?.f_logical_and(&places.f_lt(images as i64)?)?;
        let here = places.f_masked_select(&is_here)?;
        if (1..self.least as i64).contains(&here.size()[0]) {
            // Alone it could not be normalised: the hardest of the others here keep it company.
            return Ok(losses.f_topk(self.least as i64, 0, true, false)?.1);
        }
        Ok(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::Projection;

    /// Of ten classes.
    const FLAT: f64 = 2.25;
    /// One gradient, which predicts the loss late in the run.
    const PREDICTED: Effort = Effort { may_leave: true, ..Effort::NONE };

    /// A controller after so many batches of each ratio, at a loss of 1 nat and 0.1 nats of predicted gain.
    fn after(series: &[(f64, usize)]) -> Controller {
        let mut controller = Controller::default();
        for (ratio, steps) in series {
            for _ in 0..*steps {
                controller.observe(GainRatio::new(10.0 * ratio, 10.0), 100, 1.0, FLAT);
            }
        }
        controller
    }

    #[test]
    fn one_gradient_serves_while_it_predicts_the_loss() {
        let straight = after(&[(1.0, 100)]);
        assert_eq!([0.0, 0.49].map(|progress| straight.plan(progress)), [Effort::NONE; 2]);
        assert_eq!([0.5, 1.0].map(|progress| straight.plan(progress)), [PREDICTED; 2]);
        let bent = after(&[(2.0, 100)]);
        let rounds = [0.0, 0.49, 0.5, 1.0].map(|progress| bent.plan(progress).rounds);
        assert_eq!(rounds, [0, 0, 3, 3]);
    }

    #[test]
    fn the_walk_is_as_long_as_the_model_can_be_trusted() {
        for (ratio, reach) in [(0.05, SHORT), (0.8, SHORT), (1.0, 1.0), (1.1, 1.0), (2.0, LONG)] {
            assert_eq!(after(&[(ratio, 60)]).plan(0.1).reach, reach, "{ratio}");
        }
        assert_eq!(after(&[(2.0, 60), (1.0, 100)]).plan(0.1).reach, 1.0);
    }

    #[test]
    fn refinement_begins_late_and_ends_late() {
        assert_eq!(after(&[(1.1, 300)]).plan(0.9), PREDICTED);
        assert_eq!(after(&[(1.3, 100), (1.1, 300)]).plan(0.9).rounds, 3);
        assert_eq!(after(&[(1.3, 100), (1.0, 300)]).plan(0.9), PREDICTED);
    }

    #[test]
    fn the_walk_leaves_the_ball_late_and_where_the_model_predicts_the_loss() {
        let leaves = |ratio: f64, steps: usize| {
            let plan = after(&[(ratio, steps)]).plan(0.6);
            [Projection::Always, Projection::Never, Projection::Adaptive]
                .map(|projection| !projection.is_on(plan.may_leave))
        };
        assert_eq!(leaves(1.0, 0), [false, true, false], "nothing is known yet");
        for ratio in [0.9, 1.0, 1.1] {
            assert_eq!(leaves(ratio, 60), [false, true, true], "{ratio}");
        }
        for ratio in [0.05, 0.8, 1.2, 2.0] {
            assert_eq!(leaves(ratio, 60), [false, true, false], "{ratio}");
        }
    }

    #[test]
    fn an_untrained_network_is_no_alarm_and_a_failing_model_is() {
        let extra = |series: &[(f64, usize)]| {
            let plan = after(series).plan(0.1);
            (plan.share, plan.rounds)
        };
        assert_eq!(extra(&[(0.05, 90)]), (0.0, 0), "not trained yet");
        assert_eq!(extra(&[(0.05, 160)]), (1.0, 9), "it ought to be by now");
        assert_eq!(extra(&[(0.05, 30), (1.0, 60), (0.1, 100)]), (1.0, 9));
        assert_eq!(extra(&[(1.0, 60), (0.1, 9)]), (1.0, 1), "one rung at a time");
        // Down again, rung by rung.
        assert_eq!(extra(&[(1.0, 60), (0.1, 100), (1.0, 120)]), (1.0, 2));
        assert_eq!(extra(&[(1.0, 60), (0.1, 100), (1.0, 400)]), (0.0, 0));
    }

    #[test]
    fn noise_is_ignored_and_a_constant_predictor_is_not_attacked_harder() {
        let mut controller = after(&[(1.0, 60)]);
        for _ in 0..100 {
            controller.observe(GainRatio::new(f64::NAN, 10.0), 100, 1.0, FLAT);
            controller.observe(GainRatio::new(0.0, 1e-6), 100, 1.0, FLAT);
        }
        assert_eq!(controller.plan(0.1).rounds, 0);
        let mut controller = after(&[(1.0, 60)]);
        for _ in 0..100 {
            controller.observe(GainRatio::new(0.0, 10.0), 100, 10f64.ln(), FLAT);
        }
        assert_eq!(controller.plan(0.1).rounds, 0);
    }

    #[test]
    fn its_state_is_all_that_it_depends_on() {
        for controller in [after(&[(2.0, 30)]), after(&[(1.0, 60), (0.1, 25)])] {
            let mut other = Controller::default();
            other.load(&controller.state()).unwrap();
            assert_eq!(other, controller);
        }
        assert!(Controller::default().load(&Tensor::from_slice(&[1.0])).is_err());
    }

    #[test]
    fn many_rounds_cross_the_ball_and_few_do_not_overshoot() {
        let plan = |rounds| Effort { rounds, share: 0.5, ..Effort::NONE };
        let step = |rounds| plan(rounds).step();
        assert_eq!([1, 2, 3, 4, 9].map(step), [0.5, 0.5, 0.5, 0.375, 0.25]);
        assert_eq!((plan(2).images(100), plan(2).images(3), Effort::NONE.images(100)), (50, 2, 0));
        assert_eq!((plan(2).images(2), plan(2).images(1)), (2, 1));
    }
}
