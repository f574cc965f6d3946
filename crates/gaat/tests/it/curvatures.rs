//! Every curvature against the matrix that it stands for, in double precision, and what each costs.

use crate::support::{recipe, trained};
use crate::toy::{images, largest, mlp, smooth, sums};
use gaat::attack::{Exact, GradientOracle, Pgd, Start, StopRule, Taylor, UnderAttack, Walk, ball, run};
use gaat::nn::{Classifier, Mode, Rng};
use gaat::taylor::TaylorModel;
use gaat::taylor::curvature::{BatchFisher, Diagonal, GaussNewton, InputHessian, SampledFisher, Secant};
use gaat_spec::{Anchor, Curvature, Norm, Passes, ThreatModel};
use tch::{Device, Kind, Tensor};

const NORMS: [Norm; 2] = [Norm::Linf, Norm::L2];

fn threat(norm: Norm) -> ThreatModel {
    crate::support::threat(norm, 0.1)
}

fn normal(stream: &str, shape: &[i64]) -> Tensor {
    Rng::new(4).seeded(stream, 0).normal(shape, 0.0, 1.0, Kind::Double, Device::Cpu).unwrap()
}

/// An oracle with one expansion of `pixels` at the clean images.
fn oracle<'a>(network: &'a dyn Classifier, pixels: &Tensor, model: TaylorModel) -> Taylor<'a> {
    Taylor::new(network, Mode::Eval, pixels, model, Rng::new(2).seeded("curvature", 0))
}

/// `H s` as the oracle has it: the model's gradient at `pixels + s` less that at `pixels`.
fn product(network: &dyn Classifier, batch: (&Tensor, &Tensor), s: &Tensor, model: TaylorModel) -> Tensor {
    let mut oracle = oracle(network, batch.0, model);
    let there = oracle.at(&(batch.0 + s), batch.1).unwrap().gradient;
    there - oracle.at(batch.0, batch.1).unwrap().gradient
}

#[test]
fn products_of_gradients_equal_their_matrices() {
    let (gradient, s) = (normal("gradient", &[3, 1, 4, 4]), normal("displacement", &[3, 1, 4, 4]));
    let other = normal("other", &[3, 1, 4, 4]);
    let rows = gradient.flatten(1, -1);
    let whole = rows.tr().matmul(&rows);
    for example in 0..3 {
        let outer = |gradient: &Tensor| {
            let row = gradient.get(example).view([1, 16]);
            row.tr().matmul(&row)
        };
        let own = outer(&gradient);
        let diagonal = own.diag(0).diag(0);
        let mean = (&own + outer(&other)) * 0.5;
        let copy = |tensor: &Tensor| tensor.shallow_clone();
        let cases: [(&str, Box<dyn InputHessian>, Tensor); 4] = [
            ("gauss-newton", Box::new(GaussNewton::new(&gradient)), own),
            ("diagonal", Box::new(Diagonal::new(&gradient)), diagonal),
            ("batch-fisher", Box::new(BatchFisher::new(&gradient)), copy(&whole)),
            ("sampled-fisher", Box::new(SampledFisher::new(vec![copy(&gradient), copy(&other)])), mean),
        ];
        for (name, curvature, matrix) in cases {
            let expected = matrix.matmul(&s.get(example).view([16, 1])).view([1, 4, 4]);
            let found = curvature.product(&s).unwrap().get(example);
            assert!(largest(&(found - expected)) < 1e-11, "{name}");
        }
    }
}

#[test]
fn every_model_is_exact_at_its_anchor_and_its_gradient_is_the_slope_of_its_value() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(3);
    let truth = Exact::new(network.as_ref(), Mode::Eval).at(&pixels, &labels).unwrap();
    for norm in NORMS {
        for anchor in Anchor::ALL {
            for curvature in Curvature::ALL {
                let case = format!("{norm} {anchor} {curvature}");
                let model = TaylorModel { draws: 3, ..TaylorModel::once(*anchor, *curvature, &threat(norm)) };
                let mut taylor = oracle(network.as_ref(), &pixels, model);
                let answer = taylor.at(&pixels, &labels).unwrap();
                assert_eq!(answer.gradient, truth.gradient, "{case}");
                assert_eq!(answer.losses, truth.losses, "{case}");
                assert!(!taylor.is_exact(), "{case}");

                // d/ds (g.s + 1/2 s.H s) = g + H s, if H is symmetric.
                let direction = normal("direction", &[3, 1, 4, 4]);
                let point = &pixels + &direction * 0.1;
                let expansion = taylor.expansion().unwrap();
                let gains = |step: f64| expansion.forecast(&(&point + &direction * step)).unwrap().gains;
                let slope = (gains(1e-5) - gains(-1e-5)) / 2e-5;
                let claimed = sums(&(expansion.forecast(&point).unwrap().gradient * &direction));
                assert!(largest(&(slope - claimed)) < 1e-7, "{case}");
            }
        }
    }
}

/// `J^T (diag(p) - p p^T) J s` with the Jacobian of the logits, class by class.
fn gauss_newton_of_the_logits(network: &dyn Classifier, pixels: &Tensor, s: &Tensor) -> Tensor {
    let leaf = pixels.detach().set_requires_grad(true);
    let logits = network.logits(&leaf, Mode::Eval).unwrap();
    let probabilities = logits.softmax(-1, Kind::Double).detach();
    let classes = network.class_count();
    let rows: Vec<Tensor> = (0..classes)
        .map(|class| {
            let sum = logits.select(1, class).sum(Kind::Double);
            Tensor::run_backward(&[sum], &[&leaf], true, false).remove(0)
        })
        .collect();
    let slopes: Vec<Tensor> = rows.iter().map(|row| sums(&(row * s))).collect();
    let slopes = Tensor::stack(&slopes, 1);
    let mean = (&slopes * &probabilities).sum_dim_intlist([1i64].as_slice(), true, Kind::Double);
    let weights = &probabilities * (&slopes - mean);
    rows.iter()
        .enumerate()
        .map(|(class, row)| row * weights.select(1, class as i64).view([-1, 1, 1, 1]))
        .fold(s.zeros_like(), |sum, term| sum + term)
}

#[test]
fn sampled_labels_have_the_generalised_gauss_newton_matrix_as_their_mean() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(4);
    let s = normal("displacement", &[4, 1, 4, 4]) * 0.1;
    let truth = gauss_newton_of_the_logits(network.as_ref(), &pixels, &s);

    // The expectation itself: every class, weighed by its probability.
    let probabilities = network.logits(&pixels, Mode::Eval).unwrap().softmax(-1, Kind::Double).detach();
    let mut exact = Exact::new(network.as_ref(), Mode::Eval);
    let mut expected = s.zeros_like();
    for class in 0..5 {
        let gradient = exact.at(&pixels, &(labels.zeros_like() + class)).unwrap().gradient;
        let product = SampledFisher::new(vec![gradient]).product(&s).unwrap();
        expected += product * probabilities.select(1, class).view([-1, 1, 1, 1]);
    }
    assert!(largest(&(&expected - &truth)) < 1e-12 * largest(&truth).max(1.0));

    // Between its kinks a ReLU network is linear, so that the matrix is the Hessian.
    let clean = TaylorModel::once(Anchor::Clean, Curvature::Exact, &threat(Norm::Linf));
    let hessian = product(network.as_ref(), (&pixels, &labels), &s, clean);
    assert!(largest(&(&hessian - &truth)) < 1e-12);

    // Draws: the error falls with their root.
    let error = |draws: usize| {
        let model = TaylorModel { draws, curvature: Curvature::SampledFisher, ..clean };
        let found = product(network.as_ref(), (&pixels, &labels), &s, model);
        let scale = truth.square().sum(Kind::Double).double_value(&[]).sqrt();
        (found - &truth).square().sum(Kind::Double).double_value(&[]).sqrt() / scale
    };
    let (few, more, many) = (error(8), error(200), error(5000));
    println!("relative error with 8, 200, 5000 draws: {few:.3}, {more:.3}, {many:.3}");
    // A factor of 5 each; the error of one sample is itself random.
    assert!((2.0..12.0).contains(&(few / more)) && (2.0..12.0).contains(&(more / many)));
    assert!(many < 0.05, "{many}");
}

#[test]
fn the_secant_matches_a_quadratic_along_its_probe() {
    // l = 1/2 x.A x + b.x has the gradient A x + b, whatever the off-diagonal of A.
    let root = normal("matrix", &[16, 16]);
    let matrix = root.tr().matmul(&root);
    let (start, offset) = (normal("start", &[16, 1]), normal("offset", &[16, 1]));
    let gradient = |point: &Tensor| (matrix.matmul(point) + &offset).view([1, 1, 4, 4]);
    let probe = gradient(&start).sign() * 0.3;
    let after = gradient(&(&start + probe.view([16, 1])));
    let secant = Secant::new(&gradient(&start), &after, &probe).unwrap();
    let expected = matrix.matmul(&probe.view([16, 1])).view([1, 1, 4, 4]);
    for share in [1.0, 0.5, -2.0] {
        let found = secant.product(&(&probe * share)).unwrap();
        assert!(largest(&(found - &expected * share)) < 1e-12, "{share}");
    }
}

#[test]
fn the_secant_meets_the_network_where_its_second_step_ends() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(3);
    let mut exact = Exact::new(network.as_ref(), Mode::Eval);
    let gradient = exact.at(&pixels, &labels).unwrap().gradient;
    for norm in NORMS {
        // Of length 0.1: in L2 a sixteenth of its square each.
        let step = if norm == Norm::L2 { 0.1 / 4.0 } else { 0.1 };
        let there = &pixels + gradient.sign() * step;
        assert!((largest(&ball::lengths(&(&there - &pixels), norm)) - 0.1).abs() < 1e-12);
        let model = TaylorModel::once(Anchor::Clean, Curvature::Secant, &threat(norm));
        let mut taylor = oracle(network.as_ref(), &pixels, model);
        let found = taylor.at(&there, &labels).unwrap().gradient;
        let truth = exact.at(&there, &labels).unwrap().gradient;
        assert!(largest(&(found - &truth)) < 1e-12, "{norm}");
        assert!(largest(&(truth - &gradient)) > 1e-4, "{norm}: the case shows nothing");
    }
    let model = TaylorModel {
        secant_step: 0.0,
        ..TaylorModel::once(Anchor::Clean, Curvature::Secant, &threat(Norm::Linf))
    };
    let error = oracle(network.as_ref(), &pixels, model).at(&pixels, &labels).unwrap_err().to_string();
    assert!(error.contains("a second step over 0"), "{error}");
}

#[test]
fn exact_curvature_agrees_with_differences_of_gradients() {
    tch::set_num_threads(1);
    let network = smooth();
    let (pixels, labels) = images(3);
    let s = normal("displacement", &[3, 1, 4, 4]);
    let model = TaylorModel::once(Anchor::Clean, Curvature::Exact, &threat(Norm::Linf));
    let found = product(&network, (&pixels, &labels), &s, model);
    let mut exact = Exact::new(&network, Mode::Eval);
    let mut gradient = |step: f64| exact.at(&(&pixels + &s * step), &labels).unwrap().gradient;
    let expected = (gradient(1e-5) - gradient(-1e-5)) / 2e-5;
    assert!(largest(&(&found - &expected)) < 1e-7 * largest(&expected), "{found} {expected}");
    // A smooth network bends itself too: the Gauss-Newton matrix is not its Hessian.
    let approximate = gauss_newton_of_the_logits(&network, &pixels, &s);
    assert!(largest(&(&approximate - &expected)) > 1e-2 * largest(&expected));
}

#[test]
fn an_expansion_at_every_step_is_pgd_bit_for_bit() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(6);
    for norm in NORMS {
        let threat = threat(norm);
        let (start, walk, stop) = (Start::Random, Walk::InBox, StopRule::Never);
        let attack = Pgd { steps: 4, step_size: 0.03, start, walk, stop };
        let draws = || Rng::new(1).seeded("attack", 0);
        let mut exact = Exact::new(network.as_ref(), Mode::Eval);
        let expected =
            run(&attack, &mut exact, UnderAttack::new(&pixels, &labels, &threat, &draws())).unwrap();
        let found = |refreshes: usize| {
            let model = TaylorModel {
                steps: 4,
                refreshes,
                ..TaylorModel::once(Anchor::RandomStart, Curvature::GaussNewton, &threat)
            };
            let mut taylor = oracle(network.as_ref(), &pixels, model);
            run(&attack, &mut taylor, UnderAttack::new(&pixels, &labels, &threat, &draws()))
                .unwrap()
                .into_pixels()
        };
        assert_eq!(&found(4), expected.pixels(), "{norm}");
        assert_ne!(&found(1), expected.pixels(), "{norm}: the case shows nothing");
    }
}

#[test]
fn every_pass_is_counted() {
    tch::set_num_threads(1);
    let network = mlp();
    let (pixels, labels) = images(6);
    let threat = threat(Norm::Linf);
    let (start, walk, stop) = (Start::Random, Walk::InBox, StopRule::Never);
    let attack = Pgd { steps: 6, step_size: 0.03, start, walk, stop };
    for refreshes in [1, 2, 6] {
        for curvature in Curvature::ALL {
            // An expansion, a question; the attack asks six, and one more is about its end.
            let (expansion, question) = match curvature {
                Curvature::SampledFisher => ((1, 1 + 3), 0),
                Curvature::Secant => ((2, 2), 0),
                Curvature::Exact => ((1, 1), 1),
                _ => ((1, 1), 0),
            };
            for anchor in Anchor::ALL {
                let once = TaylorModel::once(*anchor, *curvature, &threat);
                let mut taylor =
                    oracle(network.as_ref(), &pixels, TaylorModel { steps: 6, refreshes, draws: 3, ..once });
                let draws = Rng::new(1).seeded("attack", 0);
                let perturbed =
                    run(&attack, &mut taylor, UnderAttack::new(&pixels, &labels, &threat, &draws)).unwrap();
                taylor.settle(perturbed.pixels()).unwrap();
                let count = 6 * refreshes as u64;
                let expected = Passes {
                    forward: count * expansion.0,
                    input_backward: count * expansion.1,
                    full_backward: 0,
                    hessian_vector: 6 * 7 * question,
                };
                assert_eq!(taylor.passes(), expected, "{anchor} {curvature} {refreshes}");
                assert!(taylor.into_forecast().is_ok());
            }
        }
    }
}

#[test]
fn every_curvature_trains_and_the_loop_counts_its_passes() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for curvature in Curvature::ALL {
        let text = format!(
            "method = \"gaat\"\nmodel = \"convnet\"\nlimit = 60\nepochs = 1\nbatch-size = 27\nsteps = 4\n\
             validation-steps = 1\ncurvature = \"{curvature}\"\ncurvature-draws = 2\nrefreshes = 2"
        );
        let record = trained(&recipe(&text), &folder.path().join(curvature.as_str()));
        // 54 images, two expansions each, five questions with that about the end.
        let (forward, input_backward, hessian_vector) = match curvature {
            Curvature::SampledFisher => (2, 6, 0),
            Curvature::Secant => (4, 4, 0),
            Curvature::Exact => (2, 2, 5),
            _ => (2, 2, 0),
        };
        let expected = Passes {
            forward: 54 * (forward + 1),
            input_backward: 54 * input_backward,
            full_backward: 54,
            hessian_vector: 54 * hessian_vector,
        };
        assert_eq!(record.passes, expected, "{curvature}");
        assert_eq!(record.epochs[0].refreshes, 2.0, "{curvature}");
        assert!(record.epochs[0].gain_ratio.is_some_and(f64::is_finite), "{curvature}");
    }
}
