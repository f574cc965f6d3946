//! Running other programs with their output visible, and saying what is run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Every failure here ends the command, so the text to show is all that a caller needs.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The repository, wherever the working folder is.
pub(crate) fn root() -> PathBuf {
    // Cargo sets this at run time too; the built-in value would be wrong where clones share a target folder.
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let manifest = PathBuf::from(manifest);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// The cargo that started this program, in the repository.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments).current_dir(root());
    command
}

/// Prints the command line, runs it with our own input and output, and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    println!("$ {line}");
    let status = command.status().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

/// Runs a named stage and prints the seconds that it took, also when it fails.
pub(crate) fn stage(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name} ==");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(()) => println!("== {name}: ok, {seconds:.1} s ==\n"),
        Err(_) => println!("== {name}: FAILED after {seconds:.1} s =="),
    }
    outcome
}

/// The folder for build outputs, by cargo's own environment variable or its default.
pub(crate) fn target_dir() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").or_else(|| env::var_os("CARGO_BUILD_TARGET_DIR"));
    // Cargo runs in the repository (see `cargo`), so a relative folder is meant from there.
    root().join(set.unwrap_or_else(|| OsString::from("target")))
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // cargo is known by its full path here; its name reads better and can be typed.
    let name = program.file_stem().filter(|stem| *stem == "cargo").unwrap_or(program.as_os_str());
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        // Writing to a String does not fail.
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(describe(&command), "cargo test --workspace");
    }

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert!(error.contains("`false` failed"), "{error}");
        let error = run(&mut Command::new("/nonexistent/tool")).unwrap_err();
        assert!(error.contains("cannot run `/nonexistent/tool`"), "{error}");
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
