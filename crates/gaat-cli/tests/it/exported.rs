//! Networks of torch.export: trained, continued, judged and written again.

use super::kept::{signal, start, wait_for};
use super::{gaat, refusal, status, success};
use std::path::{Path, PathBuf};
use tempfile::tempdir;

const SMALL: &str = "--dataset digits --method gaat --epsilon 0.1 --limit 400 --threads 1";

fn network(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gaat/tests/golden/exported").join(name)
}

fn bring(here: &Path, names: &[&str]) {
    for name in names {
        fs_err::copy(network(name), here.join(name)).unwrap();
    }
}

#[test]
fn a_run_outlives_the_file_and_continues_as_if_it_had_never_stopped() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    bring(here, &["grey.pt2"]);
    let recipe = format!("train --model grey.pt2 --weight-averaging 0.9 {SMALL} --epochs 40 --quiet");
    success(here, &format!("{recipe} --out whole"));
    // The same once more, stopped on its way; and the file is gone when it continues.
    let mut first = start(here, &format!("{recipe} --out parts"));
    wait_for(&here.join("parts/checkpoints/state.safetensors"));
    signal(&first, "TERM");
    assert_eq!(first.wait().unwrap().code(), Some(130));
    fs_err::remove_file(here.join("grey.pt2")).unwrap();
    success(here, "train --resume parts --quiet");
    let weights = |run: &str| fs_err::read(here.join(run).join("checkpoints/last.safetensors")).unwrap();
    assert!(weights("whole") == weights("parts"));
    success(here, "evaluate parts --attack fgsm --limit 40 --probe-images 0 --threads 1");
    fs_err::create_dir(here.join("again")).unwrap();
    success(here, "export parts --format pt2 --out again/grey.pt2");
    assert!(here.join("again/config.json").exists());
    let judged =
        "--dataset digits --epsilon 0.1 --attack fgsm --limit 40 --probe-images 0 --threads 1 --json";
    let clean = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(&success(here, line)).unwrap();
        document["clean_accuracy"].clone()
    };
    assert_eq!(
        clean(&format!("evaluate again/grey.pt2 {judged}")),
        clean(&format!("evaluate parts --checkpoint best {judged}"))
    );
    let text = refusal(here, "export parts --format pt2 --out weights.bin");
    assert!(text.contains("weights.pt2"), "{text}");
    let text = refusal(here, "export parts --format onnx --out x.onnx");
    assert!(text.contains("torch.onnx.export"), "{text}");
}

#[test]
fn the_program_of_the_evaluation_mode_comes_in_a_second_file() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    bring(here, &["hand.pt2", "grey-noisy.pt2", "grey-noisy-eval.pt2"]);
    let both = "--eval-program grey-noisy-eval.pt2";
    let text = refusal(here, &format!("train --model grey-noisy.pt2 {SMALL} --epochs 1 --out run"));
    assert!(text.contains("randn_like") && text.contains("eval-program"), "{text}");
    success(here, &format!("train --model grey-noisy.pt2 {both} {SMALL} --epochs 1 --out run"));
    // The run holds both.
    for name in ["grey-noisy.pt2", "grey-noisy-eval.pt2"] {
        fs_err::rename(here.join(name), here.join(format!("away-{name}"))).unwrap();
    }
    success(here, "evaluate run --attack fgsm --limit 40 --probe-images 0 --threads 1");
    let away = "--eval-program away-grey-noisy-eval.pt2";
    let info = success(here, &format!("model info away-grey-noisy.pt2 {away}"));
    assert!(info.contains("can be judged"), "{info}");
    // Of another network, of a run, of no network.
    let text = refusal(here, &format!("model info hand.pt2 {away}"));
    assert!(text.contains("not of one network"), "{text}");
    let text = refusal(here, &format!("evaluate run {away}"));
    assert!(text.contains("a run holds the one"), "{text}");
    let text = refusal(here, &format!("train --model convnet {away} {SMALL} --epochs 1 --out other"));
    assert!(text.contains("eval-program"), "{text}");
    // The pair is another network than its first file alone.
    let text = refusal(here, &format!("train --resume run --model away-grey-noisy.pt2 {away} --epochs 2"));
    assert!(text.contains("epochs"), "{text}");
    assert_eq!(status(&gaat(here, &format!("train --resume run --model away-grey-noisy.pt2 {away}"))), 0);
}

#[test]
fn what_a_network_cannot_take_is_said_before_it_trains() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    bring(here, &["hand.pt2", "hand-eval.pt2", "mobilenet_v3_small.pt2"]);
    let text = refusal(here, &format!("train --model hand.pt2 {SMALL} --epochs 1"));
    assert!(text.contains("3x32x32") && text.contains("1x8x8"), "{text}");
    let text = refusal(here, "model info hand-eval.pt2 --eval-program hand.pt2 extra");
    assert!(text.contains("extra"), "{text}");
    let info = success(here, "model info hand-eval.pt2");
    assert!(info.contains("cannot be trained") && info.contains("net.train()"), "{info}");
}
