//! Square attack: random search with ever smaller squares, no gradients (Andriushchenko et al. 2020).
//!
//! Place, size and, for L-infinity, colour of a square are those of the whole batch, as in the implementation of
//! AutoAttack; each example keeps it only where its own margin rises.

mod l2;
mod linf;
mod schedule;

use super::loss::Loss;
use super::oracle::GradientOracle;
use super::run::{Attack, UnderAttack};
use super::standing::{Kept, Standing, narrow};
use crate::error::Result;
use crate::nn::{Draws, answer};
use gaat_spec::Norm;
use tch::{Device, Kind, Tensor};

/// Random search of at most so many queries. Examples leave as soon as they are misclassified.
#[derive(Debug, Clone, Copy)]
pub struct Square {
    /// Queries beside the first, which asks about the start.
    pub queries: usize,
}

impl Attack for Square {
    fn propose(&self, oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, labels, threat, draws } = batch;
        let _no_grad = tch::no_grad_guard();
        match threat.norm() {
            Norm::Linf => linf::search(self.queries, oracle, clean, labels, threat.epsilon(), draws),
            Norm::L2 => l2::search(self.queries, oracle, clean, labels, threat.epsilon(), draws),
        }
    }
}

/// The examples that still stand, and how far each is from being misclassified.
struct Seekers {
    standing: Standing,
    clean: Tensor,
    labels: Tensor,
    /// Best points so far.
    points: Tensor,
    /// Margins there, `[M]`.
    margins: Tensor,
}

/// What a query told.
struct Answers {
    margins: Tensor,
    fallen: Tensor,
}

impl Seekers {
    fn new(oracle: &mut dyn GradientOracle, clean: &Tensor, labels: &Tensor, points: Tensor) -> Result<Self> {
        let mut seekers = Self {
            standing: Standing::new(clean)?,
            clean: clean.f_detach()?,
            labels: labels.shallow_clone(),
            points,
            margins: Tensor::new(),
        };
        let Answers { margins, fallen } = seekers.ask(oracle, &seekers.points)?;
        seekers.margins = margins;
        seekers.retire(&fallen)?;
        Ok(seekers)
    }

    fn ask(&self, oracle: &mut dyn GradientOracle, points: &Tensor) -> Result<Answers> {
        let logits = oracle.logits(points)?;
        let fallen = answer::fooled(&logits, &self.labels)?;
        Ok(Answers { margins: Loss::Margin.of(&logits, &self.labels)?, fallen })
    }

    /// Whose new margins are kept, `[M]`, bool; notes those margins.
    fn improve(&mut self, answers: &Answers) -> Tensor {
        let better = answers.margins.gt_tensor(&self.margins).logical_or(&answers.fallen);
        self.margins = answers.margins.where_self(&better, &self.margins);
        better
    }

    /// Lets the misclassified leave; those at the answer continue, if some left.
    fn retire(&mut self, fallen: &Tensor) -> Result<Option<Tensor>> {
        let Kept::Some(kept) = self.standing.retire(fallen, &(&self.points - &self.clean))? else {
            return Ok(None);
        };
        narrow([&mut self.clean, &mut self.labels, &mut self.points, &mut self.margins], &kept)?;
        Ok(Some(kept))
    }

    fn finish(mut self) -> Result<Tensor> {
        if !self.standing.is_over() {
            self.standing.propose(&(&self.points - &self.clean))?;
        }
        Ok(self.standing.into_proposals())
    }
}

/// Numbers in `[0, 1)` for every query, `[queries][count]`.
fn uniform_rows(queries: usize, count: usize, draws: &Draws) -> Result<Vec<Vec<f64>>> {
    let shape = [(queries * count) as i64];
    let flat = Vec::<f64>::try_from(draws.uniform(&shape, 0.0, 1.0, Kind::Double, Device::Cpu)?)?;
    Ok(flat.chunks_exact(count).map(<[f64]>::to_vec).collect())
}

/// A first row or column for a square of `side`. As in the reference, the last place is left out.
fn place(uniform: f64, length: i64, side: i64) -> i64 {
    ((uniform * (length - side) as f64) as i64).min(length - side)
}

/// The part of `images` that a square covers, as a view.
fn window(images: &Tensor, row: i64, column: i64, side: i64) -> Result<Tensor> {
    Ok(images.f_narrow(2, row, side)?.f_narrow(3, column, side)?)
}

/// Plus or minus 1 with equal chance.
fn signs(shape: &[i64], like: &Tensor, draws: &Draws) -> Result<Tensor> {
    Ok(draws.uniform(shape, -1.0, 1.0, like.kind(), like.device())?.f_sign()?)
}
