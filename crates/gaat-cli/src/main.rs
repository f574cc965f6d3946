//! The `gaat` that is typed: answers at once what needs no tensors, and becomes `gaat-engine` for everything else.
//!
//! Loading libtorch takes a quarter of a second; help and completions must not wait for that (decision record 0014).
//! Nothing that is reachable from here may use the `gaat` library.

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use gaat_cli::arguments::{Arguments, Command};
use gaat_cli::process::Outcome;
use gaat_cli::{interrupt, process, quick};
use gaat_spec::visible_path;
use nix::sys::signal::SigSet;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Until `interrupt::listen`, in this process or in the one that it becomes.
    let held = SigSet::from_iter(interrupt::SIGNALS).thread_block();
    let Arguments { command, output } = Arguments::parse();
    process::run(
        output,
        |_| None,
        |text| anyhow!("{text}"),
        |printer| {
            held.context("holding signals back")?;
            match &command {
                Command::Data(arguments) => here(|| quick::data::run(arguments, printer)),
                Command::Completions(arguments) => here(|| quick::shell::completions(arguments, printer)),
                Command::Man(arguments) => here(|| quick::shell::man(arguments, printer)),
                _ => become_engine(),
            }
        },
    )
}

/// Does the work of a command in this process.
fn here(work: impl FnOnce() -> Result<Outcome>) -> Result<Outcome> {
    interrupt::listen()?;
    work()
}

/// Replaces this process by the engine, with the same arguments, and with the signals that were held back; comes back only
/// where that fails.
fn become_engine() -> Result<Outcome> {
    let here = std::env::current_exe().and_then(fs_err::canonicalize).context("looking for gaat-engine")?;
    let engine = here.with_file_name("gaat-engine");
    let failure = std::process::Command::new(&engine).arg0("gaat").args(std::env::args_os().skip(1)).exec();
    Err(failure).with_context(|| {
        format!("{}: cannot be started; it is built and installed together with gaat", visible_path(&engine))
    })
}
