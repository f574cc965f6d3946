//! What must be on the machine before anything long starts, each with a message that says what to do.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::shell::Result;

/// Advice that ends most messages: libtorch from elsewhere always helps.
pub(crate) const BRING_YOUR_OWN: &str = "or get libtorch 2.11.0 another way (https://pytorch.org, or `pip install torch==2.11.0`) and set \
     LIBTORCH to the absolute path of its folder";

/// The programs of this machine, as parameters so that the tests can take them away.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// Where programs are looked for.
    pub(crate) path: OsString,
    pub(crate) python: OsString,
    pub(crate) compiler: OsString,
}

impl Tools {
    /// `PYTHON` and `CXX` as the user set them; else the names that torch-sys and cc try as well.
    pub(crate) fn from_env() -> Self {
        let or = |key, default: &str| env::var_os(key).unwrap_or_else(|| OsString::from(default));
        Self { path: or("PATH", ""), python: or("PYTHON", "python3"), compiler: or("CXX", "c++") }
    }

    /// A command that is looked up on our path and takes nothing from the terminal.
    pub(crate) fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", &self.path).stdin(Stdio::null());
        command
    }

    /// Python 3.8 or newer.
    pub(crate) fn check_python(&self) -> Result<()> {
        let name = self.python.to_string_lossy();
        let check = "import sys; sys.exit(sys.version_info < (3, 8))";
        match self.command(&self.python).args(["-c", check]).output() {
            Err(_) => Err(format!(
                "{name} was not found: it is needed once, to download libtorch. Install Python 3 with pip \
                 (Debian, Ubuntu: `sudo apt install python3 python3-pip`), {BRING_YOUR_OWN}."
            )),
            Ok(output) if !output.status.success() => Err(format!(
                "{name} does not run or is older than 3.8{}. Name another one with PYTHON=/path/to/python3, \
                 {BRING_YOUR_OWN}.",
                detail(&output)
            )),
            Ok(_) => Ok(()),
        }
    }

    /// pip, which many distributions split from Python.
    pub(crate) fn check_pip(&self) -> Result<()> {
        self.check_python()?;
        let name = self.python.to_string_lossy();
        match self.command(&self.python).args(["-m", "pip", "--version"]).output() {
            Ok(output) if output.status.success() => Ok(()),
            _ => Err(format!(
                "{name} has no pip, which downloads libtorch. Install it (Debian, Ubuntu: `sudo apt install \
                 python3-pip`; elsewhere: `{name} -m ensurepip --upgrade`), name a Python that has it with \
                 PYTHON=/path/to/python3, {BRING_YOUR_OWN}."
            )),
        }
    }

    /// A C++17 compiler with its standard library: torch-sys and the shim are compiled here.
    pub(crate) fn check_compiler(&self) -> Result<()> {
        let name = self.compiler.to_string_lossy().into_owned();
        let install = "Debian, Ubuntu: `sudo apt install g++`; Fedora: `sudo dnf install gcc-c++`; macOS: \
                       `xcode-select --install`";
        match self.compile() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!(
                "{name} cannot compile C++17{}. Install a C++ compiler from 2018 or newer with its standard \
                 library ({install}), or name another one with CXX=/path/to/compiler.",
                detail(&output)
            )),
            Err(_) => {
                let other = ["g++", "clang++"].into_iter().find(|other| self.finds(other));
                let advice = other.map_or_else(
                    || format!("Install one ({install})."),
                    |other| format!("There is {other}: set CXX={other}, here and for every cargo command."),
                );
                Err(format!("no C++ compiler: {name} was not found. {advice}"))
            }
        }
    }

    /// At least `gigabytes` free where `folder` lies.
    pub(crate) fn check_disk(&self, folder: &Path, gigabytes: u64) -> Result<()> {
        let output = self.command(OsStr::new("df")).arg("-Pk").arg(folder).output();
        let free = output.ok().filter(|output| output.status.success());
        let Some(free) = free.and_then(|output| available(&String::from_utf8_lossy(&output.stdout))) else {
            // Not knowing is no reason to stop: a full disk is reported again where it happens.
            println!("note: df does not say how much disk is free; about {gigabytes} GB are needed");
            return Ok(());
        };
        if free >= gigabytes * 1_000_000 {
            return Ok(());
        }
        Err(format!(
            "only {:.1} GB of disk are free in {}, and about {gigabytes} GB are needed (downloads, libtorch, \
             build outputs). Free some, or clone to another disk.",
            free as f64 / 1e6,
            folder.display()
        ))
    }

    fn compile(&self) -> std::io::Result<Output> {
        let mut command = self.command(&self.compiler);
        command.args(["-std=c++17", "-fsyntax-only", "-x", "c++", "-"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // A compiler that does not read its input shows by its exit status.
            let _ = input.write_all(b"#include <optional>\nstd::optional<int> one = 1;\n");
        }
        child.wait_with_output()
    }

    fn finds(&self, program: &str) -> bool {
        self.command(OsStr::new(program))
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    }
}

/// The name of this platform in libtorch.py, for the ones that have wheels.
pub(crate) fn target(os: &str, arch: &str, musl: bool) -> Result<&'static str> {
    match (os, arch) {
        ("linux", "x86_64" | "aarch64") if musl => Err(format!(
            "there is no libtorch for Linux with musl (Alpine): use a distribution with glibc, \
             {BRING_YOUR_OWN}."
        )),
        ("linux", "x86_64") => Ok("linux-x86_64"),
        ("linux", "aarch64") => Ok("linux-aarch64"),
        ("macos", "aarch64") => Ok("macos-aarch64"),
        _ => Err(format!(
            "libtorch 2.11 cannot be fetched for {arch} {os}: only for Linux on x86_64 and aarch64, and macOS \
             on arm64. Use one of these, {BRING_YOUR_OWN}."
        )),
    }
}

/// Free kilobytes in the answer of `df -Pk`: the column before the percentage, as names may hold spaces.
fn available(answer: &str) -> Option<u64> {
    let fields: Vec<&str> = answer.lines().nth(1)?.split_whitespace().collect();
    let percent = fields.iter().position(|field| field.ends_with('%'))?;
    fields.get(percent.checked_sub(1)?)?.parse().ok()
}

/// The first line that a failed program said, in brackets.
fn detail(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find(|line| !line.trim().is_empty())
        .map(|line| format!(" ({})", line.trim()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// A machine with the given programs (name, shell script) and nothing else.
    fn machine(scratch: &Scratch, programs: &[(&str, &str)]) -> Tools {
        for (name, script) in programs {
            scratch.program(name, script);
        }
        Tools { path: scratch.path().into(), python: "python3".into(), compiler: "c++".into() }
    }

    fn says(outcome: Result<()>, parts: &[&str]) {
        let message = outcome.unwrap_err();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn a_missing_python_is_named() {
        let scratch = Scratch::new();
        let tools = machine(&scratch, &[]);
        says(tools.check_pip(), &["python3 was not found", "apt install python3 python3-pip", "LIBTORCH"]);
    }

    #[test]
    fn a_python_that_is_too_old_is_named() {
        let scratch = Scratch::new();
        let tools = machine(&scratch, &[("python3", "exit 1")]);
        says(tools.check_python(), &["older than 3.8", "PYTHON="]);
    }

    #[test]
    fn a_python_without_pip_is_named() {
        let scratch = Scratch::new();
        let script = "case $1 in -m) echo 'No module named pip' >&2; exit 1;; esac";
        let tools = machine(&scratch, &[("python3", script)]);
        assert_eq!(tools.check_python(), Ok(()));
        says(tools.check_pip(), &["has no pip", "apt install python3-pip", "python3 -m ensurepip"]);
    }

    #[test]
    fn a_missing_compiler_is_named() {
        let scratch = Scratch::new();
        let tools = machine(&scratch, &[]);
        says(tools.check_compiler(), &["no C++ compiler", "c++ was not found", "apt install g++"]);
    }

    #[test]
    fn another_compiler_is_pointed_out() {
        let scratch = Scratch::new();
        let tools = machine(&scratch, &[("clang++", "exit 0")]);
        says(tools.check_compiler(), &["c++ was not found", "set CXX=clang++"]);
    }

    #[test]
    fn a_compiler_without_its_library_is_named() {
        let scratch = Scratch::new();
        let script = "echo \"fatal error: 'optional' file not found\" >&2; exit 1";
        let tools = machine(&scratch, &[("c++", script)]);
        says(
            tools.check_compiler(),
            &["cannot compile C++17", "'optional' file not found", "apt install g++"],
        );
    }

    #[test]
    fn the_compiler_gets_the_program_to_compile() {
        let scratch = Scratch::new();
        let script = "read -r line; [ \"$line\" = '#include <optional>' ]";
        assert_eq!(machine(&scratch, &[("c++", script)]).check_compiler(), Ok(()));
    }

    #[test]
    fn a_full_disk_is_named() {
        let scratch = Scratch::new();
        let script = "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n\
                      echo '/dev/my disk 9000000 6500000 2500000 73% /a b'";
        let tools = machine(&scratch, &[("df", script)]);
        says(tools.check_disk(Path::new("/a b"), 3), &["only 2.5 GB", "/a b", "3 GB are needed"]);
        assert_eq!(tools.check_disk(Path::new("/a b"), 2), Ok(()));
    }

    #[test]
    fn unknown_disk_space_does_not_stop_anyone() {
        let scratch = Scratch::new();
        assert_eq!(machine(&scratch, &[]).check_disk(scratch.path(), 3), Ok(()));
        assert_eq!(available("nonsense"), None);
        assert_eq!(available("header\n73% /"), None);
    }

    #[test]
    fn platforms_without_wheels_are_named() {
        assert_eq!(target("linux", "x86_64", false), Ok("linux-x86_64"));
        assert_eq!(target("linux", "aarch64", false), Ok("linux-aarch64"));
        assert_eq!(target("macos", "aarch64", false), Ok("macos-aarch64"));
        says(target("macos", "x86_64", false).map(drop), &["x86_64 macos", "LIBTORCH"]);
        says(target("windows", "x86_64", false).map(drop), &["x86_64 windows", "LIBTORCH"]);
        says(target("linux", "x86_64", true).map(drop), &["musl", "LIBTORCH"]);
    }

    #[test]
    fn this_machine_can_compile() {
        assert_eq!(Tools::from_env().check_compiler(), Ok(()));
    }
}
