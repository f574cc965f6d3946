//! `cargo xtask dist`: an archive that runs on a machine without cargo and Python, and a wheel that carries the same binaries.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::install::run_install;
use crate::libtorch;
use crate::licences;
use crate::python;
use crate::setup::Setup;
use crate::shell::{Result, run, target_dir};

const SHELLS: [(&str, &str); 3] = [("bash", "gaat.bash"), ("zsh", "_gaat"), ("fish", "gaat.fish")];
const TEXTS: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "CITATION.cff"];

/// Builds `target/dist/gaat-VERSION-SYSTEM-MACHINE.tar.gz` and its SHA-256 sum: both binaries, the CPU libraries of libtorch,
/// completions, the manual page, the licences of all that it carries. Then the wheel of the Python package, with both binaries, which
/// compute with the torch that pip installs beside them.
pub(crate) fn dist(setup: &Setup) -> Result<()> {
    let torch = setup.ensure()?;
    if libtorch::belongs_to_python(&torch) || libtorch::has_cuda(&torch) {
        let what =
            "an archive carries the CPU libraries that setup fetches, not those of a Python or for GPUs";
        return Err(format!(
            "{what}: unset LIBTORCH, remove libtorch/ and run setup (now: {})",
            torch.display()
        ));
    }
    let name =
        format!("gaat-{}-{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let folder = target_dir().join("dist");
    let tree = folder.join(&name);
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| failed(&tree, error))?;
    }
    run_install(setup, Some(tree.clone()))?;
    // What cargo notes about an installation of its own.
    for note in [".crates.toml", ".crates2.json"] {
        let note = tree.join(note);
        fs::remove_file(&note).map_err(|error| failed(&note, error))?;
    }
    for text in TEXTS {
        fs::copy(setup.root.join(text), tree.join(text)).map_err(|error| failed(Path::new(text), error))?;
    }
    licences::gather(&torch, &tree.join("licences"))?;
    let completions = tree.join("share/completions");
    let manual = tree.join("share/man/man1");
    for folder in [&completions, &manual] {
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    }
    for (shell, file) in SHELLS {
        written(&tree, &["completions", shell], &completions.join(file))?;
    }
    written(&tree, &["man"], &manual.join("gaat.1"))?;
    let archive = format!("{name}.tar.gz");
    run(Command::new("tar").arg("-czf").arg(&archive).arg(&name).current_dir(&folder))?;
    write_sum(&folder, &archive)?;
    println!("made {}: unpack it anywhere and run bin/gaat", folder.join(&archive).display());
    let wheel = python::wheel(setup, &tree, &folder)?;
    write_sum(&folder, &wheel)?;
    println!("made {}: `pip install` it, and run gaat or import gaat", folder.join(&wheel).display());
    Ok(())
}

/// Writes the SHA-256 sum of `file` in `folder` to a file beside it, as `sha256sum -c` reads it.
fn write_sum(folder: &Path, file: &str) -> Result<()> {
    let is_mac = cfg!(target_os = "macos");
    let mut tool = Command::new(if is_mac { "shasum" } else { "sha256sum" });
    if is_mac {
        tool.args(["-a", "256"]);
    }
    let sum = tool.arg(file).current_dir(folder).output();
    let sum = sum.map_err(|error| format!("cannot make the SHA-256 sum: {error}"))?;
    if !sum.status.success() {
        return Err(format!("cannot make the SHA-256 sum: {}", String::from_utf8_lossy(&sum.stderr)));
    }
    let path = folder.join(format!("{file}.sha256"));
    fs::write(&path, &sum.stdout).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes what the `gaat` of `tree` prints for `arguments` to `path`.
fn written(tree: &Path, arguments: &[&str], path: &Path) -> Result<()> {
    let gaat = tree.join("bin/gaat");
    let output = Command::new(&gaat)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", gaat.display()))?;
    if !output.status.success() {
        return Err(format!("gaat {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    fs::write(path, &output.stdout).map_err(|error| format!("{}: {error}", path.display()))
}
