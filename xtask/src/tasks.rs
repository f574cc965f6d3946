//! `cargo xtask demo`, `test` and `ci`: cargo's own commands in the right order, after setup.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use crate::kills::kills;
use crate::setup::Setup;
use crate::shell::{Result, cargo, run, stage};
use crate::tidy;

/// Trains three methods on the embedded digits and compares them.
pub(crate) fn demo(setup: &Setup) -> Result<()> {
    println!("1/3 libtorch, the tensor library (the first time a download of up to 540 MB)");
    setup.ensure()?;
    println!("\n2/3 building the release binary (the first time about 3 minutes on 2 cores)");
    run(&mut cargo(["build", "--release", "-p", "gaat-cli"]))?;
    println!("\n3/3 training natural, RAT and GAAT on handwritten digits (about a minute on 2 cores)");
    // Through cargo, which knows where its configuration puts the binary.
    let mut compare = cargo(["run", "--quiet", "--release", "-p", "gaat-cli", "--"]);
    run(compare.args("compare --dataset digits --methods natural,rat,gaat --out runs/demo".split(' ')))
}

/// Runs every test, or those that `arguments` select.
pub(crate) fn test(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    println!("building and running the tests (the first build takes about 3 minutes on 2 cores)");
    let nextest = has_nextest();
    let mut words = if nextest { vec!["nextest", "run"] } else { vec!["test"] };
    // A package that the user names must not be drowned in all the others.
    if !selects_package(arguments) {
        words.push("--workspace");
    }
    run(cargo(words).args(arguments))?;
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
    stage("test", || test(setup, &[]))?;
    stage("kills", || kills(setup, &["--seconds".into(), "120".into()]))?;
    stage("example", || {
        run(&mut cargo(["run", "--quiet", "--package", "gaat", "--example", "own_network"]))
    })?;
    stage("doc", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    println!("everything passed");
    Ok(())
}

fn has_nextest() -> bool {
    let mut probe = cargo(["nextest", "--version"]);
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

    fn selects(line: &str) -> bool {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        selects_package(&arguments)
    }

    #[test]
    fn a_named_package_replaces_the_workspace() {
        assert!(selects("-p gaat pgd"));
        assert!(selects("--package=gaat-spec"));
        assert!(!selects("pgd"));
        assert!(!selects("pgd -- -p"));
    }
}
