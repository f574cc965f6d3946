//! Every network against PyTorch: `reference/models.py` wrote the expected numbers.

use super::{network, options};
use gaat::attack::{self, Exact, Pgd, Start, StopRule, UnderAttack, Walk};
use gaat::nn::{
    BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Rng, Role, build, has_bf16,
};
use gaat_shim::Graph;
use gaat_spec::{Norm, PixelLength, ThreatModel};
use gaat_testkit::skip;
use serde::Deserialize;
use tch::{Device, Kind, Reduction, Tensor};

#[derive(Deserialize)]
pub(crate) struct Golden {
    epsilon: f64,
    step_size: f64,
    steps: usize,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) model: String,
    pub(crate) input: [i64; 3],
    pub(crate) classes: i64,
    pub(crate) mean: Vec<f64>,
    pub(crate) std: Vec<f64>,
    labels: Vec<i64>,
    state: Vec<(String, Vec<i64>)>,
    eval: Pass,
    train: Pass,
    pgd: EndPoint,
    running_mean_sum: f64,
    running_var_sum: f64,
}

#[derive(Deserialize)]
struct Pass {
    logits: Vec<Vec<f64>>,
    loss: f64,
    gradient: Gradient,
    parameter_gradient_l2: Vec<f64>,
}

#[derive(Deserialize)]
struct Gradient {
    l1: f64,
    l2: f64,
    samples: Vec<(i64, f64)>,
}

#[derive(Deserialize)]
struct EndPoint {
    loss: f64,
    logits: Vec<Vec<f64>>,
    samples: Vec<(i64, f64)>,
}

pub(crate) fn golden() -> Golden {
    serde_json::from_str(include_str!("../../golden/models.json")).unwrap()
}

/// The numbers of `uniform` in `reference/models.py`.
pub(crate) fn uniform(name: &str, size: &[i64]) -> Tensor {
    let hash =
        name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let value = |place: u32| {
        let mut x = hash.wrapping_add(place.wrapping_mul(0x9E37_79B9));
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        f64::from((x ^ (x >> 16)) >> 8) / f64::from(1 << 24)
    };
    let values: Vec<f64> = (0..size.iter().product::<i64>() as u32).map(value).collect();
    Tensor::from_slice(&values).view(size)
}

/// The parameters of `fill` in `reference/models.py`.
pub(crate) fn fill(classifier: &dyn Classifier) {
    let value = |name: &str, role: Role, size: &[i64]| -> Tensor {
        let signed = uniform(name, size) * 2.0 - 1.0;
        let value = match role {
            Role::Buffer if name.ends_with("running_var") => signed * 0.3 + 1.0,
            Role::NormScale => signed * 0.1 + 1.0,
            Role::NormShift | Role::Bias | Role::Buffer | Role::Counter | Role::Embedding => signed * 0.1,
            Role::Weight => {
                let is_depthwise = size.len() == 4 && size[1] == 1 && size[0] >= 32;
                let gain = match size.len() {
                    4 if is_depthwise => 6.0,
                    4 => 2.0,
                    _ => 1.75,
                };
                signed * (gain / (size[1..].iter().product::<i64>() as f64).sqrt())
            }
        };
        value.to_kind(Kind::Float)
    };
    let entries = classifier.store().named().iter();
    let state: Vec<_> = entries
        .map(|entry| (entry.name.clone(), value(&entry.name, entry.role, &entry.tensor.size())))
        .collect();
    classifier.store().load(&state).unwrap();
}

impl Case {
    pub(crate) fn network(&self, kind: Kind, precision: ComputePrecision) -> Box<dyn Classifier> {
        let [channels, height, width] = self.input;
        let normalization = Normalization { mean: self.mean.clone(), std: self.std.clone() };
        let options = BuildOptions { kind, precision, normalization, ..options(channels) };
        let input = InputShape { channels, height, width };
        let classifier = build(&self.model.parse().unwrap(), input, self.classes, &options).unwrap();
        fill(classifier.as_ref());
        classifier
    }

    fn images(&self) -> Tensor {
        let [channels, height, width] = self.input;
        uniform("images", &[self.labels.len() as i64, channels, height, width])
    }

    fn differentiated(
        &self,
        classifier: &dyn Classifier,
        images: &Tensor,
        mode: Mode,
    ) -> (Tensor, Tensor, Tensor) {
        let pixels = images.to_kind(classifier.store().kind()).detach().copy().set_requires_grad(true);
        let logits = classifier.logits(&pixels, mode).unwrap();
        let labels = Tensor::from_slice(&self.labels);
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
        let gradient =
            gaat_shim::gradients(&[&loss], None, &[&pixels], Graph::Keep).unwrap().remove(0).unwrap();
        (logits, loss, gradient)
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Differences relative to the largest expected number.
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs() / scale));
    assert!(worst <= tolerance, "{what}: off by {worst:.1e} of the largest, allowed {tolerance:.1e}");
}

/// Root mean square of the differences, relative to that of the expected numbers.
fn assert_samples(what: &str, found: &Tensor, expected: &[(i64, f64)], tolerance: f64) {
    let found = numbers(found);
    let (difference, size) = expected.iter().fold((0.0, 0.0), |(difference, size), (place, value)| {
        (difference + (found[*place as usize] - value).powi(2), size + value.powi(2))
    });
    let relative = f64::sqrt(difference / size);
    assert!(relative <= tolerance, "{what}: off by {relative:.1e}, allowed {tolerance:.1e}");
}

/// Allowed differences of logits and losses, and of gradients.
#[derive(Clone, Copy)]
struct Tolerance {
    values: f64,
    gradients: f64,
}

const DOUBLE: Tolerance = Tolerance { values: 1e-9, gradients: 1e-9 };
/// Between single and double precision a unit near zero can fall on the other side of its kink; PyTorch's own
/// gradients then differ by some percent in places.
const SINGLE: Tolerance = Tolerance { values: 1e-4, gradients: 0.05 };

/// What `imagenet-resnet-50` may be off in training: 53 normalisations by few numbers, sixteen a channel in the last ones, make rounding
/// grow from layer to layer. PyTorch 2.11 itself is as far from its double precision at these images: logits by 7.7e-5 of the largest
/// in single precision, where `resnet-18` for photographs is off by 2.6e-6, and by 0.41 under autocast to bf16 (0.17 at 128x128), on an
/// Intel Xeon; in evaluation, by running statistics, both are as near as the other networks.
struct Rounded {
    single: f64,
    half: f64,
}

const ROUNDED_50: Rounded = Rounded { single: 2e-4, half: 0.6 };

fn check_pass(case: &Case, classifier: &dyn Classifier, mode: Mode, tolerance: Tolerance) {
    let Tolerance { values, gradients: slope } = tolerance;
    let expected = if mode == Mode::Eval { &case.eval } else { &case.train };
    let what = |part: &str| format!("{} {:?} {mode:?} {part}", case.model, case.input);
    let (logits, loss, gradient) = case.differentiated(classifier, &case.images(), mode);
    assert_eq!(logits.kind(), classifier.store().kind());
    assert_close(&what("logits"), &numbers(&logits), &expected.logits.concat(), values);
    assert_close(&what("loss"), &numbers(&loss), &[expected.loss], values);
    let norms = [gradient.abs().sum(Kind::Double).double_value(&[]), gradient.norm().double_value(&[])];
    assert_close(&what("gradient norms"), &norms, &[expected.gradient.l1, expected.gradient.l2], slope);
    assert_samples(&what("gradient"), &gradient, &expected.gradient.samples, slope);
    let parameters = classifier.store().trainable();
    let gradients =
        gaat_shim::gradients(&[&loss], None, &parameters.iter().collect::<Vec<_>>(), Graph::Free).unwrap();
    let norms: Vec<f64> = gradients.iter().map(|g| g.as_ref().unwrap().norm().double_value(&[])).collect();
    assert_close(&what("parameter gradients"), &norms, &expected.parameter_gradient_l2, slope);
}

fn check_running_statistics(case: &Case, classifier: &dyn Classifier, tolerance: f64) {
    let sum = |suffix: &str| -> f64 {
        let entries = classifier.store().named().iter().filter(|entry| entry.name.ends_with(suffix));
        entries.map(|entry| entry.tensor.sum(Kind::Double).double_value(&[])).sum()
    };
    let found = [sum("running_mean"), sum("running_var")];
    let expected = [case.running_mean_sum, case.running_var_sum];
    assert_close(&format!("{} running statistics", case.model), &found, &expected, tolerance);
}

#[test]
fn state_dicts_have_the_names_and_shapes_of_pytorch() {
    for case in golden().cases {
        let classifier = case.network(Kind::Float, ComputePrecision::Fp32);
        let entries = classifier.store().named().iter();
        let found: Vec<_> = entries.map(|entry| (entry.name.clone(), entry.tensor.size())).collect();
        assert_eq!(found, case.state, "{}", case.model);
    }
    let count = |name| network(name, super::shape(3, 32)).store().parameter_count();
    assert_eq!(count("preact-resnet-18"), 11_172_170);
    assert_eq!(count("resnet-18"), 11_173_962);
    assert_eq!(count("wide-resnet-28-10"), 36_479_194);
    assert_eq!(count("wide-resnet-34-10"), 46_160_474);
    // torchvision's own, with the 1000 classes of ImageNet.
    let whole = |name: &str| {
        let input = InputShape { channels: 3, height: 224, width: 224 };
        build(&name.parse().unwrap(), input, 1000, &options(3)).unwrap().store().parameter_count()
    };
    assert_eq!(whole("imagenet-resnet-18"), 11_689_512);
    assert_eq!(whole("imagenet-resnet-50"), 25_557_032);
}

#[test]
fn double_precision_equals_pytorch() {
    let golden = golden();
    for case in &golden.cases {
        let classifier = case.network(Kind::Double, ComputePrecision::Fp32);
        check_pass(case, classifier.as_ref(), Mode::Eval, DOUBLE);
        check_pgd(&golden, case, classifier.as_ref());
        check_pass(case, classifier.as_ref(), Mode::Train, DOUBLE);
        check_running_statistics(case, classifier.as_ref(), 1e-9);
    }
}

fn check_pgd(golden: &Golden, case: &Case, classifier: &dyn Classifier) {
    let threat = ThreatModel::new(Norm::Linf, PixelLength::new(golden.epsilon).unwrap()).unwrap();
    let (steps, step_size) = (golden.steps, golden.step_size);
    let attack = Pgd { steps, step_size, start: Start::Clean, walk: Walk::InBox, stop: StopRule::Never };
    let mut oracle = Exact::new(classifier, Mode::Eval);
    let labels = Tensor::from_slice(&case.labels);
    let draws = Rng::new(0).seeded("unused", 0);
    let perturbed =
        attack::run(&attack, &mut oracle, UnderAttack::new(&case.images(), &labels, &threat, &draws))
            .unwrap()
            .into_pixels();
    let (logits, loss, _) = case.differentiated(classifier, &perturbed, Mode::Eval);
    let what = |part: &str| format!("{} PGD {part}", case.model);
    assert_samples(&what("pixels"), &perturbed, &case.pgd.samples, 1e-9);
    assert_close(&what("logits"), &numbers(&logits), &case.pgd.logits.concat(), 1e-9);
    assert_close(&what("loss"), &numbers(&loss), &[case.pgd.loss], 1e-9);
}

#[test]
fn single_precision_is_near_pytorch() {
    for case in golden().cases {
        let classifier = case.network(Kind::Float, ComputePrecision::Fp32);
        check_pass(&case, classifier.as_ref(), Mode::Eval, SINGLE);
        let values = if case.model == "imagenet-resnet-50" { ROUNDED_50.single } else { SINGLE.values };
        check_pass(&case, classifier.as_ref(), Mode::Train, Tolerance { values, ..SINGLE });
        check_running_statistics(&case, classifier.as_ref(), 1e-5);
    }
}

#[test]
fn bfloat16_is_near_single_precision_or_refused() {
    if !has_bf16(Device::Cpu) {
        skip("this processor has no bfloat16 arithmetic");
        return;
    }
    for case in golden().cases {
        let classifier = case.network(Kind::Float, ComputePrecision::Bf16);
        // The gains of the depthwise convolutions make rounding grow from block to block. A batch of four leaves the
        // last statistics of vgg-16 sixteen numbers a channel.
        let (evaluated, scalars) = if case.model == "efficientnet-b0" { (0.1, 0.2) } else { (0.03, 0.05) };
        for (mode, expected, tolerance) in
            [(Mode::Eval, &case.eval, evaluated), (Mode::Train, &case.train, 0.15)]
        {
            let is_50 = case.model == "imagenet-resnet-50" && mode == Mode::Train;
            let (tolerance, scalars) = if is_50 { (ROUNDED_50.half, 0.1) } else { (tolerance, scalars) };
            let what = |part: &str| format!("{} {:?} bf16 {mode:?} {part}", case.model, case.input);
            let (logits, loss, gradient) = case.differentiated(classifier.as_ref(), &case.images(), mode);
            assert_eq!((logits.kind(), gradient.kind()), (Kind::Float, Kind::Float));
            assert_close(&what("logits"), &numbers(&logits), &expected.logits.concat(), tolerance);
            let found = [numbers(&loss)[0], gradient.norm().double_value(&[])];
            let wanted = [expected.loss, expected.gradient.l2];
            for (part, (found, wanted)) in
                ["loss", "gradient norm"].into_iter().zip(found.into_iter().zip(wanted))
            {
                assert_close(&what(part), &[found], &[wanted], scalars);
            }
        }
        // The statistics are kept in f32, so that they are as good as the activations.
        check_running_statistics(&case, classifier.as_ref(), 0.01);
    }
}
