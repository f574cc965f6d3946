//! Judging: the worst case over attacks and restarts, what may not change a verdict, and alarms.

use crate::stub::{steep, trap};
use crate::support::{digits, network, robust_network, threat};
use gaat::Error;
use gaat::attack::{Attack, Exact, Fgsm, GradientOracle, Pgd, Start, StopRule, UnderAttack, Walk, run};
use gaat::batch::Images;
use gaat::evaluate::{Control, CurveAttack, EvaluateOptions, Progress, Stage, evaluate, evaluate_resumable};
use gaat::nn::{Classifier, Mode, Rng};
use gaat_data::{ImageSet, ImageShape};
use gaat_spec::collapse::Training;
use gaat_spec::{
    AttackName, AttackSpec, Budget, Evaluation, Norm, PixelLength, Selection, Subset, ThreatModel,
};
use tch::{Device, Kind, Tensor};

pub(crate) fn options(threat: ThreatModel, attacks: Vec<AttackSpec>) -> EvaluateOptions {
    EvaluateOptions::new(threat, attacks, 64)
}

pub(crate) fn judge(classifier: &dyn Classifier, images: &ImageSet, options: &EvaluateOptions) -> Evaluation {
    evaluate(classifier, images, options, &mut |_| Control::Continue).unwrap()
}

#[test]
fn the_worst_case_is_what_counts() {
    tch::set_num_threads(1);
    let network = robust_network();
    let images = digits(250);
    for (norm, epsilon) in [(Norm::Linf, 0.12), (Norm::L2, 0.6)] {
        let threat = threat(norm, epsilon);
        // So weak a step from each start that restarts matter.
        let half = threat.epsilon_length().scaled(0.5);
        let pgd = |restarts| AttackSpec::pgd(&threat, 1, restarts, Some(half)).unwrap();
        let attacks = vec![AttackSpec::fgsm(&threat), pgd(1), pgd(3), pgd(10)];
        let verdict = judge(network.as_ref(), &images, &options(threat, attacks.clone()));
        let robust: Vec<f64> = verdict.attacks.iter().map(|attack| attack.robust_accuracy).collect();
        println!("{threat}: clean {}, {robust:?}, worst {}", verdict.clean_accuracy, verdict.robust_accuracy);
        assert_eq!((verdict.examples, verdict.threat), (250, threat));
        assert!(robust.iter().all(|robust| *robust <= verdict.clean_accuracy && *robust > 0.0));
        assert!(robust[0] < verdict.clean_accuracy - 0.05, "FGSM finds something");
        // The first restart of three is that of one, so this holds exactly.
        assert!(robust[1] >= robust[2] && robust[2] >= robust[3] && robust[1] > robust[3], "{robust:?}");
        let least = robust.iter().copied().fold(1.0, f64::min);
        assert!(verdict.robust_accuracy <= least, "an image falls to any attack");
        let names: Vec<_> = verdict.attacks.iter().map(|attack| attack.name.as_str()).collect();
        assert_eq!(names, ["fgsm", "pgd-1", "pgd-1x3", "pgd-1x10"]);
        for (share, (low, high)) in [
            (verdict.clean_accuracy, verdict.clean_interval),
            (verdict.robust_accuracy, verdict.robust_interval),
            (robust[3], verdict.attacks[3].interval),
        ] {
            assert!(low < share && share < high, "{share} in {low}..{high}");
        }
        assert!(verdict.alarms.is_empty(), "{:?}", verdict.alarms);

        // Passes: FGSM one gradient and one look at the result for each image that was right at first.
        let right = (verdict.clean_accuracy * 250.0).round() as u64;
        let fgsm = verdict.attacks[0].passes;
        assert_eq!((fgsm.forward, fgsm.input_backward), (2 * right, right));

        // Class by class it is the same verdict.
        let whole = |share: &dyn Fn(&gaat_spec::ClassResult) -> f64| -> f64 {
            verdict.classes.iter().map(|class| class.examples as f64 * share(class)).sum::<f64>() / 250.0
        };
        assert_eq!(verdict.classes.len(), 10);
        assert!((whole(&|_| 1.0) - 1.0).abs() < 1e-12);
        assert!((whole(&|class| class.clean_accuracy) - verdict.clean_accuracy).abs() < 1e-12);
        assert!((whole(&|class| class.robust_accuracy) - verdict.robust_accuracy).abs() < 1e-12);

        // Company, order and repetition change nothing.
        for (index, attack) in attacks.iter().enumerate() {
            let alone = judge(network.as_ref(), &images, &options(threat, vec![*attack]));
            assert_eq!(alone.attacks[0].robust_accuracy, robust[index], "{attack}");
            assert_eq!(alone.robust_accuracy, robust[index], "{attack}");
        }
        // One image at a time, a restart helps only if it starts elsewhere.
        let single = EvaluateOptions { batch_size: 1, ..options(threat, vec![pgd(1), pgd(10)]) };
        let verdict_alone = judge(network.as_ref(), &images, &single);
        let shares: Vec<f64> = verdict_alone.attacks.iter().map(|attack| attack.robust_accuracy).collect();
        assert!(shares[0] > shares[1], "{shares:?}");

        let reversed: Vec<_> = attacks.into_iter().rev().collect();
        let again = judge(network.as_ref(), &images, &options(threat, reversed));
        assert_eq!(again.robust_accuracy, verdict.robust_accuracy);
    }
}

#[test]
fn images_fall_to_different_attacks_and_count_once() {
    tch::set_num_threads(1);
    // Left half falls to FGSM alone, right half to PGD alone, so each attack leaves a half and the worst case nothing.
    let network = trap();
    let threat = threat(Norm::Linf, 0.1);
    let pgd = AttackSpec::pgd(&threat, 10, 1, None).unwrap();
    let images = flat_images(&[(128, 0), (64, 0)]);
    let verdict = judge(&network, &images, &options(threat, vec![AttackSpec::fgsm(&threat), pgd]));
    let robust: Vec<f64> = verdict.attacks.iter().map(|attack| attack.robust_accuracy).collect();
    assert_eq!((verdict.clean_accuracy, robust.as_slice()), (1.0, [0.5, 0.5].as_slice()));
    assert_eq!(verdict.robust_accuracy, 0.0);
}

#[test]
fn nothing_but_the_attack_changes_a_verdict() {
    tch::set_num_threads(1);
    let network = robust_network();
    let images = digits(150);
    let zero = threat(Norm::Linf, 0.0);
    let attacks = |threat| vec![AttackSpec::fgsm(threat), AttackSpec::pgd(threat, 3, 2, None).unwrap()];
    let still = judge(network.as_ref(), &images, &options(zero, attacks(&zero)));
    assert_eq!(still.robust_accuracy, still.clean_accuracy);
    assert!(still.attacks.iter().all(|attack| attack.robust_accuracy == still.clean_accuracy));

    let bound = threat(Norm::Linf, 0.1);
    let fgsm = vec![AttackSpec::fgsm(&bound)];
    let verdicts = [1, 7, 150, 1000].map(|batch_size| {
        judge(network.as_ref(), &images, &EvaluateOptions { batch_size, ..options(bound, fgsm.clone()) })
    });
    for verdict in &verdicts {
        assert_eq!(verdict.clean_accuracy, still.clean_accuracy);
        assert_eq!(verdict.robust_accuracy, verdicts[0].robust_accuracy, "FGSM draws nothing");
    }

    // The limit takes a subset that the seed alone decides: forty subsets of ten images, all with their own accuracy.
    let limited = |seed: u64, limit: usize, batch_size: usize| {
        let some = EvaluateOptions { limit: Some(limit), seed, batch_size, ..options(bound, fgsm.clone()) };
        let verdict = judge(network.as_ref(), &images, &some);
        (verdict.examples, verdict.clean_accuracy, verdict.robust_accuracy)
    };
    let subsets: Vec<_> = (0..12).map(|seed| limited(seed, 20, 64)).collect();
    assert!(subsets.iter().all(|subset| subset.0 == 20));
    assert_eq!((0..12).map(|seed| limited(seed, 20, 3)).collect::<Vec<_>>(), subsets);
    assert!(subsets.iter().any(|subset| *subset != subsets[0]), "{subsets:?}: always the same images");
    assert_eq!(limited(3, 150, 64).1, still.clean_accuracy);
    assert_eq!(limited(3, 9999, 64).0, 150);

    // The first ones are those that a list of them gives, whatever the seed.
    for seed in [0, 5] {
        let first = EvaluateOptions {
            limit: Some(20),
            selection: Selection::First,
            seed,
            ..options(bound, fgsm.clone())
        };
        let verdict = judge(network.as_ref(), &images, &first);
        let listed = judge(
            network.as_ref(),
            &images.select(&(0..20).collect::<Vec<_>>()),
            &options(bound, fgsm.clone()),
        );
        assert_eq!((verdict.clean_accuracy, &verdict.classes), (listed.clean_accuracy, &listed.classes));
        let subset = Subset { selection: Selection::First, images: 20, of: 150, seed: None };
        assert_eq!((verdict.subset, listed.subset), (Some(subset), None));
        assert_eq!(subset.words(), "the first 20 of 150");
    }
    let seeded = EvaluateOptions { limit: Some(20), seed: 3, ..options(bound, fgsm.clone()) };
    let subset = judge(network.as_ref(), &images, &seeded).subset.unwrap();
    assert_eq!((subset.selection, subset.seed), (Selection::Seeded, Some(3)));

    let refused = |images: &ImageSet, limit: Option<usize>, batch_size: usize| {
        let options = EvaluateOptions { limit, batch_size, ..options(bound, fgsm.clone()) };
        let error = evaluate(network.as_ref(), images, &options, &mut |_| Control::Continue).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{error}");
    };
    refused(&digits(0), None, 8);
    refused(&images, Some(0), 8);
    refused(&images, None, 0);
}

#[test]
fn progress_is_told_and_stop_is_heard() {
    tch::set_num_threads(1);
    let network = network("mlp", Kind::Float);
    let images = digits(25);
    let threat = threat(Norm::Linf, 0.1);
    let attacks = vec![AttackSpec::fgsm(&threat), AttackSpec::pgd(&threat, 2, 2, None).unwrap()];
    let options = EvaluateOptions { batch_size: 10, ..options(threat, attacks) };
    let mut told: Vec<Progress> = Vec::new();
    let verdict = evaluate(network.as_ref(), &images, &options, &mut |progress| {
        told.push(progress.clone());
        Control::Continue
    });
    let verdict = verdict.unwrap();
    let name = |stage: &Stage| match stage {
        Stage::Clean => "clean".to_owned(),
        Stage::Attack { name } => name.clone(),
    };
    let heard: Vec<_> = told.iter().map(|progress| (name(&progress.stage), progress.done)).collect();
    let expected =
        ["clean", "fgsm", "pgd-2x2"].map(|stage| [10, 20, 25].map(|done| (stage.to_owned(), done)));
    assert_eq!(heard, expected.concat());
    assert!(told.iter().all(|progress| progress.total == 25));
    assert_eq!(told[2].robust_accuracy, verdict.clean_accuracy);
    assert_eq!(told[8].robust_accuracy, verdict.attacks[1].robust_accuracy);
    for stop in 1..=told.len() {
        let mut count = 0;
        let result = evaluate(network.as_ref(), &images, &options, &mut |_| {
            count += 1;
            if count == stop { Control::Stop } else { Control::Continue }
        });
        assert!(
            matches!(result, Err(Error::Interrupted)) && count == stop,
            "stopped at {stop}, told {count}"
        );
    }
}

#[test]
fn who_leaves_early_comes_back_to_its_place() {
    tch::set_num_threads(1);
    let trained = robust_network();
    let network = network("convnet", Kind::Double);
    network.store().load(&trained.store().state().unwrap()).unwrap();
    let digits = digits(60);
    let images = Images::upload(&digits, Device::Cpu).unwrap();
    let batch = images.range(0, 60, Kind::Double).unwrap();
    for (norm, epsilon) in [(Norm::Linf, 0.15), (Norm::L2, 0.8)] {
        let threat = threat(norm, epsilon);
        let pgd = |stop| {
            let (start, walk) = (Start::Clean, Walk::InBox);
            Pgd { steps: 6, step_size: 0.25 * epsilon, start, walk, stop }
        };
        let (early, never) = (pgd(StopRule::WhenFooled), pgd(StopRule::Never));
        let cases: [(&str, &dyn Attack); 3] = [("early", &early), ("never", &never), ("fgsm", &Fgsm)];
        let mut gradients = Vec::new();
        for (name, attack) in cases {
            let found = |pixels: &Tensor, labels: &Tensor| {
                let mut oracle = Exact::new(network.as_ref(), Mode::Eval);
                let draws = Rng::new(0).seeded("attack", 0);
                let found =
                    run(attack, &mut oracle, UnderAttack::new(pixels, labels, &threat, &draws)).unwrap();
                (found.into_pixels(), oracle.passes().input_backward)
            };
            let (together, passes) = found(&batch.pixels, &batch.labels);
            let mut alone_passes = 0;
            for index in 0..60 {
                let single = batch.pixels.narrow(0, index, 1);
                let (alone, passes) = found(&single, &batch.labels.narrow(0, index, 1));
                let gap = (together.narrow(0, index, 1) - alone).abs().max().double_value(&[]);
                assert!(gap < 1e-9, "{name}, {threat}: image {index} differs by {gap}");
                alone_passes += passes;
            }
            assert_eq!(passes, alone_passes, "{name}, {threat}: who left asks no more");
            gradients.push(passes);
        }
        println!("{threat}: {gradients:?} gradients");
        // At one time or another, more than a third of the walks ended early; some never did.
        assert_eq!((gradients[1], gradients[2]), (360, 60));
        assert!(gradients[0] > 60 && gradients[0] < 300, "{threat}: {gradients:?}: the case shows nothing");
    }
}

/// Images of one shade each, with labels out of two classes.
pub(crate) fn flat_images(shades: &[(u8, u16)]) -> ImageSet {
    let pixels = shades.iter().flat_map(|(shade, _)| [*shade; 64]).collect();
    let labels = shades.iter().map(|(_, label)| *label).collect();
    let shape = ImageShape { channels: 1, height: 8, width: 8 };
    let classes = vec!["right".to_owned(), "wrong".to_owned()];
    ImageSet::new(pixels, shape, labels, classes, "shades".to_owned()).unwrap()
}

#[test]
fn one_step_that_beats_many_raises_the_alarm() {
    tch::set_num_threads(1);
    let network = trap();
    let threat = threat(Norm::Linf, 0.1);
    let pgd = AttackSpec::pgd(&threat, 10, 2, None).unwrap();
    let images = |shade: u8| flat_images(&[(shade, 0); 9]);
    let both = vec![pgd, AttackSpec::fgsm(&threat)];
    let dented = judge(&network, &images(128), &options(threat, both.clone()));
    let [alarm] = dented.alarms.as_slice() else { panic!("{dented:?}") };
    for part in ["one-step-beats-many", "fgsm leaves 0.00 %", "pgd-10x2 leaves 100.00 %"] {
        assert!(alarm.contains(part), "{alarm}");
    }
    assert_eq!(dented.robust_accuracy, 0.0, "the worst case is not fooled by the dent");
    // Many steps beating one is as it should be, and one attack alone has nothing to be compared with.
    let ditched = judge(&network, &images(64), &options(threat, both.clone()));
    assert_eq!(ditched.attacks[0].robust_accuracy, 0.0);
    let [alarm] = ditched.alarms.as_slice() else { panic!("{ditched:?}") };
    assert!(alarm.starts_with("collapse: 100.0 % under one step, 0.0 % under many"), "{alarm}");
    for attack in both {
        assert!(judge(&network, &images(128), &options(threat, vec![attack])).alarms.is_empty());
    }
}

#[test]
fn an_evaluation_that_was_stopped_goes_on_as_if_it_never_was() {
    tch::set_num_threads(1);
    let network = robust_network();
    let images = digits(60);
    let threat = threat(Norm::Linf, 0.1);
    let budget = Budget { steps: Some(5), restarts: Some(2), targets: Some(2), ..Budget::default() };
    let fab = budget.attack(AttackName::FabT, &threat).unwrap();
    let attacks = vec![AttackSpec::pgd(&threat, 2, 2, None).unwrap(), fab];
    let options = EvaluateOptions { batch_size: 25, ..options(threat, attacks) };
    let whole = judge(network.as_ref(), &images, &options).timeless();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let mut starts = 0;
    let resumed = loop {
        starts += 1;
        let mut batches = 0;
        let mut observer = |_: &Progress| {
            batches += 1;
            if batches == 2 { Control::Stop } else { Control::Continue }
        };
        match evaluate_resumable(network.as_ref(), &images, &options, &state, &mut observer) {
            Err(Error::Interrupted) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!((resumed.timeless(), starts), (whole, 5));
    let other = EvaluateOptions { seed: 1, limit: Some(20), ..options };
    let error = evaluate_resumable(network.as_ref(), &images, &other, &state, &mut |_| Control::Continue);
    let error = error.unwrap_err().to_string();
    for part in ["another evaluation", "all images, seed 0", "limit 20, seed 1"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Another choice of images, or of the start, is another evaluation.
    let go = |options: &EvaluateOptions| {
        evaluate_resumable(network.as_ref(), &images, options, &state, &mut |_| Control::Continue)
    };
    fs_err::remove_file(&state).unwrap();
    let limited = EvaluateOptions { seed: 0, ..other };
    go(&limited).unwrap();
    let first = EvaluateOptions { selection: Selection::First, ..limited.clone() };
    let error = go(&first).unwrap_err().to_string();
    assert!(error.contains("limit 20, seed 0") && error.contains("the first 20 images"), "{error}");
    let mut still = limited;
    still.attacks[0] = from_the_image(&threat, 2, threat.epsilon_length());
    assert!(go(&still).unwrap_err().to_string().contains("\"random_start\":false"));
}

#[test]
fn autoattack_is_the_worst_case_of_its_parts() {
    tch::set_num_threads(1);
    let network = robust_network();
    let images = digits(20);
    let threat = threat(Norm::Linf, 0.1);
    let attacks =
        vec![AttackSpec::customary(AttackName::AutoAttack, &threat).unwrap(), AttackSpec::fgsm(&threat)];
    let verdict = judge(network.as_ref(), &images, &options(threat, attacks));
    let whole = &verdict.attacks[0];
    let shares: Vec<f64> = whole.parts.iter().map(|part| part.robust_accuracy).collect();
    let names: Vec<&str> = whole.parts.iter().map(|part| part.name.as_str()).collect();
    println!("clean {}, {shares:?}", verdict.clean_accuracy);
    assert_eq!(names, ["apgd-ce", "apgd-t", "fab-t", "square"]);
    assert!(shares.is_sorted_by(|before, after| before >= after) && shares[0] <= verdict.clean_accuracy);
    assert_eq!((whole.robust_accuracy, verdict.robust_accuracy), (shares[3], shares[3]));
    assert!(whole.robust_accuracy <= verdict.attacks[1].robust_accuracy);
    assert_eq!(whole.passes.forward, whole.parts.iter().map(|part| part.passes.forward).sum::<u64>());
}

#[test]
fn masked_gradients_raise_the_alarm_and_do_not_deceive_autoattack() {
    tch::set_num_threads(1);
    let images = digits(40);
    let threat = threat(Norm::Linf, 0.2);
    let pgd = AttackSpec::pgd(&threat, 10, 1, None).unwrap();
    let budget = Budget { steps: Some(20), ..Budget::default() };
    let attacks = || vec![pgd, budget.attack(AttackName::ApgdT, &threat).unwrap()];
    let honest = judge(robust_network().as_ref(), &images, &options(threat, attacks()));
    assert!(honest.alarms.is_empty(), "{:?}", honest.alarms);
    let masked = judge(&steep(robust_network()), &images, &options(threat, attacks()));
    assert!(masked.alarms.iter().any(|alarm| alarm.starts_with("zero-gradients")), "{:?}", masked.alarms);
    let robust = |verdict: &Evaluation, place: usize| verdict.attacks[place].robust_accuracy;
    assert!(robust(&masked, 0) > robust(&honest, 0) + 0.2, "PGD is deceived");
    assert!((robust(&masked, 1) - robust(&honest, 1)).abs() <= 0.05, "a ratio of logits is not");
}

/// PGD of `steps` steps that starts at the clean image.
fn from_the_image(threat: &ThreatModel, steps: usize, step_size: PixelLength) -> AttackSpec {
    let budget = Budget {
        steps: Some(steps),
        step_size: Some(step_size),
        random_start: Some(false),
        ..Budget::default()
    };
    budget.attack(AttackName::Pgd, threat).unwrap()
}

#[test]
fn without_a_random_start_the_walk_begins_at_the_image() {
    tch::set_num_threads(1);
    let (network, images) = (robust_network(), digits(80));
    let threat = threat(Norm::Linf, 0.1);
    let step_size = threat.epsilon_length();
    let still = from_the_image(&threat, 1, step_size);
    let verdict = judge(network.as_ref(), &images, &options(threat, vec![AttackSpec::fgsm(&threat), still]));
    // One step of epsilon from the image is FGSM.
    assert_eq!(verdict.attacks[0].robust_accuracy, verdict.attacks[1].robust_accuracy);
    assert_eq!(verdict.attacks[1].name, "pgd-1-clean-start");
    let of_seed = |attack, seed| {
        judge(network.as_ref(), &images, &EvaluateOptions { seed, ..options(threat, vec![attack]) })
            .robust_accuracy
    };
    let still = from_the_image(&threat, 3, step_size.scaled(0.5));
    let found: Vec<f64> = (0..6).map(|seed| of_seed(still, seed)).collect();
    assert!(found.iter().all(|share| *share == found[0]), "{found:?}: nothing is drawn");
}

#[test]
fn a_step_that_is_longer_than_the_ball_is_mentioned() {
    tch::set_num_threads(1);
    let (network, images) = (robust_network(), digits(20));
    let threat = threat(Norm::Linf, 0.1);
    let step = |length: &str| AttackSpec::pgd(&threat, 2, 1, Some(length.parse().unwrap())).unwrap();
    let notes = |attack| judge(network.as_ref(), &images, &options(threat, vec![attack])).notes;
    assert_eq!((notes(step("0.1")), notes(AttackSpec::fgsm(&threat))), (Vec::new(), Vec::new()));
    let found = notes(step("0.9"));
    assert!(found.len() == 1 && found[0].contains("a step of 0.9 is longer than epsilon, 0.1"), "{found:?}");
    let curve = ["0.05", "0.2"].map(|epsilon| CurveAttack {
        threat: ThreatModel::new(Norm::Linf, epsilon.parse().unwrap()).unwrap(),
        attack: step("0.1"),
    });
    let over = EvaluateOptions { curve: curve.to_vec(), ..options(threat, Vec::new()) };
    let found = judge(network.as_ref(), &images, &over).notes;
    assert!(found.len() == 1 && found[0].starts_with("pgd-2 at 0.05: a step of 0.1"), "{found:?}");
}

#[test]
fn a_collapse_is_an_alarm_and_natural_training_a_note() {
    tch::set_num_threads(1);
    // One step jumps across the ditch, and short ones fall into it.
    let (network, images) = (trap(), flat_images(&[(64, 0); 60]));
    let threat = threat(Norm::Linf, 0.1);
    let attacks = || vec![AttackSpec::fgsm(&threat), AttackSpec::pgd(&threat, 10, 2, None).unwrap()];
    let of = |method: &str, trained: Option<ThreatModel>| {
        let training = Training { method: method.parse().ok(), threat: trained, own: None };
        judge(&network, &images, &EvaluateOptions { training, ..options(threat, attacks()) })
    };
    let named =
        |verdict: &Evaluation| verdict.alarms.iter().find(|alarm| alarm.starts_with("collapse")).cloned();
    let run = of("fgsm-rs", Some(threat));
    let alarm = named(&run).unwrap();
    assert!(
        alarm.contains("100.0 % under one step, 0.0 % under many steps: fgsm-rs has collapsed"),
        "{alarm}"
    );
    let natural = of("natural", Some(threat));
    assert_eq!(named(&natural), None);
    assert!(natural.notes.iter().any(|note| note.contains("no collapse")), "{:?}", natural.notes);
    let unknown = named(&of("unheard of", None)).unwrap();
    assert!(unknown.contains("if the network was trained by attacks of one step"), "{unknown}");
    let smaller = crate::support::threat(Norm::Linf, 0.05);
    assert_eq!(named(&of("fgsm-rs", Some(smaller))), None, "beyond the bound of the training");
    // Three images prove nothing.
    let few = judge(&network, &flat_images(&[(64, 0); 3]), &options(threat, attacks()));
    assert_eq!(named(&few), None);
}
