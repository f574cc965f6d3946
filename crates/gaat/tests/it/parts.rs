//! A training put together from parts, without a run directory.

use crate::support::{options, recipe};
use gaat::dataset::Dataset;
use gaat::spec::{EpochRecord, Event, Seconds, Status};
use gaat::train::{Control, GivenWeights, Head, Nothing, Quiet, Start, Training, train};
use gaat_data::{SplitOptions, load};

const SHORT: &str =
    "model = \"mlp\"\nmethod = \"natural\"\nlimit = 120\nbatch-size = 30\nepochs = 2\nvalidation-steps = 1\n";

fn timeless(epochs: &[EpochRecord]) -> Vec<EpochRecord> {
    epochs.iter().map(|epoch| EpochRecord { seconds: Seconds::default(), ..epoch.clone() }).collect()
}

#[test]
fn a_run_that_keeps_nothing_is_the_run_of_a_directory_and_a_closure_can_stop_it() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let checked = recipe(SHORT);
    let kept = train(&checked, &options(&folder.path().join("run"), false), &mut Quiet).unwrap();
    let mut steps = 0;
    let mut count = |event: &Event| {
        steps += usize::from(matches!(event, Event::Step { .. }));
        Control::Continue
    };
    let record = Training::of(&checked).unwrap().run(&mut Nothing, &mut count).unwrap();
    assert_eq!(timeless(&record.epochs), timeless(&kept.epochs));
    assert_eq!((record.passes, record.status, record.start), (kept.passes, Status::Done, None));
    assert_eq!(steps, 2 * (record.images as usize / 2).div_ceil(30));

    let mut stop = |_: &Event| Control::Stop;
    let record = Training::of(&checked).unwrap().run(&mut Nothing, &mut stop).unwrap();
    assert_eq!((record.status, record.epochs.len()), (Status::Interrupted, 0));
}

#[test]
fn images_of_ones_own_are_trained_on() {
    tch::set_num_threads(1);
    let checked = recipe(SHORT);
    let found =
        load(&gaat_data::Source { dataset: gaat_data::DatasetName::Digits, data_dir: None, resize: None });
    let found = found.unwrap();
    let few: Vec<usize> = (0..200).collect();
    let split = SplitOptions { validation_fraction: 0.2, seed: 0, limit_train: None, limit_test: None };
    let data = Dataset::of(found.train.select(&few), found.test.select(&few), &split).unwrap();
    let training = Training { data, ..Training::of(&checked).unwrap() };
    let record = training.run(&mut Nothing, &mut Quiet).unwrap();
    assert_eq!((record.images, record.status), (2 * 160, Status::Done));
}

#[test]
fn given_weights_are_begun_with_recorded_and_refused_where_they_do_not_fit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let long = recipe(&SHORT.replace("epochs = 2", "epochs = 12"));
    let before = train(&long, &options(&first, false), &mut Quiet).unwrap();
    let weights = first.join("checkpoints/last.safetensors");
    let given = |head| Start::From { weights: GivenWeights::open(&weights).unwrap(), head };
    let once = recipe(&SHORT.replace("epochs = 2", "epochs = 1"));
    let started =
        |head| Training::starting(&once, given(head)).unwrap().run(&mut Nothing, &mut Quiet).unwrap();
    let fresh = Training::of(&once).unwrap().run(&mut Nothing, &mut Quiet).unwrap();
    let (kept, reheaded) = (started(Head::Keep), started(Head::Fresh));
    let loss = |record: &gaat::spec::RunRecord| record.epochs[0].loss;
    println!("{} fresh, {} kept, {} with a fresh head", loss(&fresh), loss(&kept), loss(&reheaded));
    assert!(loss(&kept) < before.epochs[5].loss && loss(&kept) < 0.1 * loss(&fresh));
    assert!(loss(&reheaded) > 2.0 * loss(&kept) && loss(&reheaded) < loss(&fresh));
    let said = kept.start.unwrap();
    assert_eq!(said.digest, gaat_data::digest_of_file(&weights).unwrap());
    assert!(!said.fresh_head && reheaded.start.unwrap().fresh_head);

    // Weights mean nothing under another normalisation.
    let scaled = recipe(&format!("{SHORT}normalization = \"dataset\"\n"));
    let other = Training { start: given(Head::Keep), ..Training::of(&scaled).unwrap() };
    let error = other.run(&mut Nothing, &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("normalisation"), "{error}");
    // Nor in another network.
    let convnet = recipe(&SHORT.replace("\"mlp\"", "\"convnet\""));
    let error =
        Training::starting(&convnet, given(Head::Keep)).unwrap().run(&mut Nothing, &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}
