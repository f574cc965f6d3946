//! Perturbed images themselves, to be looked at or used elsewhere.

use super::judge::{begun, build};
use crate::attack::survival::{check_pixels, correct, standing_clean};
use crate::attack::{Exact, GradientOracle, Taylor, UnderAttack, ball, run};
use crate::batch::{Batch, Choice, Images};
use crate::error::{Error, Result};
use crate::libtorch::Doing as _;
use crate::nn::{Classifier, Mode, Rng, answer};
use crate::taylor::TaylorModel;
use gaat_data::ImageSource;
use gaat_spec::{Anchor, AttackSpec, Curvature, Norm, Passes, Selection, Subset, ThreatModel, bounds};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Where the gradients of an attack come from. Success is the network's own verdict in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientSource {
    /// The network.
    Exact,
    /// A Taylor model: of the cross-entropy with this curvature, or of the logits to first order, whichever the attack
    /// climbs.
    Taylor {
        /// Curvature of the cross-entropy's model.
        curvature: Curvature,
        /// Expansions in so many steps as the attack has: the first at the clean image, the others where it has come to.
        refreshes: usize,
    },
}

/// How to perturb.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerturbOptions {
    /// Which perturbations count.
    pub threat: ThreatModel,
    /// The attack; restarts and the parts of an ensemble continue with the images that withstood.
    pub attack: AttackSpec,
    /// Where its gradients come from.
    pub gradient: GradientSource,
    /// Images at once.
    pub batch_size: usize,
    /// Perturb only this many images: those that an evaluation with this limit, selection and seed judges.
    pub limit: Option<usize>,
    /// Which images these are: a subset fixed by the seed, or the first ones.
    pub selection: Selection,
    /// Seed of the random starts.
    pub seed: u64,
}

/// Images before and after an attack, on the CPU. Those that were wrong already are left as they are.
#[derive(Debug)]
pub struct PerturbedImages {
    /// `[N, C, H, W]` in `[0, 1]`.
    pub clean: Tensor,
    /// The same images under attack.
    pub perturbed: Tensor,
    /// `[N]`, i64.
    pub labels: Tensor,
    /// Place of each image in the set that it came from.
    pub places: Vec<usize>,
    /// Which images these are, where they are not all.
    pub subset: Option<Subset>,
    /// What the network says of the clean images, `[N]`, i64.
    pub clean_predictions: Tensor,
    /// What it says of the perturbed ones, `[N]`, i64.
    pub predictions: Tensor,
    /// Passes of the attack.
    pub passes: Passes,
    /// What the attack and the verdicts on it took.
    pub seconds: f64,
}

/// How an attack fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Success {
    /// Images that were classified correctly clean.
    pub attacked: usize,
    /// Those of them that are misclassified perturbed.
    pub fooled: usize,
    /// Mean length of the perturbations that misclassify, in the norm of the threat model; `None` where there is none.
    pub mean_length: Option<f64>,
}

impl PerturbedImages {
    /// Shares of the images that are classified correctly, clean and perturbed.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn accuracies(&self) -> Result<(f64, f64)> {
        let share = |predictions: &Tensor| -> Result<f64> {
            let right = predictions.f_eq_tensor(&self.labels)?.f_to_kind(Kind::Double)?;
            Ok(right.f_mean(None::<Kind>)?.f_double_value(&[])?)
        };
        Ok((share(&self.clean_predictions)?, share(&self.predictions)?))
    }

    /// How the attack fared, lengths measured in `norm`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn success(&self, norm: Norm) -> Result<Success> {
        let was_right = self.clean_predictions.f_eq_tensor(&self.labels)?;
        let fooled = was_right.f_logical_and(&self.predictions.f_ne_tensor(&self.labels)?)?;
        let lengths = ball::lengths(&(&self.perturbed - &self.clean), norm).f_masked_select(&fooled)?;
        let count =
            |mask: &Tensor| -> Result<usize> { Ok(mask.f_sum(Kind::Int64)?.f_int64_value(&[])? as usize) };
        let mean_length = match lengths.numel() {
            0 => None,
            _ => Some(lengths.f_mean(Kind::Double)?.f_double_value(&[])?),
        };
        Ok(Success { attacked: count(&was_right)?, fooled: count(&fooled)?, mean_length })
    }
}

/// Perturbs `images`. The last attempt on an image that withstood all of them is kept.
///
/// # Errors
/// When there is no image, or the attack fails: with a Taylor model, one that climbs logits where a curvature is given.
pub fn perturb(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &PerturbOptions,
) -> Result<PerturbedImages> {
    if images.is_empty() || options.batch_size == 0 || options.limit == Some(0) {
        return Err(Error::Usage(
            "an attack needs at least one image and a batch size of at least 1".to_owned(),
        ));
    }
    bounds::BATCH_SIZE.check(options.batch_size)?;
    if let GradientSource::Taylor { curvature, refreshes } = options.gradient {
        for part in options.attack.parts(classifier.class_count() as usize)? {
            taylor_model(curvature, refreshes, &part, &options.threat)?;
        }
    }
    options.limit.map(|limit| bounds::LIMIT.check(limit)).transpose()?;

    let count = images.len();
    let PerturbOptions { limit, selection, seed, .. } = *options;
    let choice = Choice { limit: limit.unwrap_or(count), selection, seed };
    let images = Images::upload_some(images, choice, classifier.store().device())?;
    let kind = classifier.store().kind();
    let mut parts: [Vec<Tensor>; 5] = Default::default();
    let mut passes = Passes::default();
    let mut seconds = 0.0;
    for (index, batch) in images.batches(options.batch_size, kind) {
        let batch = batch?;
        let start = index * options.batch_size;
        let started = Instant::now();
        let (perturbed, cost) = perturb_batch(classifier, &batch, index, options).doing(|| {
            format!("attacking images {start} to {}", start + batch.labels.size()[0] as usize - 1)
        })?;
        passes += cost;
        seconds += started.elapsed().as_secs_f64();
        let answer = |pixels: &Tensor| -> Result<Tensor> {
            answer::verdicts(&tch::no_grad(|| classifier.logits(pixels, Mode::Eval))?)
        };
        let (before, after) = (answer(&batch.pixels)?, answer(&perturbed)?);
        for (part, found) in parts.iter_mut().zip([batch.pixels, perturbed, batch.labels, before, after]) {
            part.push(found.f_to_device(Device::Cpu)?);
        }
    }
    let join = |part: &Vec<Tensor>| Tensor::f_cat(part, 0);
    let [clean, perturbed, labels, clean_predictions, predictions] = &parts;
    Ok(PerturbedImages {
        clean: join(clean)?,
        perturbed: join(perturbed)?,
        labels: join(labels)?,
        places: choice.places(count).unwrap_or_else(|| (0..count).collect()),
        subset: choice.subset(count),
        clean_predictions: join(clean_predictions)?,
        predictions: join(predictions)?,
        passes,
        seconds,
    })
}

/// Perturbs one batch, the `index`th of its set, and counts the passes. Images that are wrong clean come back as they are, those
/// that withstood every attack as the last attempt left them. Batch size, limit and selection of `options` are not looked at.
///
/// # Errors
/// As [`perturb`].
pub fn perturb_batch(
    classifier: &dyn Classifier,
    batch: &Batch,
    index: usize,
    options: &PerturbOptions,
) -> Result<(Tensor, Passes)> {
    let mut passes = Passes::default();
    let rng = Rng::new(options.seed);
    let perturbed = batch.pixels.f_detach()?.f_alias_copy()?;
    classifier.begin_step(rng, index as u64);
    let mut standing = standing_clean(classifier, batch)?;
    for part in options.attack.parts(classifier.class_count() as usize)? {
        for restart in 0..part.restarts() {
            if standing.size()[0] == 0 {
                return Ok((perturbed, passes));
            }
            let clean = batch.pixels.f_index_select(0, &standing)?;
            let labels = batch.labels.f_index_select(0, &standing)?;
            let draws = rng.seeded(&format!("evaluate/{}/{restart}", part.name()), index as u64);
            classifier.begin_step(rng, begun(index, restart));
            let mut oracle: Box<dyn GradientOracle + '_> = match options.gradient {
                GradientSource::Exact => Box::new(Exact::new(classifier, Mode::Eval)),
                GradientSource::Taylor { curvature, refreshes } => {
                    let model = taylor_model(curvature, refreshes, &part, &options.threat)?;
                    let labels_drawn = draws.branch("curvature");
                    Box::new(Taylor::new(classifier, Mode::Eval, &clean, model, labels_drawn))
                }
            };
            let attack = build(&part, restart)?;
            let found = run(
                attack.as_ref(),
                oracle.as_mut(),
                UnderAttack::new(&clean, &labels, &options.threat, &draws),
            )?;
            passes += oracle.passes();
            check_pixels(found.pixels())?;
            let _written = perturbed.shallow_clone().f_index_copy_(0, &standing, found.pixels())?;
            let kept = correct(classifier, found.pixels(), &labels)?;
            standing = standing.f_masked_select(&kept)?;
        }
    }
    Ok((perturbed, passes))
}

fn taylor_model(
    curvature: Curvature,
    refreshes: usize,
    attack: &AttackSpec,
    threat: &ThreatModel,
) -> Result<TaylorModel> {
    let steps = attack.steps().unwrap_or(1);
    if refreshes == 0 || refreshes > steps {
        return Err(Error::Usage(format!(
            "refreshes {refreshes}: {attack} takes {steps} steps; give 1 to {steps}"
        )));
    }
    Ok(TaylorModel { steps, refreshes, ..TaylorModel::once(Anchor::Clean, curvature, threat) })
}
