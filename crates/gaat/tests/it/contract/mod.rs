//! One contract for every attack.

mod table;

use crate::support::{bits, network, noise, threat};
use gaat::attack::{
    Ascent, Attack, Exact, Fgsm, GradientOracle, InputGradient, Loss, NEAR, Pgd, Start, StopRule, Taylor,
    UnderAttack, Walk, ball, run, run_unbounded, survival,
};
use gaat::batch::Batch;
use gaat::nn::{Classifier, Draws, Mode, Rng};
use gaat::taylor::TaylorModel;
use gaat_spec::{Anchor, Curvature, Norm, Passes, ThreatModel};
use table::{Case, Climbs, Origin, check_passes, check_passes_on_logits, every_pgd};
use tch::{Device, Kind, Tensor};

const NORMS: [(Norm, f64); 2] = [(Norm::Linf, 0.1), (Norm::L2, 0.8)];

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

/// What every attack promises under every norm, oracle and mode.
fn check_attack(classifier: &dyn Classifier, batch: &Batch, origin: Origin, mode: Mode, bound: &ThreatModel) {
    let Batch { pixels: clean, labels, .. } = batch;
    let before = snapshot(classifier);
    for case in Case::all(bound.epsilon()) {
        let Case { attack, cost, is_random, least, climbs, .. } = case;
        let case = format!("{}, {origin:?}, {mode:?}, {bound}", case.name);
        let ask = |threat: &ThreatModel, seed: u64| {
            let mut oracle = origin.oracle(classifier, clean, mode, threat);
            assert_eq!(oracle.is_exact(), matches!(origin, Origin::Exact));
            let found =
                run(attack.as_ref(), oracle.as_mut(), UnderAttack::new(clean, labels, threat, &draws(seed)));
            found.map(|found| (found.into_pixels(), oracle.passes()))
        };
        let is_on_model_of_logits = climbs == Climbs::Logits && !matches!(origin, Origin::Exact);
        if is_on_model_of_logits && !matches!(origin, Origin::Taylor(_, Curvature::None)) {
            let error = ask(bound, 1).unwrap_err().to_string();
            assert!(error.contains("climbs logits") && error.contains("curvature none"), "{case}: {error}");
            continue;
        }
        let found = |threat: &ThreatModel, seed: u64| ask(threat, seed).unwrap();
        let (pixels, passes) = found(bound, 1);
        if is_on_model_of_logits {
            check_passes_on_logits(passes, batch.len() as u64, &case);
        } else {
            check_passes(passes, origin, cost, batch.len() as u64, &case);
        }
        assert!(!pixels.requires_grad() && pixels.kind() == clean.kind(), "{case}");
        let (low, high) = (pixels.min().double_value(&[]), pixels.max().double_value(&[]));
        assert!(low >= 0.0 && high <= 1.0, "{case}: pixels from {low} to {high}");
        let lengths = ball::lengths(&(&pixels - clean), bound.norm());
        let longest = lengths.max().double_value(&[]);
        assert!(longest <= bound.epsilon() + ball::tolerance(clean.kind()), "{case}: {longest}");
        assert!(longest > least * bound.epsilon(), "{case}: {longest}: hardly moved");

        assert_eq!(bits(&found(bound, 1).0), bits(&pixels), "{case}: the same seed");
        // On a linear model steps end in the same corner of the ball, wherever they began.
        if !is_on_model_of_logits {
            assert_eq!(bits(&found(bound, 2).0) != bits(&pixels), is_random, "{case}: another seed");
        }

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
        // All correctly classified at first but the last.
        let answers = classifier.logits(&pixels, mode).unwrap().argmax(-1, false);
        let labels = (answers + Tensor::from_slice(&[0_i64, 0, 0, 0, 1])).remainder(10);
        let batch = Batch::new(pixels.shallow_clone(), labels);
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
    fn propose(&self, _oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> gaat::Result<Tensor> {
        let UnderAttack { clean, draws, .. } = batch;
        draws.normal(&clean.size(), 0.0, 50.0, clean.kind(), clean.device())
    }
}

#[test]
fn whatever_is_proposed_is_brought_into_the_ball_and_the_box() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(6, Kind::Float);
    for (norm, epsilon) in NORMS {
        let threat = threat(norm, epsilon);
        let pixels = run(&Wild, &mut Flat, UnderAttack::new(&clean, &labels, &threat, &draws(1)))
            .unwrap()
            .into_pixels();
        let lengths = ball::lengths(&(&pixels - &clean), norm);
        assert!(lengths.max().double_value(&[]) <= epsilon + ball::tolerance(Kind::Float), "{threat}");
        assert!(lengths.min().double_value(&[]) > 0.3 * epsilon, "{threat}: not simply dropped");
        assert!(pixels.min().double_value(&[]) >= 0.0 && pixels.max().double_value(&[]) <= 1.0, "{threat}");
    }
}

#[test]
fn an_unbounded_run_is_cut_to_the_box_alone() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(6, Kind::Float);
    let threat = threat(Norm::Linf, 0.1);
    let unbounded =
        run_unbounded(&Wild, &mut Flat, UnderAttack::new(&clean, &labels, &threat, &draws(1))).unwrap();
    let proposed = draws(1).normal(&clean.size(), 0.0, 50.0, clean.kind(), Device::Cpu).unwrap();
    assert_eq!(bits(unbounded.pixels()), bits(&(&clean + proposed).clamp(0.0, 1.0)));
    let still = Ascent { start: &clean * 0.0 + 0.03, step_size: 0.0 };
    let found =
        run(&still, &mut Flat, UnderAttack::new(&clean, &labels, &threat, &draws(1))).unwrap().into_pixels();
    assert_eq!(bits(&found), bits(&(&clean + 0.03).clamp(0.0, 1.0)), "no step: the start itself");
}

#[test]
fn the_divergence_is_asked_of_the_network_and_rises_under_attack() {
    tch::set_num_threads(1);
    let (clean, labels) = noise(5, Kind::Double);
    let classifier = used_network(&clean, &labels);
    let divergence = |pixels: &Tensor| {
        let probabilities =
            |pixels: &Tensor| classifier.logits(pixels, Mode::Eval).unwrap().softmax(-1, Kind::Double);
        let (p, q) = (probabilities(&clean), probabilities(pixels));
        (&p * (&p / q).log()).sum_dim_intlist([1i64].as_slice(), false, None::<Kind>).detach()
    };
    let probabilities = classifier.logits(&clean, Mode::Eval).unwrap().softmax(-1, Kind::Double).detach();
    let mut oracle = Exact::of_loss(classifier.as_ref(), Mode::Eval, Loss::Divergence(&probabilities));
    let points = (&clean + 0.02).clamp(0.0, 1.0);
    let answer = oracle.at(&points, &labels).unwrap();
    assert!((answer.losses - divergence(&points)).abs().max().double_value(&[]) < 1e-12);
    let flat = oracle.at(&clean, &labels).unwrap().gradient.abs().max().double_value(&[]);
    assert!(flat < 1e-12, "{flat}: the least divergence is at the clean image");
    let walk = Walk::InBox;
    let pgd = Pgd { steps: 3, step_size: 0.03, start: Start::Near, walk, stop: StopRule::Never };
    let mut found = |labels: &Tensor| {
        run(&pgd, &mut oracle, UnderAttack::new(&clean, labels, &threat(Norm::Linf, 0.08), &draws(1)))
            .unwrap()
            .into_pixels()
    };
    let others = (&labels + 1).remainder(10);
    assert_eq!(bits(&found(&others)), bits(&found(&labels)), "it climbs the divergence, which has no labels");
    let found = found(&labels);
    let risen = divergence(&found) - divergence(&points);
    assert!(risen.min().double_value(&[]) > 0.0, "{risen:?}");
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
                    let mut oracle = origin.oracle(classifier.as_ref(), &clean, mode, &threat);
                    run(attack, oracle.as_mut(), UnderAttack::new(&clean, &labels, &threat, &draws(1)))
                        .unwrap()
                        .into_pixels()
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
            run(attack, &mut Flat, UnderAttack::new(&clean, &labels, &threat, &draws(1)))
                .unwrap()
                .into_pixels()
        };
        assert_eq!(bits(&found(&Fgsm)), bits(&clean), "{threat}");
        let start = ball::random_start(&clean, &threat, &draws(1)).unwrap();
        let near = draws(1).normal(&clean.size(), 0.0, NEAR, clean.kind(), Device::Cpu).unwrap();
        for pgd in every_pgd(epsilon) {
            let expected = match pgd.start {
                Start::Clean => clean.shallow_clone(),
                Start::Random => (&clean + &start).clamp(0.0, 1.0),
                Start::Near => (&clean + &near).clamp(0.0, 1.0),
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
    let batch = Batch::new(pixels, labels);
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

        let none = Tensor::zeros([0], (Kind::Int64, Device::Cpu));
        let (left, passes) =
            survival::survivors(classifier.as_ref(), &batch, &none, &Fgsm, &threat, &draws(1)).unwrap();
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
        let error = run(&Fgsm, &mut Flat, UnderAttack::new(pixels, &labels, &threat, &draws(1))).unwrap_err();
        let (found, message) = (format!("{:?}", labels.size()), error.to_string());
        assert!(matches!(error, gaat::Error::Shape { .. }) && message.contains(&found), "{message}");
    }
    let classifier = network("mlp", Kind::Float);
    let model = TaylorModel::once(Anchor::Clean, Curvature::None, &threat);
    let mut oracle = Taylor::new(classifier.as_ref(), Mode::Eval, &clean, model, draws(1));
    let (other, labels) = noise(2, Kind::Float);
    let error = oracle.at(&other, &labels).unwrap_err().to_string();
    assert!(error.contains("one batch"), "{error}");
}
