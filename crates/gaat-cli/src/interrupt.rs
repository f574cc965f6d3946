//! Ctrl-C, SIGTERM and SIGHUP become one flag; the second signal ends the process at once.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};

/// What shells report for a process ended by SIGINT.
pub(crate) const EXIT_STATUS: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen; called once.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT_STATUS.into());
        }
    })
    .context("listening for Ctrl-C")
}

/// Whether the user wants the command to end.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
