//! `cargo xtask bench`: gaat beside PyTorch, each in its turn, on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup::Setup;
use crate::shell::{Result, cargo, run, target_dir};

/// The version of libtorch that gaat links: both sides compute with the same library.
const PACKAGES: [&str; 2] = ["torch==2.11.0", "numpy"];

/// Prepares both sides and hands `arguments` to `gaat-bench run`.
pub(crate) fn bench(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    let python = python(&setup.root)?;
    run(&mut cargo(["build", "--release", "-p", "gaat-cli", "-p", "gaat-engine", "-p", "gaat-bench"]))?;
    let release = target_dir().join("release");
    let mut command = Command::new(release.join("gaat-bench"));
    command.arg("run").arg("--python").arg(python).arg("--root").arg(&setup.root);
    command.arg("--gaat").arg(release.join("gaat")).args(arguments);
    run(&mut command)
}

/// A Python with torch in `.bench-venv`, made on first use.
fn python(root: &Path) -> Result<PathBuf> {
    let folder = root.join(".bench-venv");
    let python = folder.join("bin/python");
    let mut probe = Command::new(&python);
    probe.args(["-c", "import torch, numpy; assert torch.__version__.startswith('2.11.')"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    println!("making {} with PyTorch (a download of 0.5 GB and more, once)", folder.display());
    let base = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(base).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}
