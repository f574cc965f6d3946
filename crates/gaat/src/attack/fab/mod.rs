//! FAB: the nearest point across a boundary, by stepping onto linear models of it (Croce and Hein 2020, algorithm 1).

mod hyperplane;

use super::oracle::GradientOracle;
use super::pgd::{Start, StopRule, near};
use super::plane::{self, Plane};
use super::run::{Attack, UnderAttack};
use super::standing::{Standing, narrow};
use super::{ball, targets};
use crate::error::Result;
use crate::nn::{Draws, answer};
use gaat_spec::{Norm, ThreatModel};
use hyperplane::shortest_move;
use tch::{Kind, Tensor};

/// Most weight of the way that starts at the clean image against that from the present point.
const MOST_WEIGHT: f64 = 0.1;
/// How far beyond the boundary each move goes.
const OVERSHOOT: f64 = 1.05;
/// Share of the way out that a misclassified point keeps before it looks for a nearer one.
const BACK: f64 = 0.9;
/// A random start lies this far out, in units of epsilon.
const START: f64 = 0.5;
/// Keeps a weight finite where both moves are nothing.
const LEAST_MOVE: f64 = 1e-8;

/// Which boundaries are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The one that looks nearest at each step, which takes one gradient for every class.
    Nearest,
    /// Those to so many wrong classes, one after the other, those first that are likeliest on the clean image.
    Towards(usize),
}

/// FAB. It looks for the least perturbation whatever epsilon; the one proposed may lie outside the ball.
#[derive(Debug, Clone, Copy)]
pub struct Fab {
    /// Steps, for each target class where there are targets.
    pub steps: usize,
    /// Which boundaries.
    pub boundary: Boundary,
    /// Where to begin; at random is half of epsilon away.
    pub start: Start,
    /// Whether an example leaves once its perturbation lies in the ball.
    pub stop: StopRule,
}

impl Attack for Fab {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let _no_grad = tch::no_grad_guard();
        match self.boundary {
            Boundary::Nearest => {
                let walkers = Walkers::new(clean, labels, None, &self.begin(clean, threat, draws)?)?;
                Ok(self.walk(oracle, walkers, threat)?.into_proposals())
            }
            Boundary::Towards(count) => targets::each(
                oracle,
                clean,
                labels,
                (count, threat.norm()),
                |oracle, clean, labels, target| {
                    let start = self.begin(clean, threat, draws)?;
                    self.walk(oracle, Walkers::new(clean, labels, Some(target), &start)?, threat)
                },
            ),
        }
    }
}

impl Fab {
    fn begin(&self, clean: &Tensor, threat: &ThreatModel, draws: &Draws) -> Result<Tensor> {
        Ok(match self.start {
            Start::Clean => clean.shallow_clone(),
            Start::Random => ball::into_box(&(clean + ball::random_edge(clean, threat, draws)? * START)),
            Start::Near => ball::into_box(&(clean + near(clean, draws)?)),
        })
    }

    fn walk(
        &self,
        oracle: &mut dyn GradientOracle,
        mut walkers: Walkers,
        threat: &ThreatModel,
    ) -> Result<Standing> {
        let norm = threat.norm();
        let mut standing = Standing::new(&walkers.clean)?;
        for _ in 0..self.steps {
            let plane = walkers.ask(oracle, norm)?;
            walkers.step(&plane, norm)?;
            let fooled = answer::fooled(&oracle.logits(&walkers.points)?, &walkers.labels)?;
            walkers.turn_back(&fooled, norm);
            if self.stop == StopRule::WhenFooled && oracle.is_exact() {
                let caught = walkers.nearest.le(threat.epsilon());
                let best = walkers.best.shallow_clone();
                if !standing.release(&caught, &best, |kept| walkers.narrow(kept))? {
                    return Ok(standing);
                }
            }
        }
        standing.propose(&walkers.best)?;
        Ok(standing)
    }
}

/// The examples that still walk, all tensors over the `M` of them.
struct Walkers {
    clean: Tensor,
    labels: Tensor,
    targets: Option<Tensor>,
    points: Tensor,
    /// The least perturbation found that is misclassified, and its length; zero and infinity before.
    best: Tensor,
    nearest: Tensor,
}

impl Walkers {
    fn new(clean: &Tensor, labels: &Tensor, targets: Option<&Tensor>, start: &Tensor) -> Result<Self> {
        let nearest = Tensor::f_full([clean.size()[0]], f64::INFINITY, (clean.kind(), clean.device()))?;
        Ok(Self {
            clean: clean.f_detach()?,
            labels: labels.shallow_clone(),
            targets: targets.map(Tensor::shallow_clone),
            points: start.f_detach()?,
            best: clean.f_detach()?.f_zeros_like()?,
            nearest,
        })
    }

    fn narrow(&mut self, kept: &Tensor) -> Result<()> {
        if let Some(targets) = &mut self.targets {
            narrow([targets], kept)?;
        }
        let Self { clean, labels, points, best, nearest, .. } = self;
        narrow([clean, labels, points, best, nearest], kept)
    }

    fn ask(&self, oracle: &mut dyn GradientOracle, norm: Norm) -> Result<Plane> {
        match &self.targets {
            Some(targets) => plane::towards(oracle, &self.points, &self.labels, targets),
            None => Ok(plane::nearest(oracle, &self.points, &self.labels, norm)?.plane),
        }
    }

    /// Moves onto the plane and a little beyond, drawn towards the clean image.
    fn step(&mut self, plane: &Plane, norm: Norm) -> Result<()> {
        let flat = |tensor: &Tensor| tensor.f_flatten(1, -1);
        let (points, clean, normal) = (flat(&self.points)?, flat(&self.clean)?, flat(&plane.normal)?);
        let here = (&normal * &points).f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?;
        let offset = here - &plane.lead;
        let move_from = |start: &Tensor| -> Result<(Tensor, Tensor)> {
            let delta = shortest_move(start, &normal, &offset, norm)?.f_view_as(&self.points)?;
            let length = ball::column(&ball::lengths(&delta, norm)).clamp_min(LEAST_MOVE);
            Ok((delta, length))
        };
        let (onward, onward_length) = move_from(&points)?;
        let (afresh, afresh_length) = move_from(&clean)?;
        let weight = (&onward_length / (&onward_length + afresh_length)).clamp_max(MOST_WEIGHT);
        let onward = (&self.points + onward * OVERSHOOT) * (1.0 - &weight);
        let afresh = (&self.clean + afresh * OVERSHOOT) * &weight;
        self.points = ball::into_box(&(onward + afresh));
        Ok(())
    }

    /// Notes misclassified points that are nearer than all before, and takes the misclassified a part of the way back.
    fn turn_back(&mut self, fooled: &Tensor, norm: Norm) {
        let delta = &self.points - &self.clean;
        let lengths = ball::lengths(&delta, norm);
        let nearer = lengths.lt_tensor(&self.nearest).logical_and(fooled);
        self.nearest = lengths.where_self(&nearer, &self.nearest);
        self.best = delta.where_self(&ball::column(&nearer), &self.best);
        self.points = (&self.clean + delta * BACK).where_self(&ball::column(fooled), &self.points);
    }
}
