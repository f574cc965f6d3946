//! Judging a model: clean accuracy, and robust accuracy as the worst case over attacks, with exact gradients only.

mod alarms;
mod judge;
mod ledger;
mod plan;
mod verdict;

pub use crate::control::Control;

use crate::batch::Images;
use crate::nn::{Classifier, Rng};
use crate::{Error, Result};
use gaat_data::{ImageSet, epoch_order};
use gaat_spec::{AttackSpec, Evaluation, ThreatModel};
use judge::Judge;
use ledger::Ledger;
use plan::Planned;
use std::time::Instant;

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
    if images.is_empty() || options.limit == Some(0) || options.batch_size == 0 {
        return Err(Error::Usage(
            "evaluation needs at least one image and a batch size of at least 1".to_owned(),
        ));
    }
    let classes = classifier.class_count() as usize;
    let plan = plan::plan(&options.attacks, classes)?;
    let notes = plan::notes(&options.attacks, classes, &options.threat)?;
    let subset = options.limit.filter(|limit| *limit < images.len()).map(|limit| {
        let mut order = epoch_order(options.seed, 0, images.len());
        order.truncate(limit);
        order.sort_unstable();
        images.select(&order)
    });
    let images = Images::upload(subset.as_ref().unwrap_or(images), classifier.store().device())?;
    let judge = Judge { classifier, threat: options.threat, rng: Rng::new(options.seed) };
    let mut ledger = Ledger::default();
    run_stages(&judge, &images, &plan, options.batch_size, &mut ledger, observer)?;
    Ok(verdict::verdict(&ledger, &plan, options, images.len(), notes))
}

/// Runs what is left of the plan, and writes it into the ledger.
fn run_stages(
    judge: &Judge,
    images: &Images,
    plan: &[Planned],
    batch_size: usize,
    ledger: &mut Ledger,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<()> {
    let (total, kind) = (images.len(), judge.classifier.store().kind());
    for (stage, planned) in plan.iter().enumerate() {
        let mut entry = ledger.stages.get(stage).cloned().unwrap_or_default();
        ledger.stages.truncate(stage);
        for index in entry.survivors.len()..total.div_ceil(batch_size) {
            let started = Instant::now();
            let end = ((index + 1) * batch_size).min(total);
            let batch = images.range(index * batch_size, end, kind)?;
            let left = match &planned.attack {
                None => judge.clean(&batch)?,
                Some((_, part)) => {
                    let standing =
                        ledger.stages.get(planned.after).and_then(|before| before.survivors.get(index));
                    let standing = standing.map_or(&[][..], Vec::as_slice);
                    let (left, passes) = judge.attack(part, &batch, index, standing)?;
                    entry.passes += passes;
                    left
                }
            };
            entry.survivors.push(left);
            entry.seconds += started.elapsed().as_secs_f64();
            let robust_accuracy = entry.withstood() as f64 / end as f64;
            let stage = match &planned.attack {
                None => Stage::Clean,
                Some(_) => Stage::Attack { name: planned.name.clone() },
            };
            if let Control::Stop = observer(&Progress { stage, done: end, total, robust_accuracy }) {
                return Err(Error::Interrupted);
            }
        }
        ledger.stages.push(entry);
    }
    Ok(())
}
