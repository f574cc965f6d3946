//! Taylor models against what they claim: closed forms, finite differences, error orders, in double precision.

use crate::support::threat;
use crate::toy::{images, largest, mlp, smooth};
use gaat::attack::{Exact, GradientOracle, Taylor, ball};
use gaat::nn::{Mode, Rng};
use gaat::taylor::TaylorModel;
use gaat_spec::{Anchor, Curvature, Norm};
use tch::{Device, Kind, Tensor};

#[test]
fn exact_gradients_agree_with_finite_differences() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(3);
    let mut oracle = Exact::new(network.as_ref(), Mode::Eval);
    let gradient = oracle.at(&pixels, &labels).unwrap().gradient;
    let step = 1e-6;
    for coordinate in 0..16 {
        let mut shift = Tensor::zeros([16], (Kind::Double, Device::Cpu));
        let _ = shift.get(coordinate).fill_(step);
        shift = shift.view([1, 1, 4, 4]);
        let up = oracle.at(&(&pixels + &shift), &labels).unwrap().losses;
        let down = oracle.at(&(&pixels - &shift), &labels).unwrap().losses;
        let slope = (up - down) / (2.0 * step);
        let claimed = gradient.flatten(1, -1).select(1, coordinate);
        assert!(largest(&(&slope - &claimed)) < 1e-7, "{slope} is not {claimed}");
    }
}

#[test]
fn the_error_of_order_k_falls_with_the_power_k_plus_one_of_the_distance() {
    tch::set_num_threads(1);
    let network = smooth();
    let (pixels, labels) = images(8);
    let draws = Rng::new(6).seeded("direction", 0);
    let direction = draws.uniform(&[8, 1, 4, 4], -1.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    let threat = threat(Norm::Linf, 0.1);
    let mut exact = Exact::new(&network, Mode::Eval);
    let cases = [
        (1.0, Curvature::None, false, 1e-4),
        (2.0, Curvature::Exact, false, 1e-3),
        (3.0, Curvature::Exact, true, 4e-3),
    ];
    for (order, curvature, third_order, distance) in cases {
        let model = TaylorModel { third_order, ..TaylorModel::once(Anchor::Clean, curvature, &threat) };
        let draws = Rng::new(2).seeded("curvature", 0);
        let mut taylor = Taylor::new(&network, Mode::Eval, &pixels, model, draws);
        // Of the value, and of the gradient, which is one order less.
        let mut errors = |distance: f64| {
            let point = &pixels + &direction * distance;
            let truth = exact.at(&point, &labels).unwrap();
            let model = taylor.at(&point, &labels).unwrap();
            (largest(&(truth.losses - model.losses)), largest(&(truth.gradient - model.gradient)))
        };
        let (far, near) = (errors(distance), errors(distance / 2.0));
        let found = ((far.0 / near.0).log2(), (far.1 / near.1).log2());
        println!("order {order}: the errors fall with the powers {found:?} of the distance");
        assert!((found.0 - order - 1.0).abs() < 0.05, "value: {found:?}, {far:?}");
        assert!((found.1 - order).abs() < 0.05, "gradient: {found:?}, {far:?}");
    }
}

#[test]
fn a_linear_network_is_attacked_along_its_weights() {
    // One logit difference w.x: the L-infinity attack is epsilon sign(w), the L2 attack epsilon w / |w|.
    let weights = Tensor::from_slice(&[1.0, -2.0, 0.0, 2.0]).view([1, 1, 2, 2]);
    let linf = ball::steepest_ascent(&weights, Norm::Linf);
    assert_eq!(linf, Tensor::from_slice(&[1.0, -1.0, 0.0, 1.0]).view([1, 1, 2, 2]));
    let l2 = ball::steepest_ascent(&weights, Norm::L2);
    assert!(largest(&(l2 - &weights / 3.0)) < 1e-12);
    let zero = weights.zeros_like();
    assert_eq!(ball::steepest_ascent(&zero, Norm::L2), zero);
    assert_eq!(ball::steepest_ascent(&zero, Norm::Linf), zero);
}

#[test]
fn projection_is_idempotent_inside_and_nearest() {
    let draws = Rng::new(7).seeded("projection", 0);
    let clean = draws.uniform(&[6, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    for norm in [Norm::Linf, Norm::L2] {
        let threat = threat(norm, 0.3);
        let wild = draws.normal(&[6, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
        let projected = ball::project(&wild, &threat);
        assert!(largest(&ball::lengths(&projected, norm)) <= 0.3 + 1e-12);
        assert!(largest(&(ball::project(&projected, &threat) - &projected)) < 1e-15, "not idempotent");
        let inside = &wild * 1e-3;
        assert_eq!(ball::project(&inside, &threat), inside, "moved a point of the ball");
        // No other point of the ball is nearer.
        let distance = |point: &Tensor| {
            (&wild - point).flatten(1, -1).square().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
        };
        for _ in 0..50 {
            let other = ball::random_start(&clean, &threat, &draws).unwrap();
            assert!((distance(&other) - distance(&projected)).min().double_value(&[]) >= 0.0);
        }
        let boxed = ball::project_into_box(&clean, &wild, &threat);
        let perturbed = &clean + &boxed;
        assert!(
            perturbed.min().double_value(&[]) >= -1e-12 && perturbed.max().double_value(&[]) <= 1.0 + 1e-12
        );
        assert!(largest(&ball::lengths(&boxed, norm)) <= 0.3 + 1e-12);
    }
}

#[test]
fn random_starts_fill_the_ball() {
    let draws = Rng::new(8).seeded("starts", 0);
    let clean = Tensor::zeros([4000, 1, 1, 2], (Kind::Double, Device::Cpu));
    for norm in [Norm::Linf, Norm::L2] {
        let threat = threat(norm, 0.5);
        let start = ball::random_start(&clean, &threat, &draws).unwrap();
        let lengths = ball::lengths(&start, norm);
        assert!(largest(&lengths) <= 0.5);
        assert!(largest(&lengths) > 0.49, "the edge is never reached");
        // Mean zero within five standard errors, whatever the norm.
        assert!(start.mean(Kind::Double).double_value(&[]).abs() < 5.0 * 0.3 / 8000f64.sqrt());
        let signs = start.sign().abs().sum(Kind::Double).double_value(&[]);
        assert!(signs >= 7990.0, "coordinates are zero");
    }
}
