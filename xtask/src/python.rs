//! `cargo xtask python`: the Python package as a wheel, built and tested in an environment of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup::Setup;
use crate::shell::{Result, run, target_dir};

/// torch without the libraries for NVIDIA GPUs (2.2 GB), which a processor does not need: stubs stand in for all but these two.
const LEAN: [&str; 3] = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
const WHOLE: [&str; 1] = ["torch==2.11.0"];
/// What torch needs of Python, and what the package is built and tested with.
const TOOLS: [&str; 14] = [
    "filelock",
    "typing-extensions>=4.10",
    "setuptools<82",
    "sympy>=1.13.3",
    "networkx",
    "jinja2",
    "fsspec",
    "numpy",
    "scipy",
    "requests",
    "tqdm",
    "maturin>=1.9,<2",
    "pytest>=8",
    "mypy>=1.15",
];
/// Its own requirements name old versions of the tools above.
const COMPARED: [&str; 1] = ["torchattacks==3.5.1"];
const STUBS: &str = include_str!("stub_cuda.py");
/// Changes with everything that changes the environment.
const STAMP: &str = "layout 2\n";

/// Builds the wheel of the development profile, and runs `crates/gaat-python/tests` on it.
pub(crate) fn python(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    let python = environment(setup)?;
    let crate_folder = setup.root.join("crates/gaat-python");
    let package = package(&setup.root, &python, "dev")?;
    layout(setup, &python)?;
    stubs(&crate_folder, &python)?;
    run(Command::new(&python)
        .args(["-m", "mypy", "--strict", "python/gaat", "python/gaat_command"])
        .current_dir(&crate_folder))?;
    run(Command::new(&python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(arguments)
        .env("PYTHONPATH", search_path(&package)?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&crate_folder))
}

/// Builds the wheel of a `profile` with a Python that has maturin, and installs it into a folder of its own.
pub(crate) fn package(root: &Path, python: &Path, profile: &str) -> Result<PathBuf> {
    let builds = target_dir();
    let (wheels, package) =
        (builds.join(format!("wheels-{profile}")), builds.join(format!("python-{profile}")));
    for folder in [&wheels, &package] {
        remove(folder)?;
    }
    run(Command::new(python)
        .args(["-m", "maturin", "build", "--quiet", "--strip", "--profile", profile, "--interpreter"])
        .arg(python)
        .arg("--out")
        .arg(&wheels)
        .env("CARGO_TARGET_DIR", &builds)
        .current_dir(root.join("crates/gaat-python")))?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
    run(Command::new(python).args(pip).arg(&package).arg(only_wheel(&wheels)?))?;
    Ok(package)
}

/// Builds the wheel of a release into `out`, and puts into it what an archive at `tree` holds: the binaries, which the module `gaat_command`
/// starts, and the licences of what they are made of.
///
/// Returns the name of the wheel.
pub(crate) fn wheel(setup: &Setup, tree: &Path, out: &Path) -> Result<String> {
    let python = environment(setup)?;
    package(&setup.root, &python, "release")?;
    let bare = only_wheel(&target_dir().join("wheels-release"))?;
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "wheel",
    ]))?;
    let draft = target_dir().join("wheel-with-command");
    remove(&draft)?;
    run(Command::new(&python).args(["-m", "wheel", "unpack", "--dest"]).arg(&draft).arg(&bare))?;
    // The folder is named after package and version, which the wheel says.
    let unpacked = draft.join(format!("gaat-{}", env!("CARGO_PKG_VERSION")));
    let carried = unpacked.join("gaat_command/bin");
    fs::create_dir_all(&carried).map_err(|error| format!("{}: {error}", carried.display()))?;
    for name in ["gaat", "gaat-engine"] {
        let (from, to) = (tree.join("bin").join(name), carried.join(name));
        fs::copy(&from, &to).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
        run(Command::new("strip").arg("-S").arg(&to))?;
    }
    let licences = unpacked.join(format!("gaat-{}.dist-info/licenses", env!("CARGO_PKG_VERSION")));
    run(Command::new("cp").arg("-R").arg(tree.join("licences")).arg(licences))?;
    run(Command::new(&python).args(["-m", "wheel", "pack", "--dest-dir"]).arg(out).arg(&unpacked))?;
    Ok(bare.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// Compares the committed type stubs of the extension module, `_gaat.pyi`, with the stubs that maturin generates from the built extension.
///
/// # Errors
/// When the two differ; the error names the generated file and the command that replaces the committed one.
fn stubs(crate_folder: &Path, python: &Path) -> Result<()> {
    let made = target_dir().join("stubs");
    remove(&made)?;
    run(Command::new(python)
        .args(["-m", "maturin", "generate-stubs", "--quiet", "--profile", "dev", "--interpreter"])
        .arg(python)
        .arg("--out")
        .arg(&made)
        .env("CARGO_TARGET_DIR", target_dir())
        .current_dir(crate_folder))?;
    let (committed, generated) = (crate_folder.join("python/gaat/_gaat.pyi"), made.join("gaat/_gaat.pyi"));
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| failed(path, error));
    let expected = with_imports(&read(&generated)?);
    if read(&committed)? == expected {
        return Ok(());
    }
    fs::write(&generated, expected).map_err(|error| failed(&generated, error))?;
    let (committed, generated) = (committed.display(), generated.display());
    Err(format!(
        "{committed} differs from the types of the extension; replace the file: cp {generated} {committed}"
    ))
}

/// Adds imports to generated stubs: `PyO3` imports the modules of the types that it derives, and not those of the types that our signatures
/// write as text, such as `"torch.Tensor"`.
fn with_imports(stubs: &str) -> String {
    let place = stubs.find("\nfrom ").map_or(0, |place| place + 1);
    let (head, tail) = stubs.split_at(place);
    format!("{head}import collections.abc\nimport typing\n\nimport torch\n{tail}")
}

/// The package before what is on the user's PYTHONPATH: packages whose loops the examples are written for need not be in the environment.
fn search_path(package: &Path) -> Result<OsString> {
    let others = env::var_os("PYTHONPATH").unwrap_or_default();
    let folders = std::iter::once(package.to_path_buf())
        .chain(env::split_paths(&others).filter(|folder| !folder.as_os_str().is_empty()));
    env::join_paths(folders).map_err(|error| format!("PYTHONPATH: {error}"))
}

/// The Python of the environment, which is made on first use: in `GAAT_PYTHON_ENV`, else in the user's cache, so that every
/// checkout shares it and `cargo clean` leaves it alone.
fn environment(setup: &Setup) -> Result<PathBuf> {
    let folder = folder(&|name| env::var_os(name).map(PathBuf::from))?;
    let (python, stamp) = (folder.join("bin/python"), folder.join("gaat-stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|text| text == STAMP) {
        return Ok(python);
    }
    let is_lean = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    println!("making {} with PyTorch (a download of 0.55 GB, 1.5 GB on disk, once)", folder.display());
    remove(&folder)?;
    run(Command::new(&setup.tools.python).args(["-m", "venv"]).arg(&folder))?;
    let install = |with: &[&str], packages: &[&str]| {
        let mut pip = Command::new(&python);
        run(pip
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(with)
            .args(packages))
    };
    if is_lean {
        install(&["--no-deps"], &LEAN)?;
        let script = folder.join("stub_cuda.py");
        fs::write(&script, STUBS).map_err(|error| format!("{}: {error}", script.display()))?;
        let places = "import sysconfig; print(sysconfig.get_paths()['platlib'])";
        let site = said(&python, places)?;
        run(Command::new(&python).arg(&script).arg(Path::new(&site).join("torch/lib")))?;
    } else {
        install(&[], &WHOLE)?;
    }
    install(&[], &TOOLS)?;
    install(&["--no-deps"], &COMPARED)?;
    fs::write(&stamp, STAMP).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

/// Where the environment is.
fn folder(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let name = "python-torch-2.11.0";
    variable("GAAT_PYTHON_ENV")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("gaat").join(name)))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/gaat").join(name)))
        .ok_or_else(|| "neither GAAT_PYTHON_ENV nor HOME says where the Python environment may lie".into())
}

/// Holds what the bridge says of torch's Python objects against torch's own header, where the headers of Python are installed.
fn layout(setup: &Setup, python: &Path) -> Result<()> {
    let headers = said(python, "import sysconfig; print(sysconfig.get_paths()['include'])")?;
    if !Path::new(&headers).join("Python.h").is_file() {
        println!("note: the headers of Python are not installed: layout.cpp is not checked");
        return Ok(());
    }
    let torch = said(python, "import torch; print(torch.__path__[0])")?;
    let include = Path::new(&torch).join("include");
    let mut check = Command::new(&setup.tools.compiler);
    check.args(["-std=c++17", "-fsyntax-only", "-w"]);
    for folder in [include.clone(), include.join("torch/csrc/api/include"), PathBuf::from(headers)] {
        check.arg("-isystem").arg(folder);
    }
    run(check.arg(setup.root.join("crates/gaat-python/cpp/layout.cpp")))
}

/// What a line of Python prints.
fn said(python: &Path, line: &str) -> Result<String> {
    let output = Command::new(python).args(["-c", line]).output();
    let output = output.map_err(|error| format!("{}: {error}", python.display()))?;
    if !output.status.success() {
        return Err(format!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut wheels: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension() == Some(OsStr::new("whl")))
        .collect();
    match (wheels.pop(), wheels.is_empty()) {
        (Some(wheel), true) => Ok(wheel),
        _ => Err(format!("{}: expected one wheel", folder.display())),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_environment_lies_where_the_user_says_else_in_the_cache() {
        let set = |given: &'static [(&'static str, &'static str)]| {
            folder(&|name| given.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        let name = "gaat/python-torch-2.11.0";
        assert_eq!(set(&[("GAAT_PYTHON_ENV", "/e"), ("HOME", "/h")]), Ok("/e".into()));
        assert_eq!(set(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Ok(Path::new("/c").join(name)));
        assert_eq!(set(&[("HOME", "/h")]), Ok(Path::new("/h/.cache").join(name)));
        assert!(set(&[]).unwrap_err().contains("GAAT_PYTHON_ENV"));
    }

    #[test]
    fn one_wheel_is_found_and_two_are_refused() {
        let scratch = Scratch::new();
        assert!(only_wheel(scratch.path()).is_err());
        scratch.file("a.whl", "");
        scratch.file("notes.txt", "");
        assert_eq!(only_wheel(scratch.path()), Ok(scratch.path().join("a.whl")));
        scratch.file("b.whl", "");
        assert!(only_wheel(scratch.path()).is_err());
    }
}
