//! Signs that the numbers may be too good: gradients that hide the way (Athalye et al. 2018; Croce and Hein 2020).

use gaat_spec::{AttackName, AttackResult};

/// Shares closer than this are chance.
const SLACK: f64 = 0.001;
/// What the random search may find beyond the gradient attacks before it (AutoAttack's own threshold).
const SQUARE_SLACK: f64 = 0.002;

/// Every sign in the results, in words that begin with its name.
pub(super) fn alarms(attacks: &[AttackResult]) -> Vec<String> {
    let mut found = one_step_beats_many(attacks);
    for whole in attacks {
        found.extend(square_finds_more(whole));
    }
    found.extend(black_box_beats_white_box(attacks));
    found
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn one_step_beats_many(attacks: &[AttackResult]) -> Vec<String> {
    let mut found = Vec::new();
    let takes = |result: &&AttackResult, wanted: fn(usize) -> bool| result.attack.steps().is_some_and(wanted);
    for single in attacks.iter().filter(|result| takes(result, |steps| steps == 1)) {
        for many in attacks.iter().filter(|result| takes(result, |steps| steps > 1)) {
            if single.robust_accuracy + SLACK < many.robust_accuracy {
                found.push(format!(
                    "one-step-beats-many: {} leaves {}, {} leaves {}: gradients may be masked",
                    single.name,
                    percent(single.robust_accuracy),
                    many.name,
                    percent(many.robust_accuracy)
                ));
            }
        }
    }
    found
}

/// Within an ensemble, where the search sees what the others left.
fn square_finds_more(whole: &AttackResult) -> Option<String> {
    let square = whole.parts.iter().position(|part| part.attack.name() == AttackName::Square)?;
    let before = whole.parts.get(square.checked_sub(1)?)?.robust_accuracy;
    let after = whole.parts.get(square)?.robust_accuracy;
    (after < before - SQUARE_SLACK).then(|| {
        format!(
            "square-finds-more: of the {} that the attacks with gradients left in {}, the search without them leaves \
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
    let least = |first: &AttackResult, second: &AttackResult| {
        first.robust_accuracy.total_cmp(&second.robust_accuracy)
    };
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
