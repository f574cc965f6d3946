//! The `gaat` that is typed: answers at once what needs no tensors, and becomes `gaat-engine` for everything else.
//!
//! Loading libtorch takes a quarter of a second, which nobody should wait for help or a completion (decision record 0014).
//! Nothing that is reachable from here may use the `gaat` library.
#![allow(dead_code, reason = "what the two binaries share is used in full only by the other one")]

mod advice;
mod arguments;
mod directory;
mod interrupt;
mod panics;
mod printer;
mod process;
mod quick;

use anyhow::{Context, Result};
use arguments::{Arguments, Command};
use clap::Parser;
use process::Outcome;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    process::run(
        &command,
        |_| None,
        |printer| match &command {
            Command::Data(arguments) => quick::data::run(arguments, printer),
            Command::Completions(arguments) => quick::shell::completions(arguments, printer),
            Command::Man(arguments) => quick::shell::man(arguments, printer),
            _ => become_engine(),
        },
    )
}

/// Replaces this process by the engine, with the same arguments; comes back only where that fails.
fn become_engine() -> Result<Outcome> {
    let here = std::env::current_exe().and_then(fs_err::canonicalize).context("looking for gaat-engine")?;
    let engine = here.with_file_name("gaat-engine");
    let failure = std::process::Command::new(&engine).arg0("gaat").args(std::env::args_os().skip(1)).exec();
    Err(failure).with_context(|| {
        format!("{}: cannot be started; it is built and installed together with gaat", engine.display())
    })
}
