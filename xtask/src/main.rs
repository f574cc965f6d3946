//! The commands behind `cargo xtask`: from a bare machine to a demo, the tests, the gate and an installation.
// Talking on the terminal is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(unix))]
compile_error!("gaat is built on Linux and macOS; on Windows use the Windows Subsystem for Linux");

mod bench;
mod dist;
mod docs;
mod edges;
mod imports;
mod install;
mod kills;
mod libtorch;
mod licences;
mod prerequisites;
mod python;
#[cfg(test)]
mod scratch;
mod setup;
mod shell;
mod sweep;
mod tasks;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use setup::Setup;
use shell::Result;

const USAGE: &str = "\
usage: cargo xtask <command>

  setup [--cuda]        fetch libtorch 2.11, unless LIBTORCH or the active Python has it;
                        with --cuda the version for NVIDIA GPUs (5 GB)
  demo                  train natural, RAT and GAAT on handwritten digits and compare them
  test [arguments]      the whole test suite; with arguments (filters, options of cargo test
                        or nextest) just those tests
  ci                    format, tidy, clippy, tests, documentation: what a change must pass
  bench [options]       gaat beside PyTorch on the same work; `bench --help` lists the options
  kills [options]       kill trainings at random moments and resume them: [--seconds N]; or
                        before every file system call: --points [--stride N], needs strace
  sweep [options]       convolutions and trainings under a checker of memory; `sweep --help`
                        lists the options
  python [arguments]    build the Python package as a wheel and test it, in an environment of its
                        own (0.55 GB, once); arguments go to pytest
  tidy                  the rules of this repository that clippy does not know
  docs                  a site of the pages in docs/ (needs mdBook): target/docs-site
  dist                  an archive that runs without cargo and Python, and a wheel for pip with
                        the same binaries: target/dist
  install [--root DIR]  put `gaat` on the PATH, with the libraries that it needs
  help                  this text

setup is part of demo, test, ci, bench, kills, sweep, dist and install.";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Task {
    Setup { cuda: bool },
    Demo,
    Test(Vec<OsString>),
    Ci,
    Bench(Vec<OsString>),
    Kills(Vec<OsString>),
    Sweep(Vec<OsString>),
    Python(Vec<OsString>),
    Tidy,
    Docs,
    Dist,
    Install(Option<PathBuf>),
    Help,
}

fn main() -> ExitCode {
    let task = match parse(env::args_os().skip(1).collect()) {
        Ok(task) => task,
        Err(complaint) => {
            eprintln!("error: {complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match perform(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    let setup = Setup::from_env();
    match task {
        Task::Setup { cuda: false } => setup.ensure().map(drop),
        Task::Setup { cuda: true } => setup.ensure_cuda().map(drop),
        Task::Demo => tasks::demo(&setup),
        Task::Test(arguments) => tasks::test(&setup, &arguments),
        Task::Ci => tasks::ci(&setup),
        Task::Bench(arguments) => bench::bench(&setup, &arguments),
        Task::Kills(arguments) => kills::kills(&setup, &arguments),
        Task::Sweep(arguments) => sweep::sweep(&setup, &arguments),
        Task::Python(arguments) => python::python(&setup, &arguments),
        Task::Tidy => tidy::run(&setup.root),
        Task::Docs => docs::docs(&setup.root),
        Task::Dist => dist::dist(&setup),
        Task::Install(root) => install::run_install(&setup, root),
        Task::Help => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Task> {
    let mut arguments = arguments.into_iter();
    let command = arguments.next().ok_or("no command")?;
    let rest: Vec<OsString> = arguments.collect();
    let words: Vec<&str> = rest.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let name = command.to_string_lossy();
    match (name.as_ref(), words.as_slice()) {
        ("setup", []) => Ok(Task::Setup { cuda: false }),
        ("setup", ["--cuda"]) => Ok(Task::Setup { cuda: true }),
        ("demo", []) => Ok(Task::Demo),
        ("test", _) => Ok(Task::Test(rest)),
        ("ci", []) => Ok(Task::Ci),
        ("bench", _) => Ok(Task::Bench(rest)),
        ("kills", _) => Ok(Task::Kills(rest)),
        ("sweep", _) => Ok(Task::Sweep(rest)),
        ("python", _) => Ok(Task::Python(rest)),
        ("tidy", []) => Ok(Task::Tidy),
        ("docs", []) => Ok(Task::Docs),
        ("dist", []) => Ok(Task::Dist),
        ("install", []) => Ok(Task::Install(None)),
        ("install", ["--root", _]) => Ok(Task::Install(rest.into_iter().nth(1).map(PathBuf::from))),
        ("help" | "--help" | "-h", _) => Ok(Task::Help),
        ("setup" | "demo" | "ci" | "tidy" | "docs" | "dist" | "install", _) => {
            Err(format!("`{name}` does not take {words:?}"))
        }
        _ => Err(format!("unknown command `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn commands_are_recognised() {
        assert_eq!(parsed("setup"), Ok(Task::Setup { cuda: false }));
        assert_eq!(parsed("setup --cuda"), Ok(Task::Setup { cuda: true }));
        assert_eq!(
            parsed("test -p gaat pgd"),
            Ok(Task::Test(vec!["-p".into(), "gaat".into(), "pgd".into()]))
        );
        assert_eq!(parsed("install --root /opt/gaat"), Ok(Task::Install(Some("/opt/gaat".into()))));
        assert_eq!(parsed("--help"), Ok(Task::Help));
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(parsed(""), Err("no command".into()));
        assert_eq!(parsed("bnech"), Err("unknown command `bnech`".into()));
        assert_eq!(parsed("setup --gpu"), Err("`setup` does not take [\"--gpu\"]".into()));
        assert_eq!(parsed("install --root"), Err("`install` does not take [\"--root\"]".into()));
    }

    #[test]
    fn the_usage_names_every_command() {
        for name in
            ["setup", "demo", "test", "ci", "bench", "kills", "sweep", "python", "tidy", "install", "help"]
        {
            assert!(USAGE.contains(&format!("\n  {name}")), "{name}");
        }
    }
}
