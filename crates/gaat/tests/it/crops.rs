//! Images larger than the network's: cropped, resized and coloured at random in training, cut about their centre in judging.

use crate::support::{options, recipe};
use gaat::nn::InputShape;
use gaat::run::{Checkpoint, open, test_images};
use gaat::spec::{ComputePrecision, Event, Recipe, Status};
use gaat::train::{Control, Quiet, train};
use std::path::Path;

const CROPPED: &str = "model = \"convnet\"\nlimit = 160\nbatch-size = 20\nepochs = 2\nvalidation-steps = 1\nepsilon = 0.1\nresize = \"20x16\"\n\
    crop = \"14x12\"\nflip = true\ncolour-jitter = 0.3\n";

fn text(method: &str, more: &str) -> String {
    format!("{CROPPED}method = \"{method}\"\n{more}")
}

fn bytes(run: &Path) -> Vec<u8> {
    fs_err::read(run.join("checkpoints/last.safetensors")).unwrap()
}

#[test]
fn a_network_of_the_size_of_the_crop_trains_resumes_and_is_judged_on_the_middle_of_the_images() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for more in ["", "random-resized-crop = 0.35\n"] {
        // `gaat-free` keeps a perturbation of the size of the view.
        for method in ["gaat", "gaat-free"] {
            let checked = recipe(&text(method, more));
            let place = |name: &str| folder.path().join(format!("{method}{}{name}", more.len()));
            let record = train(&checked, &options(&place("whole"), false), &mut Quiet).unwrap();
            assert_eq!(record.status, Status::Done);
            let mut stop = |event: &Event| match event {
                Event::Step { step: 5, .. } => Control::Stop,
                _ => Control::Continue,
            };
            train(&checked, &options(&place("stopped"), false), &mut stop).unwrap();
            train(&checked, &options(&place("stopped"), true), &mut Quiet).unwrap();
            assert_eq!(bytes(&place("stopped")), bytes(&place("whole")), "{method} {more}");

            let input = InputShape { channels: 1, height: 12, width: 14 };
            let opened = open(&place("whole"), Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
            assert_eq!(opened.classifier.input_shape(), input);
            let test = test_images(&checked.resolved, None).unwrap();
            assert_eq!(InputShape::of(test.images()), input);
        }
    }
}

#[test]
fn what_does_not_go_together_is_named_with_what_to_do() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let refusal = |text: &str| {
        train(&recipe(text), &options(&folder.path().join("run"), false), &mut Quiet).unwrap_err().to_string()
    };
    for method in ["fgsm-mep", "gaat-memory"] {
        let error = refusal(&text(method, ""));
        assert!(error.contains("crop") && error.contains("remembers each image"), "{error}");
    }
    let error = refusal(&text("rat", "").replace("14x12", "14x18"));
    assert!(error.contains("at most 16 x 20") && error.contains("18 x 14"), "{error}");
    let wrong = |text: &str| Recipe::from_toml(text).unwrap().check().unwrap_err().to_string();
    let error = wrong("random-resized-crop = 0.3\ncrop-padding = 4");
    assert!(error.contains("random-resized-crop = 0.3") && error.contains("crop-padding = 0"), "{error}");
    assert!(wrong("random-resized-crop = 1.5").contains("from 0 to 1"));
    assert!(wrong("colour-jitter = 2").contains("from 0 to 1"));
}
