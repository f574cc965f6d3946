//! The curves of a run as TensorBoard's own reader sees them.

use crate::support::{Witness, options, recipe};
use gaat::train::train;
use gaat_spec::{EpochRecord, Event, Status};
use gaat_testkit::{python, skip};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Steps and values of each tag.
type Curves = BTreeMap<String, Vec<(usize, f64)>>;
/// A number of an epoch.
type OfEpoch = fn(&EpochRecord) -> f64;

/// What TensorBoard reads in `run_dir`; `None`, and the test counts as skipped, where there is no TensorBoard.
fn read(run_dir: &Path) -> Option<Curves> {
    let python = python();
    let has_package = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_package.is_ok_and(|output| output.status.success()) {
        skip(&format!("no package tensorboard in {}; set GAAT_TEST_PYTHON", python.display()));
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/tensorboard_events.py");
    let output = Command::new(&python).arg(script).arg("read").arg(run_dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn an_interrupted_and_resumed_run_is_one_curve() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    // 90 training images: 5 steps an epoch.
    let text = "method = \"gaat\"\nlimit = 100\nbatch-size = 20\nepochs = 2\nvalidation-steps = 1\n";
    let (mut first, mut second) = (Witness { stop_after: Some(7), ..Witness::default() }, Witness::default());
    let record = train(&recipe(text), &options(&run_dir, false), &mut first).unwrap();
    assert_eq!(record.status, Status::Interrupted);
    let record = train(&recipe(text), &options(&run_dir, true), &mut second).unwrap();

    let Some(curves) = read(&run_dir) else { return };
    let is_near = |found: f64, expected: f64| (found - expected).abs() <= 1e-6 * expected.abs();
    let mut losses = 0;
    for event in first.events.iter().chain(&second.events) {
        let Event::Step { step, loss, .. } = event else { continue };
        let (found_step, found) = curves["step/loss"][losses];
        assert!(found_step == *step && is_near(found, *loss), "step {step}: {found} {loss}");
        losses += 1;
    }
    assert_eq!((losses, curves["step/loss"].len()), (10, 10));
    let of_epochs: [(&str, OfEpoch); 5] = [
        ("validation/clean", |epoch| epoch.validation_clean.unwrap()),
        ("validation/robust", |epoch| epoch.validation_robust.unwrap()),
        ("attack/gain_ratio", |epoch| epoch.gain_ratio.unwrap()),
        ("attack/residual", |epoch| epoch.residual.unwrap()),
        ("cost/seconds", |epoch| epoch.seconds.total),
    ];
    for (tag, value) in of_epochs {
        let (curve, expected) = (&curves[tag], record.epochs.iter().map(value));
        assert_eq!(curve.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [5, 10], "{tag}");
        assert!(curve.iter().zip(expected).all(|((_, found), expected)| is_near(*found, expected)), "{tag}");
    }
    assert!(is_near(curves["cost/passes_over_natural"][1].1, record.cost_ratio));
}
