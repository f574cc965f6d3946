//! `gaat-bench`: gaat and PyTorch on the same work in turns, as ratios. `cargo xtask bench` prepares both and calls it.
// Talking on the terminal is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod convolve;
mod exported;
mod ours;
mod outcome;
mod rounds;
mod sample;
mod side;
mod synthetic;
mod work;

use check::Guard;
use clap::{Parser, Subcommand};
use ours::Machine;
use outcome::Outcome;
use side::Side;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use work::Work;

/// gaat and PyTorch on the same work, in turns.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure both sides in turns and print ratios.
    Run(RunArguments),
    /// Do one work with gaat in this process and print its seconds as JSON.
    #[command(hide = true)]
    Sample {
        #[arg(long)]
        work: Work,
        #[arg(long)]
        threads: usize,
        #[arg(long)]
        device: String,
        /// Folder of synthetic images and exported networks.
        #[arg(long)]
        data_dir: PathBuf,
        #[arg(long, default_value_t = Side::Gaat)]
        side: Side,
    },
    /// Write the synthetic images of the measurements into a folder.
    #[command(hide = true)]
    Images { folder: PathBuf },
    /// Compute the convolutions on standard input and compare them with another way of computing them.
    #[command(hide = true)]
    Convolve {
        /// As libtorch computes them by itself, faults of oneDNN and all.
        #[arg(long)]
        raw: bool,
    },
}

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Python with torch 2.11.
    #[arg(long)]
    python: PathBuf,
    /// Repository, where `reference/bench.py` lies.
    #[arg(long)]
    root: PathBuf,
    /// The `gaat` binary, for its start-up time.
    #[arg(long)]
    gaat: PathBuf,
    /// Folder that the Python package gaat is installed in, for works python/...
    #[arg(long)]
    package: Option<PathBuf>,
    /// Works to measure; each is also a prefix, `growth` stands for steps of many sizes. All but those unless given.
    #[arg(long, value_delimiter = ',')]
    works: Vec<String>,
    /// Sides to measure: gaat, gaat-built-in (for works exported/...), gaat-python (for works python/...), torch-best, torch-as-written; on a GPU torch-compiled and torch-cuda-graphs too [default: all but
    /// torch-compiled]
    #[arg(long, value_delimiter = ',')]
    sides: Vec<Side>,
    /// How often each side takes its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often at most where --check or --earlier compares: a work whose rounds do not tell on which side of the limit its ratio lies (80 % interval of the
    /// median) takes more of them.
    #[arg(long, default_value_t = 40)]
    most_rounds: usize,
    /// Threads of both sides.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Device of both sides: cpu, or cuda:0 and so on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Where to write `bench.json` and `README.md`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A `bench.json` of before: exit 1 where a ratio got worse by more than the tolerance, or was
    /// measured in another precision.
    #[arg(long)]
    check: Option<PathBuf>,
    /// A `gaat-bench` that an earlier commit built: the earlier build takes its turns too, and the exit status is 1 where a work takes longer
    /// than by that build, by more than the tolerance.
    #[arg(long)]
    earlier: Option<PathBuf>,
    /// By which factor a ratio may be worse than before, or the seconds than those of the earlier build.
    #[arg(long, default_value_t = 1.15)]
    tolerance: f64,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Sample { work, threads, device, data_dir, side } => {
            sample(&work, side, &Machine { threads, device }, &data_dir)
        }
        Command::Images { folder } => synthetic::write(&folder).map(|()| ExitCode::SUCCESS),
        Command::Convolve { raw } => convolve::convolve(raw).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn sample(work: &Work, side: Side, machine: &Machine, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let sample = match work {
        Work::Exported { network, batch } => exported::sample(*network, *batch, side, machine, data_dir)?,
        _ => ours::sample(work, machine, data_dir)?,
    };
    println!("{}", serde_json::to_string(&sample)?);
    Ok(ExitCode::SUCCESS)
}

/// Insists that an earlier build, where one is named, can be compared.
fn check_earlier(arguments: &RunArguments, works: &[Work]) -> anyhow::Result<()> {
    let sides = &arguments.sides;
    let Some(earlier) = &arguments.earlier else {
        anyhow::ensure!(!sides.contains(&Side::GaatEarlier), "the side gaat-earlier needs --earlier PROGRAM");
        return Ok(());
    };
    anyhow::ensure!(earlier.is_file(), "--earlier {}: there is no such program", earlier.display());
    anyhow::ensure!(
        sides.is_empty() || sides.contains(&Side::Gaat),
        "--earlier compares with the side gaat, which --sides leaves out"
    );
    anyhow::ensure!(
        works.iter().any(Work::is_sampled),
        "--earlier: an earlier build can do none of these works, which start programs or need Python"
    );
    Ok(())
}

fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(arguments.rounds > 0 && arguments.threads > 0, "--rounds and --threads need at least 1");
    // Asked and read first: a mistake should not cost half an hour.
    let before = arguments.check.as_deref().map(Outcome::read).transpose()?;
    let guard = Guard { before, tolerance: arguments.tolerance };
    let works = work::chosen(&arguments.works)?;
    check_earlier(arguments, &works)?;
    let outcome = rounds::measure(arguments, &works, &guard)?;
    print!("{}", outcome.markdown());
    if let Some(folder) = &arguments.out {
        println!("\nwritten to {}", folder.display());
    }
    let complaints = guard.complaints(&outcome)?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_build_that_cannot_be_compared_is_refused_before_anything_is_measured() {
        let asked = |words: &str, works: &[&str]| {
            let all = format!("gaat-bench run --python python --root . --gaat gaat {words}");
            let Command::Run(arguments) = Arguments::try_parse_from(all.split_whitespace()).unwrap().command
            else {
                panic!("{words}")
            };
            let works: Vec<Work> = works.iter().map(|work| work.parse().unwrap()).collect();
            check_earlier(&arguments, &works).map_err(|error| error.to_string())
        };
        let own = std::env::current_exe().unwrap().display().to_string();
        let step = "step/convnet/natural";
        assert_eq!(asked("", &["start"]), Ok(()));
        assert_eq!(asked(&format!("--earlier {own} --sides gaat"), &["start", step]), Ok(()));
        for (words, work, part) in [
            ("--sides gaat,gaat-earlier".to_owned(), step, "needs --earlier"),
            ("--earlier no-such-file".to_owned(), step, "no such program"),
            (format!("--earlier {own} --sides torch-best"), step, "leaves out"),
            (format!("--earlier {own}"), "first-step", "none of these works"),
        ] {
            let refused = asked(&words, &[work]).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
