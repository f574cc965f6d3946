//! Numbers that are not finite: named where weights come in and where they answer, and never saved.

use crate::support::{Witness, network, noise, options, recipe, threat};
use gaat::Error;
use gaat::analyze::{AnalyzeOptions, analyze};
use gaat::evaluate::{Control, EvaluateOptions, GradientSource, PerturbOptions, evaluate, perturb};
use gaat::explain::{ExplainOptions, Subject, explain};
use gaat::nn::{Classifier, Mode};
use gaat::train::train;
use gaat_data::ImageSet;
use gaat_spec::{AttackSpec, Event, Norm, Selection};
use gaat_testkit::file_tensors;
use tch::{Kind, Tensor};

/// What `network` makes of some digits in each command that asks it for answers.
fn refusals(network: &dyn Classifier, images: &ImageSet) -> Vec<(&'static str, String)> {
    let threat = threat(Norm::Linf, 0.1);
    let attack = AttackSpec::pgd(&threat, 2, 1, None).unwrap();
    let options = EvaluateOptions::new(threat, vec![attack], 50);
    let judged = evaluate(network, images, &options, &mut |_| Control::Continue).map(drop);
    let perturbed = perturb(
        network,
        images,
        &PerturbOptions {
            selection: Selection::Seeded,
            threat,
            attack,
            gradient: GradientSource::Exact,
            batch_size: 50,
            limit: None,
            seed: 0,
        },
    )
    .map(drop);
    let subject = Subject { run: "x".to_owned(), label: "x".to_owned(), seed: None, classifier: network };
    let options = ExplainOptions { methods: Vec::new(), limit: 50, selection: Selection::Seeded, seed: 0 };
    let explained = explain(&[subject], images, &options, &mut |_| Control::Continue).map(drop);
    [("evaluate", judged), ("attack", perturbed), ("explain", explained)]
        .map(|(name, outcome)| {
            let error = outcome.expect_err(name);
            assert!(matches!(error, Error::NotFinite(_)), "{name}: {error:?}");
            (name, error.to_string())
        })
        .into()
}

#[test]
fn logits_that_are_not_finite_are_no_answers() {
    tch::set_num_threads(1);
    let images = crate::support::digits(60);
    // Finite weights whose sums overflow: some logits infinite with either sign, or all of them positive.
    for (factor, addend) in [(1e15, 0.0), (1.0, 3e38)] {
        let network = network("convnet", Kind::Float);
        let weights = network.store().trainable().into_iter().filter(|tensor| tensor.dim() > 1);
        tch::no_grad(|| {
            for mut weight in weights {
                let changed = (&weight * factor + addend).clamp(-3e38, 3e38);
                weight.copy_(&changed);
            }
        });
        for (command, text) in refusals(network.as_ref(), &images) {
            assert!(text.contains("logits that are not finite"), "{command}: {text}");
        }
        let options = AnalyzeOptions {
            selection: Selection::Seeded,
            norm: Norm::Linf,
            epsilons: vec!["0.1".parse().unwrap()],
            models: gaat_spec::analysis::LossModel::all(&[1], gaat_spec::Curvature::ALL).unwrap(),
            anchor: gaat_spec::Anchor::Clean,
            steps: 2,
            curvature_draws: 1,
            batch_size: 30,
            limit: 30,
            seed: 0,
        };
        let analysed = analyze(network.as_ref(), &images, &options, &mut |_| Control::Continue);
        assert!(matches!(analysed.err(), Some(Error::NotFinite(_))));
    }
}

#[test]
fn weights_that_are_not_finite_are_named_and_nothing_is_changed() {
    let network = network("wide-resnet-10-1", Kind::Float);
    let before = network.store().state().unwrap();
    let with = |place: usize, number: f64, kind: Kind| -> Vec<(String, Tensor)> {
        let mut state: Vec<_> = before.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
        let shape = state[place].1.size();
        let flat = state[place].1.to_kind(kind).flatten(0, -1);
        let _ = flat.get(0).fill_(number);
        state[place].1 = flat.view(shape.as_slice());
        state
    };
    for (place, (name, _)) in before.iter().enumerate() {
        // The last fits f64 and not the network's f32.
        for (number, kind) in [
            (f64::NAN, Kind::Float),
            (f64::INFINITY, Kind::Half),
            (f64::NEG_INFINITY, Kind::Double),
            (1e300, Kind::Double),
        ] {
            let error = network.store().load(&with(place, number, kind)).unwrap_err();
            assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
        if name.ends_with("running_var") {
            let text = network.store().load(&with(place, -0.5, Kind::Float)).unwrap_err().to_string();
            assert!(text.contains(&format!("`{name}`")) && text.contains("negative variance"), "{text}");
        }
    }
    assert_eq!(network.store().state().unwrap(), before);
}

#[test]
fn a_batch_without_statistics_is_refused_before_they_are_spoiled() {
    tch::set_num_threads(1);
    let network = network("preact-resnet-18-w8", Kind::Float);
    let before = network.store().state().unwrap();
    let (pixels, _) = noise(3, Kind::Float);
    let logits = |count: i64, mode| network.logits(&pixels.narrow(0, 0, count), mode);
    for mode in [Mode::Train, Mode::TrainFrozenStats] {
        let error = logits(1, mode).unwrap_err();
        assert!(matches!(error, Error::OneValue { .. }), "{error:?}");
        assert!(error.to_string().contains("layer4.0.bn2"), "{error}");
    }
    assert_eq!(logits(1, Mode::Eval).unwrap().size(), [1, 10]);
    let changed = |left: &[(String, Tensor)]| {
        left.iter()
            .zip(&before)
            .filter(|(now, then)| now.1 != then.1)
            .map(|(now, _)| now.0.clone())
            .collect::<Vec<_>>()
    };
    // Layers above the one that refuses have seen the image; none of their numbers is spoiled.
    let state = network.store().state().unwrap();
    assert!(state.iter().all(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 1));
    assert!(changed(&state).iter().all(|name| name.contains("running")));
    assert_eq!(logits(2, Mode::Train).unwrap().size(), [2, 10]);
}

#[test]
fn a_last_batch_of_one_image_joins_the_one_before() {
    tch::set_num_threads(1);
    for method in ["natural", "free", "fgsm-mep", "awp+trades"] {
        let folder = tempfile::tempdir().unwrap();
        let adaptive = "validation-fraction = 0\nlimit = 9\nbatch-size = 4\nepochs = 2\nepsilon = 0.1\noptimizer = \"adam\"\n\
            weight-averaging = 0.9\n";
        let replays = if method == "free" { "replays = 2\n" } else { "" };
        let recipe =
            recipe(&format!("model = \"preact-resnet-18-w8\"\nmethod = \"{method}\"\n{adaptive}{replays}"));
        let whole = folder.path().join("whole");
        let mut witness = Witness::default();
        let record = train(&recipe, &options(&whole, false), &mut witness).unwrap();
        let sizes: Vec<usize> = witness
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Step { images, .. } => Some(*images),
                _ => None,
            })
            .collect();
        let seen: usize = sizes.iter().sum();
        assert!(sizes.iter().all(|size| [4, 5].contains(size)) && sizes.contains(&5), "{method}: {sizes:?}");
        assert_eq!((record.images as usize, seen % 9), (seen, 0), "{method}: every image as often");

        // Stopped after the first step and gone on with: the same files.
        let parts = folder.path().join("parts");
        let mut stops = Witness { stop_after: Some(1), ..Witness::default() };
        train(&recipe, &options(&parts, false), &mut stops).unwrap();
        train(&recipe, &options(&parts, true), &mut Witness::default()).unwrap();
        for file in ["best", "last", "state"] {
            let read =
                |run: &std::path::Path| file_tensors(&run.join(format!("checkpoints/{file}.safetensors")));
            let tensors = read(&whole);
            assert!(tensors == read(&parts), "{method}: {file}");
            for (name, bytes) in
                tensors.iter().filter(|(name, _)| name.contains("running") || name.contains("bn"))
            {
                let mut numbers =
                    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
                assert!(numbers.all(f32::is_finite), "{method}: {file} {name}");
            }
        }
    }
}

#[test]
fn batches_without_statistics_are_refused_before_training() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for (limit, size, said) in [(1, 64, "1 training image"), (9, 1, "batch-size is 1")] {
        let recipe = recipe(&format!(
            "model = \"resnet-18-w8\"\nvalidation-fraction = 0\nlimit = {limit}\nbatch-size = {size}\nepochs = 1\n"
        ));
        let run = folder.path().join("run");
        let text = train(&recipe, &options(&run, false), &mut Witness::default()).unwrap_err().to_string();
        assert!(text.contains("resnet-18-w8") && text.contains(said), "{text}");
        assert!(!run.exists());
    }
}
