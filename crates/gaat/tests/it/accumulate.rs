//! Batches whose gradients are added up one after the other train as one batch that is so many times larger.

use crate::support::{Witness, recipe};
use crate::world::{assert_same_course, gap, in_directory, text, together, training, weights};
use gaat::spec::{Recipe, RunRecord, Status};
use gaat::train::{Nothing, Quiet};
use std::path::Path;

/// Four batches of ten images to a step, and one of forty.
const PARTS: &str = "batch-size = 10\naccumulate = 4\n";
const WHOLE: &str = "batch-size = 40\n";

fn run(text: &str, size: usize, run: &Path) -> RunRecord {
    let records = together(text, size, |training, is_leader| {
        if is_leader {
            in_directory(training, text, run, false, &mut Quiet)
        } else {
            training.run(&mut Nothing, &mut Quiet).unwrap()
        }
    });
    records.into_iter().next().unwrap()
}

#[test]
fn several_batches_to_a_step_end_with_the_weights_of_one_large_batch() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("natural", ""),
        ("rat", "steps = 3\n"),
        ("gaat", "steps = 4\nrefinement = \"adaptive\"\nepochs = 12\nepsilon = 0.4\nlearning-rate = 5e-3\n"),
        ("gaat", "steps = 2\ncurvature = \"batch-fisher\"\n"),
        ("gaat", "steps = 2\ncurvature = \"secant\"\nlabel-smoothing = 0.2\nattack-labels = \"soft\"\n"),
        ("trades", "steps = 2\n"),
        ("mart", "steps = 2\n"),
        ("awp+gaat", "steps = 2\nawp-warmup = 0\n"),
        ("dat+rat", "steps = 2\ndelay = 1\nepochs = 3\n"),
        (
            "n-fgsm",
            "consistency = 2.0\nconsistency-every = 2\nlabel-smoothing = 0.2\nlabel-smoothing-form = \"random\"\n",
        ),
        ("fgsm-rs", "crop-padding = 0\nflip = true\n"),
        ("liet", ""),
        ("rat", "steps = 2\nconverge-smooth = 1\nepochs = 4\n"),
        ("sora", ""),
        ("gaat", "start = \"universal\"\nstep-draw = \"uniform\"\nproject = \"never\"\n"),
        ("gaat-memory", "epochs = 3\nflip = true\n"),
        ("free", "replays = 2\n"),
        ("gaat-free", "replays = 2\n"),
    ];
    for (index, (method, more)) in cases.into_iter().enumerate() {
        let of = |batches: &str| text(method, &format!("{more}{batches}"));
        let name = |what: &str| folder.path().join(format!("{index}-{what}"));
        let mut expected = in_directory(training(&of(WHOLE)), &of(WHOLE), &name("whole"), false, &mut Quiet);
        // Of 135 images in steps of 40: a whole batch keeps the graph of its attack, and parts are asked about once more.
        let again = match method {
            "liet" => 2 * 135,
            "n-fgsm" => 2 * (40 + 15),
            _ => 0,
        };
        expected.passes.forward += again;
        if more.contains("adaptive") {
            let refined = expected.epochs.iter().any(|epoch| epoch.refreshes > 1.0);
            assert!(refined, "nothing was refined: {:?}", expected.epochs);
        }
        // That curvature mixes a batch, which parts may be computed of, but processes may not have parts of.
        let most = if more.contains("batch-fisher") {
            1
        } else if more.contains("adaptive") {
            3
        } else {
            2
        };
        for size in 1..=most {
            let directory = name(&format!("parts-{size}"));
            let found = match size {
                1 => in_directory(training(&of(PARTS)), &of(PARTS), &directory, false, &mut Quiet),
                size => run(&of(PARTS), size, &directory),
            };
            let apart = gap(&weights(&directory), &weights(&name("whole")));
            println!("{method} {} in {size}: weights {apart:.1e} apart", more.trim());
            assert!(apart < 1e-9, "{method} {more} in {size}: {apart}");
            assert_same_course(&found, &expected, &format!("{method} {more} in {size}"));
        }
    }
}

#[test]
fn a_step_of_several_batches_is_resumed_bit_for_bit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for method in ["gaat", "free", "awp+rat"] {
        let more = format!("{PARTS}learning-rate-warmup = 1.5\nsteps = 2\nmodel = \"wide-resnet-10-1\"\n");
        let text =
            text(method, &more.replace("steps = 2\n", if method == "free" { "" } else { "steps = 2\n" }));
        let (whole, stopped) = (folder.path().join(method), folder.path().join(format!("{method}-stopped")));
        let expected = in_directory(training(&text), &text, &whole, false, &mut Quiet);
        let mut stop = Witness { stop_after: Some(2), ..Witness::default() };
        let record = in_directory(training(&text), &text, &stopped, false, &mut stop);
        assert_eq!(record.status, Status::Interrupted, "{method}");
        let record = in_directory(training(&text), &text, &stopped, true, &mut Quiet);
        assert_eq!(record.status, Status::Done, "{method}");
        assert_eq!(gap(&weights(&stopped), &weights(&whole)), 0.0, "{method}");
        let rates =
            |record: &RunRecord| record.epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>();
        assert_eq!(rates(&record), rates(&expected));
        // Adam at 1e-3 in 8 steps, of which 6 warm up: 3.5 of them after the first epoch.
        assert!((rates(&record)[0] - 1e-3 * 3.5 / 6.0).abs() < 1e-12, "{:?}", rates(&record));
        assert_eq!(rates(&record)[1], 1e-3);
    }
}

#[test]
fn networks_that_normalise_by_batches_train_on_parts_of_any_size() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    // Maps of one pixel need two images in each part, in each process too. 135 images leave a rest of 3 in steps of 12.
    for (size, batches) in [(1, "batch-size = 3\naccumulate = 4\n"), (2, "batch-size = 4\naccumulate = 3\n")]
    {
        let text = text("gaat", &format!("{batches}model = \"resnet-18-w8\"\nepochs = 1\nsteps = 2\n"));
        let directory = folder.path().join(format!("{size}"));
        let record = match size {
            1 => in_directory(training(&text), &text, &directory, false, &mut Quiet),
            size => run(&text, size, &directory),
        };
        assert!(record.status == Status::Done && record.epochs[0].loss.is_finite(), "{record:?}");
    }
    // Each part is normalised by its own statistics, which the running ones follow part by part: another network than that of one
    // large batch.
    let [parts, whole] = [PARTS, WHOLE].map(|batches| {
        let text = text("natural", &format!("{batches}model = \"wide-resnet-10-1\"\nepochs = 1\n"));
        let directory = folder.path().join(batches.len().to_string());
        let record = in_directory(training(&text), &text, &directory, false, &mut Quiet);
        (weights(&directory), record)
    });
    assert_eq!((parts.1.passes, parts.1.images), (whole.1.passes, whole.1.images));
    assert!(gap(&parts.0, &whole.0) > 1e-4);
    let text = text("natural", "batch-size = 3\naccumulate = 4\nmodel = \"resnet-18-w8\"\nepochs = 1\n");
    let errors =
        together(&text, 2, |training, _| training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string());
    assert!(errors[0].contains("batch-size is 3") && errors[0].contains("at least 4"), "{errors:?}");
}

#[test]
fn methods_that_keep_a_graph_are_refused_by_name() {
    let refused = |method: &str, more: &str| {
        training(&text(method, &format!("{more}{PARTS}")))
            .run(&mut Nothing, &mut Quiet)
            .unwrap_err()
            .to_string()
    };
    for (method, more, reason) in [
        ("fgsm-mep", "", "serves the descent too"),
        ("nuat", "", "a whole batch"),
        ("gradalign", "", "is differentiated in the descent"),
        ("awp+gradalign", "", "is differentiated in the descent"),
        ("gaat", "curvature = \"exact\"\n", "curvature exact"),
        ("gaat", "curvature = \"sampled-fisher\"\n", "curvature sampled-fisher"),
    ] {
        let text = refused(method, more);
        assert!(text.contains(&format!("{method} cannot accumulate over 4 batches")), "{text}");
        assert!(text.contains(reason) && text.contains("leave accumulate out"), "{text}");
    }
    for (key, words) in [
        ("accumulate = 0", "needs at least 1"),
        ("accumulate = 1000000", "needs at most 100000"),
        ("learning-rate-warmup = -1.0", "0, which is off"),
        ("learning-rate-warmup = nan", "0, which is off"),
        ("epochs = 3\nlearning-rate-warmup = 3.5", "to the 3 of the run"),
    ] {
        let error = Recipe::from_toml(key).unwrap().check().unwrap_err().to_string();
        let name = key.lines().last().unwrap().split(' ').next().unwrap();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
    assert_eq!(recipe("batch-size = 10\naccumulate = 3").plan.images_per_step(), 30);
}
