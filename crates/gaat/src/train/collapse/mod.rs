//! Against collapse: a free signal, a check that confirms it, and a guard that decides what is done.

mod check;
mod guard;
mod rollback;
#[cfg(test)]
mod scenarios;
mod signal;

pub(super) use check::Check;
pub(super) use guard::{Guard, GuardState};
pub(super) use rollback::Snapshot;
pub(super) use signal::{Signal, SmoothedGain};
