//! Taylor models against what they claim: closed forms, finite differences, error orders, in double precision.

use gaat::attack::{Exact, GradientOracle, Taylor, ball};
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Rng, build};
use gaat::taylor::{Expansion, curvature};
use gaat_spec::{Anchor, Curvature, ModelName, Norm, ThreatModel};
use tch::{Device, Kind, Tensor};

/// A small network in double precision, as initialised.
fn network() -> Box<dyn Classifier> {
    let input = InputShape { channels: 1, height: 4, width: 4 };
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Double,
        seed: 3,
        normalization: Normalization::identity(1),
    };
    build(&ModelName::Mlp, input, 5, &options).unwrap()
}

fn images(count: i64) -> (Tensor, Tensor) {
    let draws = Rng::new(9).seeded("images", 0);
    let pixels = draws.uniform(&[count, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    (pixels, draws.randint(&[count], 0, 5, Device::Cpu).unwrap())
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

#[test]
fn exact_gradients_agree_with_finite_differences() {
    tch::set_num_threads(1);
    let network = network();
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
fn curvatures_equal_their_matrices() {
    let draws = Rng::new(4).seeded("curvature", 0);
    let draw = || draws.normal(&[2, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    let (gradient, displacement) = (draw(), draw());
    for example in 0..2 {
        let row = gradient.get(example).view([1, 16]);
        let column = displacement.get(example).view([16, 1]);
        let outer = row.tr().matmul(&row);
        let diagonal = outer.diag(0).diag(0);
        for (name, matrix) in [(Curvature::GaussNewton, outer), (Curvature::Diagonal, diagonal)] {
            let product = curvature::product(name, &gradient, &displacement).unwrap();
            let expected = matrix.matmul(&column).view([1, 4, 4]);
            assert!(largest(&(product.get(example) - expected)) < 1e-12, "{name}");
        }
    }
    assert!(curvature::product(Curvature::None, &gradient, &displacement).is_none());
}

#[test]
fn a_model_is_exact_at_its_anchor_and_its_gradient_is_that_of_its_value() {
    tch::set_num_threads(1);
    let network = network();
    let (pixels, labels) = images(3);
    for anchor in Anchor::ALL {
        for curvature in Curvature::ALL {
            let mut exact = Exact::new(network.as_ref(), Mode::Eval);
            let truth = exact.at(&pixels, &labels).unwrap();
            let mut taylor =
                Taylor::new(Exact::new(network.as_ref(), Mode::Eval), &pixels, *anchor, *curvature);
            let answer = taylor.at(&pixels, &labels).unwrap();
            assert_eq!(answer.gradient, truth.gradient, "{anchor} {curvature}");
            assert_eq!(answer.losses, truth.losses, "{anchor} {curvature}");
            assert!(!taylor.is_exact() && exact.is_exact());

            // d/ds (g.s + 1/2 s.H s) = g + H s: the model's value must have the model's gradient as its slope. The
            // matrix that H stands for is symmetric, which this would catch too.
            let expansion = taylor.expansion().unwrap();
            let draws = Rng::new(5).seeded("direction", 0);
            let direction = draws.normal(&[3, 1, 4, 4], 0.0, 1.0, Kind::Double, Device::Cpu).unwrap();
            let point = &pixels + &direction * 0.1;
            let frozen = Expansion {
                anchor: expansion.anchor.shallow_clone(),
                losses: expansion.losses.shallow_clone(),
                gradient: expansion.gradient.shallow_clone(),
                curvature: *curvature,
            };
            let step = 1e-5;
            let up = frozen.predicted_gain(&(&point + &direction * step));
            let down = frozen.predicted_gain(&(&point - &direction * step));
            let slope = (up - down) / (2.0 * step);
            let claimed = (frozen.gradient_at(&point) * &direction).flatten(1, -1).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                None::<Kind>,
            );
            assert!(largest(&(slope - claimed)) < 1e-8, "{anchor} {curvature}");
        }
    }
}

#[test]
fn the_first_order_error_falls_with_the_square_of_the_distance() {
    tch::set_num_threads(1);
    let network = network();
    let (pixels, labels) = images(8);
    let draws = Rng::new(6).seeded("direction", 0);
    let direction = draws.uniform(&[8, 1, 4, 4], -1.0, 1.0, Kind::Double, Device::Cpu).unwrap();
    let mut exact = Exact::new(network.as_ref(), Mode::Eval);
    let mut taylor =
        Taylor::new(Exact::new(network.as_ref(), Mode::Eval), &pixels, Anchor::Clean, Curvature::None);
    let mut error = |distance: f64| {
        let point = &pixels + &direction * distance;
        let truth = exact.at(&point, &labels).unwrap().losses;
        let model = taylor.at(&point, &labels).unwrap().losses;
        largest(&(truth - model))
    };
    // Small enough that no ReLU of this network changes side on the way; the model's scale is tested, not its sign.
    let (far, near) = (error(1e-4), error(5e-5));
    let order = (far / near).log2();
    assert!((order - 2.0).abs() < 0.05, "the error falls with order {order}");
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
        let threat = ThreatModel::new(norm, "0.3".parse().unwrap()).unwrap();
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
        let threat = ThreatModel::new(norm, "0.5".parse().unwrap()).unwrap();
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
