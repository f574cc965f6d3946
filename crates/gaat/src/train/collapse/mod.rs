//! Against collapse: a free signal, a check that confirms it, and a guard that decides what is done.

mod check;
mod guard;
mod rollback;
mod signal;
#[cfg(test)]
mod trial;

pub(super) use guard::{Guard, GuardState};
pub(super) use rollback::Snapshot;
