//! Batches judged side by side: the same verdict as one after the other, and every thread given back.

use crate::evaluation::{judge, options};
use crate::support::{digits, robust_network, threat};
use gaat::Error;
use gaat::evaluate::{Control, EvaluateOptions, Progress, evaluate_resumable};
use gaat_spec::{AttackName, AttackSpec, Budget, Norm};

#[test]
fn batches_side_by_side_are_judged_as_one_after_the_other() {
    let network = robust_network();
    let images = digits(100);
    let threat = threat(Norm::Linf, 0.1);
    let few = Budget { queries: Some(40), ..Budget::default() };
    let square = few.attack(AttackName::Square, &threat).unwrap();
    let attacks = vec![AttackSpec::pgd(&threat, 3, 2, None).unwrap(), square];
    let options = EvaluateOptions { batch_size: 25, ..options(threat, attacks) };
    tch::set_num_threads(1);
    let alone = judge(network.as_ref(), &images, &options).timeless();
    assert!(alone.robust_accuracy < alone.clean_accuracy && alone.robust_accuracy > 0.0);

    tch::set_num_threads(2);
    assert_eq!(judge(network.as_ref(), &images, &options).timeless(), alone);
    assert_eq!(tch::get_num_threads(), 2, "the threads are given back");

    // Stopped between two pairs of batches, and gone on with one at a time.
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let mut seen = Vec::new();
    let mut stop = |progress: &Progress| {
        seen.push(progress.done);
        if seen.len() == 3 { Control::Stop } else { Control::Continue }
    };
    let stopped = evaluate_resumable(network.as_ref(), &images, &options, &state, &mut stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(seen, [50, 100, 50], "two batches at once");
    tch::set_num_threads(1);
    let mut go_on = |_: &Progress| Control::Continue;
    let resumed = evaluate_resumable(network.as_ref(), &images, &options, &state, &mut go_on);
    assert_eq!(resumed.unwrap().timeless(), alone);
}
