//! What stands round training: completions, manual pages, the look at the machine, downloads.

use super::{gaat, gaat_with, refusal, status, stderr, stdout, success};
use gaat_testkit::skip;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use tempfile::tempdir;

#[test]
fn completions_know_commands_flags_and_values() {
    let directory = tempdir().unwrap();
    // The completions of clap know the values of flags in three of the five shells.
    for (shell, knows_values) in
        [("bash", true), ("zsh", true), ("fish", true), ("elvish", false), ("powershell", false)]
    {
        let script = success(directory.path(), &format!("completions {shell}"));
        for word in ["train", "epsilon", "fetch"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert_eq!(script.contains("fashion-mnist"), knows_values, "{shell}");
    }
    let Ok(output) = Command::new("bash").arg("--version").output() else {
        return skip("no bash to try the completions in");
    };
    assert!(output.status.success());
    fs_err::write(directory.path().join("gaat.bash"), success(directory.path(), "completions bash")).unwrap();
    let tried = "source ./gaat.bash; COMP_WORDS=(gaat train --dataset fas); COMP_CWORD=3; _gaat gaat fas --dataset; \
                 echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", tried]).current_dir(directory.path()).output().unwrap();
    assert_eq!((stdout(&output).trim(), stderr(&output)), ("fashion-mnist", String::new()));
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    assert!(success(here, "man").contains(".TH gaat 1"));
    let page = success(here, "man train");
    assert!(page.contains(".TH gaat-train 1") && page.contains("\\-\\-epsilon"), "{page}");
    assert!(refusal(here, "man trian").contains("known: train"));
    success(here, "man --out pages");
    let help = success(here, "--help");
    // What is further in is the rest of a description.
    let names =
        help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with([' ', '-']));
    let mut pages = 1;
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(here.join(format!("pages/gaat-{name}.1")).is_file(), "{name}");
        pages += 1;
    }
    assert!(pages > 8 && here.join("pages/gaat-data-fetch.1").is_file(), "{help}");
}

#[test]
fn the_doctor_finds_what_training_needs() {
    let directory = tempdir().unwrap();
    let here = directory.path();
    let healthy = success(here, "doctor");
    for word in ["libtorch      2.11", "device cpu", "ready to train", "gaat data fetch mnist", "GB free"] {
        assert!(healthy.contains(word), "{word}: {healthy}");
    }
    let document: Value = serde_json::from_str(&success(here, "doctor --json")).unwrap();
    assert_eq!(document["ready"], true);
    let finding = |document: &Value, name: &str| -> Value {
        document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(finding(&document, "mnist")["state"], "note");
    for (line, name) in [
        ("doctor --json --dataset mnist", "mnist"),
        ("doctor --json --device cuda:7", "device cuda:7"),
        ("doctor --json --out /proc/self/runs", "runs"),
    ] {
        let output = gaat(here, line);
        assert_eq!((status(&output), stderr(&output)), (1, String::new()), "{line}");
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let missing = finding(&document, name);
        assert_eq!((&document["ready"], &missing["state"]), (&false.into(), &"missing".into()), "{line}");
        assert!(missing["remedy"].is_string(), "{line}");
    }
    assert_eq!(fs_err::read_dir(here).unwrap().count(), 0, "looking leaves nothing behind");
}

/// A server that answers everything with 404, and the first lines of what it was asked.
fn refusing_server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (told, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let _ = told.send(head.lines().next().unwrap_or_default().to_owned());
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (base, asked)
}

#[test]
fn a_download_that_fails_says_where_it_asked_and_what_to_do() {
    let directory = tempdir().unwrap();
    let (base, asked) = refusing_server();
    let text = stderr(&gaat(directory.path(), &format!("data fetch mnist --mirror {base}/files/")));
    for word in [
        &format!("asking {base}/files/train-images"),
        "404 Not Found",
        "--mirror",
        "HTTPS_PROXY",
        "put a copy",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(asked.recv().unwrap(), "GET /files/train-images-idx3-ubyte.gz HTTP/1.1");
    let quiet = gaat(directory.path(), &format!("data fetch cifar10 --quiet --data-dir d --mirror {base}"));
    assert_eq!((status(&quiet), stderr(&quiet).lines().next().unwrap().starts_with("error: ")), (2, true));
    assert!(refusal(directory.path(), "data fetch digits").contains("part of the program"));
    let text = refusal(directory.path(), "data fetch imagenet");
    assert!(text.contains("fashion-mnist") && !text.contains("digits"), "{text}");
}

#[test]
fn the_proxy_of_the_environment_is_asked_unless_it_is_not_to_be() {
    let directory = tempdir().unwrap();
    let (proxy, asked) = refusing_server();
    let (mirror, _) = refusing_server();
    let line = "data fetch mnist --quiet --mirror http://mirror.invalid/files";
    let output = gaat_with(directory.path(), line, &[("HTTPS_PROXY", &proxy)]);
    assert_eq!(status(&output), 2);
    let first = asked.recv().unwrap();
    assert!(first.contains("mirror.invalid"), "{first}");
    let passed_by = asked.try_iter().count();
    let line = format!("data fetch mnist --quiet --mirror {mirror}");
    let output = gaat_with(directory.path(), &line, &[("HTTPS_PROXY", &proxy), ("NO_PROXY", "127.0.0.1")]);
    assert!(stderr(&output).contains("404"), "{}", stderr(&output));
    assert_eq!(asked.try_iter().count(), 0, "after {passed_by} requests by proxy");
}

/// Nothing lies beside it and nothing says where libtorch is: a `gaat` that were linked to it would not even start.
#[test]
fn what_needs_no_tensors_needs_no_engine() {
    let directory = tempdir().unwrap();
    let alone = directory.path().join("gaat");
    fs_err::copy(env!("CARGO_BIN_EXE_gaat"), &alone).unwrap();
    let run = |line: &str| {
        let mut command = Command::new(&alone);
        command.args(line.split_whitespace()).current_dir(directory.path());
        for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"] {
            command.env_remove(name);
        }
        command.env("XDG_DATA_HOME", directory.path()).output().unwrap()
    };
    for line in [
        "--help",
        "--version",
        "train --help",
        "completions bash",
        "man evaluate",
        "data info",
        "data fetch --help",
    ] {
        let output = run(line);
        assert!(status(&output) == 0 && !output.stdout.is_empty(), "gaat {line}: {}", stderr(&output));
    }
    let output = run("doctor");
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("gaat-engine: cannot be started"), "{}", stderr(&output));
}
