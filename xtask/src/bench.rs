//! `cargo xtask bench`: gaat beside PyTorch, each in its turn, on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup::Setup;
use crate::shell::{Result, cargo, run, target_dir};

/// The version of libtorch that gaat links: both sides compute with the same library.
const PACKAGES: [&str; 3] = ["torch==2.11.0", "numpy", "maturin>=1.9,<2"];

/// Prepares both sides and hands `arguments` to `gaat-bench run`.
pub(crate) fn bench(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    let python = python(&setup.root)?;
    run(&mut cargo(["build", "--release", "-p", "gaat-cli", "-p", "gaat-engine", "-p", "gaat-bench"]))?;
    let release = target_dir().join("release");
    let mut command = Command::new(release.join("gaat-bench"));
    command.arg("run").arg("--python").arg(&python).arg("--root").arg(&setup.root);
    command.arg("--gaat").arg(release.join("gaat")).args(arguments);
    if is_about_python(arguments) {
        command.arg("--package").arg(crate::python::package(&setup.root, &python, "release")?);
    }
    run(&mut command)
}

/// Whether works of the Python package are measured, as they are where none is named.
fn is_about_python(arguments: &[OsString]) -> bool {
    let names = |word: &OsString| word.to_string_lossy().starts_with("--works");
    !arguments.iter().any(names) || arguments.iter().any(|word| word.to_string_lossy().contains("python"))
}

/// A Python with torch in `.bench-venv`, made on first use.
fn python(root: &Path) -> Result<PathBuf> {
    let folder = root.join(".bench-venv");
    let python = folder.join("bin/python");
    let mut probe = Command::new(&python);
    probe.args(["-c", "import torch, numpy, maturin; assert torch.__version__.startswith('2.11.')"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    println!("making {} with PyTorch (a download of 0.5 GB and more, once)", folder.display());
    let base = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(base).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_built_where_it_is_measured() {
        let about = |words: &[&str]| is_about_python(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(about(&[]) && about(&["--rounds", "1"]) && about(&["--works", "start,python"]));
        assert!(about(&["--works=python/resnet-18-w16/rat"]));
        assert!(!about(&["--works", "step/vgg-16"]) && !about(&["--works=step"]));
    }
}
