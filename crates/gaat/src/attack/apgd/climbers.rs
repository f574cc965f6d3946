//! The examples that Auto-PGD still climbs with, each with its own step size and best point.

use crate::attack::ball;
use crate::attack::standing::narrow;
use crate::error::Result;
use gaat_spec::ThreatModel;
use tch::Tensor;

/// The first step in units of epsilon.
const FIRST_STEP: f64 = 2.0;
/// Share of the steps between two looks back that must have raised the loss, or the step is halved.
const RISING: f64 = 0.75;

/// State of a climb, all tensors over the `M` examples that stand.
pub(super) struct Climbers {
    pub(super) clean: Tensor,
    pub(super) labels: Tensor,
    pub(super) targets: Option<Tensor>,
    /// Where they are, as perturbations.
    pub(super) delta: Tensor,
    /// Their best points, as perturbations.
    pub(super) best: Tensor,
    previous: Tensor,
    gradient: Tensor,
    losses: Tensor,
    best_gradient: Tensor,
    best_losses: Tensor,
    /// `[M, 1, 1, 1]`.
    step: Tensor,
    /// Steps since the last look back that raised the loss.
    rises: Tensor,
    losses_before: Tensor,
    best_at_look_back: Tensor,
    /// Whether the step was halved at the last look back.
    halved: Tensor,
}

impl Climbers {
    /// All of a batch at `start`, which is brought into ball and box.
    pub(super) fn new(
        clean: &Tensor,
        labels: &Tensor,
        targets: Option<&Tensor>,
        start: &Tensor,
        threat: &ThreatModel,
    ) -> Result<Self> {
        let delta = ball::project_into_box(clean, start, threat);
        let zero = clean.f_select(1, 0)?.f_select(1, 0)?.f_select(1, 0)?.f_zeros_like()?;
        Ok(Self {
            clean: clean.f_detach()?,
            labels: labels.shallow_clone(),
            targets: targets.map(Tensor::shallow_clone),
            best: delta.shallow_clone(),
            previous: delta.shallow_clone(),
            gradient: delta.f_zeros_like()?,
            best_gradient: delta.f_zeros_like()?,
            losses: zero.shallow_clone(),
            best_losses: &zero + f64::NEG_INFINITY,
            step: ball::column(&(&zero + FIRST_STEP * threat.epsilon())),
            rises: zero.shallow_clone(),
            // The reference compares the first loss with 0, the value of a step that was not yet made.
            losses_before: zero.shallow_clone(),
            best_at_look_back: zero.shallow_clone(),
            halved: zero.f_ones_like()?.f_to_kind(tch::Kind::Bool)?,
            delta,
        })
    }

    /// Continues with those at `kept` alone.
    pub(super) fn narrow(&mut self, kept: &Tensor) -> Result<()> {
        if let Some(targets) = &mut self.targets {
            narrow([targets], kept)?;
        }
        let Self { clean, labels, delta, best, previous, gradient, losses, .. } = self;
        narrow([clean, labels, delta, best, previous, gradient, losses], kept)?;
        let Self {
            best_gradient, best_losses, step, rises, losses_before, best_at_look_back, halved, ..
        } = self;
        narrow([best_gradient, best_losses, step, rises, losses_before, best_at_look_back, halved], kept)
    }

    /// Takes in loss and gradient at the present points.
    pub(super) fn answer(&mut self, losses: Tensor, gradient: Tensor) {
        let better = losses.gt_tensor(&self.best_losses);
        let wide = ball::column(&better);
        self.best = self.delta.where_self(&wide, &self.best);
        self.best_gradient = gradient.where_self(&wide, &self.best_gradient);
        self.best_losses = losses.where_self(&better, &self.best_losses);
        (self.losses, self.gradient) = (losses, gradient);
    }

    /// The best losses so far are what the first look back compares with.
    pub(super) fn remember_losses(&mut self) {
        self.best_at_look_back = self.best_losses.shallow_clone();
    }

    /// One step along the gradient; `share` of it, and the rest of the last move.
    pub(super) fn advance(&mut self, threat: &ThreatModel, share: f64) {
        let ascent = ball::steepest_ascent(&self.gradient, threat.norm());
        let stepped = ball::project_into_box(&self.clean, &(&self.delta + &self.step * ascent), threat);
        let momentum = &self.delta - &self.previous;
        let moved = &self.delta + (stepped - &self.delta) * share + momentum * (1.0 - share);
        let next = ball::project_into_box(&self.clean, &moved, threat);
        self.previous = std::mem::replace(&mut self.delta, next);
    }

    /// Notes whose loss rose by the last step.
    pub(super) fn count_rises(&mut self) {
        let rose = self.losses.gt_tensor(&self.losses_before).to_kind(self.rises.kind());
        self.rises = &self.rises + rose;
        self.losses_before = self.losses.shallow_clone();
    }

    /// Halves the step where fewer than three in four steps of the window rose, or where the best loss is the one of
    /// the last look back and the step was not halved then; those continue from their best point.
    pub(super) fn look_back(&mut self, window: usize) {
        let oscillates = self.rises.le(RISING * window as f64);
        let stalls =
            self.halved.logical_not().logical_and(&self.best_at_look_back.ge_tensor(&self.best_losses));
        let halve = oscillates.logical_or(&stalls);
        let wide = ball::column(&halve);
        self.step = (&self.step * 0.5).where_self(&wide, &self.step);
        self.delta = self.best.where_self(&wide, &self.delta);
        self.gradient = self.best_gradient.where_self(&wide, &self.gradient);
        self.rises = self.rises.zeros_like();
        self.halved = halve;
        self.best_at_look_back = self.best_losses.shallow_clone();
    }
}
