//! Several processes that work as one, over the loopback interface, as `torchrun` starts them.

use super::{gaat, status, stderr, stdout, success};
use gaat_testkit::{free_port, python, skip};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

const RUN: &str = "train --dataset digits --threads 1 --precision fp32";

/// Process `rank` of `size` with `variables` more in its environment.
fn start(
    here: &Path,
    line: &str,
    (rank, size, port): (usize, usize, u16),
    variables: &[(&str, &str)],
) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaat"));
    command.args(line.split_whitespace()).current_dir(here).stdin(Stdio::null());
    for (name, value) in [
        ("RANK", rank.to_string()),
        ("WORLD_SIZE", size.to_string()),
        ("LOCAL_RANK", rank.to_string()),
        ("LOCAL_WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
        ("GAAT_WAIT_SECONDS", "60".to_owned()),
    ] {
        command.env(name, value);
    }
    command.envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the processes of `lines`, one each, leave behind.
fn all(here: &Path, lines: &[&str], variables: &[(&str, &str)]) -> Vec<Output> {
    let (size, port) = (lines.len(), free_port());
    let places = lines.iter().enumerate();
    let children: Vec<Child> =
        places.map(|(rank, line)| start(here, line, (rank, size, port), variables)).collect();
    let waiting = children.into_iter().map(|child| std::thread::spawn(|| child.wait_with_output().unwrap()));
    let waiting: Vec<_> = waiting.collect();
    waiting.into_iter().map(|output| output.join().unwrap()).collect()
}

/// What the leader of `size` processes prints, which all succeed; the others print nothing.
fn together(here: &Path, line: &str, size: usize) -> String {
    let outputs = all(here, &vec![line; size], &[]);
    for (rank, output) in outputs.iter().enumerate() {
        assert_eq!(status(output), 0, "rank {rank} of {size}: gaat {line}\n{}", stderr(output));
        assert!(rank == 0 || stdout(output).is_empty(), "rank {rank}: {}", stdout(output));
        let said = stderr(output);
        // libtorch itself may warn of the network.
        let said: Vec<&str> = said.lines().filter(|line| !line.contains("[c10d]")).collect();
        assert!(rank == 0 || said.is_empty(), "rank {rank}: {said:?}");
    }
    stdout(&outputs[0])
}

fn record(run: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(run.join("run.json")).unwrap()).unwrap()
}

/// Every number of the last weights of `run`, in the order of the file.
fn weights(run: &Path) -> Vec<f32> {
    let bytes = fs_err::read(run.join("checkpoints/last.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let numbers = bytes[8 + header..].chunks_exact(4);
    numbers.map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

/// The largest difference between two numbers of the weights.
fn apart(one: &Path, other: &Path) -> f32 {
    let (one, other) = (weights(one), weights(other));
    assert_eq!(one.len(), other.len());
    one.iter().zip(&other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// Losses, accuracies and passes of two runs, which rounding alone may part.
fn assert_same_course(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (record(found), record(expected));
    for key in ["passes", "images", "cost_ratio"] {
        assert_eq!(found[key], expected[key], "{what}: {key}");
    }
    let epochs = |record: &Value| record["epochs"].as_array().unwrap().clone();
    assert_eq!(epochs(&found).len(), epochs(&expected).len(), "{what}");
    for (found, expected) in epochs(&found).iter().zip(&epochs(&expected)) {
        for key in
            ["loss", "train_accuracy", "validation_clean", "validation_robust", "gain_ratio", "refreshes"]
        {
            let number = |epoch: &Value| epoch[key].as_f64().unwrap_or(0.0);
            let gap = (number(found) - number(expected)).abs();
            let least = if key == "gain_ratio" { 1e-3 } else { 1e-5 };
            assert!(gap < least, "{what}: {key} {} and {}", number(found), number(expected));
        }
    }
}

#[test]
fn several_processes_train_as_one() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    // By plain SGD: Adam divides by the size of a gradient, which makes a step of the rounding where a gradient is near 0. TRADES attacks
    // from a point where its gradient is nearly 0, and goes by the signs: in single precision rounding turns some of them, so that
    // its course is compared over its first steps; in double precision it is the same to the end (tests of the library).
    for (method, more) in [
        ("natural", "--epochs 3 --learning-rate 0.3"),
        ("rat", "--epochs 2 --learning-rate 0.3 --steps 3"),
        ("gaat", "--epochs 3 --learning-rate 0.3 --steps 3 --refinement adaptive --epsilon 0.4"),
        ("fgsm-mep", "--epochs 3 --learning-rate 0.3"),
        ("trades", "--epochs 1 --learning-rate 0.05 --steps 2"),
        ("awp+gaat", "--epochs 2 --learning-rate 0.3 --steps 3 --awp-warmup 0"),
        ("gaat-free", "--epochs 2 --learning-rate 0.3 --replays 2"),
    ] {
        let line = |out: &str| {
            format!(
                "{RUN} --model mlp --method {method} --limit 150 --batch-size 30 --validation-steps 2 --optimizer sgd {more} --out {out}"
            )
        };
        let name = |size: usize| format!("{method}-{size}");
        success(here, &line(&name(1)));
        for size in [2, 3] {
            let said = together(here, &line(&name(size)), size);
            assert!(said.contains(&name(size)), "{said}");
            let (run, alone) = (here.join(name(size)), here.join(name(1)));
            let gap = apart(&run, &alone);
            println!("{method} in {size}: weights {gap:.1e} apart");
            assert_same_course(&run, &alone, &name(size));
            assert!(gap < 1e-5, "{method} in {size}: {gap}");
            assert_eq!(record(&run)["environment"]["processes"], size);
        }
    }
}

#[test]
fn a_killed_process_ends_all_and_a_restart_goes_on_to_the_same_weights() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let line = |out: &str| {
        format!(
            "{RUN} --model convnet --method gaat --limit 600 --batch-size 20 --accumulate 2 --epochs 4 --quiet --out {out}"
        )
    };
    together(here, &line("whole"), 2);
    let port = free_port();
    let elastic =
        |restarts: &'static str| [("TORCHELASTIC_RUN_ID", "none"), ("TORCHELASTIC_RESTART_COUNT", restarts)];
    let mut children: Vec<Child> =
        (0..2).map(|rank| start(here, &line("killed"), (rank, 2, port), &elastic("0"))).collect();
    let begun = Instant::now();
    while !here.join("killed/checkpoints/state.safetensors").exists() {
        assert!(begun.elapsed() < Duration::from_mins(2), "no state was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut killed = children.pop().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = children.pop().unwrap().wait_with_output().unwrap();
    assert_eq!(status(&left), 2, "{}", stderr(&left));
    assert!(stderr(&left).contains("rank 1 is gone"), "{}", stderr(&left));
    assert_eq!(record(&here.join("killed"))["status"], "failed");
    // As torchrun starts both again: the same command.
    let line = line("killed");
    for output in all(here, &[&line, &line], &elastic("1")) {
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
    let read = |run: &str| fs_err::read(here.join(run).join("checkpoints/last.safetensors")).unwrap();
    assert!(read("killed") == read("whole"), "the kill has changed the weights");
    let epochs = |run: &str| record(&here.join(run))["epochs"].as_array().unwrap().len();
    assert_eq!((epochs("killed"), epochs("whole")), (4, 4));
    // A run that is done is done for all.
    for output in all(here, &[&line, &line], &elastic("2")) {
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
}

#[test]
fn processes_that_do_not_fit_together_say_why_and_do_not_wait_for_ever() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let line = |more: &str| {
        format!("{RUN} --model mlp --method natural --limit 100 --epochs 1 --quiet --out run {more}")
    };
    let (plain, faster) = (line(""), line("--learning-rate 0.5"));
    for output in all(here, &[&plain, &plain, &faster], &[]) {
        assert_eq!(status(&output), 2);
        let text = stderr(&output);
        assert!(text.contains("rank 2 and rank 0 differ in learning-rate: 0.5"), "{text}");
    }
    let small = line("--batch-size 2").replace("--out run", "--out small");
    for output in all(here, &[&small, &small, &small], &[]) {
        assert_eq!(status(&output), 2);
        assert!(
            stderr(&output).contains("2 images cannot be divided among 3 processes"),
            "{}",
            stderr(&output)
        );
    }
    // The leader's directory is taken: the others are told.
    fs_err::create_dir_all(here.join("taken/something")).unwrap();
    let taken = plain.replace("--out run", "--out taken");
    for output in all(here, &[&taken, &taken], &[]) {
        assert_eq!(status(&output), 2);
        assert!(
            stderr(&output).contains("taken: exists and is not an empty directory"),
            "{}",
            stderr(&output)
        );
    }
    // One that no process joins.
    let lonely = start(
        here,
        &plain.replace("--out run", "--out lonely"),
        (0, 3, free_port()),
        &[("GAAT_WAIT_SECONDS", "1")],
    );
    let lonely = lonely.wait_with_output().unwrap();
    assert_eq!(status(&lonely), 2);
    assert!(stderr(&lonely).contains("ranks 1 and 2 did not come within 1 s"), "{}", stderr(&lonely));
    assert!(!here.join("lonely").exists(), "a run that never began has left something");
    for (variables, line, expected) in [
        (&[("RANK", "")][..], "train", "RANK is not set"),
        (&[("RANK", "7")], "train", "RANK is 7 and WORLD_SIZE is 2"),
        (&[("MASTER_PORT", "x")], "evaluate nothing", "MASTER_PORT is `x`"),
        (&[], "compare --methods natural", "only `gaat train` and `gaat evaluate` work in several processes"),
    ] {
        let output = start(here, line, (0, 2, free_port()), variables).wait_with_output().unwrap();
        assert_eq!(status(&output), 2, "{line}");
        assert!(stderr(&output).contains(expected), "{line}: {}", stderr(&output));
    }
}

/// A verdict as JSON, without what no two evaluations share.
fn without_seconds(text: &str) -> Value {
    fn drop_seconds(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                entries.remove("seconds");
                entries.values_mut().for_each(drop_seconds);
            }
            Value::Array(items) => items.iter_mut().for_each(drop_seconds),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap();
    drop_seconds(&mut value);
    value
}

#[test]
fn several_processes_and_parts_by_hand_judge_as_one() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    success(
        here,
        &format!(
            "{RUN} --model mlp --method rat --steps 2 --limit 300 --epochs 2 --epsilon 0.05 --quiet --out run"
        ),
    );
    let line =
        "evaluate run --threads 1 --batch-size 50 --attack fgsm,pgd --judge-less --limit 330 --json --quiet"
            .replace("--judge-less ", "--steps 5 --restarts 2 --curve ");
    let expected = without_seconds(&success(here, &line));
    assert!(expected["robust_accuracy"].as_f64().unwrap() > 0.0);
    // Two processes, and the state that they leave is that of one.
    let found = together(here, &format!("{line} --state both.json"), 2);
    assert_eq!(without_seconds(&found), expected);
    success(here, &format!("{line} --state one.json"));
    let state = |name: &str| without_seconds(&fs_err::read_to_string(here.join(name)).unwrap());
    assert_eq!(state("both.json"), state("one.json"));
    // One process continues with what two have begun.
    let mut begun: Value = serde_json::from_slice(&fs_err::read(here.join("both.json")).unwrap()).unwrap();
    let stages = begun["ledger"]["stages"].as_array_mut().unwrap();
    stages.truncate(2);
    stages[1]["survivors"].as_array_mut().unwrap().truncate(3);
    fs_err::write(here.join("begun.json"), begun.to_string()).unwrap();
    assert_eq!(state("begun.json")["ledger"]["stages"].as_array().unwrap().len(), 2);
    let found = together(here, &format!("{line} --state begun.json"), 3);
    assert_eq!(without_seconds(&found)["robust_accuracy"], expected["robust_accuracy"]);

    fs_err::create_dir_all(here.join("parts")).unwrap();
    for part in ["2/3", "1/3"] {
        let name = part.replace('/', "-of-");
        assert_eq!(success(here, &format!("{line} --shard {part} --state parts/{name}.json")), "");
    }
    let refused = |more: &str| {
        let output = gaat(here, &format!("{line} {more}"));
        assert_eq!(status(&output), 2, "{more}");
        stderr(&output)
    };
    assert!(refused("--merge parts").contains("3/3 are missing"));
    success(here, &format!("{line} --shard 3/3 --state parts/3-of-3.json"));
    for merged in ["--merge parts", "--merge parts/3-of-3.json parts/1-of-3.json parts/2-of-3.json"] {
        assert_eq!(without_seconds(&success(here, &format!("{line} {merged}"))), expected, "{merged}");
    }
    assert!(refused("--merge parts parts/1-of-3.json").contains("each part is needed once"));
    assert!(refused("--merge parts --seed 1").contains("belongs to another evaluation"));
    assert!(refused("--merge parts/absent.json").contains("is not there"));
    assert!(refused("--shard 1/2 --state parts/1-of-3.json").contains("part 1/3"));
    assert!(refused("--shard 1/99 --state parts/many.json").contains("7 batches"));
    assert!(refused("--shard 1/2").contains("--state"));
    let mut part: Value =
        serde_json::from_slice(&fs_err::read(here.join("parts/2-of-3.json")).unwrap()).unwrap();
    part["ledger"]["stages"].as_array_mut().unwrap().pop();
    fs_err::write(here.join("parts/2-of-3.json"), part.to_string()).unwrap();
    assert!(refused("--merge parts").contains("part 2/3 is not done"));
    success(here, &format!("{line} --shard 2/3 --state parts/2-of-3.json"));
    assert_eq!(without_seconds(&success(here, &format!("{line} --merge parts"))), expected);
}

#[test]
fn torchrun_starts_several_processes_and_starts_them_again() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let python = python();
    let has_torch = Command::new(&python).args(["-c", "import torch.distributed.run"]).output();
    if !has_torch.is_ok_and(|output| output.status.success()) {
        return skip("no torchrun: the Python has no torch; set GAAT_TEST_PYTHON to one that has");
    }
    let line = |out: &str| {
        format!(
            "{RUN} --model convnet --method gaat --limit 600 --batch-size 20 --accumulate 2 --epochs 4 --quiet --out {out}"
        )
    };
    let torchrun = |out: &str| {
        let mut command = Command::new(&python);
        command.args(["-m", "torch.distributed.run", "--standalone", "--no-python"]);
        command.args(["--nproc-per-node", "2", "--max-restarts", "1", env!("CARGO_BIN_EXE_gaat")]);
        command.args(line(out).split_whitespace()).current_dir(here).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let whole = torchrun("whole").wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    assert!(stdout(&whole).contains("whole"), "{}", stdout(&whole));
    assert_eq!(record(&here.join("whole"))["environment"]["processes"], 2);
    let killed = torchrun("killed");
    let begun = Instant::now();
    while !here.join("killed/checkpoints/state.safetensors").exists() {
        assert!(begun.elapsed() < Duration::from_mins(2), "no state was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The lock names the leader.
    let owner = fs_err::read_to_string(here.join("killed/gaat.lock")).unwrap();
    let leader = owner.split([' ', ',']).nth(1).unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &leader]).status().unwrap().success());
    let killed = killed.wait_with_output().unwrap();
    assert!(killed.status.success(), "{}", stderr(&killed));
    let read = |run: &str| fs_err::read(here.join(run).join("checkpoints/last.safetensors")).unwrap();
    assert!(read("killed") == read("whole"), "the kill has changed the weights");
}
