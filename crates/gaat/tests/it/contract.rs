//! One contract for every attack and one for every training method.

use crate::support::{bits, file_tensors, network, noise, recipe, threat, trained};
use gaat::attack::{
    Apgd, ApgdLoss, Attack, Boundary, CarliniWagner, DeepFool, Exact, Fab, Fgsm, GradientOracle,
    InputGradient, MarginPgd, MomentumFgsm, Pgd, Square, Start, StopRule, Taylor, Walk, ball, run, survival,
};
use gaat::batch::Batch;
use gaat::nn::{Classifier, ComputePrecision, Draws, Mode, Rng};
use gaat_spec::{Anchor, Curvature, Norm, Passes, ThreatModel};
use tch::{Device, Kind, Tensor};

const STEPS: usize = 3;
const NORMS: [(Norm, f64); 2] = [(Norm::Linf, 0.1), (Norm::L2, 0.8)];

/// Where the gradients of a case come from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Exact,
    Taylor(Anchor, Curvature),
}

impl Origin {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Exact];
        for anchor in [Anchor::Clean, Anchor::RandomStart] {
            all.extend(Curvature::ALL.iter().map(|curvature| Self::Taylor(anchor, *curvature)));
        }
        all
    }

    fn oracle<'a>(
        self,
        classifier: &'a dyn Classifier,
        clean: &Tensor,
        mode: Mode,
    ) -> Box<dyn GradientOracle + 'a> {
        let exact = Exact::new(classifier, mode);
        match self {
            Self::Exact => Box::new(exact),
            Self::Taylor(anchor, curvature) => Box::new(Taylor::new(exact, clean, anchor, curvature)),
        }
    }
}

/// Every PGD of the table; together the steps go nine tenths of epsilon, so that a random start shows in the end.
fn every_pgd(epsilon: f64) -> Vec<Pgd> {
    let mut all = Vec::new();
    for walk in [Walk::InBox, Walk::InBall] {
        for start in [Start::Clean, Start::Random] {
            for stop in [StopRule::Never, StopRule::WhenFooled] {
                all.push(Pgd { steps: STEPS, step_size: 0.3 * epsilon, start, walk, stop });
            }
        }
    }
    all
}

fn draws(seed: u64) -> Draws {
    Rng::new(seed).seeded("attack", 0)
}

/// A network with running statistics of its own, and with gradients lying in `.grad`.
fn used_network(pixels: &Tensor, labels: &Tensor) -> Box<dyn Classifier> {
    let classifier = network("wide-resnet-10-1", pixels.kind());
    let logits = classifier.logits(pixels, Mode::Train).unwrap();
    logits.cross_entropy_for_logits(labels).backward();
    classifier
}

/// Bits of all parameters, their `.grad` and all buffers.
fn snapshot(classifier: &dyn Classifier) -> Vec<Vec<u64>> {
    let tensors = classifier.store().named().iter();
    let both = tensors.flat_map(|entry| {
        let gradient = entry.tensor.grad();
        assert_eq!(gradient.defined(), entry.role.is_trainable(), "{}", entry.name);
        [bits(&entry.tensor), if gradient.defined() { bits(&gradient) } else { Vec::new() }]
    });
    both.collect()
}

/// What an attack declares that it costs an image.
#[derive(Debug, Clone, Copy)]
enum Cost {
    Fgsm,
    Pgd(Pgd),
    /// At most so many forward and backward passes, and at least one forward.
    AtMost {
        forward: u64,
        backward: u64,
    },
}

/// An attack of the table.
struct Case {
    attack: Box<dyn Attack>,
    name: String,
    cost: Cost,
    is_random: bool,
    /// The longest perturbation of a batch is at least this share of epsilon.
    least: f64,
    /// Whether gradients of the cross-entropy are enough for it.
    is_content_with_any_oracle: bool,
}

impl Case {
    fn exact(attack: impl Attack + std::fmt::Debug + 'static, forward: u64, backward: u64) -> Self {
        let (name, cost) = (format!("{attack:?}"), Cost::AtMost { forward, backward });
        let attack = Box::new(attack);
        Self { attack, name, cost, is_random: true, least: 0.2, is_content_with_any_oracle: false }
    }

    fn all(epsilon: f64) -> Vec<Self> {
        let mut all = vec![Self {
            cost: Cost::Fgsm,
            is_random: false,
            is_content_with_any_oracle: true,
            ..Self::exact(Fgsm, 1, 1)
        }];
        for pgd in every_pgd(epsilon) {
            let is_random = pgd.start == Start::Random;
            let cost = Cost::Pgd(pgd);
            all.push(Self { cost, is_random, is_content_with_any_oracle: true, ..Self::exact(pgd, 0, 0) });
        }
        let steps = STEPS as u64;
        let apgd = |loss, samples| Apgd { steps: STEPS, loss, samples };
        let ce = Self::exact(apgd(ApgdLoss::CrossEntropy, 1), steps + 1, steps + 1);
        all.push(Self { is_content_with_any_oracle: true, ..ce });
        all.push(Self::exact(apgd(ApgdLoss::Dlr, 2), 2 * (steps + 1), 2 * (steps + 1)));
        all.push(Self::exact(apgd(ApgdLoss::TargetedDlr(2), 1), 2 * (steps + 1) + 1, 2 * (steps + 1)));
        for stop in [StopRule::Never, StopRule::WhenFooled] {
            let fab = |boundary, start| Fab { steps: STEPS, boundary, start, stop };
            let towards = Self::exact(fab(Boundary::Towards(2), Start::Clean), 4 * steps + 1, 2 * steps);
            all.push(Self { is_random: false, least: 0.0, ..towards });
            let nearest = Self::exact(fab(Boundary::Nearest, Start::Random), 11 * steps, 10 * steps);
            all.push(Self { least: 0.0, ..nearest });
        }
        all.push(Self::exact(Square { queries: 30 }, 31, 0));
        let momentum = MomentumFgsm { steps: STEPS, step_size: 0.3 * epsilon };
        let momentum = Self::exact(momentum, steps, steps);
        all.push(Self { is_random: false, is_content_with_any_oracle: true, ..momentum });
        for targets in [0, 2] {
            let stop = StopRule::WhenFooled;
            let (start, walk) = (Start::Random, Walk::InBox);
            let pgd = Pgd { steps: STEPS, step_size: 0.3 * epsilon, start, walk, stop };
            all.push(Self::exact(MarginPgd { pgd, targets }, 2 * steps + 1, 2 * steps));
        }
        let deepfool = Self::exact(DeepFool { steps: STEPS }, 10 * steps, 10 * steps);
        all.push(Self { is_random: false, least: 0.0, ..deepfool });
        // Whatever the norm: it only proposes.
        let carlini_wagner = Self::exact(CarliniWagner { steps: 20, searches: 2 }, 40, 40);
        all.push(Self { is_random: false, least: 0.0, ..carlini_wagner });
        all
    }
}

/// Checks the passes of one run on `count` images.
fn check_passes(passes: Passes, origin: Origin, cost: Cost, count: u64, case: &str) {
    assert_eq!((passes.full_backward, passes.hessian_vector), (0, 0), "{case}");
    if let Origin::Taylor(..) = origin {
        assert_eq!(
            (passes.forward, passes.input_backward),
            (count, count),
            "{case}: one gradient whatever K"
        );
        return;
    }
    match cost {
        Cost::Fgsm => assert_eq!((passes.forward, passes.input_backward), (count, count), "{case}"),
        Cost::Pgd(Pgd { steps, stop, .. }) => {
            assert_eq!(passes.forward, passes.input_backward, "{case}");
            let most = steps as u64 * count;
            let is_early = stop == StopRule::WhenFooled;
            let fits =
                if is_early { (count..most).contains(&passes.forward) } else { passes.forward == most };
            assert!(fits, "{case}: {passes:?}");
        }
        Cost::AtMost { forward, backward } => {
            let fits = (count..=forward * count).contains(&passes.forward)
                && passes.input_backward <= backward * count;
            assert!(fits, "{case}: {passes:?}");
        }
    }
}

/// What every attack promises under every norm, oracle and mode.
fn check_attack(classifier: &dyn Classifier, batch: &Batch, origin: Origin, mode: Mode, bound: &ThreatModel) {
    let Batch { pixels: clean, labels } = batch;
    let before = snapshot(classifier);
    for case in Case::all(bound.epsilon()) {
        let Case { attack, cost, is_random, least, is_content_with_any_oracle, .. } = case;
        let case = format!("{}, {origin:?}, {mode:?}, {bound}", case.name);
        let ask = |threat: &ThreatModel, seed: u64| {
            let mut oracle = origin.oracle(classifier, clean, mode);
            assert_eq!(oracle.is_exact(), matches!(origin, Origin::Exact));
            let found = run(attack.as_ref(), oracle.as_mut(), clean, labels, threat, &draws(seed));
            found.map(|found| (found.into_pixels(), oracle.passes()))
        };
        if !is_content_with_any_oracle && !matches!(origin, Origin::Exact) {
            let error = ask(bound, 1).unwrap_err().to_string();
            assert!(error.contains("source of gradients"), "{case}: {error}");
            continue;
        }
        let found = |threat: &ThreatModel, seed: u64| ask(threat, seed).unwrap();
        let (pixels, passes) = found(bound, 1);
        check_passes(passes, origin, cost, batch.len() as u64, &case);
        assert!(!pixels.requires_grad() && pixels.kind() == clean.kind(), "{case}");
        let (low, high) = (pixels.min().double_value(&[]), pixels.max().double_value(&[]));
        assert!(low >= 0.0 && high <= 1.0, "{case}: pixels from {low} to {high}");
        let lengths = ball::lengths(&(&pixels - clean), bound.norm());
        let longest = lengths.max().double_value(&[]);
        assert!(longest <= bound.epsilon() + ball::tolerance(clean.kind()), "{case}: {longest}");
        assert!(longest > least * bound.epsilon(), "{case}: {longest}: hardly moved");

        assert_eq!(bits(&found(bound, 1).0), bits(&pixels), "{case}: the same seed");
        assert_eq!(bits(&found(bound, 2).0) != bits(&pixels), is_random, "{case}: another seed");

        let (unmoved, _) = found(&threat(bound.norm(), 0.0), 1);
        assert_eq!(bits(&unmoved), bits(clean), "{case}: epsilon 0");
    }
    assert_eq!(snapshot(classifier), before, "{origin:?}, {mode:?}: the network is as it was");
}

#[test]
fn every_attack_keeps_the_contract() {
    tch::set_num_threads(1);
    let (pixels, labels) = noise(5, Kind::Float);
    let classifier = used_network(&pixels, &labels);
    for mode in [Mode::Eval, Mode::TrainFrozenStats] {
        // All rightly classified at first but the last.
        let answers = classifier.logits(&pixels, mode).unwrap().argmax(-1, false);
        let labels = (answers + Tensor::from_slice(&[0_i64, 0, 0, 0, 1])).remainder(10);
        let batch = Batch { pixels: pixels.shallow_clone(), labels };
        for (norm, epsilon) in NORMS {
            for origin in Origin::all() {
                check_attack(classifier.as_ref(), &batch, origin, mode, &threat(norm, epsilon));
            }
        }
    }
}

/// Proposes what no threat model allows.
struct Wild;

impl Attack for Wild {
    fn propose(
        &self,
        _oracle: &mut dyn GradientOracle,
        clean: &Tensor,
        _labels: &Tensor,
        _threat: &ThreatModel,
        draws: &Draws,
    ) -> gaat::Result<Tensor> {
        draws.normal(&clean.size(), 0.0, 50.0, clean.kind(), clean.device())
    }
}

#[test]
fn whatever_is_proposed_is_brought_into_the_ball_and_the_box() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(6, Kind::Float);
    for (norm, epsilon) in NORMS {
        let threat = threat(norm, epsilon);
        let pixels = run(&Wild, &mut Flat, &clean, &labels, &threat, &draws(1)).unwrap().into_pixels();
        let lengths = ball::lengths(&(&pixels - &clean), norm);
        assert!(lengths.max().double_value(&[]) <= epsilon + ball::tolerance(Kind::Float), "{threat}");
        assert!(lengths.min().double_value(&[]) > 0.3 * epsilon, "{threat}: not simply dropped");
        assert!(pixels.min().double_value(&[]) >= 0.0 && pixels.max().double_value(&[]) <= 1.0, "{threat}");
    }
}

#[test]
fn one_step_of_length_epsilon_is_fgsm_bit_for_bit() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(8, Kind::Float);
    let classifier = used_network(&clean, &labels);
    for (norm, epsilon) in NORMS {
        let threat = threat(norm, epsilon);
        for origin in Origin::all() {
            for mode in [Mode::Eval, Mode::TrainFrozenStats] {
                let found = |attack: &dyn Attack| {
                    let mut oracle = origin.oracle(classifier.as_ref(), &clean, mode);
                    run(attack, oracle.as_mut(), &clean, &labels, &threat, &draws(1)).unwrap().into_pixels()
                };
                let single = found(&Fgsm);
                for pgd in every_pgd(epsilon) {
                    if pgd.start == Start::Clean && pgd.stop == StopRule::Never {
                        let one = found(&Pgd { steps: 1, step_size: epsilon, ..pgd });
                        assert_eq!(
                            bits(&one),
                            bits(&single),
                            "{:?}, {origin:?}, {mode:?}, {threat}",
                            pgd.walk
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_examples_gradient_does_not_depend_on_its_batch() {
    tch::set_num_threads(1);
    let (pixels, labels) = noise(4, Kind::Double);
    let classifier = used_network(&pixels, &labels);
    let mut oracle = Exact::new(classifier.as_ref(), Mode::Eval);
    let together = oracle.at(&pixels, &labels).unwrap();
    for index in 0..4 {
        let alone = oracle.at(&pixels.narrow(0, index, 1), &labels.narrow(0, index, 1)).unwrap();
        let close = |left: &Tensor, right: &Tensor| {
            let scale = right.abs().max().double_value(&[]);
            scale > 1e-6 && (left - right).abs().max().double_value(&[]) < 1e-10 * scale
        };
        assert!(close(&together.gradient.narrow(0, index, 1), &alone.gradient), "gradient {index}");
        assert!(close(&together.losses.narrow(0, index, 1), &alone.losses), "loss {index}");
    }
}

/// Says that the loss is flat.
struct Flat;

impl GradientOracle for Flat {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> gaat::Result<InputGradient> {
        let losses = Tensor::zeros([labels.size()[0]], (points.kind(), Device::Cpu));
        Ok(InputGradient { losses, gradient: points.zeros_like(), logits: None })
    }

    fn passes(&self) -> Passes {
        Passes::default()
    }

    fn is_exact(&self) -> bool {
        false
    }
}

#[test]
fn a_flat_loss_leaves_the_attack_at_its_start() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(3, Kind::Float);
    for (norm, epsilon) in NORMS {
        let threat = threat(norm, epsilon);
        let found = |attack: &dyn Attack| {
            run(attack, &mut Flat, &clean, &labels, &threat, &draws(1)).unwrap().into_pixels()
        };
        assert_eq!(bits(&found(&Fgsm)), bits(&clean), "{threat}");
        let start = ball::random_start(&clean, &threat, &draws(1)).unwrap();
        for pgd in every_pgd(epsilon) {
            let expected = match pgd.start {
                Start::Clean => clean.shallow_clone(),
                Start::Random => (&clean + &start).clamp(0.0, 1.0),
            };
            let gap = (found(&pgd) - expected).abs().max().double_value(&[]);
            assert!(gap < 1e-6, "{pgd:?}, {threat}: {gap}");
        }
    }
}

#[test]
fn who_leaves_early_is_fooled_and_who_stays_was_never_fooled() {
    tch::set_num_threads(1);
    let (pixels, _) = noise(40, Kind::Double);
    let classifier = used_network(&pixels, &Tensor::zeros([40], (Kind::Int64, Device::Cpu)));
    // Its own answers are the labels, so that everything stands at first.
    let labels = classifier.logits(&pixels, Mode::Eval).unwrap().argmax(-1, false);
    let batch = Batch { pixels, labels };
    let standing = survival::standing_clean(classifier.as_ref(), &batch).unwrap();
    assert_eq!(standing.size(), [40]);
    for (norm, epsilon) in [(Norm::Linf, 0.1), (Norm::L2, 0.6)] {
        let threat = threat(norm, epsilon);
        let survivors = |stop: StopRule, steps: usize| {
            let pgd = Pgd { steps, step_size: 0.5 * epsilon, start: Start::Clean, walk: Walk::InBox, stop };
            let network = classifier.as_ref();
            let (left, passes) =
                survival::survivors(network, &batch, &standing, &pgd, &threat, &draws(1)).unwrap();
            (Vec::<i64>::try_from(left).unwrap(), passes)
        };
        let (early, early_passes) = survivors(StopRule::WhenFooled, 5);
        let (full, full_passes) = survivors(StopRule::Never, 5);
        assert!(early.len() <= full.len() && early.iter().all(|place| full.contains(place)), "{threat}");
        let mut never_fooled: Vec<i64> = (0..40).collect();
        for steps in 1..=5 {
            let (left, _) = survivors(StopRule::Never, steps);
            never_fooled.retain(|place| left.contains(place));
        }
        assert_eq!(early, never_fooled, "{threat}");
        println!("{threat}: {} of 40 left", early.len());
        assert!(
            !early.is_empty() && early.len() < 40,
            "{threat}: {} left: the case shows nothing",
            early.len()
        );
        assert_eq!((full_passes.forward, full_passes.input_backward), (6 * 40, 5 * 40), "{threat}");
        assert!(early_passes.forward < full_passes.forward, "{threat}");

        let nobody = Tensor::zeros([0], (Kind::Int64, Device::Cpu));
        let (left, passes) =
            survival::survivors(classifier.as_ref(), &batch, &nobody, &Fgsm, &threat, &draws(1)).unwrap();
        assert_eq!((left.size(), passes), (vec![0], Passes::default()));
    }
}

#[test]
fn images_and_labels_that_do_not_belong_together_are_refused() {
    let (clean, labels) = noise(3, Kind::Float);
    let flat = clean.flatten(1, -1);
    let threat = threat(Norm::Linf, 0.1);
    let cases =
        [(&clean, labels.narrow(0, 0, 2)), (&clean, labels.view([3, 1])), (&flat, labels.shallow_clone())];
    for (pixels, labels) in cases {
        let error = run(&Fgsm, &mut Flat, pixels, &labels, &threat, &draws(1)).unwrap_err();
        let (found, message) = (format!("{:?}", labels.size()), error.to_string());
        assert!(matches!(error, gaat::Error::Shape { .. }) && message.contains(&found), "{message}");
    }
    let classifier = network("mlp", Kind::Float);
    let mut oracle =
        Taylor::new(Exact::new(classifier.as_ref(), Mode::Eval), &clean, Anchor::Clean, Curvature::None);
    let (other, labels) = noise(2, Kind::Float);
    let error = oracle.at(&other, &labels).unwrap_err().to_string();
    assert!(error.contains("one batch"), "{error}");
}

/// What a method declares for each image of an adversarial epoch, and whether its first epoch is natural.
struct Declared {
    method: &'static str,
    forward: u64,
    input_backward: u64,
    predicts: bool,
    delayed: bool,
}

const METHODS: [Declared; 6] = [
    Declared { method: "natural", forward: 1, input_backward: 0, predicts: false, delayed: false },
    Declared { method: "rat", forward: 4, input_backward: 3, predicts: false, delayed: false },
    Declared { method: "gaat", forward: 2, input_backward: 1, predicts: true, delayed: false },
    Declared { method: "gaat-paper", forward: 2, input_backward: 1, predicts: true, delayed: false },
    Declared { method: "gaat-paper-diagonal", forward: 2, input_backward: 1, predicts: true, delayed: false },
    Declared { method: "dat+gaat", forward: 2, input_backward: 1, predicts: true, delayed: true },
];

#[test]
fn every_method_keeps_the_contract() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for (seed, declared) in METHODS.iter().enumerate() {
        let Declared { method, forward, input_backward, predicts, delayed } = *declared;
        // A name of its own seed, so that no two methods share their draws by chance.
        let text = |seed: usize| {
            let steps = if method == "natural" { "" } else { "steps = 3\n" };
            let delay = if delayed { "delay = 1\n" } else { "" };
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = 2\nbatch-size = 40\n\
                 validation-steps = 2\nseed = {seed}\n{steps}{delay}"
            ))
        };
        let run_dir = folder.path().join(method);
        let record = trained(&text(seed), &run_dir);

        // 200 images, a tenth held out, two epochs.
        let adversarial = if delayed { 180 } else { 360 };
        let natural = 360 - adversarial;
        assert_eq!(record.images, 360, "{method}");
        let expected = Passes {
            forward: adversarial * forward + natural,
            input_backward: adversarial * input_backward,
            full_backward: 360,
            hessian_vector: 0,
        };
        assert_eq!(record.passes, expected, "{method}");
        let units = adversarial * (forward + input_backward + 2) + natural * 3;
        assert_eq!(record.cost_ratio, units as f64 / (3 * 360) as f64, "{method}");
        assert_eq!(record.epochs.len(), 2, "{method}");
        for epoch in &record.epochs {
            let is_natural = delayed && epoch.epoch == 1;
            assert_eq!(epoch.gain_ratio.is_some(), predicts && !is_natural, "{method}: {epoch:?}");
            let refreshes = if is_natural { 0 } else { input_backward };
            assert_eq!(epoch.refreshes, refreshes as f64, "{method}: {epoch:?}");
            let shares = [Some(epoch.train_accuracy), epoch.validation_clean, epoch.validation_robust];
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(&share.unwrap())), "{method}: {epoch:?}");
            assert!(epoch.loss > 0.0 && epoch.loss.is_finite(), "{method}: {epoch:?}");
        }

        let weights = run_dir.join("checkpoints/last.safetensors");
        let (description, state) = gaat::weights::load(&weights).unwrap();
        let untrained = description.build(Device::Cpu, ComputePrecision::Fp32, seed as u64).unwrap();
        for (name, tensor) in untrained.store().state().unwrap() {
            let after = &state.iter().find(|(key, _)| *key == name).unwrap().1;
            assert_ne!(bits(after), bits(&tensor), "{method}: `{name}` was not trained");
        }
        let again = folder.path().join(format!("{method}-again"));
        trained(&text(seed), &again);
        let again = file_tensors(&again.join("checkpoints/last.safetensors"));
        assert_eq!(again, file_tensors(&weights), "{method}: the same seed");
    }
}
