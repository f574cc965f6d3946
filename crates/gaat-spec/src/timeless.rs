//! Records without what a clock said: two runs that did the same have the same.

use crate::evaluation::{AttackResult, Evaluation};
use crate::record::{EpochRecord, RunRecord, Seconds};

impl EpochRecord {
    /// The epoch with all seconds 0.
    #[must_use]
    pub fn timeless(&self) -> Self {
        Self { seconds: Seconds::default(), ..self.clone() }
    }
}

impl RunRecord {
    /// The run with all seconds 0, those of its epochs too.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let epochs = self.epochs.iter().map(EpochRecord::timeless).collect();
        Self { seconds: Seconds::default(), epochs, ..self.clone() }
    }
}

impl Evaluation {
    /// The verdict with all seconds 0, those of its attacks, of their parts and of the curve too.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let mut verdict = Self { seconds: 0.0, ..self.clone() };
        verdict.attacks.iter_mut().for_each(stop);
        verdict.curve.iter_mut().for_each(|point| stop(&mut point.result));
        verdict
    }
}

fn stop(result: &mut AttackResult) {
    result.seconds = 0.0;
    result.parts.iter_mut().for_each(stop);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::AttackSpec;
    use crate::evaluation::CurvePoint;
    use crate::record::Passes;
    use crate::threat::{Norm, threat};

    #[test]
    fn no_second_is_left_in_a_verdict() {
        let threat = threat(Norm::Linf, "0.1");
        let found = |seconds: f64, parts: Vec<AttackResult>| AttackResult {
            name: "fgsm".to_owned(),
            attack: AttackSpec::fgsm(&threat),
            robust_accuracy: 0.5,
            interval: (0.4, 0.6),
            seconds,
            passes: Passes::default(),
            parts,
        };
        let verdict = |seconds: f64| Evaluation {
            examples: 10,
            subset: None,
            threat,
            precision: None,
            clean_accuracy: 0.9,
            clean_interval: (0.8, 1.0),
            attacks: vec![found(seconds, vec![found(seconds / 2.0, Vec::new())])],
            robust_accuracy: 0.5,
            robust_interval: (0.4, 0.6),
            classes: Vec::new(),
            alarms: Vec::new(),
            notes: Vec::new(),
            curve: vec![CurvePoint { epsilon: threat.epsilon_length(), result: found(seconds, Vec::new()) }],
            probes: None,
            seconds,
        };
        assert_ne!(verdict(1.0), verdict(2.0));
        assert_eq!(verdict(1.0).timeless(), verdict(2.0).timeless());
        assert_eq!(verdict(1.0).timeless(), verdict(0.0));
    }
}
