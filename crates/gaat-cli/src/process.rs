//! From a command to the exit status of the process, in both binaries.

use crate::arguments::Command;
use crate::printer::Printer;
use crate::{interrupt, panics};
use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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

/// Does the `work` of `command`, and says why where it fails.
pub(crate) fn run(command: &Command, work: impl FnOnce(&Printer) -> anyhow::Result<Outcome>) -> ExitCode {
    let printer = Printer::new(command.output());
    let outcome = panics::caught(|| {
        interrupt::listen()?;
        work(&printer)
    });
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}
