//! From a command to the exit status of the process, in both binaries.

use crate::arguments::OutputArguments;
use crate::printer::Printer;
use crate::{advice, interrupt, panics};
use std::error::Error;
use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All was done.
    Done,
    /// It ran, but a threshold that was set was missed, or something is missing that was asked for.
    ThresholdMissed,
    /// The user stopped it.
    Interrupted,
}

impl Outcome {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::ThresholdMissed => ExitCode::from(1),
            Self::Interrupted => ExitCode::from(interrupt::EXIT_STATUS),
        }
    }
}

/// Does the `work` of a command, which speaks as `output` says; where it fails, says why and what can be typed about it, as `known` and [`advice`] know. What
/// libtorch says in a panic is read by `of_libtorch`.
pub fn run(
    output: OutputArguments,
    known: fn(&(dyn Error + 'static)) -> Option<String>,
    of_libtorch: fn(&str) -> anyhow::Error,
    work: impl FnOnce(&Printer) -> anyhow::Result<Outcome>,
) -> ExitCode {
    let printer = Printer::new(output);
    let outcome = panics::caught(of_libtorch, || work(&printer));
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            printer.error(&error, advice::about(&error, known).as_deref());
            ExitCode::from(2)
        }
    }
}
