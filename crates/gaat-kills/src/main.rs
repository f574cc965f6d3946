//! `gaat-kills`: kills trainings, resumes them, and demands the run that was never stopped, bit for bit. `cargo xtask kills`
//! builds `gaat` and calls it.
// Talking on the terminal is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod differences;
mod kind;
mod moments;
mod points;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Kills trainings of gaat and compares what is left with runs that were never stopped.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `gaat` binary.
    #[arg(long)]
    gaat: PathBuf,
    /// Seconds to kill at random moments.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Kill before every file system call of a training instead; needs strace.
    #[arg(long)]
    points: bool,
    /// Only every so manieth point.
    #[arg(long, default_value_t = 1)]
    stride: usize,
    /// Seed of the random moments.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { gaat, seconds, points, stride, seed } = Arguments::parse();
    let found = if points {
        points::run(&gaat, stride.max(1))
    } else {
        moments::run(&gaat, Duration::from_secs(seconds), seed)
    };
    match found {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("error: {faults} runs were lost or differ (see above)");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
