//! The engine by itself. The tests of the whole command line lie with the binary `gaat`; that this one exists has cargo build the
//! engine for them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

#[test]
fn the_engine_knows_every_command() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_gaat-engine")).args(words).output().unwrap();
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for command in [
        "train", "evaluate", "attack", "compare", "analyze", "explain", "report", "import", "export",
        "model", "data",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    // Found libtorch, which `--help` needs too.
    let info = run(&["data", "info", "digits"]);
    assert!(info.status.success(), "{}", String::from_utf8_lossy(&info.stderr));
    let unknown = run(&["evaluate", "absent"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("absent: nothing there"));
}
