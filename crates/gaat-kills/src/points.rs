//! Kills before each file system call of a training in turn: strace lets the call send SIGKILL.

use crate::differences::between;
use crate::kind::KINDS;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// The calls that change a file system or its files.
const CALLS: [&str; 9] =
    ["mkdir", "openat", "write", "fsync", "fdatasync", "rename", "renameat", "ftruncate", "unlink"];

/// A line of progress after so many points.
const TOLD: usize = 25;

/// Kills at every `stride`-th point; how many runs were lost or differ.
pub(crate) fn run(gaat: &Path, stride: usize) -> Result<usize> {
    let has_strace =
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !has_strace {
        bail!("strace is not installed, which the kill points need: apt-get install strace");
    }
    // The kind with a rollback: its state holds most.
    let kind = &KINDS[1];
    let folder = tempfile::tempdir()?;
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let trace = folder.path().join("trace");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e"]).arg(format!("trace={}", CALLS.join(","))).arg("-o").arg(&trace).arg(gaat);
    kind.arguments(&mut traced, &whole, false);
    let output = traced.output().context("starting strace")?;
    ensure!(
        output.status.success(),
        "the run under strace fails: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let points = points(&fs_err::read_to_string(&trace)?);
    ensure!(points.len() > 20, "only {} file system calls were seen", points.len());
    let (mut tried, mut faults) = (0, 0);
    for (call, number, shown) in points.iter().step_by(stride) {
        if killed.exists() {
            fs_err::remove_dir_all(&killed)?;
        }
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
        strace.arg("-e").arg(format!("inject={call}:signal=SIGKILL:when={number}")).arg(gaat);
        kind.arguments(&mut strace, &killed, false);
        strace.output().context("starting strace")?;
        let output = kind.command(gaat, &killed, true).output().context("starting gaat")?;
        tried += 1;
        let fault = if output.status.success() {
            between(&whole, &killed)?.join("; ")
        } else {
            String::from_utf8_lossy(&output.stderr).trim().to_owned()
        };
        if !fault.is_empty() {
            faults += 1;
            println!("before {call} {number}, {shown}: {fault}");
        }
        if tried % TOLD == 0 {
            println!("{tried} points tried");
        }
    }
    println!("{tried} of {} kill points: {faults} lost or different", points.len());
    Ok(faults)
}

/// Call, its number among those of its name, and how strace shows it: of the first process, from the run directory on.
fn points(trace: &str) -> Vec<(String, usize, String)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let first = trace.split_whitespace().next().unwrap_or_default();
    let mut has_begun = false;
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if process != first || !CALLS.contains(&call) {
            continue;
        }
        let count = counts.entry(call).or_default();
        *count += 1;
        has_begun |= arguments.contains("/whole");
        if has_begun {
            found.push((call.to_owned(), *count, arguments.chars().take(90).collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_counted_by_name_from_the_run_on() {
        let trace = "7 openat(AT_FDCWD, \"/lib\") = 3\n8 write(1, \"x\") = 1\n7 mkdir(\"/tmp/whole\", 0777) = 0\n\
                     7 openat(AT_FDCWD, \"a\") = 4\n7 exit_group(0) = ?\n";
        let found = points(trace);
        let names: Vec<(&str, usize)> =
            found.iter().map(|(call, count, _)| (call.as_str(), *count)).collect();
        assert_eq!(names, [("mkdir", 1), ("openat", 2)]);
    }
}
