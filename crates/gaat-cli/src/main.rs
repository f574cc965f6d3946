//! The `gaat` command line: arguments in, one result out.
//!
//! The result goes to stdout, progress and logs to stderr. Exit status: 0 done, 1 a stated threshold was missed,
//! 2 error, 130 interrupted. Nothing here knows a tensor.

mod arguments;
mod commands;
mod directory;
mod interrupt;
mod judging;
mod panics;
mod printer;
mod progress;
mod recipes;
mod reports;
mod verdicts;

use arguments::{Arguments, Command};
use clap::Parser;
use commands::Outcome;
use printer::Printer;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(arguments.command.output());
    let outcome = panics::caught(|| {
        interrupt::listen()?;
        run(&arguments.command, &printer)
    });
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command, printer: &Printer) -> anyhow::Result<Outcome> {
    match command {
        Command::Train(arguments) => commands::train::run(arguments, printer),
        Command::Evaluate(arguments) => commands::evaluate::run(arguments, printer),
        Command::Attack(arguments) => commands::attack::run(arguments, printer),
        Command::Compare(arguments) => commands::compare::run(arguments, printer),
        Command::Analyze(arguments) => commands::analyze::run(arguments, printer),
        Command::Explain(arguments) => commands::explain::run(arguments, printer),
        Command::Report(arguments) => commands::report::run(arguments, printer),
        Command::Import(arguments) => commands::import::run(arguments, printer),
        Command::Data(arguments) => commands::data::run(arguments, printer),
    }
}
