//! `cargo xtask kills`: trainings are killed and resumed, and must end as if they never had been.

use std::ffi::OsString;
use std::process::Command;

use crate::setup::Setup;
use crate::shell::{Result, cargo, run, target_dir};

/// Builds everything as the tests do, and hands `arguments` to `gaat-kills`.
pub(crate) fn kills(setup: &Setup, arguments: &[OsString]) -> Result<()> {
    setup.ensure()?;
    run(&mut cargo(["build", "--workspace"]))?;
    let built = target_dir().join("debug");
    let mut command = Command::new(built.join("gaat-kills"));
    run(command.arg("--gaat").arg(built.join("gaat")).args(arguments))
}
