//! Commands that train, on a part of the embedded digits.

use super::{gaat, refusal, status, stderr, stdout, success};
use serde_json::Value;
use std::path::Path;
use tempfile::tempdir;

const SMALL: &str = "--dataset digits --epochs 1 --limit 300 --threads 1";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn a_run_is_trained_judged_and_not_overwritten() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let summary = success(here, &format!("train --method natural {SMALL}"));
    let run = "runs/digits-convnet-natural-s0";
    assert!(summary.contains(&format!("gaat evaluate {run}")), "{summary}");

    let judge = format!("evaluate {run} --steps 3 --restarts 1 --threads 1 --json");
    let document = json(&success(here, &judge));
    let clean = document["clean_accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&clean));
    assert_eq!((&document["examples"], &document["attacks"][1]["name"]), (&359.into(), &"pgd-3".into()));
    let record = json(&read(&here.join(run).join("run.json")));
    assert_eq!(record["test"]["clean"].as_f64(), Some(clean));

    let over = format!(
        "evaluate {run} --threads 1 --json --limit 60 --attack pgd --steps 3 --curve --svg curve.svg"
    );
    let document = json(&success(here, &over));
    let curve: Vec<f64> = document["curve"].as_array().unwrap().iter().map(robust).collect();
    assert!(curve.len() == 8 && curve.is_sorted_by(|before, after| before >= after), "{curve:?}");
    assert_eq!(
        (document["clean_accuracy"].as_f64(), &document["probes"]["noise"]["draws"]),
        (Some(curve[0]), &50.into())
    );
    assert!(read(&here.join("curve.svg")).starts_with("<svg"));
    // The same without the curve does not take its place.
    success(here, &format!("evaluate {run} --threads 1 --json --limit 60 --attack pgd --steps 3"));
    let kept = json(&read(&here.join(run).join("evaluations.json")));
    let points = |verdict: &Value| verdict["curve"].as_array().map_or(0, Vec::len);
    assert_eq!(kept.as_array().unwrap().iter().filter(|one| points(&one["evaluation"]) == 8).count(), 1);
    let text = refusal(here, &format!("evaluate {run} --attack pgd --queries 5"));
    assert!(text.contains("square"), "{text}");
    let attack = "--attack deepfool --steps 4 --gradient taylor --refreshes 2 --limit 20 --out a.npz";
    let attacked = json(&success(here, &format!("attack {run} --threads 1 --json {attack}")));
    let right = attacked["attacked"].as_u64().unwrap();
    assert_eq!((&attacked["examples"], &attacked["gradient"]), (&20.into(), &"taylor".into()));
    // Two expansions, each with a gradient for every class.
    assert_eq!(attacked["passes"]["input_backward"].as_u64(), Some(20 * right));

    images_of_8_bits_are_written_and_judged_again(here, run);

    let missed = gaat(here, &format!("{judge} --limit 50 --require-robust 1.0"));
    assert_eq!(status(&missed), 1, "{}", stderr(&missed));
    assert_eq!(json(&stdout(&missed))["examples"], 50, "the result comes all the same");
    // A part of the test images does not speak for the run.
    assert_eq!(json(&read(&here.join(run).join("run.json"))), record);

    // The page knows the verdict on all images, that on 50 of them, and the images under attack.
    let page = read(&here.join(run).join("report.html"));
    for part in [
        "359 test images",
        "50 test images",
        "--require-robust 1.0",
        "data:image/png;base64,",
        "robust, pgd-10",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(read(&here.join(run).join("plots/loss.svg")).starts_with("<svg"));

    let weights = read_bytes(&here.join(run).join("checkpoints/last.safetensors"));
    let text = refusal(here, &format!("train --method natural {SMALL}"));
    assert!(text.contains("--resume") && text.contains("--out"), "{text}");
    assert_eq!(read_bytes(&here.join(run).join("checkpoints/last.safetensors")), weights);
    // A finished run that is resumed is finished.
    let again = json(&success(here, &format!("train --resume {run} --json")));
    assert_eq!((&again["status"], &again["directory"]), (&"done".into(), &run.into()));
}

fn images_of_8_bits_are_written_and_judged_again(here: &Path, run: &str) {
    let line = |rest: &str| {
        format!(
            "attack {run} --attack pgd --steps 3 --random-start false --step-size 0.2 --first 12 --threads 1 {rest}"
        )
    };
    let found = json(&success(here, &line("--images written --json")));
    let (full, written) = (&found["robust_accuracy"], &found["eight_bit"]);
    assert!(
        written["robust_accuracy"].as_f64() >= full.as_f64(),
        "shorter perturbations do no more: {found}"
    );
    assert!(written["mean_length"].as_f64().unwrap() <= 0.1);
    assert_eq!((&found["subset"]["selection"], &found["subset"]["images"]), (&"first".into(), &12.into()));
    assert!(
        found["notes"][0].as_str().unwrap().contains("a step of 0.2 is longer than epsilon, 0.1"),
        "{found}"
    );
    let listing = read(&here.join("written/images.csv"));
    let rows: Vec<&str> = listing.lines().collect();
    assert_eq!(rows.len(), 13, "{listing}");
    assert_eq!(rows[0], "file,index,class,prediction_clean,prediction_perturbed,prediction_8bit");
    for (index, row) in rows[1..].iter().enumerate() {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[..2], [format!("{}/{index:02}.png", cells[2]), index.to_string()], "{row}");
        assert!(read_bytes(&here.join("written").join(cells[0])).starts_with(b"\x89PNG"), "{row}");
    }
    let text = refusal(here, &line("--images written"));
    assert!(text.contains("written: holds something already"), "{text}");
    let text = success(here, &line("--out b.npz --images again"));
    assert!(text.contains("the first 12 of 359 images") && text.contains("with 8 bits"), "{text}");
    assert!(refusal(here, &line("--limit 5 --out c.npz")).contains("--first"));
}

fn robust(point: &Value) -> f64 {
    point["result"]["robust_accuracy"].as_f64().unwrap()
}

fn read_bytes(path: &Path) -> Vec<u8> {
    fs_err::read(path).unwrap()
}

#[test]
fn progress_goes_to_stderr_and_quiet_silences_it() {
    let directory = tempdir().unwrap();
    let loud = gaat(directory.path(), &format!("train --method natural --out loud --json {SMALL}"));
    assert!(stderr(&loud).contains("epoch 1/1  loss"), "{}", stderr(&loud));
    assert_eq!(json(&stdout(&loud))["status"], "done");
    let quiet = gaat(directory.path(), &format!("train --method natural --out quiet --quiet {SMALL}"));
    assert_eq!((status(&quiet), stderr(&quiet)), (0, String::new()));
}

#[test]
fn a_comparison_prints_one_table_and_goes_on_where_it_stopped() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let line = |rest: &str| {
        format!("compare {SMALL} --judge-steps 2 --judge-restarts 1 --judge-limit 60 --out c {rest}")
    };
    let first = gaat(here, &line("--methods natural"));
    assert_eq!(status(&first), 0, "{}", stderr(&first));
    let events = read(&here.join("c/natural-s0/events.jsonl"));

    let second = gaat(here, &line("--methods natural,gaat"));
    assert_eq!(status(&second), 0, "{}", stderr(&second));
    let table = stdout(&second);
    assert_eq!(table.lines().filter(|line| line.starts_with("method ")).count(), 1, "{table}");
    let methods: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|word| ["natural", "gaat"].contains(word))
        .collect();
    assert_eq!(methods, ["natural", "gaat"]);
    assert_eq!(read(&here.join("c/natural-s0/events.jsonl")), events, "a finished run is not trained again");

    let document = json(&read(&here.join("c/compare.json")));
    assert_eq!((&document["planned"], document["runs"].as_array().unwrap().len()), (&2.into(), 2));
    let gaat_row = &document["summary"]["rows"][1];
    assert!((gaat_row["cost_ratio"]["mean"].as_f64().unwrap() - 5.0 / 3.0).abs() < 1e-9);
    assert!(read(&here.join("c/README.md")).starts_with("# digits, convnet, 1 epoch, linf 0.1\n"));
    assert_eq!(
        json(&success(here, &format!("{} --json", line("--methods natural,gaat"))))["runs"],
        document["runs"]
    );

    let page = read(&here.join("c/report.html"));
    assert!(page.contains("robust-over-seconds.svg") && page.contains("data:image/png;base64,"));
    let again = json(&success(here, "report c --out elsewhere.html --json"));
    assert_eq!(again["page"], "elsewhere.html");
    // The command differs from that of the last comparison in nothing that the page shows.
    assert_eq!(read(&here.join("elsewhere.html")), page);

    let frontier = read(&here.join("c/frontier.svg"));
    assert!(frontier.contains(">natural<") && frontier.contains(">gaat<"), "{frontier}");

    let text = refusal(here, &line("--methods natural --epsilon 0.2"));
    assert!(text.contains("epsilon") && text.contains("--out"), "{text}");
}

#[test]
fn an_explanation_leaves_numbers_and_pictures_and_goes_into_the_report() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let longer = "--dataset digits --epochs 5 --limit 600 --threads 1";
    for (method, seed) in [("natural", 0), ("gaat", 1)] {
        success(here, &format!("train --method {method} --seed {seed} --out runs/{method} {longer}"));
    }
    let method = "--method input-gradient,grad-cam --limit 60 --threads 1";
    let table = success(here, &format!("explain runs/natural runs/gaat {method}"));
    for part in ["natural - gaat", "other", "rank correlation", "every network classifies correctly"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let document = json(&read(&here.join("runs/explanation/explanation.json")));
    assert_eq!((&document["schema"], &document["candidates"]), (&"gaat-explanation-1".into(), &60.into()));
    assert!(here.join("runs/explanation/1-gaat-s1.png").exists());

    success(here, &format!("explain runs/gaat {method} --quiet"));
    assert!(read(&here.join("runs/gaat/report.html")).contains("Gini index"));
    let text = refusal(here, "explain runs/gaat --method saliency");
    assert!(text.contains("smoothgrad"), "{text}");
}

#[test]
fn a_run_that_fails_keeps_its_row_and_the_others_run() {
    let directory = tempdir().unwrap();
    let recipe = "[methods.rat]\nlearning-rate = 1e30\nsteps = 2\n";
    fs_err::write(directory.path().join("r.toml"), recipe).unwrap();
    let line = format!("compare r.toml {SMALL} --methods rat,natural --judge fgsm --judge-limit 60 --out c");
    let output = gaat(directory.path(), &line);
    assert_eq!(status(&output), 2);
    let (table, log) = (stdout(&output), stderr(&output));
    assert!(table.contains("rat ‡") && table.contains("0 of 1") && table.contains("natural"), "{table}");
    assert!(log.contains("1 of 2 runs failed"), "{log}");
}

#[test]
fn an_analysis_leaves_its_table_its_document_and_its_plots() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    success(here, &format!("train --method gaat --out r {SMALL}"));
    let line = "analyze r --epsilons 0.05,0.2 --limit 40 --steps 3 --threads 1 --precision fp32";
    let table = success(here, line);
    for word in ["linf 0.05", "linf 0.2", "pgd", "order-1", "batch-fisher", "secant", "order-3", "gain ratio"]
    {
        assert!(table.contains(word), "{word}: {table}");
    }
    let document = json(&read(&here.join("r/analysis/analysis.json")));
    assert_eq!((&document["schema"], &document["examples"]), (&"gaat-analysis-1".into(), &40.into()));
    assert_eq!(document["epsilons"][1]["models"].as_array().unwrap().len(), 8);
    for plot in ["residual", "gain-ratio", "sign-agreement", "robust-accuracy"] {
        let svg = read(&here.join(format!("r/analysis/{plot}.svg")));
        assert!(svg.contains(">sampled-fisher<"), "{plot}");
    }
    let few = "--orders 2 --curvatures diagonal --epsilons 0.1 --limit 20 --steps 2 --threads 1 --out o --json --quiet";
    let again = json(&success(here, &format!("analyze r {few}")));
    assert_eq!(again["epsilons"][0]["models"][0]["model"]["curvature"], "diagonal");
    assert!(here.join("o/residual.svg").exists());
}

#[test]
fn a_run_goes_out_and_comes_back() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    success(here, &format!("train --method natural --out r {SMALL}"));
    let text = success(here, "export r --format safetensors --checkpoint last --out pytorch/w.safetensors");
    assert!(text.contains("convnet") && text.contains("config.json"), "{text}");
    let config = json(&read(&here.join("pytorch/config.json")));
    assert_eq!(
        (&config["model"], &config["classes"], &config["epoch"]),
        (&"convnet".into(), &10.into(), &1.into())
    );
    assert_eq!((&config["recipe"]["dataset"], &config["input"]), (&"digits".into(), &vec![1, 8, 8].into()));
    let again = refusal(here, "export r --format safetensors --out pytorch/w.safetensors");
    assert!(again.contains("w.safetensors") && again.contains("--out"), "{again}");
    let beside = refusal(here, "export r --format safetensors --out pytorch/v.safetensors");
    assert!(beside.contains("config.json"), "{beside}");

    // Images, classes and normalisation are in the file.
    success(here, "import pytorch/w.safetensors --model convnet --out back.safetensors");
    let clean = |subject: &str| {
        let judge = format!("evaluate {subject} --attack fgsm --threads 1 --json");
        json(&success(here, &judge))["clean_accuracy"].as_f64().unwrap()
    };
    let expected = clean("r --checkpoint last");
    assert_eq!(clean("pytorch/w.safetensors --dataset digits"), expected);
    assert_eq!(clean("back.safetensors --dataset digits"), expected);

    let text =
        success(here, "import pytorch/w.safetensors --model convnet --input 1x8x8 --out again.safetensors");
    assert!(text.contains("--attack autoattack"), "{text}");

    let document = json(&success(here, "export back.safetensors --format onnx --out n.onnx --json"));
    assert_eq!((&document["input"], &document["config"]), (&"1x8x8".into(), &Value::Null));
    assert!(read_bytes(&here.join("n.onnx")).windows(4).any(|word| word == b"Gemm"));
}

/// Photographs of one colour a class, in `train` and, of the first class alone, in `test`.
fn write_photos(root: &Path) {
    for (class, folders) in [["train/cat", "test/cat"].as_slice(), &["train/dog"]].into_iter().enumerate() {
        for folder in folders {
            fs_err::create_dir_all(root.join(folder)).unwrap();
            for number in 0..10_u8 {
                let pixels = [100 * class as u8 + number; 3 * 8 * 8];
                let file = root.join(folder).join(format!("{number}.png"));
                fs_err::write(file, gaat_files::png::of_rgb(&pixels, 8, 8).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn what_is_odd_about_a_folder_is_said_and_a_folder_that_moved_is_asked_for() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    write_photos(&here.join("photos"));
    let lacking = "no image of 1 of the 2 training classes: dog";
    let folder = "--dataset folder --model mlp --epochs 1 --validation-fraction 0.2 --threads 1";
    let trained = gaat(here, &format!("train --data-dir photos --method natural --out r {folder}"));
    assert_eq!(status(&trained), 0, "{}", stderr(&trained));
    assert!(stderr(&trained).contains(lacking), "{}", stderr(&trained));
    assert!(success(here, "data verify folder --data-dir photos").contains(lacking));
    let judged = gaat(here, "evaluate r --attack fgsm --threads 1");
    assert_eq!(status(&judged), 0, "{}", stderr(&judged));
    assert!(stderr(&judged).contains(lacking), "{}", stderr(&judged));

    let elsewhere = here.join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    let text = refusal(&elsewhere, "evaluate ../r --attack fgsm --threads 1");
    assert!(text.contains("photos: nothing there") && text.contains("--data-dir"), "{text}");
    success(&elsewhere, "evaluate ../r --attack fgsm --threads 1 --data-dir ../photos");
    success(&elsewhere, "train --resume ../r");

    success(here, "export r --format safetensors --out pytorch/w.safetensors");
    let text = success(
        here,
        "import pytorch/w.safetensors --model mlp --input 3x8x8 --classes cat,dog --out w.safetensors",
    );
    assert!(text.contains("2 classes") && text.contains("--attack apgd-ce,fab-t,square"), "{text}");
    success(
        here,
        "evaluate w.safetensors --dataset folder --data-dir photos --norm linf --epsilon 8/255 --threads 1 \
                   --attack apgd-ce,fab-t,square --limit 5",
    );
    names_that_nobody_gave(here);
    fs_err::write(here.join("w.pth"), b"PK\x03\x04 and more of an archive").unwrap();
    assert!(refusal(here, "evaluate w.pth --dataset digits").contains("gaat import w.pth --model"));
}

/// What `import` recommends for a file that says nothing of itself, `evaluate` takes; what it cannot know is refused.
fn names_that_nobody_gave(here: &Path) {
    let mut bytes = read_bytes(&here.join("pytorch/w.safetensors"));
    // Neither a description nor a checksum: as another program writes.
    for key in [&b"\"gaat\":"[..], b"\"gaat-checksum\":"] {
        let own = bytes.windows(key.len()).position(|window| window == key).unwrap();
        bytes[own + 1] = b'x';
    }
    fs_err::write(here.join("foreign.safetensors"), bytes).unwrap();
    let import = "import foreign.safetensors --model mlp --input 3x8x8 --out unnamed.safetensors";
    let text = success(here, import);
    let recommended = text.lines().find_map(|line| line.strip_prefix("judge it: gaat ")).unwrap();
    let judge = recommended.replace("DATASET", "folder --data-dir photos").replace("LENGTH", "8/255");
    success(here, &format!("{judge} --threads 1 --limit 5"));
    let export = "export unnamed.safetensors --format onnx --out unnamed.onnx";
    for (command, words) in [
        (import.replace("--out unnamed", "--classes cat,cat --out twice"), &["`cat` comes twice"][..]),
        (import.replace("--out unnamed", "--classes cat,,dog --out empty"), &["class 1 is empty"]),
        (
            import.replace("--out unnamed", "--mean 125.3,123,113.9 --std 63,62.1,66.7 --out bytes"),
            &["from 0 to 255", "--mean=0.491373,0.482353,0.446667", "--std=0.247059,0.243529,0.261569"],
        ),
        (import.replace("--out unnamed", "--key state_dict --out key"), &["under `state_dict`", "`.`"]),
        (format!("{export} --opset 12"), &["operator set 12", "13 to 25"]),
        (
            "export unnamed.safetensors --format safetensors --out x/y.safetensors --opset 17".to_owned(),
            &["--opset is of --format onnx"],
        ),
        (
            "evaluate unnamed.safetensors --dataset digits --norm linf --epsilon 0.1".to_owned(),
            &["10 classes", "has 2"],
        ),
    ] {
        let text = refusal(here, &command);
        assert!(words.iter().all(|word| text.contains(word)), "{command}: {text}");
    }
    success(here, &format!("{export} --opset 13"));
}

/// Whatever a network was trained in: its verdict is that of the weights file unless somebody asks for another.
#[test]
fn verdicts_are_in_fp32_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    success(
        here,
        "train --dataset digits --model convnet --epochs 1 --limit 200 --threads 1 --out r --quiet",
    );
    // As a run in bf16 leaves it.
    let record = here.join("r/run.json");
    let text = fs_err::read_to_string(&record).unwrap();
    let brief = text.replace("\"precision\": \"fp32\"", "\"precision\": \"bf16\"");
    assert_ne!(text, brief);
    fs_err::write(&record, brief).unwrap();

    let judge = "evaluate r --attack fgsm --limit 50 --probe-images 0 --threads 1";
    assert_eq!(json(&success(here, &format!("{judge} --json")))["precision"], "fp32");
    assert!(success(here, judge).contains(", in fp32"));
    let attack = "attack r --attack fgsm --limit 50 --threads 1 --out p.npz";
    assert_eq!(json(&success(here, &format!("{attack} --json")))["precision"], "fp32");
    assert!(success(here, attack).contains("in fp32; accuracy"));
    let analyze = "analyze r --epsilons 0.1 --limit 20 --steps 2 --threads 1";
    assert_eq!(json(&success(here, &format!("{analyze} --json")))["environment"]["precision"], "fp32");
    assert!(success(here, analyze).contains("computed in fp32"));
    let explain = "explain r --method input-gradient --limit 5 --threads 1";
    assert_eq!(json(&success(here, &format!("{explain} --json")))["environment"]["precision"], "fp32");
    let page = fs_err::read_to_string(here.join("r/report.html")).unwrap();
    assert!(page.contains(", in fp32."), "the report says in what its verdicts were found");
    for command in [judge, attack, analyze] {
        let refused = refusal(here, &format!("{command} --precision auto"));
        assert!(refused.contains("fp32") && refused.contains("bf16"), "{refused}");
    }
}
