//! Squares of one colour at the edge of the L-infinity ball, over vertical stripes.

use super::{Seekers, place, schedule, signs, uniform_rows, window};
use crate::attack::ball;
use crate::attack::oracle::GradientOracle;
use crate::error::Result;
use crate::nn::Draws;
use tch::Tensor;

pub(super) fn search(
    queries: usize,
    oracle: &mut dyn GradientOracle,
    clean: &Tensor,
    labels: &Tensor,
    epsilon: f64,
    draws: &Draws,
) -> Result<Tensor> {
    let size = clean.size();
    let (channels, height, width) = (size[1], size[2], size[3]);
    let stripes = signs(&[size[0], channels, 1, width], clean, draws)? * epsilon;
    let mut seekers = Seekers::new(oracle, clean, labels, ball::into_box(&(clean + stripes)))?;
    let (mut low, mut high) = ball::pixel_bounds(&seekers.clean, epsilon);
    let places = uniform_rows(queries, 2, draws)?;
    let colours = signs(&[queries as i64, channels, 1, 1], clean, draws)? * (2.0 * epsilon);
    for (query, place_at) in places.iter().enumerate() {
        if seekers.standing.is_over() {
            break;
        }
        let side = schedule::side(query, height, width);
        let (row, column) = (place(place_at[0], height, side), place(place_at[1], width, side));
        let view = |images: &Tensor| window(images, row, column, side);
        // The square is painted in place, and taken back where it does not help.
        let mut painted = view(&seekers.points)?;
        let before = painted.f_alias_copy()?;
        let after = (&before + colours.f_get(query as i64)?).maximum(&view(&low)?).minimum(&view(&high)?);
        painted.f_copy_(&after)?;
        let answers = seekers.ask(oracle, &seekers.points)?;
        let better = seekers.improve(&answers);
        painted.f_copy_(&after.where_self(&ball::column(&better), &before))?;
        if seekers.retire(&answers.fallen)?.is_some() {
            (low, high) = ball::pixel_bounds(&seekers.clean, epsilon);
        }
    }
    seekers.finish()
}
