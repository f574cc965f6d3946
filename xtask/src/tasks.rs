//! `cargo xtask demo`, `test` and `ci`: cargo's own commands in the right order, after setup.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::docs;
use crate::kills::kills;
use crate::python::python;
use crate::setup::Setup;
use crate::shell::{Result, cargo, run, stage, target_dir};
use crate::tidy;

/// Trains three methods on the embedded digits and compares them.
pub(crate) fn demo(setup: &Setup) -> Result<()> {
    println!("1/3 libtorch, the tensor library (the first time a download of up to 540 MB)");
    setup.ensure()?;
    println!("\n2/3 building the release binary (the first time about 3 minutes on 2 cores)");
    run(&mut cargo(["build", "--release", "-p", "gaat-cli", "-p", "gaat-engine"]))?;
    println!("\n3/3 training natural, RAT and GAAT on handwritten digits (about a minute on 2 cores)");
    // Through cargo, which knows where its configuration puts the binary.
    let mut compare = cargo(["run", "--quiet", "--release", "-p", "gaat-engine", "--"]);
    run(compare.args("compare --dataset digits --methods natural,rat,gaat --out runs/demo".split(' ')))
}

/// Runs every test, or those that `arguments` select.
pub(crate) fn test(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    println!("building and running the tests (the first build takes about 3 minutes on 2 cores)");
    let nextest = is_installed("nextest");
    let mut words = if nextest { vec!["nextest", "run"] } else { vec!["test"] };
    // A package that the user names must not be drowned in all the others.
    if !selects_package(arguments) {
        words.push("--workspace");
    }
    let skips = Skips::new();
    run(cargo(words).args(arguments).env(SKIPS, &skips.path))?;
    print!("{}", skips.told());
    if nextest && arguments.is_empty() {
        // nextest does not run the examples in the documentation.
        run(&mut cargo(["test", "--doc", "--workspace"]))?;
    }
    if nextest && !arguments.is_empty() {
        println!("note: examples in the documentation run only without arguments");
    }
    Ok(())
}

/// The gate: everything that a change must pass, what fails fastest first.
pub(crate) fn ci(setup: &Setup) -> Result<()> {
    stage("fmt", || run(&mut cargo(["fmt", "--all", "--check"])))?;
    stage("tidy", || tidy::run(&setup.root))?;
    stage("setup", || setup.ensure().map(drop))?;
    stage("clippy", || run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))?;
    // What it says of advisories needs the network, and changes without a change of ours: the workflow asks for that.
    if is_installed("deny") {
        stage("deny", || run(&mut cargo(["deny", "--offline", "check", "bans", "licenses", "sources"])))?;
    } else {
        println!("licences and sources of dependencies were not checked: cargo-deny is not installed");
    }
    stage("test", || test(setup, &[]))?;
    stage("kills", || kills(setup, &["--seconds".into(), "120".into()]))?;
    stage("examples", examples)?;
    stage("python", || python(setup, &[]))?;
    stage("doc", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    // Links of the pages are checked by tidy; the site itself needs a tool that not every machine has.
    if docs::has_mdbook() {
        stage("site", || docs::docs(&setup.root))?;
    } else {
        println!("the site of the documentation was not made: mdBook is not installed");
    }
    println!("everything passed");
    Ok(())
}

/// The examples that need nothing: what they show is what users copy.
fn examples() -> Result<()> {
    // With the whole workspace, as the tests are built: another choice of packages would build everything once more.
    run(&mut cargo(["build", "--workspace", "--examples"]))?;
    for name in ["own_network", "own_attack", "own_method", "fine_tune"] {
        run(&mut Command::new(target_dir().join("debug/examples").join(name)))?;
    }
    Ok(())
}

/// Names the file that skipped tests note themselves in, as the crate gaat-testkit says.
const SKIPS: &str = "GAAT_TEST_SKIPS";

/// What the tests of one run note when they lack something.
struct Skips {
    path: PathBuf,
}

impl Skips {
    fn new() -> Self {
        Self { path: std::env::temp_dir().join(format!("gaat-skips-{}", std::process::id())) }
    }

    /// How many tests were skipped, and why each of them; nothing noted is no file.
    fn told(&self) -> String {
        let noted = std::fs::read_to_string(&self.path).unwrap_or_default();
        let mut lines: Vec<&str> = noted.lines().collect();
        lines.sort_unstable();
        let mut text = match lines.len() {
            0 => "no test was skipped\n".to_owned(),
            count => format!("{count} skipped for want of something:\n"),
        };
        for line in lines {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

impl Drop for Skips {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether cargo has the command `name`.
fn is_installed(name: &str) -> bool {
    let mut probe = cargo([name, "--version"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn selects_package(arguments: &[OsString]) -> bool {
    let ours = arguments.iter().map(OsString::as_os_str).take_while(|argument| *argument != OsStr::new("--"));
    ours.filter_map(OsStr::to_str).any(|argument| {
        ["-p", "--package", "--workspace"].contains(&argument) || argument.starts_with("--package=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn selects(line: &str) -> bool {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        selects_package(&arguments)
    }

    #[test]
    fn skipped_tests_are_counted_with_their_reasons() {
        let scratch = Scratch::new();
        let skips = Skips { path: scratch.path().join("skips") };
        assert_eq!(skips.told(), "no test was skipped\n");
        scratch.file("skips", "z: no GPU\na: no bash\n");
        assert_eq!(skips.told(), "2 skipped for want of something:\n  a: no bash\n  z: no GPU\n");
    }

    #[test]
    fn a_named_package_replaces_the_workspace() {
        assert!(selects("-p gaat pgd"));
        assert!(selects("--package=gaat-spec"));
        assert!(!selects("pgd"));
        assert!(!selects("pgd -- -p"));
    }
}
