//! What an attack may spend, where it is not to be what its authors spend.

use crate::{AttackName, AttackSpec, Error, PixelLength, Result, ThreatModel, bounds};

/// Numbers to run attacks with; those left out are customary.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Budget {
    /// Steps of the attacks that step, each in its own sense [default: as customary, 50 for pgd, 100 for apgd]
    #[cfg_attr(feature = "clap", arg(long, value_name = "K"))]
    pub steps: Option<usize>,
    /// Random starts; an image counts only if it withstands all [default: as customary, 10 for pgd]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub restarts: Option<usize>,
    /// Whether pgd, pgd-margin and pgd-t start at a random point of the ball; false: at the clean image, once [default: true]
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL"))]
    pub random_start: Option<bool>,
    /// Step of pgd, pgd-margin, pgd-t and mi-fgsm in pixel units [default: 2.5 epsilon / steps; for pgd 0.01 on MNIST at 0.3]
    #[cfg_attr(feature = "clap", arg(long, value_name = "LENGTH"))]
    pub step_size: Option<PixelLength>,
    /// Queries of square [default: 5000]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub queries: Option<usize>,
    /// Weights that cw tries in its binary search [default: 9]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N"))]
    pub searches: Option<usize>,
}

/// A number of a [`Budget`], if it was given; its flag, and which attacks have it.
type Given = (Option<String>, &'static str, &'static str, fn(AttackName) -> bool);

impl Budget {
    /// `name` under `threat` with those numbers of the budget that it has.
    ///
    /// # Errors
    /// When a number is 0 or out of bounds, or the attack is not for the norm of `threat`.
    pub fn attack(&self, name: AttackName, threat: &ThreatModel) -> Result<AttackSpec> {
        self.check_numbers(threat)?;
        let mut spec = AttackSpec::customary(name, threat)?;
        if let (Some(steps), Some(own)) = (self.steps, spec.steps_mut()) {
            *own = steps;
        }
        if let (Some(restarts), Some(own)) = (self.restarts, spec.restarts_mut()) {
            *own = restarts;
        }
        if self.random_start == Some(false) && spec.random_start_mut().is_some() {
            spec = self.still(spec)?;
        }
        if let AttackSpec::Square { queries, .. } = &mut spec {
            *queries = self.queries.unwrap_or(*queries);
        }
        if let AttackSpec::CarliniWagner { searches, .. } = &mut spec {
            *searches = self.searches.unwrap_or(*searches);
        }
        let crossing = spec.steps().map(|steps| threat.epsilon_length().scaled(2.5 / steps as f64));
        if let (Some(step_size), Some(own)) = (self.step_size.or(crossing), spec.step_size_mut()) {
            *own = step_size;
        }
        Ok(spec)
    }

    /// `spec` from the clean image: once, for every further start would be the same.
    fn still(&self, mut spec: AttackSpec) -> Result<AttackSpec> {
        if let Some(restarts) = self.restarts.filter(|restarts| *restarts > 1) {
            let reason = format!(
                "{} without a random start begins at the clean image each time, so that one start is all there is; leave \
                 restarts out, or the random start on",
                spec.name()
            );
            return Err(Error::value("restarts", restarts, reason));
        }
        if let Some(restarts) = spec.restarts_mut() {
            *restarts = 1;
        }
        if let Some(random_start) = spec.random_start_mut() {
            *random_start = false;
        }
        Ok(spec)
    }

    /// Refuses numbers that none of the attacks `names` has.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_used(&self, names: &[AttackName]) -> Result<()> {
        let count = |given: Option<usize>| given.map(|count| count.to_string());
        let step_size = self.step_size.map(|step_size| step_size.to_string());
        let random_start = self.random_start.map(|random_start| random_start.to_string());
        let given: [Given; 6] = [
            (count(self.steps), "steps", "every attack but fgsm, square and autoattack", has_steps),
            (count(self.restarts), "restarts", "pgd, pgd-margin, pgd-t, apgd, fab and square", has_restarts),
            (random_start, "random-start", "pgd, pgd-margin and pgd-t", has_random_start),
            (step_size, "step-size", "pgd, pgd-margin, pgd-t and mi-fgsm", has_step_size),
            (count(self.queries), "queries", "square", |name| name == AttackName::Square),
            (count(self.searches), "searches", "cw", |name| name == AttackName::CarliniWagner),
        ];
        for (value, key, who, has) in given {
            if let Some(value) = value
                && !names.iter().any(|name| has(*name))
            {
                let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
                let reason = format!("is of {who} alone; the attacks here: {}", names.join(", "));
                return Err(Error::value(key, value, reason));
            }
        }
        Ok(())
    }

    fn check_numbers(&self, threat: &ThreatModel) -> Result<()> {
        let counts = [
            (self.steps, bounds::STEPS),
            (self.restarts, bounds::RESTARTS),
            (self.queries, bounds::QUERIES),
            (self.searches, bounds::SEARCHES),
        ];
        for (count, bound) in counts {
            count.map(|count| bound.check(count)).transpose()?;
        }
        if threat.epsilon() > 0.0 && self.step_size.is_some_and(|step_size| step_size.value() == 0.0) {
            return Err(Error::value("step-size", 0, "needs a length over 0"));
        }
        Ok(())
    }
}

fn has_steps(name: AttackName) -> bool {
    use AttackName::{AutoAttack, AutoAttackPlus, AutoAttackRand, Fgsm, Square};
    !matches!(name, Fgsm | Square | AutoAttack | AutoAttackPlus | AutoAttackRand)
}

fn has_restarts(name: AttackName) -> bool {
    use AttackName::{CarliniWagner, DeepFool, MiFgsm};
    name == AttackName::Square || (has_steps(name) && !matches!(name, CarliniWagner | DeepFool | MiFgsm))
}

fn has_random_start(name: AttackName) -> bool {
    matches!(name, AttackName::Pgd | AttackName::PgdMargin | AttackName::PgdT)
}

fn has_step_size(name: AttackName) -> bool {
    matches!(name, AttackName::Pgd | AttackName::PgdMargin | AttackName::PgdT | AttackName::MiFgsm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Norm;

    fn threat(norm: Norm) -> ThreatModel {
        ThreatModel::new(norm, "0.5".parse().unwrap()).unwrap()
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
        };
        let threat = threat(Norm::L2);
        for name in AttackName::ALL {
            let (spec, usual) =
                (all.attack(*name, &threat).unwrap(), AttackSpec::customary(*name, &threat).unwrap());
            let steps = if has_steps(*name) { Some(7) } else { usual.steps() };
            let restarts = if has_restarts(*name) { 3 } else { usual.restarts() };
            assert_eq!((spec.steps(), spec.restarts()), (steps, restarts), "{name}");
            let step = spec.step_size().map(PixelLength::value);
            assert_eq!(step.is_some_and(|step| step == 0.125), has_step_size(*name), "{name}");
        }
        assert_eq!(
            all.attack(AttackName::Square, &threat).unwrap(),
            AttackSpec::Square { queries: 40, restarts: 3 }
        );
        let cw = AttackSpec::CarliniWagner { steps: 7, searches: 2 };
        assert_eq!(all.attack(AttackName::CarliniWagner, &threat).unwrap(), cw);
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
            assert_eq!(spec.is_still(), has_random_start(*name), "{name}");
            if has_random_start(*name) {
                assert_eq!((spec.restarts(), spec.to_string()), (1, format!("{name}-20-clean-start")));
                let text = serde_json::to_string(&spec).unwrap();
                assert!(text.contains("\"random_start\":false"), "{text}");
                assert_eq!(serde_json::from_str::<AttackSpec>(&text).unwrap(), spec);
                let error = Budget { restarts: Some(2), ..still }.attack(*name, &threat).unwrap_err();
                assert!(error.to_string().contains("one start is all there is"), "{error}");
                assert!(Budget { restarts: Some(1), ..still }.attack(*name, &threat).is_ok());
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
