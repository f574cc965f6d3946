//! Help, and what is refused: named, with what to do.

use super::{gaat, refusal, status, stdout, success};
use tempfile::tempdir;

#[test]
fn help_names_the_keys_of_each_command() {
    let directory = tempdir().unwrap();
    let expected: &[(&str, &[&str])] = &[
        ("--help", &["train", "evaluate", "compare", "analyze", "data", "130 interrupted"]),
        (
            "train --help",
            &[
                "--epsilon",
                "--learning-rate",
                "--resume",
                "--out",
                "--json",
                "--weight-averaging",
                "gradalign",
                "vit-tiny",
                "efficientnet-b0",
                "(base width W)",
                "run directory given instead of a recipe",
                "--noise",
            ],
        ),
        ("evaluate --help", &["--attack", "--restarts", "--step-size", "--require-robust", "--checkpoint"]),
        (
            "compare --help",
            &["--methods", "--seeds", "--judge-steps", "--judge-limit", "--steps", "--epochs", "awp+METHOD"],
        ),
        (
            "analyze --help",
            &["--epsilons", "--orders", "--curvatures", "--anchor", "--limit", "--out", "--device"],
        ),
        ("explain --help", &["--method", "integrated-gradients", "--limit", "--out"]),
        ("report --help", &["--out", "report.html"]),
        ("export --help", &["safetensors", "onnx", "--fold-batchnorm", "--checkpoint", "config.json"]),
        ("data --help", &["info", "verify", "fetch"]),
        ("data fetch --help", &["--mirror", "--data-dir", "HTTPS_PROXY"]),
    ];
    for (line, keys) in expected {
        // Where lines break is up to the width of the terminal.
        let help = success(directory.path(), line).split_whitespace().collect::<Vec<_>>().join(" ");
        for key in *keys {
            assert!(help.contains(key), "{line}: {key} is missing");
        }
    }
    let fetch = success(directory.path(), "data fetch --help");
    assert!(
        fetch.contains("fashion-mnist") && !fetch.contains("folder:") && !fetch.contains("digits"),
        "{fetch}"
    );
    // The one method of a recipe has no place beside the list of methods.
    assert!(!success(directory.path(), "compare --help").contains("--method "));
}

#[test]
fn the_version_names_libtorch() {
    let version = success(tempdir().unwrap().path(), "--version");
    assert!(version.starts_with("gaat 0.") && version.contains("libtorch 2."), "{version}");
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let directory = tempdir().unwrap();
    for (line, needle) in [
        ("train --metod rat", "--method"),
        ("train --method gat", "did you mean `gaat`"),
        ("train --epsilon 8", "8/255"),
        ("train --epsilon eight", "8/255"),
        ("train --model vgg16", "vgg-16"),
        ("train --device tpu", "cpu"),
        ("train absent.toml", "absent.toml: nothing there"),
        (
            "train --resume absent",
            "absent: nothing there; expected a recipe (.toml)\n  advice: with --resume, the directory of a run",
        ),
        (
            "import absent.pth --model convnet --out w.safetensors",
            "absent.pth: nothing there; expected a state dict",
        ),
        ("import . --model convnet --out w.safetensors", ".: expected a regular file, found a directory"),
        ("train .", "--resume"),
        ("evaluate absent", "run directory"),
        ("evaluate .", "run.json"),
        ("evaluate . --attack pgt", "pgd"),
        ("evaluate . --require-robust 45", "0.45"),
        ("evaluate . --curve --epsilons 0.1", "--epsilons"),
        ("compare", "--methods"),
        ("compare --methods rat,rot", "did you mean `rat`"),
        ("compare --methods rat,rat", "twice"),
        ("compare --methods rat --method gaat", "--methods"),
        ("compare --methods rat --seeds 0", "seeds = 0: needs at least 1"),
        ("compare --methods rat,gaat --on-collapse warn", "rat reports no gain ratio"),
        ("compare --methods gaat,rat,n-fgsm --on-collapse warn", "[methods.gaat] and [methods.n-fgsm]"),
        ("compare --methods rat --on-collapse warn", "leave it out"),
        ("compare --methods rat --judge-restarts 0", "restarts"),
        ("analyze absent", "run directory"),
        ("analyze . --orders 4", "known: 1, 2, 3"),
        ("analyze . --curvatures gaus-newton", "gauss-newton"),
        ("export absent --format onnx --out x.onnx", "absent"),
        ("export . --format onnx --out x.onnx", "run.json"),
        ("export . --format tflite --out x", "safetensors"),
        ("export . --format safetensors --fold-batchnorm --out x", "--format onnx"),
        ("train --refreshes 20 --steps 10", "refreshes"),
        ("train --data-dir photos --resize 32", "--dataset folder"),
        ("compare --methods rat --data-dir photos", "--dataset folder"),
        ("train --dataset digits --data-dir photos", "part of the program"),
        ("train --dataset mnist --data-dir nowhere", "nowhere"),
        ("train --dataset cifar10 --data-dir nowhere", "gaat data fetch cifar10"),
    ] {
        let text = refusal(directory.path(), line);
        assert!(text.contains(needle), "gaat {line}\n{text}");
    }
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 0, "a refusal leaves nothing behind");
}

#[test]
fn an_unknown_recipe_key_names_the_file_and_the_nearest_key() {
    let directory = tempdir().unwrap();
    fs_err::write(directory.path().join("r.toml"), "epsilom = 0.3").unwrap();
    let text = refusal(directory.path(), "train r.toml");
    assert!(text.contains("r.toml") && text.contains("did you mean `epsilon`"), "{text}");
    // The recipe of a run was right once; a value that is wrong now is the file's.
    fs_err::create_dir(directory.path().join("run")).unwrap();
    fs_err::write(directory.path().join("run/recipe.toml"), "schedule = \"step\"\nmilestones = [0.5, 0.0]")
        .unwrap();
    let text = refusal(directory.path(), "train --resume run");
    assert!(text.contains("run/recipe.toml: milestones = [0.5, 0.0]: needs ascending"), "{text}");
}

#[test]
fn data_is_described_and_missing_data_is_explained() {
    let directory = tempdir().unwrap();
    let text = success(directory.path(), "data info");
    assert!(
        text.contains("digits        whole and official, embedded") && text.contains("mnist         missing"),
        "{text}"
    );
    let json = success(directory.path(), "data info digits --json");
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&document[0]["train"], &document[0]["test"]), (&1438.into(), &359.into()));
    for (name, side) in [("a", 4_u32), ("b", 5)] {
        for part in ["train", "test"] {
            let folder = directory.path().join(format!("photos/{part}/{name}"));
            fs_err::create_dir_all(&folder).unwrap();
            let pixels: Vec<u8> = (0..3 * side * side).map(|index| index as u8).collect();
            fs_err::write(folder.join("1.png"), gaat_files::png::of_rgb(&pixels, side, side).unwrap())
                .unwrap();
        }
    }
    assert!(stdout(&gaat(directory.path(), "data verify folder --data-dir photos")).contains("--resize"));
    let text = success(directory.path(), "data verify folder --data-dir photos --resize 3");
    assert!(text.contains("2 training and 2 test images, 2 classes, 3 x 3 x 3"), "{text}");
    let output = gaat(directory.path(), "data verify mnist");
    assert_eq!(status(&output), 2);
    assert!(stdout(&output).contains("--data-dir") && super::stderr(&output).contains("mnist"));
}

#[test]
fn a_folder_without_a_run_has_no_report() {
    let directory = tempdir().unwrap();
    let text = refusal(directory.path(), "report .");
    assert!(text.contains("run.json") && text.contains("compare.json"), "{text}");
    for (held, said) in [
        ("{}", "compare.json: is no comparison of gaat: it names no schema"),
        (
            r#"{"schema": "gaat-compare-2"}"#,
            "compare.json: has the schema `gaat-compare-2`, and this version",
        ),
        (r#"{"schema": "gaat-compare-1"}"#, "compare.json: is damaged (missing field"),
    ] {
        fs_err::write(directory.path().join("compare.json"), held).unwrap();
        let text = refusal(directory.path(), "report .");
        assert!(text.contains(said), "{text}");
    }
}
