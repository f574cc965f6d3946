//! The guard against getting slower: ratios to PyTorch are compared with those of before, seconds never.

use crate::outcome::Outcome;
use crate::side::Side;
use anyhow::ensure;

/// What stands between `now` and "as fast as before": ratios that got worse by more than the factor `tolerance`, and ratios that say
/// nothing, because a side computed in another precision than before (bf16 of a processor that has it, fp32 of one that has not).
///
/// # Errors
/// When no work has a ratio in both: nothing would have been checked.
pub(crate) fn complaints(before: &Outcome, now: &Outcome, tolerance: f64) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut compared = 0;
    for work in now.works() {
        for peer in Side::ALL.into_iter().filter(|side| !matches!(side, Side::Gaat | Side::GaatEarlier)) {
            let (Some(old), Some(new)) = (before.ratio(work, peer), now.ratio(work, peer)) else { continue };
            compared += 1;
            if let Some((side, then, today)) = precisions_changed(before, now, work, peer) {
                complaints.push(format!(
                    "not comparable: {work} over {peer}: {side} computed in {then}, now in {today}; check against a bench.json of a \
                     processor of this kind"
                ));
            } else if new > old * tolerance {
                complaints
                    .push(format!("slower: {work} takes {new:.2} times what {peer} takes, before {old:.2}"));
            }
        }
    }
    ensure!(compared > 0, "the benchmark of before measured none of these works against PyTorch");
    Ok(complaints)
}

/// The works of `now` that take longer than an earlier build needs in the same turns, by more than the factor `tolerance`. Neither the processor
/// nor other programs on the machine decide such a comparison.
pub(crate) fn slower_than_earlier(now: &Outcome, tolerance: f64) -> Vec<String> {
    let ratios = now.works().into_iter().filter_map(|work| Some((work, now.ratio(work, Side::GaatEarlier)?)));
    ratios
        .filter(|(_, ratio)| *ratio > tolerance)
        .map(|(work, ratio)| format!("slower: {work} takes {ratio:.2} times what the earlier build takes"))
        .collect()
}

/// The side of a ratio that shares no precision with before, with its precisions of then and now. PyTorch at its best chooses
/// its precision in every turn and may have several: the two measurements are comparable if they share one of them.
fn precisions_changed<'a>(
    before: &'a Outcome,
    now: &'a Outcome,
    work: &str,
    peer: Side,
) -> Option<(Side, &'a str, &'a str)> {
    let changed = |side| {
        let (then, today) = (before.precision(work, side)?, now.precision(work, side)?);
        let is_shared = then.split(", ").any(|one| today.split(", ").any(|other| one == other));
        (!is_shared).then_some((side, then, today))
    };
    changed(Side::Gaat).or_else(|| changed(peer))
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

    #[test]
    fn an_earlier_build_is_held_against_the_same_turns() {
        let measured = |ours| outcome(&[(WORK, Side::Gaat, ours), (WORK, Side::GaatEarlier, 1.0)]);
        assert_eq!(slower_than_earlier(&measured(1.1), 1.15), Vec::<String>::new());
        let found = slower_than_earlier(&measured(1.2), 1.15);
        assert!(found.len() == 1 && found[0].contains(WORK), "{found:?}");
    }

    #[test]
    fn another_precision_is_no_comparison() {
        let fp32 = outcome(&[(WORK, Side::Gaat, 1.0), (WORK, Side::TorchBest, 2.0)]);
        let mut bf16 = fp32.clone();
        bf16.measured[0].precision = "bf16".to_owned();
        let found = complaints(&bf16, &fp32, 1.1).unwrap();
        assert!(found.len() == 1 && found[0].starts_with("not comparable: step/vgg-16/natural"), "{found:?}");
        assert!(found[0].contains("gaat computed in bf16, now in fp32"), "{found:?}");
        bf16.measured[0].precision = "bf16, fp32".to_owned();
        assert_eq!(complaints(&bf16, &fp32, 1.1).unwrap(), Vec::<String>::new());
    }
}
