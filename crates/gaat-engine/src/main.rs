//! `gaat-engine`: every command of the `gaat` command line, arguments in, one result out.
//!
//! The result goes to stdout, progress and logs to stderr. Exit status: 0 done, 1 a stated threshold was missed
//! or something is missing that was asked for, 2 error, 130 interrupted. Nothing here knows a tensor.

mod checkup;
mod commands;
mod progress;

use anyhow::{Context, bail};
use clap::Parser;
use gaat::world::Place;
use gaat_cli::arguments::{Arguments, Command};
use gaat_cli::printer::Printer;
use gaat_cli::process::Outcome;
use gaat_cli::{interrupt, process, quick};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Arguments { command, output } = Arguments::parse();
    let of_libtorch = |text: &str| gaat::Error::of_libtorch(text).into();
    process::run(output, commands::advice::of_engine, of_libtorch, |printer| {
        interrupt::listen()?;
        run(&command, printer)
    })
}

fn run(command: &Command, printer: &Printer) -> anyhow::Result<Outcome> {
    match (Place::of_environment()?, command) {
        (None, command) => alone(command, printer),
        (Some(place), Command::Train(_) | Command::Evaluate(_)) if place.rank > 0 => {
            together(command, &printer.of_follower(), &place)
                .with_context(|| format!("rank {} of {}", place.rank, place.size))
        }
        (Some(place), Command::Train(_) | Command::Evaluate(_)) => together(command, printer, &place),
        (Some(place), _) => bail!(
            "only `gaat train` and `gaat evaluate` work in several processes, and the environment says that this is one of {}; \
             start this command without torchrun or srun, or in an environment without RANK and WORLD_SIZE",
            place.size
        ),
    }
}

/// In one of several processes.
fn together(command: &Command, printer: &Printer, place: &Place) -> anyhow::Result<Outcome> {
    match command {
        Command::Train(arguments) => commands::train::run(arguments, printer, Some(place)),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments, printer, Some(place)),
        command => alone(command, printer),
    }
}

fn alone(command: &Command, printer: &Printer) -> anyhow::Result<Outcome> {
    match command {
        Command::Train(arguments) => commands::train::run(arguments, printer, None),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments, printer, None),
        Command::Attack(arguments) => commands::attack::run(arguments, printer),
        Command::Compare(arguments) => commands::compare::run(arguments, printer),
        Command::Analyze(arguments) => commands::analyze::run(arguments, printer),
        Command::Explain(arguments) => commands::explain::run(arguments, printer),
        Command::Report(arguments) => commands::report::run(arguments, printer),
        Command::Import(arguments) => commands::import::run(arguments, printer),
        Command::Export(arguments) => commands::export::run(arguments, printer),
        Command::Model(arguments) => commands::model::run(arguments, printer),
        Command::Data(arguments) => quick::data::run(arguments, printer),
        Command::Doctor(arguments) => commands::doctor::run(arguments, printer),
        Command::Completions(arguments) => quick::shell::completions(arguments, printer),
        Command::Man(arguments) => quick::shell::man(arguments, printer),
    }
}
