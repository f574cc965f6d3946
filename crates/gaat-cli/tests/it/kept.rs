//! What a run survives: kills, interruptions, two at once, flipped bits.

use super::{gaat, refusal, status, stderr, success};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

const RUN: &str = "train --dataset digits --method natural --limit 300 --threads 1 --precision fp32 --quiet";

/// `gaat` in the background.
pub(crate) fn start(here: &Path, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaat"));
    command.args(line.split_whitespace()).current_dir(here).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_mins(2), "{}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// Every file of a run below `here`, by name.
fn files(here: &Path) -> Vec<String> {
    let mut found: Vec<String> = ["", "checkpoints"]
        .iter()
        .flat_map(|folder| fs_err::read_dir(here.join(folder)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    found
}

#[test]
fn what_a_kill_kept_from_being_written_is_made_again_from_the_state() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    success(here, &format!("{RUN} --epochs 2 --out whole"));
    let record = fs_err::read_to_string(here.join("whole/run.json")).unwrap();
    let recipe = fs_err::read_to_string(here.join("whole/recipe.toml")).unwrap();
    let expected = files(&here.join("whole"));
    for name in ["run.json", "recipe.toml"] {
        fs_err::remove_file(here.join("whole").join(name)).unwrap();
    }
    fs_err::write(here.join("whole/checkpoints/.tmp-gaat-x"), "half a state").unwrap();
    let output = gaat(here, "train --resume --out whole --quiet");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("whole: finished already"), "{}", stderr(&output));
    assert_eq!(fs_err::read_to_string(here.join("whole/run.json")).unwrap(), record);
    assert_eq!(fs_err::read_to_string(here.join("whole/recipe.toml")).unwrap(), recipe);
    assert_eq!(files(&here.join("whole")), expected);

    // Killed before the first state: the run begins, and says so.
    fs_err::create_dir_all(here.join("begun/checkpoints")).unwrap();
    let output = gaat(here, &format!("{} --epochs 2 --out begun --resume", RUN.replace(" --quiet", "")));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("no state was saved yet"), "{}", stderr(&output));
    // Equal runs leave equal bytes.
    for name in ["recipe.toml", "checkpoints/best.safetensors", "checkpoints/last.safetensors"] {
        let read = |run: &str| fs_err::read(here.join(run).join(name)).unwrap();
        assert!(read("whole") == read("begun"), "{name}");
    }

    // A state that is gone is missed, and nothing is touched.
    let state = here.join("begun/checkpoints/state.safetensors");
    let kept = fs_err::read(&state).unwrap();
    fs_err::remove_file(&state).unwrap();
    let last = fs_err::read(here.join("begun/checkpoints/last.safetensors")).unwrap();
    let text = refusal(here, &format!("{RUN} --epochs 2 --out begun --resume"));
    assert!(text.contains("state.safetensors: is missing") && text.contains("last.safetensors"), "{text}");
    assert!(fs_err::read(here.join("begun/checkpoints/last.safetensors")).unwrap() == last);

    // A state of another recipe is refused.
    success(here, &format!("{RUN} --epochs 1 --seed 3 --out other"));
    fs_err::copy(here.join("other/checkpoints/state.safetensors"), &state).unwrap();
    let text = refusal(here, "train --resume --out begun --quiet");
    assert!(text.contains("another recipe") && text.contains("seed"), "{text}");

    // A flipped bit in a tensor is found, in the state and in weights.
    let flip = |bytes: &[u8], at: usize| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 4;
        flipped
    };
    fs_err::write(&state, flip(&kept, kept.len() - 9)).unwrap();
    let text = refusal(here, "train --resume --out begun --quiet");
    assert!(text.contains("state.safetensors: is damaged"), "{text}");
    let best = here.join("whole/checkpoints/best.safetensors");
    let whole = fs_err::read(&best).unwrap();
    fs_err::write(&best, flip(&whole, whole.len() / 2)).unwrap();
    let text = refusal(here, "evaluate whole --attack fgsm --limit 20");
    assert!(text.contains("best.safetensors: is damaged"), "{text}");
}

#[test]
fn one_owner_a_directory_and_one_rule_for_signals() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let mut first = start(here, &format!("{RUN} --epochs 2000 --out run"));
    wait_for(&here.join("run/checkpoints/state.safetensors"));
    let text = refusal(here, &format!("{RUN} --epochs 2000 --out run --resume"));
    assert!(text.contains(&format!("run: in use by process {}, training", first.id())), "{text}");
    signal(&first, "TERM");
    assert_eq!(first.wait().unwrap().code(), Some(130));
    let record = fs_err::read_to_string(here.join("run/run.json")).unwrap();
    assert!(record.contains("\"interrupted\"") && !here.join("run/gaat.lock").exists(), "{record}");

    // The second signal ends at once.
    let before =
        fs_err::metadata(here.join("run/checkpoints/state.safetensors")).unwrap().modified().unwrap();
    let mut again = start(here, "train --resume --out run --quiet");
    while fs_err::metadata(here.join("run/checkpoints/state.safetensors")).unwrap().modified().unwrap()
        == before
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&again, "INT");
    signal(&again, "INT");
    assert_eq!(again.wait().unwrap().code(), Some(130));
    assert!(files(&here.join("run")).iter().all(|name| !name.starts_with(".tmp")));

    // A command without a place to stop at ends within a second all the same.
    let mut attack = start(here, "attack run --attack pgd --steps 100000 --threads 1 --quiet --out a.npz");
    // Long enough to be loaded, of which nothing tells.
    std::thread::sleep(Duration::from_secs(10));
    let begun = Instant::now();
    signal(&attack, "TERM");
    assert_eq!(attack.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(2) && !here.join("a.npz").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_while_libtorch_is_loaded_ends_the_command_by_the_same_rule() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    // A bit for each signal that a process holds back, or catches.
    let minds = |child: &Child, number: u32| {
        let status = fs_err::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = |name| status.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::trim);
        let masks = ["SigBlk:", "SigCgt:"].map(|name| u64::from_str_radix(mask(name).unwrap(), 16).unwrap());
        (masks[0] | masks[1]) >> (number - 1) & 1 == 1
    };
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let mut child = start(here, &format!("{RUN} --epochs 2000 --out {name}"));
        while !minds(&child, number) {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert!(!here.join(name).exists(), "{name}");
    }
    // Who starts a command by nohup wants it to outlive the terminal.
    let mut child = Command::new("nohup");
    child.arg(env!("CARGO_BIN_EXE_gaat")).args(format!("{RUN} --epochs 2000 --out nohup").split_whitespace());
    let mut child = child.current_dir(here).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&here.join("nohup/checkpoints/state.safetensors"));
    signal(&child, "HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
