//! The trainings that are killed: small, on the embedded digits, each with memory of another kind.

use std::path::Path;
use std::process::{Command, Stdio};

/// A training by name and flags.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    flags: &'static str,
}

/// Snapshots, averages, the optimiser's memory, that of a method, replays: whatever a state holds.
pub(crate) const KINDS: [Kind; 7] = [
    Kind { name: "gaat", flags: "--method gaat --epochs 3" },
    Kind {
        name: "rollback",
        flags: "--method n-fgsm --epochs 4 --on-collapse rollback --weight-averaging 0.9",
    },
    Kind { name: "memory", flags: "--method gaat-memory --epochs 3 --crop-padding 1 --flip true" },
    Kind { name: "free", flags: "--method free --epochs 4 --optimizer sgd --momentum 0.9" },
    Kind {
        name: "adam",
        flags: "--method dat+gaat --delay 1 --epochs 3 --optimizer adam --weight-averaging 0.99",
    },
    Kind { name: "mep", flags: "--method fgsm-mep --epochs 4 --memory-reset 2" },
    Kind { name: "liet", flags: "--method liet --epochs 4 --converge-smooth 1" },
];

impl Kind {
    /// The command that trains into `out`, or continues there.
    pub(crate) fn command(&self, gaat: &Path, out: &Path, resume: bool) -> Command {
        let mut command = Command::new(gaat);
        self.arguments(&mut command, out, resume);
        command
    }

    /// The same as arguments of `command`, such as of strace.
    pub(crate) fn arguments(&self, command: &mut Command, out: &Path, resume: bool) {
        command.args("train --dataset digits --model convnet --limit 300 --validation-limit 30".split(' '));
        command.args("--threads 1 --precision fp32 --quiet".split(' ')).args(self.flags.split(' '));
        command.arg("--out").arg(out);
        if resume {
            command.arg("--resume");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    }
}
