//! What an attack may spend, where it is not to be what its authors spend.

use crate::attack::{AttackName, AttackSpec, crossing, customary};
use crate::bounds;
use crate::error::{Error, Result};
use crate::threat::{PixelLength, ThreatModel};
use serde::{Deserialize, Serialize};

/// The numbers of attacks: those that somebody gives, where what is left out is customary; and those of an
/// [`AttackSpec`], where what is left out is not a number of the attack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Budget {
    /// Steps of iterative attacks [default: that of each attack in the literature, 50 for pgd, 100 for apgd]
    #[cfg_attr(feature = "clap", arg(long, value_name = "K"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Random starts; an image counts as robust only if it withstands all of them [default: that of each attack in the literature, 10 for pgd]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<usize>,
    /// Whether pgd, pgd-margin and pgd-t start at a random point of the ball; false: at the clean image, once [default: true]
    // What is left out of documents: attacks that can start at random do.
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL"))]
    #[serde(skip_serializing_if = "is_usual_start")]
    pub random_start: Option<bool>,
    /// Step of pgd, pgd-margin, pgd-t and mi-fgsm in pixel units [default: 2.5 epsilon / steps; for pgd 0.01 on MNIST at 0.3]
    #[cfg_attr(feature = "clap", arg(long, value_name = "LENGTH"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_size: Option<PixelLength>,
    /// Perturbed images that square may try for each image [default: 5000]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<usize>,
    /// Steps of the binary search of cw [default: 9]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<usize>,
    /// Wrong classes that targeted attacks try, the likeliest first.
    #[cfg_attr(feature = "clap", arg(skip))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<usize>,
    /// Gradients of apgd-ce and apgd-dlr that are averaged for one step.
    #[cfg_attr(feature = "clap", arg(skip))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "serde passes a reference")]
fn is_usual_start(random_start: &Option<bool>) -> bool {
    random_start.is_none_or(|is_random| is_random)
}

impl Budget {
    /// `name` under `threat` with those numbers of the budget that it has.
    ///
    /// # Errors
    /// When a number is 0 or out of bounds, or the attack is not for the norm of `threat`.
    pub fn attack(&self, name: AttackName, threat: &ThreatModel) -> Result<AttackSpec> {
        self.check_counts()?;
        if let Some(step_size) =
            self.step_size.filter(|step_size| threat.epsilon() > 0.0 || step_size.value() > 0.0)
        {
            threat.check_step(step_size)?;
        }
        let usual = AttackSpec::customary(name, threat)?;
        if name == AttackName::Fgsm {
            // One step of epsilon is what makes it FGSM.
            return Ok(usual);
        }
        let step_size = self.step_size.or(self.steps.map(|steps| crossing(threat.epsilon_length(), steps)));
        let mut given = Self { step_size, ..*self };
        if self.random_start == Some(false) && usual.budget().random_start.is_some() {
            // Every further start at the clean image would be the same.
            if let Some(restarts) = self.restarts.filter(|restarts| *restarts > 1) {
                let reason = format!(
                    "{name} without a random start begins at the clean image each time, so that one start is all there is; \
                     leave restarts out, or the random start on"
                );
                return Err(Error::value("restarts", restarts, reason));
            }
            given.restarts = Some(1);
        }
        Ok(usual.spending(&given))
    }

    /// Refuses numbers that none of the attacks `names` has.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_used(&self, names: &[AttackName]) -> Result<()> {
        let has = |name: AttackName, number: &str| {
            // One step of epsilon is what makes it FGSM.
            name != AttackName::Fgsm && customary(name, PixelLength::ZERO).names().any(|own| own == number)
        };
        for (number, value) in self.given() {
            if names.iter().any(|name| has(*name, number)) {
                continue;
            }
            let owners: Vec<_> =
                AttackName::ALL.iter().filter(|name| has(**name, number)).map(|name| name.as_str()).collect();
            let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            let reason = format!("is of {} alone; the attacks here: {}", owners.join(", "), names.join(", "));
            return Err(Error::value(&number.replace('_', "-"), value, reason));
        }
        Ok(())
    }

    /// Names of all numbers that attacks have, as in JSON.
    pub const NAMES: [&'static str; 8] =
        ["steps", "restarts", "random_start", "step_size", "queries", "searches", "targets", "samples"];

    /// The numbers that are there: their names as in JSON, and their values.
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        fn shown<T: ToString>(name: &'static str, number: Option<T>) -> Option<(&'static str, String)> {
            number.map(|number| (name, number.to_string()))
        }
        let [steps, restarts, random_start, step_size, queries, searches, targets, samples] = Self::NAMES;
        let numbers = [
            shown(steps, self.steps),
            shown(restarts, self.restarts),
            shown(random_start, self.random_start),
            shown(step_size, self.step_size),
            shown(queries, self.queries),
            shown(searches, self.searches),
            shown(targets, self.targets),
            shown(samples, self.samples),
        ];
        numbers.into_iter().flatten()
    }

    /// Names of the numbers that are there, as in JSON.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.given().map(|(name, _)| name)
    }

    /// The same numbers with the values of `given` where `given` has them: no number is added.
    pub(crate) fn overlaid_with(&self, given: &Self) -> Self {
        fn over<T>(own: Option<T>, given: Option<T>) -> Option<T> {
            own.map(|own| given.unwrap_or(own))
        }
        Self {
            steps: over(self.steps, given.steps),
            restarts: over(self.restarts, given.restarts),
            random_start: over(self.random_start, given.random_start),
            step_size: over(self.step_size, given.step_size),
            queries: over(self.queries, given.queries),
            searches: over(self.searches, given.searches),
            targets: over(self.targets, given.targets),
            samples: over(self.samples, given.samples),
        }
    }

    /// Holds the counts that are there against their bounds.
    pub(crate) fn check_counts(&self) -> Result<()> {
        let counts = [
            (self.steps, bounds::STEPS),
            (self.restarts, bounds::RESTARTS),
            (self.queries, bounds::QUERIES),
            (self.searches, bounds::SEARCHES),
        ];
        for (count, bound) in counts {
            count.map(|count| bound.check(count)).transpose()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threat::Norm;

    fn threat(norm: Norm) -> ThreatModel {
        crate::threat::threat(norm, "0.5")
    }

    #[test]
    fn every_attack_takes_what_it_has() {
        let all = Budget {
            steps: Some(7),
            restarts: Some(3),
            step_size: Some("0.125".parse().unwrap()),
            random_start: Some(true),
            queries: Some(40),
            searches: Some(2),
            targets: Some(4),
            samples: Some(6),
        };
        let threat = threat(Norm::L2);
        for name in AttackName::ALL {
            let (spec, usual) =
                (all.attack(*name, &threat).unwrap(), AttackSpec::customary(*name, &threat).unwrap());
            if *name == AttackName::Fgsm {
                assert_eq!(spec, usual);
                continue;
            }
            assert!(spec.budget().names().eq(usual.budget().names()), "{name}");
            for (number, value) in spec.budget().given() {
                let given = all.given().find(|(name, _)| *name == number).unwrap().1;
                assert_eq!(value, given, "{name}: {number}");
            }
        }
        let square = all.attack(AttackName::Square, &threat).unwrap();
        assert_eq!((square.budget().queries, square.restarts(), square.steps()), (Some(40), 3, None));
        let cw = all.attack(AttackName::CarliniWagner, &threat).unwrap();
        assert_eq!((cw.steps(), cw.budget().searches, cw.restarts()), (Some(7), Some(2), 1));
    }

    #[test]
    fn fewer_steps_still_cross_the_ball_and_no_budget_changes_nothing() {
        let threat = threat(Norm::Linf);
        let budget = Budget { steps: Some(5), ..Budget::default() };
        let spec = budget.attack(AttackName::MiFgsm, &threat).unwrap();
        assert_eq!(spec.step_size().unwrap().value(), 0.25);
        for name in AttackName::ALL.iter().filter(|name| **name != AttackName::CarliniWagner) {
            let customary = AttackSpec::customary(*name, &threat).unwrap();
            assert_eq!(Budget::default().attack(*name, &threat).unwrap(), customary);
        }
    }

    #[test]
    fn without_a_random_start_there_is_one_start_at_the_clean_image() {
        let still = Budget { steps: Some(20), random_start: Some(false), ..Budget::default() };
        for name in AttackName::ALL {
            let threat = threat(Norm::L2);
            let spec = still.attack(*name, &threat).unwrap();
            let starts_at_random = [AttackName::Pgd, AttackName::PgdMargin, AttackName::PgdT].contains(name);
            assert_eq!(spec.is_still(), starts_at_random, "{name}");
            if starts_at_random {
                assert_eq!((spec.restarts(), spec.to_string()), (1, format!("{name}-20-clean-start")));
                let text = serde_json::to_string(&spec).unwrap();
                assert!(text.contains("\"random_start\":false"), "{text}");
                assert_eq!(serde_json::from_str::<AttackSpec>(&text).unwrap(), spec);
                let error = Budget { restarts: Some(2), ..still }.attack(*name, &threat).unwrap_err();
                assert!(error.to_string().contains("one start is all there is"), "{error}");
                let once = Budget { restarts: Some(1), ..still }.attack(*name, &threat).unwrap();
                assert_eq!(once, spec);
            }
        }
        let error = still.check_used(&[AttackName::Fgsm, AttackName::ApgdCe]).unwrap_err().to_string();
        assert!(error.contains("random-start") && error.contains("pgd-t alone"), "{error}");
    }

    #[test]
    fn what_no_attack_has_is_refused_in_words() {
        let queries = Budget { queries: Some(9), ..Budget::default() };
        assert!(queries.check_used(&[AttackName::Fgsm, AttackName::Square]).is_ok());
        let error = queries.check_used(&[AttackName::Fgsm, AttackName::Pgd]).unwrap_err().to_string();
        assert!(
            error.contains("queries") && error.contains("square alone") && error.contains("fgsm, pgd"),
            "{error}"
        );
        let steps = Budget { steps: Some(9), ..Budget::default() };
        let error = steps.check_used(&[AttackName::AutoAttack]).unwrap_err().to_string();
        assert!(error.contains("steps") && error.contains("autoattack"), "{error}");
        let zero = Budget { restarts: Some(0), ..Budget::default() };
        let error = zero.attack(AttackName::Pgd, &threat(Norm::Linf)).unwrap_err().to_string();
        assert!(error.contains("restarts") && error.contains("at least 1"), "{error}");
        for (key, budget) in [
            ("steps", Budget { steps: Some(2_147_483_648), ..Budget::default() }),
            ("restarts", Budget { restarts: Some(usize::MAX), ..Budget::default() }),
            ("queries", Budget { queries: Some(4_294_967_296), ..Budget::default() }),
            ("searches", Budget { searches: Some(65_536), ..Budget::default() }),
        ] {
            for name in [AttackName::Pgd, AttackName::Square] {
                let error = budget.attack(name, &threat(Norm::Linf)).unwrap_err().to_string();
                assert!(error.contains(key) && error.contains("at most"), "{error}");
            }
        }
    }
}
