//! Images of another source in a fixed share of every batch.

use crate::support::{Witness, options, recipe, trained};
use gaat::npz;
use gaat::spec::{CheckedRecipe, RunRecord, Seconds, Status};
use gaat::train::{Quiet, train};
use gaat_testkit::file_tensors;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// White images of class 3, `images` of them, of `side` pixels a side.
pub(crate) fn write_white(path: &Path, images: i64, side: i64) {
    let pixels = Tensor::full([images, side, side], 255, (Kind::Uint8, Device::Cpu));
    let labels = Tensor::full([images], 3, (Kind::Int64, Device::Cpu));
    npz::write(path, &[("image", &pixels), ("label", &labels)]).unwrap();
}

fn text(file: Option<&Path>, more: &str) -> CheckedRecipe {
    let extra = file.map(|path| format!("extra-data = {path:?}\nextra-share = 0.4\n")).unwrap_or_default();
    recipe(&format!(
        "method = \"gaat\"\nmodel = \"convnet\"\nlimit = 200\nbatch-size = 36\nepochs = 3\nvalidation-steps = 1\ncrop-padding = 1\n\
         weight-averaging = 0.9\n{extra}{more}"
    ))
}

fn timeless(mut record: RunRecord) -> RunRecord {
    record.seconds = Seconds::default();
    for epoch in &mut record.epochs {
        epoch.seconds = Seconds::default();
    }
    record
}

#[test]
fn epochs_keep_their_length_the_digest_is_recorded_and_a_stop_changes_nothing() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_white(&path("white.npz"), 50, 8);
    let plain = trained(&text(None, "refinement = \"off\"\n"), &path("plain"));
    for (index, more) in ["refinement = \"off\"\n", "mixup = 0.5\n"].into_iter().enumerate() {
        let checked = text(Some(&path("white.npz")), more);
        let place = |name: &str| path(&format!("{name}-{index}"));
        let whole = trained(&checked, &place("whole"));
        assert_eq!(whole.images, plain.images, "as many steps of as many images");
        if index == 0 {
            assert_eq!(whole.passes, plain.passes);
            // Two images in five are white ones of one class: what a network learns first.
            assert!(
                whole.epochs[0].train_accuracy > plain.epochs[0].train_accuracy + 0.1,
                "{:?}",
                whole.epochs
            );
        }
        assert_eq!(
            (whole.data_digest.clone(), plain.extra_digest.clone()),
            (plain.data_digest.clone(), None)
        );
        assert_eq!(whole.extra_digest.as_ref().map(String::len), Some(64));
        let mut stop = Witness { stop_after: Some(7), ..Witness::default() };
        let record = train(&checked, &options(&place("stopped"), false), &mut stop).unwrap();
        assert_eq!(record.status, Status::Interrupted);
        let resumed = train(&checked, &options(&place("stopped"), true), &mut Quiet).unwrap();
        assert_eq!(timeless(resumed), timeless(whole));
        let state = |name: &str| file_tensors(&place(name).join("checkpoints/state.safetensors"));
        assert!(state("stopped") == state("whole"), "{more}");
    }
    // Judged without the file.
    fs_err::remove_file(path("white.npz")).unwrap();
    let opened = gaat::run::recipe(&path("whole-0")).unwrap().unwrap();
    assert!(!gaat::run::test_images(&opened, None).unwrap().images().is_empty());
}

#[test]
fn another_file_is_refused_and_one_at_another_place_is_not() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_white(&path("white.npz"), 50, 8);
    write_white(&path("more.npz"), 51, 8);
    write_white(&path("large.npz"), 50, 9);
    let mut stop = Witness { stop_after: Some(4), ..Witness::default() };
    train(&text(Some(&path("white.npz")), ""), &options(&path("run"), false), &mut stop).unwrap();
    let resume = |file: &str| train(&text(Some(&path(file)), ""), &options(&path("run"), true), &mut Quiet);
    let error = resume("more.npz").unwrap_err().to_string();
    assert!(error.contains("other extra images") && error.contains("extra-data"), "{error}");
    let error = resume("large.npz").unwrap_err().to_string();
    assert!(
        error.contains("large.npz") && error.contains("1 x 8 x 8") && error.contains("1 x 9 x 9"),
        "{error}"
    );
    let error = resume("nowhere.npz").unwrap_err().to_string();
    assert!(error.contains("nowhere.npz"), "{error}");
    fs_err::rename(path("white.npz"), path("moved.npz")).unwrap();
    assert_eq!(resume("moved.npz").unwrap().status, Status::Done);
}
