//! The guard against getting slower: ratios to PyTorch are compared with those of before, seconds never.

use crate::outcome::{Measured, Outcome};
use crate::sample::median;
use crate::side::Side;
use anyhow::ensure;

/// How often the interval of [`interval`] may miss the median on either side.
const MISSED: f64 = 0.1;

/// What the ratios of today may not exceed.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The benchmark of before, where one was named.
    pub(crate) before: Option<Outcome>,
    /// By which factor a ratio may be worse than before, or the seconds than those of an earlier build.
    pub(crate) tolerance: f64,
}

impl Guard {
    /// Which ratio gaat may have to `peer` at `work`; nothing where there is nothing to compare with.
    fn limit(&self, work: &str, peer: Side) -> Option<f64> {
        match peer {
            Side::Gaat => None,
            // Neither the processor nor other programs on the machine decide this comparison: both builds take the same turns.
            Side::GaatEarlier => Some(self.tolerance),
            _ => Some(self.before.as_ref()?.ratio(work, peer)? * self.tolerance),
        }
    }

    /// Whether the rounds of one work, the `sides` of which are given with gaat first, tell on which side of its limit each ratio lies. On a machine that
    /// changes its speed a few rounds do not: their median would be above the limit or below by chance.
    pub(crate) fn is_decided(&self, sides: &[Measured]) -> bool {
        let Some((ours, peers)) = sides.split_first() else { return true };
        peers.iter().all(|theirs| {
            let Some(limit) = self.limit(&ours.work, theirs.side) else { return true };
            let (low, high) = interval(&ours.ratios(theirs));
            limit < low || high <= limit || self.precisions_changed(ours, theirs).is_some()
        })
    }

    /// What stands between `now` and "as fast as before": ratios above their limits, and ratios that say nothing, because a side computed in another
    /// precision than before (bf16 of a processor that has it, fp32 of one that has not).
    ///
    /// # Errors
    /// When there is a benchmark of before and no work has a ratio in both: nothing would have been checked.
    pub(crate) fn complaints(&self, now: &Outcome) -> anyhow::Result<Vec<String>> {
        let mut complaints = Vec::new();
        let mut compared = 0;
        for work in now.works() {
            for peer in Side::ALL {
                let (Some(ours), Some(theirs)) = (now.found(work, Side::Gaat), now.found(work, peer)) else {
                    continue;
                };
                let Some(limit) = self.limit(work, peer) else { continue };
                compared += usize::from(peer != Side::GaatEarlier);
                let ratio = median(&ours.ratios(theirs));
                if let Some((side, then, today)) = self.precisions_changed(ours, theirs) {
                    complaints.push(format!(
                        "not comparable: {work} over {peer}: {side} computed in {then}, now in {today}; check against a bench.json of a \
                         processor of this kind"
                    ));
                } else if ratio > limit {
                    let was = match peer {
                        Side::GaatEarlier => "what the earlier build takes".to_owned(),
                        _ => format!("what {peer} takes, before {:.2}", limit / self.tolerance),
                    };
                    complaints.push(format!("slower: {work} takes {ratio:.2} times {was}"));
                }
            }
        }
        ensure!(
            compared > 0 || self.before.is_none(),
            "the benchmark of before measured none of these works against PyTorch"
        );
        Ok(complaints)
    }

    /// The side of a ratio that shares no precision with before, with its precisions of then and now. PyTorch at its best chooses its precision in every
    /// turn and may have several: the two measurements are comparable if they share one of them. An earlier build takes the same turns as today's.
    fn precisions_changed<'a>(
        &'a self,
        ours: &'a Measured,
        theirs: &'a Measured,
    ) -> Option<(Side, &'a str, &'a str)> {
        [ours, theirs].into_iter().filter(|_| theirs.side != Side::GaatEarlier).find_map(|now| {
            let (then, today) = (
                self.before.as_ref()?.found(&now.work, now.side)?.precision.as_str(),
                now.precision.as_str(),
            );
            let is_shared = then.split(", ").any(|one| today.split(", ").any(|other| one == other));
            (!is_shared).then_some((now.side, then, today))
        })
    }
}

/// From where to where the median of what `ratios` were drawn from lies, at least four times in five: the order statistics of the sign test. Fewer than
/// four ratios cannot tell, and the interval has no ends.
fn interval(ratios: &[f64]) -> (f64, f64) {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The chance that so many of them, or fewer, lie below the median.
    let (mut chance, mut sum, mut left_out) = (0.5f64.powi(sorted.len() as i32), 0.0, 0);
    while sum + chance <= MISSED {
        sum += chance;
        chance *= (sorted.len() - left_out) as f64 / (left_out + 1) as f64;
        left_out += 1;
    }
    match left_out.checked_sub(1) {
        Some(end) => (sorted[end], sorted[sorted.len() - 1 - end]),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::{outcome, turns};

    const WORK: &str = "step/vgg-16/natural";

    fn guard(before: Outcome, tolerance: f64) -> Guard {
        Guard { before: Some(before), tolerance }
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_worse_ratio_is_named_and_a_slower_machine_is_not() {
        let measured = |ours, theirs| outcome(&[(WORK, Side::Gaat, ours), (WORK, Side::TorchBest, theirs)]);
        let guard = guard(measured(1.0, 2.0), 1.1);
        assert_eq!(guard.complaints(&measured(3.0, 6.0)).unwrap(), none());
        let found = guard.complaints(&measured(1.2, 2.0)).unwrap();
        assert!(found.len() == 1 && found[0].contains(WORK), "{found:?}");
        assert!(guard.complaints(&outcome(&[(WORK, Side::Gaat, 1.0)])).is_err());
    }

    #[test]
    fn an_earlier_build_is_held_against_the_same_turns() {
        let measured = |ours| outcome(&[(WORK, Side::Gaat, ours), (WORK, Side::GaatEarlier, 1.0)]);
        let guard = Guard { before: None, tolerance: 1.15 };
        assert_eq!(guard.complaints(&measured(1.1)).unwrap(), none());
        let found = guard.complaints(&measured(1.2)).unwrap();
        assert!(found.len() == 1 && found[0].contains(WORK), "{found:?}");
    }

    #[test]
    fn another_precision_is_no_comparison() {
        let fp32 = outcome(&[(WORK, Side::Gaat, 1.0), (WORK, Side::TorchBest, 2.0)]);
        let mut bf16 = fp32.clone();
        bf16.measured[0].precision = "bf16".to_owned();
        let found = guard(bf16.clone(), 1.1).complaints(&fp32).unwrap();
        assert!(found.len() == 1 && found[0].starts_with("not comparable: step/vgg-16/natural"), "{found:?}");
        assert!(found[0].contains("gaat computed in bf16, now in fp32"), "{found:?}");
        // More rounds would not make the two comparable.
        assert!(guard(bf16.clone(), 1.1).is_decided(&fp32.measured));
        assert!(!guard(fp32.clone(), 1.1).is_decided(&fp32.measured));
        bf16.measured[0].precision = "bf16, fp32".to_owned();
        assert_eq!(guard(bf16, 1.1).complaints(&fp32).unwrap(), none());
    }

    #[test]
    fn rounds_decide_when_their_interval_leaves_the_limit_on_one_side() {
        let work = WORK.parse().unwrap();
        let theirs = |rounds| Measured::new(&work, Side::GaatEarlier, &turns(&vec![1.0; rounds]));
        let is_decided = |ours: &[f64]| {
            let guard = Guard { before: None, tolerance: 1.15 };
            guard.is_decided(&[Measured::new(&work, Side::Gaat, &turns(ours)), theirs(ours.len())])
        };
        assert!(!is_decided(&[1.0; 3]), "three rounds on one side of the limit are one chance in four");
        assert!(is_decided(&[1.0, 1.1, 0.9, 1.15]) && is_decided(&[1.2, 1.3, 1.2, 1.4]));
        assert!(!is_decided(&[1.0, 1.0, 1.0, 1.2]) && !is_decided(&[1.2, 1.2, 1.2, 1.2, 1.0]));
        // One round in seven may lie on the other side: eight of 128 chances.
        assert!(is_decided(&[1.0, 1.0, 1.0, 1.2, 1.0, 1.0, 1.0]));
        assert!(Guard { before: None, tolerance: 1.0 }.is_decided(&[theirs(1)]), "nothing to compare with");
    }

    #[test]
    fn an_interval_holds_the_median_four_times_in_five() {
        let ratios: Vec<f64> = (1..=20).map(f64::from).collect();
        // A binomial of 20 and 1/2 is 6 or less in 5.8 % of cases, 7 or less in 13.2 %.
        assert_eq!(interval(&ratios), (7.0, 14.0));
    }
}
