//! Each reader for a moment: seeds are read, and what is near to them is read or refused in words, soon, in little memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says how much it did")]

use gaat_fuzz::{Rng, TARGETS, mutate};
use std::time::{Duration, Instant};

/// For each target. `GAAT_FUZZ_SECONDS` asks for more.
const SECONDS: f64 = 1.5;
/// For one file; a busy machine is slow, too.
const LONGEST: Duration = Duration::from_secs(20);
/// Bytes that the process may grow by in all.
const MOST_MEMORY: u64 = 2 << 30;

#[test]
fn seeds_are_read() {
    for target in TARGETS {
        for (index, seed) in (target.seeds)().iter().enumerate() {
            let scratch = tempfile::tempdir().unwrap();
            assert_eq!(target.run(seed, scratch.path()), Ok(()), "{}, seed {index}", target.name);
        }
    }
}

#[test]
fn mutated_seeds_are_read_or_refused() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = number("GAAT_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = number("GAAT_FUZZ_SEED").unwrap_or(0.0) as u64;
    let only = std::env::var("GAAT_FUZZ_TARGET").unwrap_or_default();
    let before = peak();
    for target in TARGETS.iter().filter(|target| only.is_empty() || target.name == only) {
        let (scratch, seeds) = (tempfile::tempdir().unwrap(), (target.seeds)());
        let (mut rng, start) = (Rng::new(seed + 1), Instant::now());
        let (mut files, mut read) = (0_u64, 0_u64);
        while start.elapsed().as_secs_f64() < seconds {
            let (bytes, begun) = (mutate(&seeds, &mut rng), Instant::now());
            let verdict = std::panic::catch_unwind(|| target.run(&bytes, scratch.path()));
            match verdict {
                Ok(verdict) => read += u64::from(verdict.is_ok()),
                Err(panic) => {
                    // A panic is of use only with the bytes that led to it.
                    let prefix = format!("gaat-fuzz-{}-", target.name);
                    let (_, kept) =
                        tempfile::Builder::new().prefix(&prefix).tempfile().unwrap().keep().unwrap();
                    std::fs::write(&kept, &bytes).unwrap();
                    println!("{}: {} bytes, kept in {}", target.name, bytes.len(), kept.display());
                    std::panic::resume_unwind(panic)
                }
            }
            assert!(
                begun.elapsed() < LONGEST,
                "{}: {:?} for {} bytes",
                target.name,
                begun.elapsed(),
                bytes.len()
            );
            files += 1;
        }
        assert!(files > 0, "{}", target.name);
        println!("{}: {files} files, {read} of them read", target.name);
    }
    let grown = peak().saturating_sub(before);
    println!("grown by {} MB", grown >> 20);
    assert!(grown < MOST_MEMORY, "{grown} bytes");
}

/// Most bytes that this process has held, on Linux.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}
