//! Signs that the numbers may be too good: gradients that hide the way (Athalye et al. 2018; Croce and Hein 2020).

use gaat_spec::{AttackName, AttackResult};
use std::cmp::Ordering;

/// Shares closer than this are chance.
const SLACK: f64 = 0.001;
/// What the random search may find beyond the gradient attacks before it (AutoAttack's own threshold).
const SQUARE_SLACK: f64 = 0.002;

/// Every sign in the results, in words that begin with its name.
pub(super) fn alarms(attacks: &[AttackResult]) -> Vec<String> {
    let mut found: Vec<String> = one_step_beats_many(attacks).into_iter().collect();
    for whole in attacks {
        found.extend(square_finds_more(whole));
    }
    found.extend(black_box_beats_white_box(attacks));
    found
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// The best attack of one step against the best of many: a weak one among many proves nothing.
fn one_step_beats_many(attacks: &[AttackResult]) -> Option<String> {
    let best = |wanted: fn(usize) -> bool| {
        let of_kind = attacks.iter().filter(|result| steps(result).is_some_and(wanted));
        of_kind.min_by(|first, second| least(first, second))
    };
    let (single, many) = (best(|steps| steps == 1)?, best(|steps| steps > 1)?);
    (single.robust_accuracy + SLACK < many.robust_accuracy).then(|| {
        format!(
            "one-step-beats-many: {} leaves {}, {} leaves {}, which is the best attack of many steps: gradients may be masked",
            single.name,
            percent(single.robust_accuracy),
            many.name,
            percent(many.robust_accuracy)
        )
    })
}

/// Steps along a gradient; of an ensemble those of its first part that has any.
fn steps(result: &AttackResult) -> Option<usize> {
    result.attack.steps().or_else(|| result.parts.iter().find_map(|part| part.attack.steps()))
}

fn least(first: &AttackResult, second: &AttackResult) -> Ordering {
    first.robust_accuracy.total_cmp(&second.robust_accuracy)
}

/// Within an ensemble, where the search sees what the others left.
fn square_finds_more(whole: &AttackResult) -> Option<String> {
    let square = whole.parts.iter().position(|part| part.attack.name() == AttackName::Square)?;
    let before = whole.parts.get(square.checked_sub(1)?)?.robust_accuracy;
    let after = whole.parts.get(square)?.robust_accuracy;
    (after < before - SQUARE_SLACK).then(|| {
        format!(
            "square-finds-more: the attacks with gradients leave {} in {}, and then the search without gradients leaves \
             {}: gradients may be masked",
            percent(before),
            whole.name,
            percent(after)
        )
    })
}

/// Where the random search is an attack of its own, beside others that have gradients.
fn black_box_beats_white_box(attacks: &[AttackResult]) -> Option<String> {
    let is_square = |result: &&AttackResult| result.attack.name() == AttackName::Square;
    let square = attacks.iter().filter(is_square).min_by(|first, second| least(first, second))?;
    let others = attacks.iter().filter(|result| !is_square(result));
    let other = others.min_by(|first, second| least(first, second))?;
    (square.robust_accuracy < other.robust_accuracy - SQUARE_SLACK).then(|| {
        format!(
            "black-box-beats-white-box: {} leaves {}, {} leaves {}: gradients may be masked",
            square.name,
            percent(square.robust_accuracy),
            other.name,
            percent(other.robust_accuracy)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::{AttackSpec, Norm, Passes, ThreatModel};

    fn results(found: &[(AttackName, f64)]) -> Vec<AttackResult> {
        let threat = ThreatModel::new(Norm::Linf, "0.1".parse().unwrap()).unwrap();
        let result = |(name, robust_accuracy): &(AttackName, f64)| {
            let attack = AttackSpec::customary(*name, &threat).unwrap();
            AttackResult {
                name: attack.to_string(),
                attack,
                robust_accuracy: *robust_accuracy,
                interval: (0.0, 1.0),
                seconds: 0.0,
                passes: Passes::default(),
                parts: Vec::new(),
            }
        };
        found.iter().map(result).collect()
    }

    #[test]
    fn one_step_is_compared_with_the_best_of_many() {
        use AttackName::{DeepFool, Fgsm, Pgd};
        assert_eq!(alarms(&results(&[(Fgsm, 0.3), (DeepFool, 0.6), (Pgd, 0.2)])), [""; 0]);
        let found = alarms(&results(&[(Fgsm, 0.3), (DeepFool, 0.6), (Pgd, 0.4)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("fgsm leaves 30.00 %, pgd-50x10 leaves 40.00 %"), "{found:?}");
    }
}
