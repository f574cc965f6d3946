//! Judging a model: clean accuracy, and robust accuracy as the worst case over attacks, with exact gradients only.

mod alarms;
mod classes;
mod collapse;
mod constant;
mod crew;
mod grid;
mod judge;
mod ledger;
mod perturb;
mod plan;
mod probes;
mod saved;
mod verdict;
mod written;

pub use crate::control::Control;
pub(crate) use grid::amplified;
pub use perturb::{GradientSource, PerturbOptions, PerturbedImages, Success, perturb, perturb_batch};
pub use probes::ProbeOptions;
pub use written::EightBit;

use crate::batch::{Batch, Choice, Images};
use crate::libtorch::Doing as _;
use crate::nn::{Classifier, Rng, try_algorithms};
use crate::{Error, Result};
use crew::Crew;
use gaat_data::ImageSource;
use gaat_spec::collapse::Training;
use gaat_spec::{AttackSpec, Evaluation, Passes, Selection, Subset, ThreatModel, bounds};
use judge::Judge;
use ledger::{Entry, Ledger};
use plan::{Planned, Task};
use probes::Prober;
use saved::Saved;
use serde::Serialize;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;
use tch::Kind;

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
    /// Root of the attacks' random starts.
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
    judge(classifier, Set::of(classifier, images, options)?, options, None, observer)
}

/// The same, with all that was found so far in the file `state` after every batch. Where the file is there already,
/// the evaluation goes on from it and ends as if it had never stopped; times aside.
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
    let saved = Saved::new(state, classifier, &images.digest()?, options)?;
    judge(classifier, Set::of(classifier, images, options)?, options, Some(&saved), observer)
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
        Some(state) => Some(Saved::new(state, classifier, &images.fingerprint()?, options)?),
        None => None,
    };
    check(options, images.len())?;
    let choice = options.choice(images.len());
    let chosen = images.chosen(choice)?;
    let set = Set { images: chosen, names: class_names, subset: choice.subset(images.len()) };
    judge(classifier, set, options, saved.as_ref(), observer)
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

fn judge(
    classifier: &dyn Classifier,
    Set { images, names, subset }: Set<'_>,
    options: &EvaluateOptions,
    saved: Option<&Saved>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Evaluation> {
    try_algorithms(false);
    let classes = classifier.class_count() as usize;
    let plan = plan::plan(options, classes)?;
    let notes = plan::notes(options, classes)?;
    let mut ledger = saved.map_or_else(|| Ok(Ledger::default()), Saved::read)?;
    let run = Run { images: &images, plan: &plan, options, kind: classifier.store().kind(), saved };
    let mut crew = Crew::new(classifier, images.len().div_ceil(options.batch_size))?;
    run.stages(&mut crew, &mut ledger, observer)?;
    let mut verdict = verdict::verdict(&ledger, &plan, options, images.len(), notes);
    verdict.precision = Some(classifier.compute_precision());
    verdict.subset = subset;
    let stages = verdict::last_stages(&plan);
    verdict.classes = classes::classes(names, &images, options.batch_size, &ledger, &stages)?;
    classifier.begin_step(Rng::new(options.seed), 0);
    verdict.alarms.extend(constant::alarm(classifier, &images, options.batch_size, &verdict.classes)?);
    let robust = ledger.withstood_all(&stages);
    let robust = robust.into_iter().map(|(batch, place)| (batch * options.batch_size) as i64 + place);
    let prober = Prober { classifier, images: &images, threat: options.threat, rng: Rng::new(options.seed) };
    let (probes, alarms) = prober.probe(options.probes, &robust.collect::<Vec<_>>())?;
    verdict.probes = probes;
    verdict.alarms.extend(alarms);
    Ok(verdict)
}

/// An evaluation under way.
struct Run<'a> {
    images: &'a Images<'a>,
    plan: &'a [Planned],
    options: &'a EvaluateOptions,
    kind: Kind,
    saved: Option<&'a Saved>,
}

/// One batch to be judged.
struct Job {
    index: usize,
    batch: Batch,
    /// Places of the images that are attacked.
    standing: Vec<i64>,
}

impl Run<'_> {
    /// Runs what is left of the plan, and writes it into the ledger.
    fn stages(
        &self,
        crew: &mut Crew<'_>,
        ledger: &mut Ledger,
        observer: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<()> {
        let batches = self.images.len().div_ceil(self.options.batch_size);
        for (stage, planned) in self.plan.iter().enumerate() {
            if ledger.stages.len() == stage {
                ledger.stages.push(Entry::default());
            }
            while let first = ledger.stages[stage].survivors.len()
                && first < batches
            {
                let last = (first + crew.hands()).min(batches);
                self.batches(crew, planned, first..last, stage, ledger)?;
                if let Some(saved) = self.saved {
                    saved.write(ledger)?;
                }
                let (done, total) =
                    ((last * self.options.batch_size).min(self.images.len()), self.images.len());
                let robust_accuracy = ledger.stages[stage].withstood() as f64 / done as f64;
                let stage = match &planned.task {
                    Task::Clean => Stage::Clean,
                    Task::Attack(..) | Task::Curve(..) => Stage::Attack { name: planned.name.clone() },
                };
                if let Control::Stop = observer(&Progress { stage, done, total, robust_accuracy }) {
                    return Err(Error::Interrupted);
                }
            }
        }
        Ok(())
    }

    /// Some batches of one stage, at the same time.
    fn batches(
        &self,
        crew: &mut Crew<'_>,
        planned: &Planned,
        indices: Range<usize>,
        stage: usize,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let started = Instant::now();
        let jobs = indices.map(|index| self.job(planned, index, ledger)).collect::<Result<Vec<_>>>()?;
        let rng = Rng::new(self.options.seed);
        let found = crew.each(jobs, |classifier, Job { index, batch, standing }| {
            let judge = Judge { classifier, rng };
            match &planned.task {
                Task::Clean => Ok((judge.clean(&batch, index)?, Passes::default())),
                Task::Attack(_, part) | Task::Curve(part) => {
                    judge.attack((part, &planned.threat), &batch, index, &standing)
                }
            }
        });
        let entry = &mut ledger.stages[stage];
        for one in found {
            let (left, passes) = one.doing(|| format!("judging under {}", planned.name))?;
            entry.survivors.push(left);
            entry.passes += passes;
        }
        entry.seconds += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn job(&self, planned: &Planned, index: usize, ledger: &Ledger) -> Result<Job> {
        let start = index * self.options.batch_size;
        let end = (start + self.options.batch_size).min(self.images.len());
        let batch = self.images.range(start, end, self.kind)?;
        let before = ledger.stages.get(planned.after).and_then(|before| before.survivors.get(index));
        Ok(Job { index, batch, standing: before.cloned().unwrap_or_default() })
    }
}
