//! Who is measured, and how to make one do a work in a process of its own.

use crate::RunArguments;
use crate::sample::Sample;
use crate::work::{Exported, Work};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Instant;

/// Starts of a process in one turn.
const STARTS: usize = 5;

/// One of those who are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// This project.
    Gaat,
    /// The same as an earlier commit built it: `--earlier`.
    GaatEarlier,
    /// The same with its own form of a network that it has been given as a graph.
    GaatBuiltIn,
    /// The Python package on a network that PyTorch has.
    GaatPython,
    /// PyTorch at its best: channels last, the faster precision, gradients of the pixels alone, fused optimiser.
    TorchBest,
    /// The same through `torch.compile`; on a GPU.
    TorchCompiled,
    /// The same with its passes recorded as CUDA graphs by hand; on a GPU.
    TorchCudaGraphs,
    /// PyTorch as it is usually written: default layout, fp32, `loss.backward()` in the attack.
    TorchAsWritten,
}

impl Side {
    /// All sides, in the order of their turns.
    pub(crate) const ALL: [Self; 8] = [
        Self::Gaat,
        Self::GaatEarlier,
        Self::GaatBuiltIn,
        Self::GaatPython,
        Self::TorchBest,
        Self::TorchCompiled,
        Self::TorchCudaGraphs,
        Self::TorchAsWritten,
    ];

    /// Which of the `chosen` sides do `work`; with none chosen, every side that runs on the device but `torch-compiled`, which
    /// takes a minute to start. An earlier build takes part where there is one.
    pub(crate) fn of(work: &Work, chosen: &[Self], device: &str, has_earlier: bool) -> Vec<Self> {
        let is_chosen = |side: &Self| match side {
            Self::GaatEarlier => has_earlier,
            _ if !chosen.is_empty() => chosen.contains(side),
            Self::TorchCompiled => false,
            Self::TorchCudaGraphs => device != "cpu",
            _ => true,
        };
        let does = |side: &Self| match (work, side) {
            (_, Self::Gaat) => true,
            (work, Self::GaatEarlier) => work.is_sampled(),
            (work, Self::GaatBuiltIn) => {
                matches!(work, Work::Exported { network: Exported::Published(_), .. })
            }
            (work, Self::GaatPython) => matches!(work, Work::InPython { .. }),
            // There is one way to import torch.
            (Work::Start, side) => *side == Self::TorchBest,
            _ => work.has_peer(),
        };
        Self::ALL.into_iter().filter(|side| is_chosen(side) && does(side)).collect()
    }

    /// As a table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Gaat => "gaat",
            Self::GaatEarlier => "gaat, earlier build",
            Self::GaatBuiltIn => "built in",
            Self::GaatPython => "gaat from Python",
            Self::TorchBest => "PyTorch at its best",
            Self::TorchCompiled => "compiled",
            Self::TorchCudaGraphs => "in CUDA graphs",
            Self::TorchAsWritten => "as written",
        }
    }

    /// Lets this side do `work` once, in a new process.
    pub(crate) fn turn(self, work: &Work, data: &Path, arguments: &RunArguments) -> anyhow::Result<Sample> {
        match work {
            Work::Start => return self.starts(arguments),
            Work::FirstStep => return first_step(arguments),
            _ => {}
        }
        let threads = work.threads(arguments.threads).to_string();
        let sampling = |program: &Path| {
            let mut command = Command::new(program);
            command.arg("sample").arg("--data-dir").arg(data);
            command
        };
        let mut command = match self {
            Self::Gaat | Self::GaatBuiltIn => sampling(&std::env::current_exe()?),
            Self::GaatEarlier => {
                sampling(arguments.earlier.as_ref().context("--earlier does not say where the build is")?)
            }
            _ => {
                let mut command = Command::new(&arguments.python);
                command.arg(arguments.root.join("reference/bench.py")).args(["--style", &self.to_string()]);
                command
            }
        };
        command.args(["--work", &work.to_string(), "--threads", &threads, "--device", &arguments.device]);
        if self == Self::GaatBuiltIn {
            command.args(["--side", &self.to_string()]);
        }
        if self == Self::GaatPython {
            let package =
                arguments.package.as_ref().context("--package does not say where the Python package is")?;
            command.env("PYTHONPATH", package);
        }
        // Both sides would otherwise take what the machine has.
        command.env("OMP_NUM_THREADS", &threads).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("starting {self}"))?;
        ensure!(output.status.success(), "{self} failed at {work} ({})", output.status);
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("{self} at {work} printed `{line}`"))
    }

    /// Has PyTorch export the network of `work` into the folder `data`.
    pub(crate) fn export(work: &Work, data: &Path, arguments: &RunArguments) -> anyhow::Result<()> {
        let mut command = Command::new(&arguments.python);
        command.arg(arguments.root.join("reference/bench.py")).arg("--export").arg(data);
        command.args(["--work", &work.to_string()]).stdout(Stdio::null());
        let status = command.status().context("starting PyTorch")?;
        ensure!(status.success(), "PyTorch could not export the network of {work} ({status})");
        Ok(())
    }

    fn starts(self, arguments: &RunArguments) -> anyhow::Result<Sample> {
        let (program, words): (_, &[&str]) = match self {
            Self::Gaat => (&arguments.gaat, &["--help"]),
            _ => (&arguments.python, &["-c", "import torch"]),
        };
        processes(|_| {
            let mut command = Command::new(program);
            command.args(words);
            command
        })
    }
}

/// Whole runs of one step.
fn first_step(arguments: &RunArguments) -> anyhow::Result<Sample> {
    let folder = tempfile::tempdir()?;
    processes(|number| {
        let mut command = Command::new(&arguments.gaat);
        command.args("train --dataset digits --method gaat --epochs 1 --validation-fraction 0".split(' '));
        command.args(["--limit", "128", "--batch-size", "128", "--threads", &arguments.threads.to_string()]);
        command.args(["--device", &arguments.device]);
        command.arg("--out").arg(folder.path().join(number.to_string())).stderr(Stdio::null());
        command
    })
}

/// Times processes from start to end, each a new one.
fn processes(command: impl Fn(usize) -> Command) -> anyhow::Result<Sample> {
    let mut seconds = Vec::new();
    for number in 0..STARTS {
        let mut command = command(number);
        let started = Instant::now();
        let status =
            command.stdout(Stdio::null()).status().with_context(|| format!("starting {command:?}"))?;
        seconds.push(started.elapsed().as_secs_f64());
        ensure!(status.success(), "{command:?} failed ({status})");
    }
    Ok(Sample { seconds, peak_mib: None, precision: "none".to_owned() })
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gaat => "gaat",
            Self::GaatEarlier => "gaat-earlier",
            Self::GaatBuiltIn => "gaat-built-in",
            Self::GaatPython => "gaat-python",
            Self::TorchBest => "torch-best",
            Self::TorchCompiled => "torch-compiled",
            Self::TorchCudaGraphs => "torch-cuda-graphs",
            Self::TorchAsWritten => "torch-as-written",
        })
    }
}

impl FromStr for Side {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|side| side.to_string() == text);
        found.with_context(|| {
            format!("side `{text}`: expected one of {}", Self::ALL.map(|side| side.to_string()).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_records_nothing_and_a_choice_is_followed() {
        let step: Work = "step/vgg-16/rat".parse().unwrap();
        assert_eq!(Side::of(&step, &[], "cpu", false), [Side::Gaat, Side::TorchBest, Side::TorchAsWritten]);
        assert_eq!(Side::of(&step, &[], "cuda:0", false).len(), 4);
        assert_eq!(Side::of(&step, &[Side::Gaat], "cuda:0", false), [Side::Gaat]);
        let ours: Work = "step/vgg-16/gaat".parse().unwrap();
        assert_eq!(Side::of(&ours, &[Side::Gaat, Side::TorchBest], "cpu", false), [Side::Gaat]);
        assert_eq!(Side::of(&Work::Start, &[], "cuda:0", false), [Side::Gaat, Side::TorchBest]);
        let graph =
            |name: &str| Side::of(&name.parse().unwrap(), &[], "cpu", false).contains(&Side::GaatBuiltIn);
        assert!(graph("exported/preact-resnet-18") && !graph("exported/small/8"));
        let in_python: Work = "python/resnet-18-w16/rat".parse().unwrap();
        assert_eq!(
            Side::of(&in_python, &[], "cpu", false),
            [Side::Gaat, Side::GaatPython, Side::TorchBest, Side::TorchAsWritten]
        );
        assert!(!Side::of(&step, &[], "cpu", false).contains(&Side::GaatPython));
        assert_eq!(Side::of(&step, &[Side::Gaat], "cpu", true), [Side::Gaat, Side::GaatEarlier]);
        for work in [Work::Start, Work::FirstStep, in_python] {
            assert!(!Side::of(&work, &[], "cpu", true).contains(&Side::GaatEarlier), "{work}");
        }
        for side in Side::ALL {
            assert_eq!(side.to_string().parse::<Side>().unwrap(), side);
        }
        assert!("pytorch".parse::<Side>().is_err());
    }
}
