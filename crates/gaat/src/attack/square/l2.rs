//! Pairs of hills that take over the length of another window, for L2.

use super::{Seekers, place, schedule, signs, uniform_rows, window};
use crate::attack::ball;
use crate::attack::oracle::GradientOracle;
use crate::error::Result;
use crate::nn::Draws;
use gaat_spec::Norm;
use tch::{Kind, Tensor};

/// Below this a window has no length to divide by.
const TINY: f64 = 1e-12;

pub(super) fn search(
    queries: usize,
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    epsilon: f64,
    draws: &Draws,
) -> Result<Tensor> {
    let size = clean.size();
    let (count, channels, height, width) = (size[0], size[1], size[2], size[3]);
    let start = full_length(&tiles(clean, draws)?, epsilon);
    let mut seekers = Seekers::new(oracle, clean, labels, ball::into_box(&(clean + start)))?;
    let plans = uniform_rows(queries, 5, draws)?;
    for (query, plan) in plans.iter().enumerate() {
        // Drawn for the whole batch, so that the draws of an image do not depend on which others have left.
        let signs = signs(&[count, channels, 1, 1], clean, draws)?;
        if seekers.standing.is_over() {
            break;
        }
        let side = schedule::odd_side(query, height, width);
        let at = |row: usize| (place(plan[row], height, side), place(plan[row + 1], width, side));
        let hills =
            hills(side, plan[4] > 0.5, clean)? * signs.f_index_select(0, seekers.standing.places())?;
        let delta = moved(&seekers, &hills, at(0), at(2), side, epsilon)?;
        let points = ball::into_box(&(&seekers.clean + full_length(&delta, epsilon)));
        let answers = seekers.ask(oracle, &points)?;
        let better = seekers.improve(&answers);
        seekers.points = points.where_self(&ball::column(&better), &seekers.points);
        seekers.retire(&answers.fallen)?;
    }
    seekers.finish()
}

/// The perturbations with new hills in the window at `here`, and nothing in the window at `there`, whose length goes
/// to the hills together with what is left of the ball.
fn moved(
    seekers: &Seekers,
    hills: &Tensor,
    here: (i64, i64),
    there: (i64, i64),
    side: i64,
    epsilon: f64,
) -> Result<Tensor> {
    let delta = &seekers.points - &seekers.clean;
    let channels = delta.size()[1] as f64;
    let squares = delta.square();
    let whole = sum(&squares, &[1, 2, 3])?;
    let outside = squares;
    for (row, column) in [here, there] {
        let _zeroed = window(&outside, row, column, side)?.f_zero_()?;
    }
    // Length squared of both windows together, over all channels.
    let both = (&whole - sum(&outside, &[1, 2, 3])?).clamp_min(0.0);
    let old = window(&delta, here.0, here.1, side)?.f_alias_copy()?;
    let shape = hills + &old / (length(&old)? + TINY);
    let budget = ((epsilon * epsilon - whole).clamp_min(0.0) / channels + both).sqrt();
    let new = &shape / (length(&shape)? + TINY) * budget;
    let _zeroed = window(&delta, there.0, there.1, side)?.f_zero_()?;
    window(&delta, here.0, here.1, side)?.f_copy_(&new)?;
    Ok(delta)
}

/// Hills on a grid of five by five tiles, each with a sign of its own in each image and channel.
fn tiles(clean: &Tensor, draws: &Draws) -> Result<Tensor> {
    let size = clean.size();
    let (count, channels, height, width) = (size[0], size[1], size[2], size[3]);
    let side = (height / 5).max(1);
    let start = ((height - side * 5) / 2).max(0);
    let delta = clean.f_zeros_like()?;
    let turns = uniform_rows(((height / side) * (width / side)) as usize, 1, draws)?;
    for (tile, turn) in turns.iter().enumerate() {
        let (row, column) =
            (start + side * (tile as i64 / (width / side)), start + side * (tile as i64 % (width / side)));
        let signs = signs(&[count, channels, 1, 1], clean, draws)?;
        if row + side <= height && column + side <= width {
            window(&delta, row, column, side)?.f_copy_(&(hills(side, turn[0] > 0.5, clean)? * signs))?;
        }
    }
    Ok(delta)
}

/// The pattern of a window, `[1, 1, side, side]`, lying on its side if `turned`.
fn hills(side: i64, turned: bool, like: &Tensor) -> Result<Tensor> {
    let flat = Tensor::f_from_slice(&schedule::two_hills(side as usize))?;
    let upright = flat.f_view([1, 1, side, side])?.f_to_kind(like.kind())?.f_to_device(like.device())?;
    Ok(if turned { upright.f_transpose(2, 3)? } else { upright })
}

/// Each example's perturbation stretched to length epsilon.
fn full_length(delta: &Tensor, epsilon: f64) -> Tensor {
    delta / (ball::column(&ball::lengths(delta, Norm::L2)) + TINY) * epsilon
}

fn sum(values: &Tensor, dims: &[i64]) -> Result<Tensor> {
    Ok(values.f_sum_dim_intlist(dims, true, None::<Kind>)?)
}

/// Length of each channel's window, `[M, C, 1, 1]`.
fn length(window: &Tensor) -> Result<Tensor> {
    Ok(sum(&window.square(), &[2, 3])?.sqrt())
}
