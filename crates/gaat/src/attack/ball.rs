//! The only projection code: the ball of a threat model and the pixel box, one implementation a norm.
//!
//! `delta` is a perturbation `[N, C, H, W]`; everything works on each example by itself and keeps dtype and device.

use crate::error::Result;
use crate::nn::Draws;
use gaat_spec::{Norm, ThreatModel};
use tch::{Kind, Tensor};

/// Divides by an L2 length only where it is above this; a gradient that small has no direction.
const LEAST_LENGTH: f64 = 1e-12;

/// A random point of the ball: uniform in every coordinate for L-infinity; for L2 a uniform direction and a
/// uniform length (the convention of torchattacks). The pixel box is not looked at.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn random_start(clean: &Tensor, threat: &ThreatModel, draws: &Draws) -> Result<Tensor> {
    let (shape, kind, device) = (clean.size(), clean.kind(), clean.device());
    let epsilon = threat.epsilon();
    match threat.norm() {
        Norm::Linf => draws.uniform(&shape, -epsilon, epsilon, kind, device),
        Norm::L2 => {
            let direction = draws.normal(&shape, 0.0, 1.0, kind, device)?;
            let lengths = draws.uniform(&[shape[0], 1, 1, 1], 0.0, epsilon, kind, device)?;
            Ok(unit(&direction) * lengths)
        }
    }
}

/// A random point on the edge of the ball: uniform coordinates, or a uniform direction for L2, stretched to length
/// epsilon. The pixel box is not looked at.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn random_edge(clean: &Tensor, threat: &ThreatModel, draws: &Draws) -> Result<Tensor> {
    let (shape, kind, device) = (clean.size(), clean.kind(), clean.device());
    let direction = match threat.norm() {
        Norm::Linf => draws.uniform(&shape, -1.0, 1.0, kind, device)?,
        Norm::L2 => draws.normal(&shape, 0.0, 1.0, kind, device)?,
    };
    let lengths = lengths(&direction, threat.norm()).clamp_min(LEAST_LENGTH);
    Ok(direction / column(&lengths) * threat.epsilon())
}

/// The direction of unit length in the norm along which a linear function grows fastest. Zero where the gradient
/// is zero (`sign(0) = 0`).
pub fn steepest_ascent(gradient: &Tensor, norm: Norm) -> Tensor {
    match norm {
        Norm::Linf => gradient.sign(),
        Norm::L2 => unit(gradient),
    }
}

/// `delta` (`[N, C, H, W]`) after one step along the steepest ascent of `gradient`, of its shape and dtype. `length`: of the step in
/// `norm`, pixel units.
pub fn stepped(delta: &Tensor, gradient: &Tensor, length: f64, norm: Norm) -> Tensor {
    let mut moved = steepest_ascent(gradient, norm);
    moved *= length;
    moved += delta;
    moved
}

/// The nearest point of the ball; the pixel box is not looked at.
pub fn project(delta: &Tensor, threat: &ThreatModel) -> Tensor {
    match threat.norm() {
        Norm::Linf => delta.clamp(-threat.epsilon(), threat.epsilon()),
        Norm::L2 => {
            let over = lengths(delta, Norm::L2) / threat.epsilon().max(LEAST_LENGTH);
            delta / column(&over.clamp_min(1.0))
        }
    }
}

/// `delta` projected on the ball and cut so that `clean + delta` lies in `[0, 1]`. Cutting moves every pixel
/// towards the clean one, so the result stays in the ball.
pub fn project_into_box(clean: &Tensor, delta: &Tensor, threat: &ThreatModel) -> Tensor {
    // In place, as in a step: an attack on a small network spends a tenth of its time here, and much of that on new memory.
    let mut cut = project(delta, threat);
    cut += clean;
    let mut cut = cut.clamp_(0.0, 1.0);
    cut -= clean;
    cut
}

/// `points` with every pixel brought into the box `[0, 1]`.
pub fn into_box(points: &Tensor) -> Tensor {
    points.clamp(0.0, 1.0)
}

/// Least and greatest pixels of the box within `epsilon` of `clean` in every coordinate.
pub fn pixel_bounds(clean: &Tensor, epsilon: f64) -> (Tensor, Tensor) {
    ((clean - epsilon).clamp_min(0.0), (clean + epsilon).clamp_max(1.0))
}

/// Length of each example's perturbation, `[N]`.
pub fn lengths(delta: &Tensor, norm: Norm) -> Tensor {
    let flat = delta.flatten(1, -1);
    match norm {
        Norm::Linf => flat.abs().amax(1, false),
        // In f64: squares of f32 overflow from 1e19 on, and vanish below 1e-19.
        Norm::L2 => {
            let length = flat.norm_scalaropt_dim_dtype(2.0, [1i64].as_slice(), false, Kind::Double);
            length.to_kind(delta.kind())
        }
    }
}

fn unit(direction: &Tensor) -> Tensor {
    let lengths = lengths(direction, Norm::L2);
    let tiny = lengths.le(LEAST_LENGTH);
    direction / column(&lengths.where_self(&tiny.logical_not(), &lengths.full_like(f64::INFINITY)))
}

/// One number an example, `[N]`, as `[N, 1, 1, 1]`.
pub(super) fn column(values: &Tensor) -> Tensor {
    values.view([-1, 1, 1, 1])
}

/// Largest amount by which a point of the ball may overshoot it through rounding in `kind`.
pub fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::Double { 1e-12 } else { 1e-6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_directions_are_finite_at_nothing_and_at_extremes() {
        for size in [0.0f32, 1e-38, 1e-25, 1e-10, 1.0, 1e20, 1e37] {
            let gradient = Tensor::from_slice(&[3.0 * size, -4.0 * size, 0.0, 0.0]).view([1, 1, 2, 2]);
            let length = f64::from(size) * 5.0;
            let found = lengths(&gradient, Norm::L2).double_value(&[0]);
            assert!((found - length).abs() <= 1e-5 * length, "{size}: {found}");
            // Below the least length there is no direction.
            let expected = if length > LEAST_LENGTH { [0.6f32, -0.8, 0.0, 0.0] } else { [0.0; 4] };
            let direction = steepest_ascent(&gradient, Norm::L2).view([4]);
            let gap = (direction - Tensor::from_slice(&expected)).abs().max().double_value(&[]);
            assert!(gap < 1e-6, "{size}: {gap}");
        }
    }

    #[test]
    fn the_slope_of_a_length_is_finite_where_there_is_none() {
        for norm in [Norm::Linf, Norm::L2] {
            let delta = Tensor::zeros([2, 1, 2, 2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
            lengths(&delta, norm).sum(Kind::Float).backward();
            assert_eq!(crate::nn::finite::fault(&delta.grad()).unwrap(), None, "{norm}");
        }
    }
}
