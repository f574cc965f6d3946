//! Ctrl-C, SIGTERM and SIGHUP, by one rule for all commands: the first stops soon and cleanly, the second at once; both with
//! status 130.
//!
//! Every file is written whole or not at all, so that a command may break off anywhere. The first signal therefore ends the
//! process, whatever it waits for, with its temporary files removed: at once, or after `GRACE` where the command itself
//! asks whether to stop. A training alone ([`wait_for_checkpoint`]) takes the time that its checkpoint needs. Nothing of libtorch may run while its threads
//! compute, destructors least of all: the process ends by `_exit`.
//!
//! While libtorch is being loaded, the process cannot handle signals: `gaat` blocks the signals, and the
//! engine unblocks them ([`listen`]).

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What shells report for a process ended by SIGINT.
pub const EXIT_STATUS: u8 = 130;

/// What is listened to.
pub const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

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

/// Starts to listen; called once. A signal that has waited ends the process, for nothing was begun.
///
/// # Errors
/// When the system refuses a handler.
pub fn listen() -> anyhow::Result<()> {
    let failed = "listening for Ctrl-C";
    // `nohup` has the hang-up ignored, and means it.
    let heard = SIGNALS.into_iter().filter(|signal| *signal != Signal::SIGHUP || !is_ignored(*signal));
    let heard: Vec<i32> = heard.map(|signal| signal as i32).collect();
    let is_early = Arc::new(AtomicBool::new(false));
    for signal in &heard {
        flag::register(*signal, is_early.clone()).context(failed)?;
    }
    SigSet::from_iter(SIGNALS).thread_unblock().context(failed)?;
    let mut signals = Signals::new(&heard).context(failed)?;
    if is_early.load(Ordering::SeqCst) {
        say_and_end();
    }
    let listener = move || {
        for _ in signals.forever() {
            if REQUESTED.swap(true, Ordering::SeqCst) {
                end();
            }
            thread::spawn(break_off);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listener).context(failed)?;
    Ok(())
}

/// Whether the parent process made this process ignore `signal`, as far as Linux tells.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// Whether the user wants the command to end.
pub fn requested() -> bool {
    ASKS.store(true, Ordering::SeqCst);
    REQUESTED.load(Ordering::SeqCst)
}

/// From here on the first signal is for the command to follow: there is a checkpoint to write.
pub fn wait_for_checkpoint() -> Waiting {
    WAITS.store(true, Ordering::SeqCst);
    Waiting
}

/// Until this is dropped, the first signal does not break the command off.
pub struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.store(false, Ordering::SeqCst);
    }
}

/// What is to be said when the command is broken off.
pub fn advise(advice: &'static str) {
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
        end();
    }
    say_and_end();
}

/// Ends the process with the advice for its command.
fn say_and_end() -> ! {
    let advice = *ADVICE.lock().unwrap_or_else(PoisonError::into_inner);
    // A display that redraws itself may stand on the line.
    let _ = writeln!(std::io::stderr(), "\r{advice}");
    end();
}

/// Ends the process here and now, with nothing half written.
fn end() -> ! {
    gaat_files::abandon_writes();
    signal_hook::low_level::exit(EXIT_STATUS.into())
}
