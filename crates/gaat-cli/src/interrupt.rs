//! Ctrl-C, SIGTERM and SIGHUP, by one rule for all commands: the first stops soon and cleanly, the second at once; both with
//! status 130.
//!
//! Every file is written whole or not at all, so that a command may break off anywhere. The first signal therefore ends the
//! process, whatever it waits for, with its temporary files removed: at once, or after [`GRACE`] where the command itself
//! asks whether to stop. A training alone ([`wait_for_checkpoint`]) takes the time that its checkpoint needs. Nothing of libtorch may run while its threads
//! compute, destructors least of all: the process ends by `_exit`.

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What shells report for a process ended by SIGINT.
pub(crate) const EXIT_STATUS: u8 = 130;

/// What a command that asks whether to stop ([`requested`]) gets, to clear its display and to say what there is to say.
const GRACE: Duration = Duration::from_millis(500);

/// Between two looks at whether the checkpoint is there.
const PAUSE: Duration = Duration::from_millis(20);

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether the command has ever asked.
static ASKS: AtomicBool = AtomicBool::new(false);
/// Whether the first signal waits until the command comes to an end by itself.
static WAITS: AtomicBool = AtomicBool::new(false);
/// What the process says when it breaks off.
static ADVICE: Mutex<&str> = Mutex::new("interrupted; repeat the command");

/// Starts to listen; called once.
pub(crate) fn listen() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("listening for Ctrl-C")?;
    let listener = move || {
        for _ in signals.forever() {
            if REQUESTED.swap(true, Ordering::SeqCst) {
                end();
            }
            thread::spawn(break_off);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listener).context("listening for Ctrl-C")?;
    Ok(())
}

/// Whether the user wants the command to end.
pub(crate) fn requested() -> bool {
    ASKS.store(true, Ordering::SeqCst);
    REQUESTED.load(Ordering::SeqCst)
}

/// From here on the first signal is for the command to follow: there is a checkpoint to write.
pub(crate) fn wait_for_checkpoint() -> Waiting {
    WAITS.store(true, Ordering::SeqCst);
    Waiting
}

/// Until this is dropped, the first signal does not break the command off.
pub(crate) struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.store(false, Ordering::SeqCst);
    }
}

/// What is to be said when the command is broken off.
pub(crate) fn advise(advice: &'static str) {
    *ADVICE.lock().unwrap_or_else(PoisonError::into_inner) = advice;
}

/// Ends the process unless the command has done so by itself, or has a checkpoint to write.
fn break_off() {
    if ASKS.load(Ordering::SeqCst) {
        thread::sleep(GRACE);
    }
    let has_waited = WAITS.load(Ordering::SeqCst);
    while WAITS.load(Ordering::SeqCst) {
        thread::sleep(PAUSE);
    }
    if has_waited {
        // The checkpoint is there; the command says so and writes its report.
        thread::sleep(4 * GRACE);
    }
    let advice = *ADVICE.lock().unwrap_or_else(PoisonError::into_inner);
    // A display that redraws itself may stand on the line.
    let _ = writeln!(std::io::stderr(), "\r{advice}");
    end();
}

/// Ends the process here and now, with nothing half written.
fn end() -> ! {
    gaat_data::abandon_writes();
    signal_hook::low_level::exit(EXIT_STATUS.into())
}
