//! Judging a model: clean accuracy, and robust accuracy as the worst case over attacks, with exact gradients only.

mod alarms;
mod classes;
mod collapse;
mod constant;
mod crew;
mod grid;
mod judge;
mod ledger;
mod merge;
mod perturb;
mod plan;
mod probes;
mod rounds;
mod saved;
mod verdict;
mod written;

pub use crate::control::Control;
pub(crate) use grid::amplified;
pub use perturb::{GradientSource, PerturbOptions, PerturbedImages, Success, perturb, perturb_batch};
pub use probes::ProbeOptions;
pub use written::EightBit;

use crate::batch::{Choice, Images};
use crate::error::{Error, Result};
use crate::nn::{Classifier, Rng, try_algorithms};
use crate::world::{Alone, World, document_of_leader, same_everywhere};
use gaat_data::ImageSource;
use gaat_spec::collapse::Training;
use gaat_spec::{AttackSpec, Evaluation, Selection, Shard, Subset, ThreatModel, bounds};
use ledger::Ledger;
use probes::Prober;
use rounds::{Part, judge};
use saved::Saved;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What to judge, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// Which perturbations count.
    pub threat: ThreatModel,
    /// Attacks, each run on every image that is classified correctly clean.
    pub attacks: Vec<AttackSpec>,
    /// Images judged at once.
    pub batch_size: usize,
    /// Judge only this many images.
    pub limit: Option<usize>,
    /// Which images these are: a subset fixed by the seed, or the first ones.
    pub selection: Selection,
    /// Seed of the random starts of the attacks.
    pub seed: u64,
    /// Attacks for accuracy over epsilon, the epsilons rising; none where it is not asked for. An image that fell within
    /// a ball counts as fallen in all larger ones, and is not attacked again.
    pub curve: Vec<CurveAttack>,
    /// What is tried beside the attacks, for the alarms.
    pub probes: Option<ProbeOptions>,
    /// What is known of the training, to tell a collapse.
    pub training: Training,
}

impl EvaluateOptions {
    /// Attacks alone on all images, seed 0, without curve and probes.
    pub fn new(threat: ThreatModel, attacks: Vec<AttackSpec>, batch_size: usize) -> Self {
        let (curve, selection) = (Vec::new(), Selection::Seeded);
        let training = Training::default();
        Self { threat, attacks, batch_size, limit: None, selection, seed: 0, curve, probes: None, training }
    }

    /// Which images of a set of `count` are judged.
    fn choice(&self, count: usize) -> Choice {
        Choice { limit: self.limit.unwrap_or(count), selection: self.selection, seed: self.seed }
    }
}

/// A point of robust accuracy over epsilon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveAttack {
    /// Which perturbations count there.
    pub threat: ThreatModel,
    /// The attack; no ensemble.
    pub attack: AttackSpec,
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
/// An image counts as robust under an attack if it is classified correctly clean and after the attack, whichever of its
/// restarts; `robust_accuracy` counts those that withstand every attack.
///
/// # Errors
/// When there is no image, a size does not fit, the observer stops, or an attack fails.
pub fn evaluate(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    evaluate_in(&Alone, classifier, images, options, None, observer)
}

/// The same, with all that was found so far in the file `state` after every batch. Where the file is there already,
/// the evaluation continues from it and ends as if it had never stopped; times aside.
///
/// # Errors
/// As [`evaluate`]; also when the file cannot be read or written, or belongs to another evaluation.
pub fn evaluate_resumable(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    state: &Path,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    evaluate_in(&Alone, classifier, images, options, Some(state), observer)
}

/// The same in one of several processes, which all call this with the same network, images and options, and all have the verdict:
/// each judges a part of the batches. The leader alone reads and writes `state`, which is as one process would write it.
///
/// # Errors
/// As [`evaluate_resumable`]; also when one of the others fails, cannot be reached, or judges something else.
pub fn evaluate_in(
    world: &dyn World,
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    state: Option<&Path>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    let judged = evaluated(world, classifier, images, options, state, observer);
    world.part(judged.as_ref().err().map(ToString::to_string).as_deref());
    judged
}

fn evaluated(
    world: &dyn World,
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    state: Option<&Path>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    let saved = match state {
        Some(state) => Some(Saved::new(state, classifier, &images.digest()?, options, Shard::WHOLE)?),
        None => None,
    };
    if world.size() > 1 {
        let judged = saved::judged(classifier, &images.digest()?, options)?;
        same_everywhere(world, &[("what is judged", judged)])?;
    }
    let set = Set::of(classifier, images, options)?;
    let mut ledger = match &saved {
        Some(saved) if world.rank() == 0 => saved.read()?,
        _ => Ledger::default(),
    };
    if world.size() > 1 {
        let document = serde_json::to_vec(&ledger).map_err(std::io::Error::from)?;
        let document = document_of_leader(world, document)?;
        ledger = serde_json::from_slice(&document).map_err(std::io::Error::from)?;
    }
    let saved = saved.filter(|_| world.rank() == 0);
    judge(
        classifier,
        &set,
        options,
        Part { world, shard: Shard::WHOLE, saved: saved.as_ref() },
        &mut ledger,
        observer,
    )?;
    conclude(classifier, &set, options, &ledger)
}

/// Judges part `shard` of the batches and leaves what was found in the file `state`; [`merge()`] makes the verdict out of all
/// parts, which need not know of each other. Continues from the file where it is there.
///
/// # Errors
/// As [`evaluate_resumable`]; also when there are more parts than batches.
pub fn evaluate_shard(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    (shard, state): (Shard, &Path),
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<()> {
    let saved = Saved::new(state, classifier, &images.digest()?, options, shard)?;
    let set = Set::of(classifier, images, options)?;
    let batches = set.images.batch_count(options.batch_size);
    if shard.of > batches {
        return Err(Error::Usage(format!(
            "part {shard}: {} images in batches of {} are {batches} batches, which is the smallest part: use fewer parts, or a smaller \
             batch size for all of them",
            set.images.len(),
            options.batch_size
        )));
    }
    let mut ledger = saved.read()?;
    judge(
        classifier,
        &set,
        options,
        Part { world: &Alone, shard, saved: Some(&saved) },
        &mut ledger,
        observer,
    )
}

/// The verdict out of the files `states` of all parts that [`evaluate_shard`] has judged, as one process would have made it but for
/// the seconds, which are those of all parts together. No attack runs.
///
/// # Errors
/// When a part is missing, twice there, not done, or of another evaluation; the message names the file.
pub fn merge(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &EvaluateOptions,
    states: &[PathBuf],
) -> Result<Evaluation> {
    let set = Set::of(classifier, images, options)?;
    let batches = set.images.batch_count(options.batch_size);
    let stages = plan::plan(options, classifier.class_count() as usize)?;
    let judged = saved::judged(classifier, &images.digest()?, options)?;
    let ledger = merge::merged(states, &judged, &stages, batches)?;
    conclude(classifier, &set, options, &ledger)
}

/// The same for images that lie on the device already, bytes or floating point, of classes with `class_names`; resumable where
/// `state` names a file.
///
/// # Errors
/// As [`evaluate_resumable`].
pub fn evaluate_images(
    classifier: &dyn Classifier,
    images: &Images<'_>,
    class_names: &[String],
    options: &EvaluateOptions,
    state: Option<&Path>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    let saved = match state {
        Some(state) => Some(Saved::new(state, classifier, &images.fingerprint()?, options, Shard::WHOLE)?),
        None => None,
    };
    check(options, images.len())?;
    let choice = options.choice(images.len());
    let chosen = images.chosen(choice)?;
    let set = Set { images: chosen, names: class_names, subset: choice.subset(images.len()) };
    let mut ledger = saved.as_ref().map_or_else(|| Ok(Ledger::default()), Saved::read)?;
    let part = Part { world: &Alone, shard: Shard::WHOLE, saved: saved.as_ref() };
    judge(classifier, &set, options, part, &mut ledger, observer)?;
    conclude(classifier, &set, options, &ledger)
}

/// What is judged.
struct Set<'a> {
    images: Images<'a>,
    names: &'a [String],
    /// Which images these are, where they are not all.
    subset: Option<Subset>,
}

impl<'a> Set<'a> {
    /// Those of `images` that `options` choose, where `classifier` computes.
    fn of(
        classifier: &dyn Classifier,
        images: &'a dyn ImageSource,
        options: &EvaluateOptions,
    ) -> Result<Self> {
        check(options, images.len())?;
        let choice = options.choice(images.len());
        Ok(Self {
            images: Images::upload_some(images, choice, classifier.store().device())?,
            names: images.class_names(),
            subset: choice.subset(images.len()),
        })
    }
}

/// Refuses sizes that do not fit.
fn check(options: &EvaluateOptions, count: usize) -> Result<()> {
    if count == 0 || options.limit == Some(0) || options.batch_size == 0 {
        return Err(Error::Usage(
            "evaluation needs at least one image and a batch size of at least 1".to_owned(),
        ));
    }
    bounds::BATCH_SIZE.check(options.batch_size)?;
    options.limit.map(|limit| bounds::LIMIT.check(limit)).transpose()?;
    if let Some(ProbeOptions { images, noise_draws }) = options.probes {
        bounds::PROBE_IMAGES.check(images)?;
        bounds::NOISE_DRAWS.check(noise_draws)?;
    }
    Ok(())
}

/// The verdict out of a whole `ledger`, with classes, alarms and probes.
fn conclude(
    classifier: &dyn Classifier,
    Set { images, names, subset }: &Set<'_>,
    options: &EvaluateOptions,
    ledger: &Ledger,
) -> Result<Evaluation> {
    try_algorithms(false);
    let classes = classifier.class_count() as usize;
    let plan = plan::plan(options, classes)?;
    let notes = plan::notes(options, classes)?;
    let mut verdict = verdict::verdict(ledger, &plan, options, images.len(), notes);
    verdict.precision = Some(classifier.compute_precision());
    verdict.subset = *subset;
    let stages = verdict::last_stages(&plan);
    verdict.classes = classes::classes(names, images, options.batch_size, ledger, &stages)?;
    classifier.begin_step(Rng::new(options.seed), 0);
    verdict.alarms.extend(constant::alarm(classifier, images, options.batch_size, &verdict.classes)?);
    let robust = ledger.withstood_all(&stages);
    let robust = robust.into_iter().map(|(batch, place)| (batch * options.batch_size) as i64 + place);
    let prober = Prober { classifier, images, threat: options.threat, rng: Rng::new(options.seed) };
    let (probes, alarms) = prober.probe(options.probes, &robust.collect::<Vec<_>>())?;
    verdict.probes = probes;
    verdict.alarms.extend(alarms);
    Ok(verdict)
}
