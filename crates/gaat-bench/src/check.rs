//! The guard against getting slower: ratios to PyTorch are compared with those of before, seconds never.

use crate::outcome::Outcome;
use crate::side::Side;
use anyhow::ensure;

/// Ratios that got worse by more than the factor `tolerance`.
///
/// # Errors
/// When no work has a ratio in both: nothing would have been checked.
pub(crate) fn complaints(before: &Outcome, now: &Outcome, tolerance: f64) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut compared = 0;
    for work in now.works() {
        for peer in Side::ALL.into_iter().filter(|side| *side != Side::Gaat) {
            let (Some(old), Some(new)) = (before.ratio(work, peer), now.ratio(work, peer)) else { continue };
            compared += 1;
            if new > old * tolerance {
                complaints.push(format!("{work} takes {new:.2} times what {peer} takes, before {old:.2}"));
            }
        }
    }
    ensure!(compared > 0, "the benchmark of before measured none of these works against PyTorch");
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::outcome;

    const WORK: &str = "step/vgg-16/natural";

    #[test]
    fn a_worse_ratio_is_named_and_a_slower_machine_is_not() {
        let measured = |ours, theirs| outcome(&[(WORK, Side::Gaat, ours), (WORK, Side::TorchBest, theirs)]);
        let before = measured(1.0, 2.0);
        assert_eq!(complaints(&before, &measured(3.0, 6.0), 1.1).unwrap(), Vec::<String>::new());
        let found = complaints(&before, &measured(1.2, 2.0), 1.1).unwrap();
        assert!(found.len() == 1 && found[0].contains(WORK), "{found:?}");
        assert!(complaints(&before, &outcome(&[(WORK, Side::Gaat, 1.0)]), 1.1).is_err());
    }
}
