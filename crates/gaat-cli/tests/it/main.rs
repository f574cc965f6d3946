//! The binary from outside: what is typed, what comes back on stdout and stderr, and the exit status.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says where it skips")]

mod around;
mod commands;
mod equal;
mod exported;
mod hostile;
mod kept;
mod processes;
mod refusals;

use std::path::Path;
use std::process::{Command, Output};

/// Runs `gaat` with the words of `line` in `directory`.
fn gaat(directory: &Path, line: &str) -> Output {
    gaat_with(directory, line, &[])
}

/// The same, with `variables` in the environment and no proxy but theirs.
fn gaat_with(directory: &Path, line: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaat"));
    command.args(line.split_whitespace()).current_dir(directory);
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied());
    // The data of the user who runs the tests must not decide them.
    command.env_remove("GAAT_DATA").env("XDG_DATA_HOME", directory).env_remove("RUST_BACKTRACE");
    // Nor must the tests leave anything with them.
    command.env("GAAT_CACHE", directory.join("cache"));
    command.output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a command that must succeed prints.
fn success(directory: &Path, line: &str) -> String {
    let output = gaat(directory, line);
    assert_eq!(status(&output), 0, "gaat {line}\n{}", stderr(&output));
    stdout(&output)
}

/// What a command that must fail says, which is all on stderr.
fn refusal(directory: &Path, line: &str) -> String {
    let output = gaat(directory, line);
    assert_eq!(status(&output), 2, "gaat {line}\n{}", stderr(&output));
    assert_eq!(stdout(&output), "", "gaat {line}");
    let text = stderr(&output);
    assert!(text.starts_with("error: "), "gaat {line}\n{text}");
    text
}
