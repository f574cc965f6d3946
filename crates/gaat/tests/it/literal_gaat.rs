//! What the published method is: on a trained network, literal GAAT equals one long sign step.
//!
//! With one gradient row `g` an example, `g + J^T J d = g (1 + g.d)`, and the diagonal form is `g_i (1 + g_i d_i)`:
//! the sign of `g` survives unless the bracket is negative. So K steps of length alpha are one step of length K alpha
//! from the random start, clipped: FGSM with a random start whose gradient is taken at the clean image.

use crate::support::threat;
use gaat::attack::{Exact, GradientOracle, Pgd, Start, StopRule, Taylor, UnderAttack, Walk, ball, run};
use gaat::batch::Images;
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Rng, build};
use gaat::taylor::TaylorModel;
use gaat::train::{Quiet, TrainOptions, train};
use gaat_data::{Source, load};
use gaat_spec::{Anchor, Curvature, DatasetName, ModelName, Norm, Recipe};
use tch::{Device, Kind, Tensor};

/// The network of the digits after a few natural epochs, in double precision.
fn trained() -> Box<dyn Classifier> {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let text = "dataset = \"digits\"\nmethod = \"natural\"\nepochs = 4\nprecision = \"fp32\"";
    let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
    train(&recipe, &TrainOptions { run_dir: run_dir.clone(), resume: false }, &mut Quiet).unwrap();
    let (_, state) = gaat::weights::load(&run_dir.join("checkpoints/last.safetensors")).unwrap();
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Double,
        seed: 0,
        normalization: Normalization::identity(1),
    };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    let network = build(&ModelName::ConvNet, input, 10, &options).unwrap();
    network.store().load(&state).unwrap();
    network
}

#[test]
fn literal_gaat_is_one_sign_step_on_a_trained_network() {
    tch::set_num_threads(1);
    let network = trained();
    let data = load(&Source { dataset: DatasetName::Digits, data_dir: None, resize: None }).unwrap();
    let images = Images::upload(&data.train, Device::Cpu).unwrap();
    let batch = images.range(0, 1000, Kind::Double).unwrap();
    let threat = threat(Norm::Linf, 0.15);
    let attack = Pgd {
        steps: 10,
        step_size: threat.epsilon() / 4.0,
        start: Start::Random,
        walk: Walk::InBox,
        stop: StopRule::Never,
    };
    let travel = attack.step_size * attack.steps as f64;
    let gradient =
        Exact::new(network.as_ref(), Mode::Eval).at(&batch.pixels, &batch.labels).unwrap().gradient;
    let draws = || Rng::new(1).seeded("attack", 0);
    let start = ball::random_start(&batch.pixels, &threat, &draws()).unwrap();
    let start = ball::project_into_box(&batch.pixels, &start, &threat);
    let predicted = ball::project_into_box(&batch.pixels, &(start + gradient.sign() * travel), &threat);

    for (curvature, bound) in [(Curvature::GaussNewton, 0.02), (Curvature::Diagonal, 0.002)] {
        let model = TaylorModel::once(Anchor::Clean, curvature, &threat);
        let mut oracle = Taylor::new(network.as_ref(), Mode::Eval, &batch.pixels, model, draws());
        let perturbed =
            run(&attack, &mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws()))
                .unwrap();
        let delta = perturbed.pixels() - &batch.pixels;
        let differing = (&delta - &predicted).abs().gt(1e-9).to_kind(Kind::Double).mean(Kind::Double);
        let share = differing.double_value(&[]);
        println!("{curvature}: {:.3e} of {} coordinates differ from one sign step", share, delta.numel());
        assert!(share <= bound, "{curvature}: {share} of the coordinates differ, at most {bound} expected");
        assert_eq!(oracle.passes().forward, 1000, "K steps cost one forward pass an image");
        assert_eq!(oracle.passes().input_backward, 1000);
    }

    // The prediction itself can fail: a curvature-free model leaves nothing to differ, a shorter step differs a lot.
    let model = TaylorModel::once(Anchor::Clean, Curvature::None, &threat);
    let mut first_order = Taylor::new(network.as_ref(), Mode::Eval, &batch.pixels, model, draws());
    let same =
        run(&attack, &mut first_order, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws()))
            .unwrap();
    let gap = |pixels: &Tensor| (pixels - &batch.pixels - &predicted).abs().max().double_value(&[]);
    assert!(gap(same.pixels()) < 1e-12);
    let short = Pgd { steps: 2, ..attack };
    let other =
        run(&short, &mut first_order, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws()))
            .unwrap();
    assert!(gap(other.pixels()) > 0.01);
}

#[test]
fn gaat_at_the_random_start_without_curvature_is_fgsm_rs() {
    tch::set_num_threads(1);
    let network = trained();
    let data = load(&Source { dataset: DatasetName::Digits, data_dir: None, resize: None }).unwrap();
    let batch = Images::upload(&data.train, Device::Cpu).unwrap().range(0, 200, Kind::Double).unwrap();
    let threat = threat(Norm::Linf, 0.15);
    let start = Start::Random;
    let attack = Pgd { steps: 10, step_size: 0.125 * 0.15, start, walk: Walk::InBall, stop: StopRule::Never };
    let exact = || Exact::new(network.as_ref(), Mode::Eval);
    let draws = || Rng::new(2).seeded("attack", 0);
    let model = TaylorModel::once(Anchor::RandomStart, Curvature::None, &threat);
    let mut oracle = Taylor::new(network.as_ref(), Mode::Eval, &batch.pixels, model, draws());
    let found =
        run(&attack, &mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws())).unwrap();
    // Wong et al. (2020), algorithm 3: noise, gradient there, one step of 1.25 epsilon, clip, cut.
    let noise = ball::random_start(&batch.pixels, &threat, &draws()).unwrap();
    let gradient = exact().at(&(&batch.pixels + &noise), &batch.labels).unwrap().gradient;
    let delta = (noise + gradient.sign() * (1.25 * 0.15)).clamp(-0.15, 0.15);
    let expected = (&batch.pixels + delta).clamp(0.0, 1.0);
    assert!((found.pixels() - expected).abs().max().double_value(&[]) < 1e-12);
}

/// YOPO (Zhang et al. 2019, "You only propagate once") takes the inner steps of the attack with `p^T J0(x + d)`, where `p` is the
/// slope of the loss in the output of the first layer, kept from one full pass, and `J0` the Jacobian of the first layer at the point
/// reached. Where the first layer is linear, `J0` is the same everywhere: each inner step uses the gradient of the full pass, which is
/// what the first-order expansion answers.
#[test]
fn yopo_with_a_linear_first_layer_is_a_first_order_expansion() {
    tch::set_num_threads(1);
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Double,
        seed: 3,
        normalization: Normalization::identity(1),
    };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    let network = build(&ModelName::Mlp, input, 10, &options).unwrap();
    let data = load(&Source { dataset: DatasetName::Digits, data_dir: None, resize: None }).unwrap();
    let batch = Images::upload(&data.train, Device::Cpu).unwrap().range(0, 50, Kind::Double).unwrap();
    let weight = |name: &str| {
        let state = network.store().state().unwrap();
        state.into_iter().find(|(found, _)| found == name).unwrap().1
    };
    let above = |first: &Tensor| {
        let hidden = first.relu().linear(&weight("3.weight"), Some(&weight("3.bias"))).relu();
        hidden.linear(&weight("5.weight"), Some(&weight("5.bias")))
    };
    let first = batch.pixels.flatten(1, -1).linear(&weight("1.weight"), Some(&weight("1.bias")));
    let first = first.detach().set_requires_grad(true);
    let gap = (above(&first) - network.logits(&batch.pixels, Mode::Eval).unwrap()).abs().max();
    assert!(gap.double_value(&[]) < 1e-12, "the same network");
    let losses = above(&first).log_softmax(-1, Kind::Double).gather(1, &batch.labels.unsqueeze(1), false);
    (-losses.sum(Kind::Double)).backward();
    let slope = first.grad();

    let threat = threat(Norm::Linf, 0.15);
    let model = TaylorModel::once(Anchor::RandomStart, Curvature::None, &threat);
    let draws = Rng::new(1).seeded("curvature", 0);
    let mut expansion = Taylor::new(network.as_ref(), Mode::Eval, &batch.pixels, model, draws);
    let mut delta = batch.pixels.zeros_like();
    for step in 0..5 {
        let points = (&batch.pixels + &delta).set_requires_grad(true);
        let first = points.flatten(1, -1).linear(&weight("1.weight"), Some(&weight("1.bias")));
        (first * &slope).sum(Kind::Double).backward();
        let inner = points.grad();
        let answer = expansion.at(&points.detach(), &batch.labels).unwrap().gradient;
        let gap = (&inner - answer).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "step {step}: {gap}");
        delta = ball::project_into_box(&batch.pixels, &(delta + inner.sign() * 0.03), &threat);
    }
    let truth =
        Exact::new(network.as_ref(), Mode::Eval).at(&(&batch.pixels + &delta), &batch.labels).unwrap();
    let answer = expansion.at(&(&batch.pixels + &delta), &batch.labels).unwrap();
    assert!(
        (truth.gradient - answer.gradient).abs().max().double_value(&[]) > 1e-4,
        "the case shows nothing"
    );
}
