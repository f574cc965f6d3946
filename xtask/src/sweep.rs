//! `cargo xtask sweep`: looks for convolutions, and trainings, in which libtorch touches memory that is not its own.
//!
//! The work is done by child processes, under the checker of memory in `guard/guard.c`. What was found: docs/decisions/0018.

mod cases;
mod trainings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::setup::Setup;
use crate::shell::{Result, cargo, run, target_dir};

/// Cases of one child process: it never uses an address twice, and has enough of them for so many.
const CHUNK: usize = 250;

pub(crate) const USAGE: &str = "\
usage: cargo xtask sweep [--cases N] [--seed N] [--raw]
       cargo xtask sweep --trainings N

  --cases N      convolutions to try, drawn at random [default: 20000, an hour or two]
  --seed N       which [default: 1]
  --raw          as libtorch computes them by itself, to see its faults; else none may be found
  --trainings N  short trainings of all built-in networks, narrow ones among them, in place of convolutions";

/// What to look at.
#[derive(Debug, PartialEq)]
struct Choice {
    cases: usize,
    seed: u64,
    is_raw: bool,
    trainings: Option<usize>,
}

impl Choice {
    fn parse(arguments: &[OsString]) -> Result<Self> {
        let mut choice = Self { cases: 20_000, seed: 1, is_raw: false, trainings: None };
        let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
        while let Some(word) = words.next() {
            let mut number = || -> Result<u64> {
                let value = words.next().ok_or_else(|| format!("{word} needs a number\n\n{USAGE}"))?;
                value.parse().map_err(|_| format!("{word} {value}: expected a number"))
            };
            match word.as_str() {
                "--cases" => choice.cases = number()? as usize,
                "--seed" => choice.seed = number()?,
                "--trainings" => choice.trainings = Some(number()? as usize),
                "--raw" => choice.is_raw = true,
                _ => return Err(format!("`sweep` does not take `{word}`\n\n{USAGE}")),
            }
        }
        Ok(choice)
    }
}

/// Something that a checked process did and should not have done.
#[derive(Debug, PartialEq)]
struct Hit {
    /// What was computed.
    case: String,
    /// Which part of it.
    pass: String,
    /// What was seen, such as `write past`.
    what: String,
}

/// Sweeps as `arguments` say; an error where something was found that was not expected.
pub(crate) fn sweep(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    if arguments.iter().any(|word| word == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let choice = Choice::parse(arguments)?;
    if !cfg!(target_os = "linux") {
        return Err("the checker of memory works on Linux alone".into());
    }
    setup.ensure()?;
    run(&mut cargo(["build", "--workspace"]))?;
    let folder = target_dir().join("sweep");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let tools = Tools { guard: guard(&setup.root, &folder)?, binaries: target_dir().join("debug"), folder };
    let hits = match choice.trainings {
        Some(count) => trainings::sweep(&tools, count)?,
        None => convolutions(&tools, &choice)?,
    };
    report(&tools.folder, &hits)?;
    if hits.is_empty() || choice.is_raw {
        return Ok(());
    }
    Err(format!("{} faults, see {}", hits.len(), tools.folder.join("hits.txt").display()))
}

/// What the children are made of.
struct Tools {
    guard: PathBuf,
    binaries: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// A command whose memory is checked.
    fn checked(&self, binary: &str) -> Command {
        let mut command = Command::new(self.binaries.join(binary));
        command.env("LD_PRELOAD", &self.guard);
        command
    }
}

fn guard(root: &Path, folder: &Path) -> Result<PathBuf> {
    let library = folder.join("guard.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library);
    run(command.arg(root.join("xtask/guard/guard.c")).arg("-ldl"))?;
    Ok(library)
}

fn convolutions(tools: &Tools, choice: &Choice) -> Result<Vec<Hit>> {
    let cases = cases::drawn(choice.seed, choice.cases);
    let mut hits = Vec::new();
    let mut done = 0;
    for chunk in cases.chunks(CHUNK) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let output = convolved(tools, rest, choice.is_raw)?;
            let (found, tried) = hits_of(&output);
            hits.extend(found);
            // A child that dies takes the case at which it did so with it, and no other.
            rest = &rest[tried.clamp(1, rest.len())..];
        }
        done += chunk.len();
        println!("{done} of {} convolutions, {} faults", cases.len(), hits.len());
    }
    Ok(hits)
}

/// What a child says that computes `cases`.
fn convolved(tools: &Tools, cases: &[String], is_raw: bool) -> Result<String> {
    let list = tools.folder.join("cases.txt");
    let problem = |error: std::io::Error| format!("{}: {error}", list.display());
    fs::write(&list, cases.join("\n")).map_err(problem)?;
    let input = fs::File::open(&list).map_err(problem)?;
    let mut command = tools.checked("gaat-bench");
    command.arg("convolve").args(is_raw.then_some("--raw")).stdin(Stdio::from(input));
    let output = command.output().map_err(|error| format!("cannot run gaat-bench: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "died {}", output.status);
    }
    Ok(text)
}

/// What the output of a child tells, and how many cases it began.
fn hits_of(output: &str) -> (Vec<Hit>, usize) {
    let (mut case, mut pass, mut began) = (String::new(), String::new(), 0);
    let mut hits = Vec::new();
    for line in output.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut hit = |pass: &str, what: &str| {
            hits.push(Hit { case: case.clone(), pass: pass.to_owned(), what: what.to_owned() });
        };
        match word {
            "case" => {
                rest.clone_into(&mut case);
                began += 1;
            }
            "pass" => rest.clone_into(&mut pass),
            "fault" => hit(&pass, &rest.split(' ').take(2).collect::<Vec<_>>().join(" ")),
            "wrong" => hit(rest.split(' ').next().unwrap_or_default(), "wrong numbers"),
            "died" => hit(&pass, &format!("died, {rest}")),
            _ => {}
        }
    }
    (hits, began)
}

/// Prints how often what was seen where, and writes each time down.
fn report(folder: &Path, hits: &[Hit]) -> Result<()> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut lines = String::new();
    for Hit { case, pass, what } in hits {
        let precision = case.split(' ').next().unwrap_or_default();
        *counts.entry((precision, pass, what)).or_default() += 1;
        lines += &[what, pass, case].map(String::as_str).join("\t");
        lines.push('\n');
    }
    for ((precision, pass, what), count) in counts {
        println!("{count:>6}  {precision}  {pass}  {what}");
    }
    if hits.is_empty() {
        println!("no faults");
    }
    let file = folder.join("hits.txt");
    fs::write(&file, lines).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_child_is_understood() {
        let output = "case bf16 last 2\npass forward\npass weight\nfault write past 7 of 50\ncase fp32 last 3\npass pixels\n\
                      wrong weight NaN\ncase fp32 last 4\npass second\ndied signal: 11\n";
        let (hits, began) = hits_of(output);
        assert_eq!(began, 3);
        let said: Vec<String> =
            hits.iter().map(|Hit { case, pass, what }| format!("{case}: {pass}: {what}")).collect();
        assert_eq!(
            said,
            [
                "bf16 last 2: weight: write past",
                "fp32 last 3: weight: wrong numbers",
                "fp32 last 4: second: died, signal: 11"
            ]
        );
    }

    #[test]
    fn options_are_recognised() {
        let parsed =
            |line: &str| Choice::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        let choice = parsed("--cases 30 --raw --seed 7").unwrap();
        assert_eq!(choice, Choice { cases: 30, seed: 7, is_raw: true, trainings: None });
        assert_eq!(parsed("--trainings 200").unwrap().trainings, Some(200));
        assert!(parsed("--cases many").unwrap_err().contains("expected a number"));
        assert!(parsed("--deep").unwrap_err().contains("does not take"));
    }
}
