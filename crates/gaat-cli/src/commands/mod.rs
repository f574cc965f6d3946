//! The commands: each takes its arguments and the printer, and says how it ended.

pub(crate) mod analyze;
pub(crate) mod attack;
pub(crate) mod compare;
pub(crate) mod data;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod report;
mod subject;
pub(crate) mod train;

use crate::interrupt;
use std::process::ExitCode;
use std::sync::LazyLock;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done,
    /// It ran, but a threshold that was set was missed.
    ThresholdMissed,
    /// The user stopped it.
    Interrupted,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::ThresholdMissed => ExitCode::from(1),
            Self::Interrupted => ExitCode::from(interrupt::EXIT_STATUS),
        }
    }
}

/// What `gaat --version` says after the name.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        format!("{} (libtorch {})", env!("CARGO_PKG_VERSION"), gaat::run::libtorch_version())
    });
    &VERSION
}
