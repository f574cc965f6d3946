//! Steps that are longer than the ball that they are to explore: mentioned wherever an attack or a recipe has one.

use crate::threat::{PixelLength, ThreatModel};

/// What is said of `who`, whose steps are of length `step_size` under `threat`; `None` where they are short enough.
///
/// From the clean image a step of epsilon reaches the rim. What is longer is cut off by the projection, and an attack of
/// many such steps jumps from rim to rim.
pub fn long_step(who: &str, step_size: PixelLength, threat: &ThreatModel) -> Option<String> {
    // Rounding of a quotient such as 2.5 epsilon / steps is no length.
    let is_long = threat.epsilon() > 0.0 && step_size.value() > threat.epsilon() * (1.0 + 1e-9);
    is_long.then(|| {
        format!(
            "{who}: a step of {} is longer than epsilon, {}; projection cuts it off, so that the attack jumps from rim to rim \
             of the ball and may be weaker than with shorter steps",
            shown(step_size),
            threat.epsilon_length()
        )
    })
}

/// A length as written where that is short, else rounded.
fn shown(length: PixelLength) -> String {
    let written = length.to_string();
    if written.len() <= 12 { written } else { format!("{:.5}", length.value()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threat::Norm;

    fn note(step: &str, epsilon: &str) -> Option<String> {
        let threat = ThreatModel::new(Norm::Linf, epsilon.parse().unwrap()).unwrap();
        long_step("pgd-10", step.parse().unwrap(), &threat)
    }

    #[test]
    fn a_step_is_mentioned_from_beyond_epsilon_on() {
        assert_eq!(note("8/255", "8/255"), None);
        assert_eq!(note("0.1", "0"), None);
        let found = note("2", "8/255").unwrap();
        assert!(found.starts_with("pgd-10: a step of 2 is longer than epsilon, 8/255"), "{found}");
        assert!(note("0.6", "0.3").is_some() && note("0.3", "0.3").is_none());
    }
}
