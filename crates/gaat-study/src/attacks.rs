//! Attacks by name, with the numbers that are customary for a data set.

use crate::error::{Error, Result};
use gaat_spec::{AttackName, AttackSpec, Budget, DatasetName, ThreatModel};

/// Steps of PGD where nothing else is said.
const PGD_STEPS: usize = 50;

/// Attacks by name, and what they may spend.
#[derive(Debug, Clone)]
pub struct Attacks<'a> {
    /// Their names.
    pub names: &'a [AttackName],
    /// Numbers that are not customary.
    pub budget: Budget,
}

impl Attacks<'_> {
    /// The attacks with their numbers under `threat` on images of `dataset`, each once, in the order of the names.
    ///
    /// # Errors
    /// When there is no name, a number of the budget belongs to none of the attacks or is out of its range, or an attack is not
    /// for the norm of `threat`.
    pub fn specs(&self, threat: &ThreatModel, dataset: DatasetName) -> Result<Vec<AttackSpec>> {
        if self.names.is_empty() {
            return Err(Error::Usage(format!("no attack to judge by; known: {}", AttackName::listed())));
        }
        self.budget.check_used(self.names)?;
        let mut specs: Vec<AttackSpec> = Vec::new();
        for name in self.names {
            let step_size = match self.budget.step_size {
                None if *name == AttackName::Pgd => {
                    dataset.customary_step(threat, self.budget.steps.unwrap_or(PGD_STEPS))
                }
                given => given,
            };
            let spec = Budget { step_size, ..self.budget }.attack(*name, threat)?;
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        Ok(specs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::Norm;

    fn step(dataset: DatasetName, epsilon: &str, steps: usize) -> f64 {
        let threat = ThreatModel::new(Norm::Linf, epsilon.parse().unwrap()).unwrap();
        let budget = Budget { steps: Some(steps), ..Budget::default() };
        let attacks = Attacks { names: &[AttackName::Pgd], budget };
        attacks.specs(&threat, dataset).unwrap()[0].step_size().unwrap().value()
    }

    #[test]
    fn mnist_at_its_usual_epsilon_is_judged_as_in_the_literature() {
        assert_eq!(step(DatasetName::Mnist, "0.3", 50), 0.01);
        assert!((step(DatasetName::Mnist, "0.3", 20) - 0.0375).abs() < 1e-12);
        assert!((step(DatasetName::Mnist, "0.1", 50) - 0.005).abs() < 1e-12);
        assert!((step(DatasetName::Cifar10, "8/255", 50) - 0.4 / 255.0).abs() < 1e-12);
    }

    #[test]
    fn an_attack_named_twice_runs_once() {
        let threat = ThreatModel::new(Norm::Linf, "0.3".parse().unwrap()).unwrap();
        let names = [AttackName::Pgd, AttackName::Fgsm, AttackName::Pgd];
        let budget = Budget { steps: Some(10), restarts: Some(2), ..Budget::default() };
        let attacks = Attacks { names: &names, budget };
        let specs = attacks.specs(&threat, DatasetName::Digits).unwrap();
        assert_eq!(specs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pgd-10x2", "fgsm"]);
    }
}
