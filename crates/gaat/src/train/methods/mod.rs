//! Training methods, one file each.

mod awp;
mod free;
mod gaat;
mod gaat_memory;
mod gradalign;
mod mart;
mod mep;
mod natural;
mod nuat;
mod one_step;
mod rat;
mod trades;

pub use awp::Awp;
pub use free::Free;
pub use gaat::Gaat;
pub use gaat_memory::GaatMemory;
pub use gradalign::GradAlign;
pub use mart::Mart;
pub use mep::FgsmMep;
pub use natural::Natural;
pub use nuat::Nuat;
pub use one_step::OneStep;
pub use rat::Rat;
pub use trades::Trades;

use super::step::{Setting, TrainingMethod};
use crate::error::Result;
use gaat_spec::{AwpSpec, MethodSpec};

/// The method of a specification, its weights perturbed where `awp` says so.
///
/// # Errors
/// When the device has no room for what the method remembers.
pub fn build(spec: MethodSpec, awp: Option<AwpSpec>, setting: &Setting) -> Result<Box<dyn TrainingMethod>> {
    let method: Box<dyn TrainingMethod> = match spec {
        MethodSpec::Natural => Box::new(Natural),
        MethodSpec::Rat(pgd) => Box::new(Rat::new(pgd)),
        MethodSpec::Gaat(gaat) => Box::new(Gaat::new(gaat, setting)?),
        MethodSpec::GaatMemory { step_size, noise } => Box::new(GaatMemory::new(step_size, noise, setting)?),
        MethodSpec::OneStep(spec) => Box::new(OneStep::new(spec, setting)?),
        MethodSpec::Nuat { step_size, regularization } => Box::new(Nuat::new(step_size, regularization)),
        MethodSpec::Free { step_size, random_start, replays } => {
            Box::new(Free::new(step_size, random_start, setting)?.replaying(replays))
        }
        MethodSpec::FgsmMep { step_size, regularization, reset_epochs } => {
            Box::new(FgsmMep::new(step_size, regularization, reset_epochs, setting)?)
        }
        MethodSpec::GradAlign { step_size, regularization } => {
            Box::new(GradAlign::new(step_size, regularization))
        }
        MethodSpec::Trades { attack, regularization } => Box::new(Trades::new(attack, regularization)),
        MethodSpec::Mart { attack, regularization } => Box::new(Mart::new(attack, regularization)),
    };
    Ok(match awp {
        Some(awp) => Box::new(Awp::new(method, awp)),
        None => method,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::trial::Trial;
    use gaat_spec::{MethodName, Recipe};
    use tch::Kind;

    fn checked(method: &str) -> gaat_spec::CheckedRecipe {
        let method: MethodName = method.parse().unwrap();
        Recipe { method: Some(method), steps: Some(2), ..Recipe::default() }.check().unwrap()
    }

    #[test]
    fn running_statistics_follow_the_training_passes_alone() {
        tch::set_num_threads(1);
        let methods = [
            ("natural", 1),
            ("rat", 1),
            ("gaat", 1),
            ("gaat-memory", 1),
            ("fgsm-rs", 1),
            ("n-fgsm", 1),
            ("zerograd", 1),
            ("sora", 1),
            ("liet", 1),
            ("fgsm-uap", 1),
            ("nuat", 2),
            ("free", 1),
            ("gaat-free", 1),
            ("fgsm-mep", 1),
            ("gradalign", 1),
            ("trades", 2),
            ("mart", 2),
            ("awp+rat", 1),
            ("awp+fgsm-mep", 1),
            ("awp+gradalign", 1),
            ("awp+trades", 2),
        ];
        for (name, updates) in methods {
            let mut trial = Trial::new("wide-resnet-10-1", Kind::Float);
            let means: Vec<_> = trial
                .classifier
                .store()
                .named()
                .iter()
                .filter(|entry| entry.name.ends_with("running_mean"))
                .collect();
            assert!(!means.is_empty());
            let means: Vec<_> = means.into_iter().map(|entry| entry.tensor.shallow_clone()).collect();
            for mean in &means {
                let _ = mean.shallow_clone().fill_(1e6);
            }
            let recipe = checked(name);
            let mut method = build(recipe.method, recipe.plan.awp(), &trial.setting()).unwrap();
            trial.step(method.as_mut(), 0).unwrap();
            for mean in &means {
                // Each update keeps nine tenths.
                let left = mean.mean(Kind::Double).double_value(&[]) / 1e6;
                assert!((left - 0.9f64.powi(updates)).abs() < 1e-4, "{name}: {left} of the mean left");
            }
        }
    }
}
