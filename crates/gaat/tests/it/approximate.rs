//! Attacks that climb logits, on Taylor models of them.

use crate::nn::golden::{fill, uniform};
use crate::support::{digits, network, robust_network, threat};
use gaat::attack::{
    Attack, Boundary, CarliniWagner, DeepFool, Exact, Fab, GradientOracle, MarginPgd, Pgd, Start, StopRule,
    Taylor, UnderAttack, Walk, ball,
};
use gaat::batch::Batch;
use gaat::evaluate::{Control, EvaluateOptions, GradientSource, PerturbOptions, evaluate, perturb};
use gaat::nn::{Classifier, Draws, Mode, Rng};
use gaat::taylor::TaylorModel;
use gaat_spec::{Anchor, AttackName, AttackSpec, Budget, Curvature, Norm, Passes, ThreatModel};
use tch::{Kind, Tensor};

/// The hash network in double precision, and its own answers as labels.
fn case(count: i64) -> (Box<dyn Classifier>, Batch) {
    tch::set_num_threads(1);
    let classifier = network("convnet", Kind::Double);
    fill(classifier.as_ref());
    let pixels = uniform("images", &[200, 1, 8, 8]).narrow(0, 0, count);
    let labels = classifier.logits(&pixels, Mode::Eval).unwrap().argmax(-1, false);
    (classifier, Batch::new(pixels, labels))
}

fn draws() -> Draws {
    Rng::new(0).seeded("attack", 0)
}

fn model(threat: &ThreatModel, steps: usize, refreshes: usize) -> TaylorModel {
    TaylorModel { steps, refreshes, ..TaylorModel::once(Anchor::Clean, Curvature::None, threat) }
}

#[test]
fn a_model_that_is_made_anew_at_every_step_is_the_exact_attack() {
    let (classifier, batch) = case(30);
    let Batch { pixels, labels, .. } = &batch;
    let steps = 6;
    for (norm, epsilon) in [(Norm::Linf, 0.05), (Norm::L2, 0.3)] {
        let threat = threat(norm, epsilon);
        let (start, stop, walk) = (Start::Clean, StopRule::Never, Walk::InBox);
        let pgd = Pgd { steps, step_size: 0.2 * epsilon, start, walk, stop };
        let fab = Fab { steps, boundary: Boundary::Nearest, start, stop };
        let attacks: [(&str, &dyn Attack); 3] = [
            ("pgd-margin", &MarginPgd { pgd, targets: 0 }),
            ("deepfool", &DeepFool { steps }),
            ("fab", &fab),
        ];
        for (name, attack) in attacks {
            let mut exact = Exact::new(classifier.as_ref(), Mode::Eval);
            let wanted =
                attack.propose(&mut exact, UnderAttack::new(pixels, labels, &threat, &draws())).unwrap();
            let found = |refreshes: usize| {
                let model = model(&threat, steps, refreshes);
                let mut taylor = Taylor::new(classifier.as_ref(), Mode::Eval, pixels, model, draws());
                attack.propose(&mut taylor, UnderAttack::new(pixels, labels, &threat, &draws())).unwrap()
            };
            let gap = |refreshes: usize| (found(refreshes) - &wanted).abs().max().double_value(&[]);
            assert!(gap(steps) < 1e-9, "{name}, {threat}: {}", gap(steps));
            assert!(gap(1) > 1e-4, "{name}, {threat}: {}: once is as good as always", gap(1));
        }
    }
}

#[test]
fn several_targets_at_once_are_as_good_as_one_after_the_other() {
    let (classifier, batch) = case(200);
    let many = |tensor: &Tensor| Tensor::cat(&[tensor, tensor, tensor], 0);
    let threat = threat(Norm::Linf, 0.02);
    for stop in [StopRule::WhenFooled, StopRule::Never] {
        let fab = Fab { steps: 5, boundary: Boundary::Towards(4), start: Start::Clean, stop };
        let found = |pixels: &Tensor, labels: &Tensor| {
            let mut oracle = Exact::new(classifier.as_ref(), Mode::Eval);
            let delta =
                fab.propose(&mut oracle, UnderAttack::new(pixels, labels, &threat, &draws())).unwrap();
            (delta, oracle.passes().input_backward)
        };
        // In a batch of 600 each target has its turn; ten images are attacked towards all four at once.
        let (wanted, passes) = found(&many(&batch.pixels), &many(&batch.labels));
        let mut fallen = 0;
        for start in [0, 10, 20] {
            let (pixels, labels) = (batch.pixels.narrow(0, start, 10), batch.labels.narrow(0, start, 10));
            let gap = (found(&pixels, &labels).0 - wanted.narrow(0, start, 10)).abs().max().double_value(&[]);
            assert!(gap < 1e-9, "{stop:?}, from {start}: {gap}");
            let lengths = ball::lengths(&wanted.narrow(0, start, 10), Norm::Linf);
            fallen += lengths.gt(0.0).logical_and(&lengths.le(0.02)).sum(Kind::Int64).int64_value(&[]);
        }
        assert!(fallen > 0 && fallen < 30, "{fallen}: the case shows nothing");
        let full = 4 * 5 * 600;
        assert_eq!(passes == full, stop == StopRule::Never, "{passes}: who falls is not attacked again");
    }
}

#[test]
fn what_carlini_wagner_proposes_on_a_model_fools_the_network() {
    let (classifier, batch) = case(40);
    let Batch { pixels, labels, .. } = &batch;
    let threat = threat(Norm::L2, 1.0);
    let attack = CarliniWagner { steps: 60, searches: 4 };
    let mut lengths = Vec::new();
    for refreshes in [1, 10] {
        let model = model(&threat, attack.steps, refreshes);
        let mut oracle = Taylor::new(classifier.as_ref(), Mode::Eval, pixels, model, draws());
        let delta = attack.propose(&mut oracle, UnderAttack::new(pixels, labels, &threat, &draws())).unwrap();
        let found = ball::lengths(&delta, Norm::L2).gt(0.0);
        let answers = classifier.logits(&(pixels + &delta), Mode::Eval).unwrap().argmax(-1, false);
        assert!(bool::try_from(answers.ne_tensor(labels).eq_tensor(&found).all()).unwrap(), "{refreshes}");
        // One expansion serves all four descents; of ten each makes its own.
        let (expansions, verdicts) = (if refreshes == 1 { 1 } else { 4 * refreshes as u64 }, 4);
        let expected = Passes {
            forward: 40 * (expansions + verdicts),
            input_backward: 400 * expansions,
            ..Passes::default()
        };
        assert_eq!(oracle.passes(), expected);
        let count = found.sum(Kind::Int64).int64_value(&[]);
        println!("{refreshes} expansions: {count} of 40 fooled");
        lengths.push(count);
    }
    assert!(lengths[1] > lengths[0] && lengths[1] > 20, "{lengths:?}: more expansions find more");
}

#[test]
fn an_attack_perturbs_the_images_that_an_evaluation_judges() {
    tch::set_num_threads(1);
    let network = robust_network();
    let images = digits(150);
    let threat = threat(Norm::Linf, 0.1);
    let attack = AttackSpec::fgsm(&threat);
    let mut shares = Vec::new();
    for seed in 0..6 {
        let judged =
            EvaluateOptions { limit: Some(20), seed, ..EvaluateOptions::new(threat, vec![attack], 64) };
        let verdict = evaluate(network.as_ref(), &images, &judged, &mut |_| Control::Continue).unwrap();
        let gradient = GradientSource::Exact;
        let selection = gaat_spec::Selection::Seeded;
        let options =
            PerturbOptions { threat, attack, gradient, batch_size: 64, limit: Some(20), selection, seed };
        let found = perturb(network.as_ref(), &images, &options).unwrap();
        let accuracies = found.accuracies().unwrap();
        assert_eq!(accuracies, (verdict.clean_accuracy, verdict.robust_accuracy), "seed {seed}");
        let success = found.success(Norm::Linf).unwrap();
        assert_eq!((success.attacked as f64 / 20.0, found.labels.size()), (accuracies.0, vec![20]));
        assert_eq!((success.attacked - success.fooled) as f64 / 20.0, accuracies.1);
        if let Some(length) = success.mean_length {
            assert!((length - 0.1).abs() < 1e-6, "{length}");
        }
        shares.push(accuracies);
    }
    assert!(shares.iter().any(|share| *share != shares[0]), "{shares:?}: always the same images");
}

#[test]
fn refreshes_beyond_the_steps_and_curvatures_of_logits_are_refused_in_words() {
    tch::set_num_threads(1);
    let network = robust_network();
    let refused = |curvature, refreshes| {
        let threat = threat(Norm::Linf, 0.1);
        let five = Budget { steps: Some(5), ..Budget::default() };
        let attack = five.attack(AttackName::DeepFool, &threat).unwrap();
        let gradient = GradientSource::Taylor { curvature, refreshes };
        let selection = gaat_spec::Selection::Seeded;
        let options =
            PerturbOptions { threat, attack, gradient, batch_size: 8, limit: None, selection, seed: 0 };
        perturb(network.as_ref(), &digits(8), &options).unwrap_err().to_string()
    };
    assert!(refused(Curvature::None, 6).contains("takes 5 steps"), "{}", refused(Curvature::None, 6));
    assert!(refused(Curvature::None, 0).contains("give 1 to 5"));
    let curved = refused(Curvature::GaussNewton, 2);
    assert!(curved.contains("gauss-newton") && curved.contains("curvature none"), "{curved}");
}
