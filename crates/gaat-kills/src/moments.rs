//! Kills at random moments: SIGKILL mostly, SIGINT and SIGTERM now and then, until the time is up.

use crate::differences::between;
use crate::kind::{KINDS, Kind};
use anyhow::{Context, Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// After so many kills a run may end.
const MOST_KILLS: usize = 8;
/// A process that was told to stop has stopped by then.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(2);

/// Kills for `time`; how many runs were lost or differ.
pub(crate) fn run(gaat: &Path, time: Duration, seed: u64) -> Result<usize> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut kills, mut runs, mut faults) = (0, 0, 0);
    let mut wholes: Vec<Option<Duration>> = KINDS.iter().map(|_| None).collect();
    for index in (0..KINDS.len()).cycle() {
        if begun.elapsed() >= time {
            break;
        }
        let kind = &KINDS[index];
        let whole = folder.path().join(format!("{}-whole", kind.name));
        let length = if let Some(length) = wholes[index] {
            length
        } else {
            let started = Instant::now();
            let output = kind.command(gaat, &whole, false).output().context("starting gaat")?;
            let text = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{}: the run that is not killed fails: {text}", kind.name);
            *wholes[index].insert(started.elapsed())
        };
        let killed = folder.path().join(format!("{}-killed", kind.name));
        let (done, fault) = one(gaat, kind, &whole, &killed, length, &mut random)?;
        kills += done;
        runs += 1;
        if let Some(fault) = fault {
            faults += 1;
            println!("{}: {fault}", kind.name);
        }
        fs_err::remove_dir_all(&killed)?;
    }
    println!(
        "{kills} kills in {runs} runs of {} kinds, seed {seed}: {faults} lost or different",
        KINDS.len()
    );
    Ok(faults)
}

/// A run that is killed again and again; how often, and what is wrong with it in the end.
fn one(
    gaat: &Path,
    kind: &Kind,
    whole: &Path,
    out: &Path,
    length: Duration,
    random: &mut ChaCha8Rng,
) -> Result<(usize, Option<String>)> {
    let mut kills = 0;
    loop {
        let mut child = kind.command(gaat, out, true).spawn().context("starting gaat")?;
        let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
        let limit = if kills < MOST_KILLS { length.mul_f64(share) } else { PATIENCE + 10 * length };
        let ended = wait(&mut child, limit)?;
        if ended.is_none() {
            let signal = match random.next_u32() % 6 {
                0 => "INT",
                1 => "TERM",
                _ => "KILL",
            };
            kills += 1;
            // The child may have ended meanwhile; the next start tells.
            Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(child.id().to_string())
                .output()
                .context("starting kill")?;
            if wait(&mut child, PATIENCE)?.is_none() {
                child.kill()?;
                child.wait()?;
                return Ok((
                    kills,
                    Some(format!("continues for {} s after SIG{signal}", PATIENCE.as_secs())),
                ));
            }
            continue;
        }
        let status = child.wait()?;
        if status.success() {
            break;
        }
        let mut text = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        return Ok((kills, Some(format!("not resumed after {kills} kills ({status}): {}", text.trim()))));
    }
    let found = between(whole, out)?;
    Ok((kills, (!found.is_empty()).then(|| format!("differs after {kills} kills: {}", found.join("; ")))))
}

/// Waits for at most `limit`; `None` where the process continues.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<()>> {
    let begun = Instant::now();
    loop {
        if child.try_wait()?.is_some() {
            return Ok(Some(()));
        }
        if begun.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}
