//! Judging a model: clean accuracy, and robust accuracy as the worst case over attacks, with exact gradients only.

mod judge;

pub use crate::control::Control;

use crate::batch::{Batch, Images};
use crate::nn::{Classifier, Rng};
use crate::{Error, Result};
use gaat_data::{ImageSet, epoch_order};
use gaat_spec::statistics::wilson_interval;
use gaat_spec::{AttackResult, AttackSpec, Evaluation, ThreatModel};
use judge::{Judge, Tally};
use std::time::Instant;
use tch::Tensor;

/// What to judge, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// Which perturbations count.
    pub threat: ThreatModel,
    /// Attacks, each run on every image that is classified rightly clean.
    pub attacks: Vec<AttackSpec>,
    /// Images judged at once.
    pub batch_size: usize,
    /// Judge only this many images: a subset fixed by the seed.
    pub limit: Option<usize>,
    /// Root of the attacks' random starts.
    pub seed: u64,
}

/// What is being judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Clean images.
    Clean,
    /// An attack.
    Attack {
        /// Its description, such as `pgd-50x10`.
        name: String,
    },
}

/// How far an evaluation is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being judged.
    pub stage: Stage,
    /// Images done in this stage.
    pub done: usize,
    /// Images of this stage.
    pub total: usize,
    /// Share of the images done that withstood this stage.
    pub robust_accuracy: f64,
}

/// Judges `classifier` on `images`, BatchNorm in evaluation mode.
///
/// An image counts as robust under an attack if it is classified rightly clean and after the attack, whichever of its
/// restarts; `robust_accuracy` counts those that withstand every attack.
///
/// # Errors
/// When there is no image, a size does not fit, the observer stops, or an attack fails.
pub fn evaluate(
    classifier: &dyn Classifier,
    images: &ImageSet,
    options: &EvaluateOptions,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    let started = Instant::now();
    if images.is_empty() || options.limit == Some(0) || options.batch_size == 0 {
        return Err(Error::Usage(
            "evaluation needs at least one image and a batch size of at least 1".to_owned(),
        ));
    }
    let subset = options.limit.filter(|limit| *limit < images.len()).map(|limit| {
        let mut order = epoch_order(options.seed, 0, images.len());
        order.truncate(limit);
        order.sort_unstable();
        images.select(&order)
    });
    let images = Images::upload(subset.as_ref().unwrap_or(images), classifier.store().device())?;
    let total = images.len();
    let kind = classifier.store().kind();
    let batch = |index: usize| -> Result<Batch> {
        let start = index * options.batch_size;
        images.range(start, (start + options.batch_size).min(total), kind)
    };
    let count = total.div_ceil(options.batch_size);
    let judge = Judge { classifier, threat: options.threat, rng: Rng::new(options.seed) };
    let mut tell = |stage: Stage, tally: &Tally| {
        let robust_accuracy = tally.withstood as f64 / tally.done.max(1) as f64;
        match observer(&Progress { stage, done: tally.done, total, robust_accuracy }) {
            Control::Continue => Ok(()),
            Control::Stop => Err(Error::Interrupted),
        }
    };
    let mut clean = Tally::default();
    let mut standing = Vec::with_capacity(count);
    for index in 0..count {
        let batch = batch(index)?;
        standing.push(judge.clean(&batch, &mut clean)?);
        tell(Stage::Clean, &clean)?;
    }
    let mut robust = standing.iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
    let mut attacks = Vec::with_capacity(options.attacks.len());
    for spec in &options.attacks {
        let attack_started = Instant::now();
        let mut tally = Tally::default();
        for index in 0..count {
            let survivors = judge.attack(spec, &batch(index)?, index, &standing[index], &mut tally)?;
            robust[index] = judge::both(&robust[index], &survivors)?;
            tell(Stage::Attack { name: spec.to_string() }, &tally)?;
        }
        attacks.push(AttackResult {
            name: spec.to_string(),
            attack: *spec,
            robust_accuracy: tally.withstood as f64 / total as f64,
            interval: wilson_interval(tally.withstood, total),
            seconds: attack_started.elapsed().as_secs_f64(),
            passes: tally.passes,
        });
    }
    let withstood = robust.iter().map(|places| places.size()[0] as usize).sum();
    Ok(Evaluation {
        examples: total,
        threat: options.threat,
        clean_accuracy: clean.withstood as f64 / total as f64,
        clean_interval: wilson_interval(clean.withstood, total),
        alarms: alarms(&attacks),
        attacks,
        robust_accuracy: withstood as f64 / total as f64,
        robust_interval: wilson_interval(withstood, total),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// One step beating many is a sign of masked gradients (Athalye et al. 2018); within a tenth of a point it is chance.
fn alarms(attacks: &[AttackResult]) -> Vec<String> {
    const SLACK: f64 = 0.001;
    let mut found = Vec::new();
    for single in attacks.iter().filter(|result| result.attack.steps == 1) {
        for many in attacks.iter().filter(|result| result.attack.steps > 1) {
            if single.robust_accuracy + SLACK < many.robust_accuracy {
                found.push(format!(
                    "one-step-beats-many: {} leaves {:.2} %, {} leaves {:.2} %: gradients may be masked",
                    single.name,
                    100.0 * single.robust_accuracy,
                    many.name,
                    100.0 * many.robust_accuracy
                ));
            }
        }
    }
    found
}
