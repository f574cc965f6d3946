//! The nearest point of a hyperplane inside the pixel box (Croce and Hein 2020, FAB, section 3.2).
//!
//! Against a plane with normal w, the shortest move in the box takes every pixel i against the sign of `w_i` by
//! `min(t pace_i, room_i)`: the pace is 1 for L-infinity and `|w_i|` for L2, the room ends at the box. The distance to
//! the plane that this covers, `sum |w_i| min(t pace_i, room_i)`, is increasing and concave in t, so that Newton's
//! method from t = 0 climbs to the solution without ever overshooting it, and ends after finitely many kinks.

use crate::attack::standing::narrow;
use crate::error::Result;
use gaat_spec::Norm;
use tch::{Kind, Tensor};

/// More than any image needed; what is then still short is so by rounding.
const MOST_ROUNDS: usize = 40;
/// A distance to the plane this much shorter, relatively, is covered.
const COVERED: f64 = 1e-6;
/// An L2 pace below this is none.
const LEAST_PACE: f64 = 1e-8;

/// The shortest move of each of `points` (`[N, D]`, in the box) onto `normal . point = offset` (`[N, D]` and `[N]`)
/// that stays in the box; where the box does not reach the plane, the move to the corner nearest to it.
pub(super) fn shortest_move(points: &Tensor, normal: &Tensor, offset: &Tensor, norm: Norm) -> Result<Tensor> {
    let excess = sum(&(normal * points))? - offset;
    let side = excess.ge(0.0).to_kind(normal.kind()) * 2.0 - 1.0;
    let side = side.f_unsqueeze(1)?;
    let normal = normal * &side;
    let target = excess.abs();
    let room = points.where_self(&normal.gt(0.0), &(1.0 - points));
    let weight = normal.abs();
    let pace = match norm {
        Norm::Linf => weight.gt(0.0).to_kind(weight.kind()),
        Norm::L2 => &weight * weight.gt(LEAST_PACE).to_kind(weight.kind()),
    };
    let room = room * pace.gt(0.0).to_kind(weight.kind());
    let is_beyond = sum(&(&weight * &room))?.le_tensor(&target).f_unsqueeze(1)?;
    let reach = pace.f_mul(&times(&weight, &pace, &room, &target, &is_beyond)?)?;
    let travelled = room.where_self(&is_beyond, &reach.minimum(&room));
    Ok(normal.sign() * travelled * -1.0)
}

/// The time of each move, `[N, 1]`; 0 for those that are beyond the reach of the box.
fn times(
    weight: &Tensor,
    pace: &Tensor,
    room: &Tensor,
    target: &Tensor,
    is_beyond: &Tensor,
) -> Result<Tensor> {
    let times = target.f_zeros_like()?.f_unsqueeze(1)?;
    let mut rows = is_beyond.f_logical_not()?.f_squeeze_dim(1)?.f_nonzero()?.f_squeeze_dim(1)?;
    let of_rows = |tensor: &Tensor| tensor.f_index_select(0, &rows);
    let (mut weight, mut pace, mut room) = (of_rows(weight)?, of_rows(pace)?, of_rows(room)?);
    let (mut target, mut time) = (of_rows(target)?, of_rows(&times)?);
    // Only those that are not there yet go through another round.
    for _ in 0..MOST_ROUNDS {
        let reach = &pace * &time;
        let short = &target - sum(&(&weight * reach.minimum(&room)))?;
        let slope = sum(&(&weight * &pace * reach.lt_tensor(&room).to_kind(pace.kind())))?;
        let goes_on = short.gt_tensor(&(&target * COVERED)).logical_and(&slope.gt(0.0));
        let kept = goes_on.f_nonzero()?.f_squeeze_dim(1)?;
        if kept.size()[0] == 0 {
            break;
        }
        time += (short / slope).f_unsqueeze(1)?;
        narrow([&mut weight, &mut pace, &mut room, &mut target, &mut time, &mut rows], &kept)?;
        let _written = times.shallow_clone().f_index_copy_(0, &rows, &time)?;
    }
    Ok(times)
}

fn sum(values: &Tensor) -> Result<Tensor> {
    Ok(values.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn random(shape: [i64; 2], low: f64, high: f64, seed: u64) -> Tensor {
        let draws = crate::nn::Rng::new(seed).seeded("hyperplane", 0);
        draws.uniform(&shape, low, high, Kind::Double, Device::Cpu).unwrap()
    }

    #[test]
    fn the_move_ends_on_the_plane_in_the_box_and_none_is_shorter() {
        let count = 200;
        for (norm, shape) in [(Norm::Linf, [count, 30]), (Norm::L2, [count, 30]), (Norm::L2, [count, 1])] {
            let points = random(shape, -0.3, 1.3, 1).clamp(0.0, 1.0);
            let normal = random(shape, -1.0, 1.0, 2);
            let inside = random(shape, 0.0, 1.0, 3);
            let offset = sum(&(&normal * &inside)).unwrap();
            let moved = shortest_move(&points, &normal, &offset, norm).unwrap();
            let end = &points + &moved;
            assert!(end.min().double_value(&[]) >= -1e-12 && end.max().double_value(&[]) <= 1.0 + 1e-12);
            let missed = (sum(&(&normal * &end)).unwrap() - &offset).abs().max().double_value(&[]);
            assert!(missed < 1e-5, "{norm}: {missed}");
            // The inner points lie on the plane too; none is nearer.
            let length = |delta: &Tensor| match norm {
                Norm::Linf => delta.abs().amax(1, false),
                Norm::L2 => sum(&delta.square()).unwrap().sqrt(),
            };
            let (ours, other) = (length(&moved), length(&(&inside - &points)));
            assert_eq!(ours.le_tensor(&(other + 1e-6)).all().int64_value(&[]), 1, "{norm}");
            // Optimality: a coordinate that is not at the box moves at one pace.
            let pace = if norm == Norm::Linf { normal.ones_like() } else { normal.abs() };
            let times = moved.abs() / pace;
            let free = end.gt(1e-9).logical_and(&end.lt(1.0 - 1e-9));
            let top = times.amax(1, true);
            let lags = (top - &times).where_self(&free, &times.zeros_like()).max().double_value(&[]);
            assert!(lags < 1e-9, "{norm}: {lags}");
        }
    }

    #[test]
    fn out_of_reach_and_flat_planes_end_in_a_corner_and_at_rest() {
        let points = Tensor::from_slice(&[0.2, 0.7, 0.5]).unsqueeze(0);
        let normal = Tensor::from_slice(&[1.0, -2.0, 0.0]).unsqueeze(0);
        for norm in [Norm::Linf, Norm::L2] {
            let far = shortest_move(&points, &normal, &Tensor::from_slice(&[9.0]), norm).unwrap();
            assert!((far - Tensor::from_slice(&[0.8, -0.7, 0.0])).abs().max().double_value(&[]) < 1e-12);
            let flat =
                shortest_move(&points, &normal.zeros_like(), &Tensor::from_slice(&[1.0]), norm).unwrap();
            assert_eq!(flat.abs().max().double_value(&[]), 0.0);
        }
    }
}
