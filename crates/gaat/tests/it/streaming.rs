//! Images that are read from the disk while the network trains: the same run, bit for bit.

use crate::support::options;
use gaat::run::{Checkpoint, open, test_images};
use gaat::spec::{CheckedRecipe, Event, Recipe, Residence, RunRecord, Status};
use gaat::train::{Control, Quiet, train};
use gaat_data::{ImageSet, ImageShape, Source, load};
use std::path::Path;

/// Some digits as files of PNG, train and test.
fn write_folder(root: &Path) {
    let found =
        load(&Source { dataset: gaat_data::DatasetName::Digits, data_dir: None, resize: None }).unwrap();
    let write = |part: &str, set: &ImageSet, count: usize| {
        for index in 0..count {
            let class = root.join(part).join(format!("class{}", set.labels()[index]));
            fs_err::create_dir_all(&class).unwrap();
            let ImageShape { channels, height, width } = set.shape();
            let bytes = gaat_files::png::of_planes(set.image(index), [channels, height, width]).unwrap();
            fs_err::write(class.join(format!("{index:04}.png")), bytes).unwrap();
        }
    };
    write("train", &found.train, 300);
    write("test", &found.test, 80);
    crate::extra::write_white(&root.join("extra.npz"), 40, 8);
}

/// With `gaat` images are mixed too, and some are those of another file, which lies in memory.
fn recipe(root: &Path, method: &str, images: Residence) -> CheckedRecipe {
    let extra = root.join("extra.npz");
    let more = if method == "gaat" {
        format!("mixup = 0.5\ncutmix = 1\nextra-data = {extra:?}\nextra-share = 0.3\n")
    } else {
        String::new()
    };
    let text = format!(
        "dataset = \"folder\"\ndata-dir = {root:?}\nimages = \"{images}\"\nprecision = \"fp32\"\nmodel = \"convnet\"\nmethod = \"{method}\"\n\
         limit = 240\nbatch-size = 32\nepochs = 3\nvalidation-steps = 1\nvalidation-fraction = 0.1\ncrop-padding = 1\nflip = true\n\
         normalization = \"dataset\"\nepsilon = 0.1\n{more}"
    );
    Recipe::from_toml(&text).unwrap().check().unwrap()
}

/// All of the record that the images decide.
fn told(record: &RunRecord) -> (Vec<(f64, f64, Option<f64>)>, String) {
    let epochs = record.epochs.iter();
    (
        epochs.map(|epoch| (epoch.loss, epoch.train_accuracy, epoch.validation_robust)).collect(),
        record.data_digest.clone(),
    )
}

fn weights(run: &Path) -> Vec<u8> {
    fs_err::read(run.join("checkpoints/last.safetensors")).unwrap()
}

#[test]
fn a_streamed_run_is_the_resident_one_bit_for_bit_and_either_goes_on_as_the_other() {
    tch::set_num_threads(1);
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("images");
    write_folder(&root);
    // Also `gaat-free`, which trains on each batch several times.
    for method in ["gaat", "gaat-free"] {
        let place = |name: &str| home.path().join(format!("{method}-{name}"));
        let run = |name: &str, images| {
            train(&recipe(&root, method, images), &options(&place(name), false), &mut Quiet).unwrap()
        };
        let resident = run("resident", Residence::Resident);
        let streamed = run("streamed", Residence::Streamed);
        assert_eq!(resident.images_lay, Some(Residence::Resident));
        assert_eq!(streamed.images_lay, Some(Residence::Streamed));
        assert_eq!(told(&streamed), told(&resident), "{method}");
        assert_eq!(weights(&place("streamed")), weights(&place("resident")), "{method}");

        let mut stop = |event: &Event| match event {
            Event::Step { step: 9, .. } => Control::Stop,
            _ => Control::Continue,
        };
        let options = |resume| options(&place("stopped"), resume);
        let stopped = train(&recipe(&root, method, Residence::Resident), &options(false), &mut stop).unwrap();
        assert_eq!(stopped.status, Status::Interrupted);
        let resumed = train(&recipe(&root, method, Residence::Streamed), &options(true), &mut Quiet).unwrap();
        assert_eq!((told(&resumed), resumed.images_lay), (told(&resident), Some(Residence::Streamed)));
        assert_eq!(weights(&place("stopped")), weights(&place("resident")), "{method}");
    }
    // The test images are streamed to the judge too.
    let place = home.path().join("gaat-streamed");
    let opened = open(&place, Checkpoint::Last, None, gaat::spec::ComputePrecision::Fp32).unwrap();
    let threat = recipe(&root, "gaat", Residence::Auto).plan.threat();
    let judging = gaat::evaluate::EvaluateOptions::new(
        threat,
        vec![gaat::spec::AttackSpec::pgd(&threat, 2, 1, None).unwrap()],
        30,
    );
    let verdict = |images| {
        let test = test_images(&recipe(&root, "gaat", images).resolved, None).unwrap();
        assert_eq!(test.images().is_resident(), images == Residence::Resident);
        let found =
            gaat::evaluate::evaluate(opened.classifier.as_ref(), test.images(), &judging, &mut |_| {
                Control::Continue
            });
        let found = found.unwrap();
        (found.clean_accuracy, found.robust_accuracy, found.examples)
    };
    assert_eq!(verdict(Residence::Streamed), verdict(Residence::Resident));
}

#[test]
fn what_cannot_be_streamed_says_so() {
    let text = "dataset = \"digits\"\nimages = \"streamed\"";
    let recipe = Recipe::from_toml(text).unwrap().check().unwrap();
    let error = gaat::dataset::load(&recipe, None).unwrap_err().to_string();
    assert!(error.contains("images must be auto or resident") && error.contains("folder"), "{error}");
}
