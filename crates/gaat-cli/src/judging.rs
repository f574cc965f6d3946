//! Attacks from the flags of `evaluate` and `compare`.

use anyhow::{Result, bail};
use gaat_spec::{AttackName, AttackSpec, Budget, DatasetName, Norm, PixelLength, ThreatModel};

/// The epsilon and the step that MNIST is judged with in the literature (Wong et al. 2020).
const MNIST_EPSILON: f64 = 0.3;
const MNIST_STEP: f64 = 0.01;
/// Steps of PGD where nothing else is said.
const PGD_STEPS: usize = 50;

/// Attacks as typed.
#[derive(Debug, Clone)]
pub(crate) struct Attacks<'a> {
    pub(crate) names: &'a [AttackName],
    pub(crate) budget: Budget,
}

impl Attacks<'_> {
    /// The attacks with their numbers under `threat`, each once, in the order typed.
    pub(crate) fn specs(&self, threat: &ThreatModel, dataset: DatasetName) -> Result<Vec<AttackSpec>> {
        if self.names.is_empty() {
            let known: Vec<_> = AttackName::ALL.iter().map(|name| name.as_str()).collect();
            bail!("no attack to judge by; known: {}", known.join(", "));
        }
        self.budget.check_used(self.names)?;
        let mut specs: Vec<AttackSpec> = Vec::new();
        for name in self.names {
            let step_size = match self.budget.step_size {
                None if *name == AttackName::Pgd => self.customary_step(threat, dataset)?,
                given => given,
            };
            let spec = Budget { step_size, ..self.budget }.attack(*name, threat)?;
            if !specs.contains(&spec) {
                specs.push(spec);
            }
        }
        Ok(specs)
    }

    /// A step that a data set is always judged with, if its steps still cross the ball.
    fn customary_step(&self, threat: &ThreatModel, dataset: DatasetName) -> Result<Option<PixelLength>> {
        let is_customary = dataset == DatasetName::Mnist
            && threat.norm() == Norm::Linf
            && threat.epsilon() == MNIST_EPSILON
            && MNIST_STEP * self.budget.steps.unwrap_or(PGD_STEPS) as f64 > MNIST_EPSILON;
        Ok(if is_customary { Some(PixelLength::new(MNIST_STEP)?) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
