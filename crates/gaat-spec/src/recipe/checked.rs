//! A recipe filled in and checked: the only thing that runs.

use super::read::{count, need, positive, within};
use super::{Recipe, labels, method, mixing};
use crate::error::{Error, Result};
use crate::method::{BaseMethod, MethodName, MethodSpec};
use crate::model::ModelName;
use crate::names::{CollapsePolicy, ConsistencyForm, DatasetName, OptimizerName};
use crate::normalization::NormalizationChoice;
use crate::plan::{ConsistencySpec, Plan};
use crate::schedule::Schedule;
use crate::size::Size;
use crate::threat::ThreatModel;
use crate::{bounds, defaults};

/// The optimiser computes in single precision, which holds little more.
const MOST_LEARNING_RATE: f64 = 1e38;

/// A recipe that has been filled in and checked; the fields are read-only by convention of [`Recipe::check`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckedRecipe {
    /// Every key with its value: what is saved with the run and reproduces it.
    pub resolved: Recipe,
    /// Data set.
    pub dataset: DatasetName,
    /// Network.
    pub model: ModelName,
    /// Method by name.
    pub method_name: MethodName,
    /// Method with its numbers.
    pub method: MethodSpec,
    /// The numbers of the training.
    pub plan: Plan,
    /// Scaling of pixels inside the model.
    pub normalization: NormalizationChoice,
    /// Share of the training images held out.
    pub validation_fraction: f64,
    /// Device as written.
    pub device: String,
    /// Precision as written.
    pub precision: String,
}

/// Optimiser settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerSpec {
    /// Kind.
    pub name: OptimizerName,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Nesterov momentum.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Whether the penalty also covers BatchNorm parameters and biases.
    pub decay_norm_and_bias: bool,
}

/// Augmentation of training batches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AugmentationSpec {
    /// Zero padding before a random crop back to the original size; 0 is off.
    pub crop_padding: usize,
    /// Random horizontal flip.
    pub flip: bool,
    /// Size of the crop that the network is given; `None` for that of the images.
    pub crop: Option<Size>,
    /// Least share of an image's area that a random crop of another proportion has; 0 is off.
    pub random_resized_crop: f64,
    /// How far brightness, contrast and saturation move at most, as a share; 0 is off.
    pub colour_jitter: f64,
    /// Side of the square of each image that is black; 0 is off.
    pub cutout: usize,
}

impl CheckedRecipe {
    pub(super) fn new(filled: &Recipe, method_name: MethodName) -> Result<Self> {
        let f = filled;
        let threat = ThreatModel::new(need(f.norm, "norm")?, need(f.epsilon, "epsilon")?)?;
        if method_name.base != BaseMethod::Natural && threat.epsilon() == 0.0 {
            return Err(Error::value(
                "epsilon",
                0,
                format!("{method_name} needs a bound over 0; use natural"),
            ));
        }
        let method = method::of(f, method_name)?;
        let epochs = count(f.epochs, bounds::EPOCHS)?;
        let delay = f.delay.or(method_name.delayed.then_some(defaults::DELAY));
        if delay.is_some() && matches!(method, MethodSpec::Natural) {
            return Err(Error::value("delay", "set", "natural training has nothing to delay"));
        }
        let resolved = Recipe { delay, ..filled.clone() };
        let mixing = mixing::mixing(f, method_name)?;
        let plan = Plan {
            recipe: resolved.clone(),
            awp: method_name.awp.then(|| method::awp(f)).transpose()?,
            on_collapse: on_collapse(f, method_name)?,
            consistency: consistency(f, method_name)?,
            converge_smooth: converge_smooth(f, method_name)?,
            labels: labels::of(f, method_name, mixing.is_some())?,
            mixing,
            extra: mixing::extra(f, method_name)?,
            natural_epochs: delay.map_or(0, |delay| delay.natural_epochs(epochs)),
            threat,
            attack_statistics: need(f.attack_statistics, "attack-statistics")?,
            epsilon_warmup: within(f.epsilon_warmup, "epsilon-warmup", 0.0, 1.0)?,
            epochs,
            batch_size: count(f.batch_size, bounds::BATCH_SIZE)?,
            accumulate: f.accumulate.map_or(Ok(1), |batches| bounds::ACCUMULATE.check(batches))?,
            sync_batch_norm: f.sync_batch_norm.unwrap_or(false),
            schedule: schedule(f, epochs)?,
            optimizer: optimizer(f)?,
            clip_norm: positive(f.clip_norm, "clip-norm")?,
            weight_averaging: positive(f.weight_averaging, "weight-averaging")?,
            augmentation: augmentation(f)?,
            validation_steps: count(f.validation_steps, bounds::VALIDATION_STEPS)?,
            validation_limit: count(f.validation_limit, bounds::VALIDATION_LIMIT)?,
            seed: need(f.seed, "seed")?,
        };
        check_start(f)?;
        plan.recipe.limit.map(|limit| bounds::LIMIT.check(limit)).transpose()?;
        if plan.weight_averaging.is_some_and(|decay| decay >= 1.0) {
            return Err(Error::value(
                "weight-averaging",
                "1 or more",
                "needs a decay below 1, such as 0.999",
            ));
        }
        if plan.seed > i64::MAX as u64 {
            return Err(Error::value("seed", plan.seed, "needs a number below 2^63, which TOML can hold"));
        }
        Ok(Self {
            dataset: need(f.dataset, "dataset")?,
            model: need(f.model.clone(), "model")?.named()?,
            method_name,
            method,
            plan,
            normalization: need(f.normalization.clone(), "normalization")?,
            validation_fraction: within(f.validation_fraction, "validation-fraction", 0.0, 0.9)?,
            device: need(f.device.clone(), "device")?,
            precision: need(f.precision.clone(), "precision")?,
            resolved,
        })
    }
}

/// Refuses what is said of given weights where there are none, and layers without a name.
fn check_start(f: &Recipe) -> Result<()> {
    if let (None, Some(head)) = (&f.from, f.from_head) {
        return Err(Error::value("from-head", head, "says what becomes of given weights; name them (from)"));
    }
    if f.freeze.as_ref().is_some_and(|names| names.iter().any(String::is_empty)) {
        return Err(Error::value(
            "freeze",
            "\"\"",
            "needs what the names of layers begin with, such as layer1",
        ));
    }
    Ok(())
}

/// Crops, flips and colours, whose keys may contradict each other.
fn augmentation(f: &Recipe) -> Result<AugmentationSpec> {
    for (bound, size) in [(bounds::RESIZE, f.resize), (bounds::CROP, f.crop)] {
        for side in size.iter().flat_map(|size| [size.width, size.height]) {
            bound.check(side)?;
        }
    }
    let crop_padding = count(f.crop_padding, bounds::CROP_PADDING)?;
    let random_resized_crop = within(f.random_resized_crop.or(Some(0.0)), "random-resized-crop", 0.0, 1.0)?;
    if random_resized_crop > 0.0 && crop_padding > 0 {
        let reason = "is a crop already; set crop-padding = 0 with it";
        return Err(Error::value("random-resized-crop", random_resized_crop, reason));
    }
    Ok(AugmentationSpec {
        crop_padding,
        flip: need(f.flip, "flip")?,
        crop: f.crop,
        random_resized_crop,
        colour_jitter: within(f.colour_jitter.or(Some(0.0)), "colour-jitter", 0.0, 1.0)?,
        cutout: bounds::CUTOUT.check(f.cutout.unwrap_or(0))?,
    })
}

/// Refused where the attack takes no gradient that the descent could be held to, rather than ignored.
fn consistency(f: &Recipe, method: MethodName) -> Result<Option<ConsistencySpec>> {
    let every = f.consistency_every.map(|every| bounds::CONSISTENCY_EVERY.check(every)).transpose()?;
    let Some(weight) = f.consistency else {
        for (key, is_set) in [
            ("consistency-form", f.consistency_form.is_some()),
            ("consistency-every", every.is_some()),
            ("consistency-warmup", f.consistency_warmup.is_some()),
        ] {
            if is_set {
                return Err(Error::value(key, "set", "means nothing without consistency = WEIGHT"));
            }
        }
        return Ok(None);
    };
    let weight = within(Some(weight), "consistency", 0.0, 1e6)?;
    if !method.base.is_consistent() {
        let known = BaseMethod::ALL.iter().filter(|base| base.is_consistent());
        let known = known.map(|base| base.as_str()).collect::<Vec<_>>().join(", ");
        let reason = format!(
            "{method} has no such term; the key applies to {known} (fgsm-mep has one of its own: regularization)"
        );
        return Err(Error::value("consistency", weight, reason));
    }
    let form = f.consistency_form.unwrap_or(ConsistencyForm::Mse);
    let warmup = within(f.consistency_warmup.or(Some(0.0)), "consistency-warmup", 0.0, 1.0)?;
    let every = every.filter(|every| *every > 0);
    Ok((weight > 0.0).then_some(ConsistencySpec { weight, form, every, warmup }))
}

/// Refused where the loss on clean images is what is trained on, rather than ignored.
fn converge_smooth(f: &Recipe, method: MethodName) -> Result<Option<f64>> {
    let weight = within(f.converge_smooth.or(Some(0.0)), "converge-smooth", 0.0, 1e6)?;
    if weight > 0.0 && method.base == BaseMethod::Natural {
        let reason = "natural training goes down on the loss that this key would hold; leave it out";
        return Err(Error::value("converge-smooth", weight, reason));
    }
    Ok((weight > 0.0).then_some(weight))
}

/// Refused where there is no signal to act on, rather than ignored.
fn on_collapse(f: &Recipe, method: MethodName) -> Result<Option<CollapsePolicy>> {
    match f.on_collapse {
        Some(policy) if !method.base.predicts() => {
            let known = BaseMethod::ALL.iter().filter(|base| base.predicts());
            let known = known.map(|base| base.as_str()).collect::<Vec<_>>().join(", ");
            let reason = format!("{method} reports no gain ratio; the key applies to {known}");
            Err(Error::value("on-collapse", policy, reason))
        }
        policy => Ok(policy),
    }
}

fn schedule(f: &Recipe, epochs: usize) -> Result<Schedule> {
    let learning_rate = need(f.learning_rate, "learning-rate")?;
    if !(learning_rate > 0.0 && learning_rate <= MOST_LEARNING_RATE) {
        let reason = format!("needs a number over 0 and at most {MOST_LEARNING_RATE:e}");
        return Err(Error::value("learning-rate", learning_rate, reason));
    }
    let milestones = need(f.milestones.clone(), "milestones")?;
    let ascending = milestones.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || milestones.iter().any(|share| !(0.0..=1.0).contains(share)) {
        let reason = "needs ascending shares of the run, such as [0.5, 0.75]";
        return Err(Error::value("milestones", format!("{milestones:?}"), reason));
    }
    let peak = within(f.peak, "peak", 0.0, 1.0)?;
    if peak == 0.0 || peak == 1.0 {
        return Err(Error::value("peak", peak, "needs a share of the run between 0 and 1, both excluded"));
    }
    let decay_factor = within(f.decay_factor, "decay-factor", 0.0, 1.0)?;
    let warmup = f.learning_rate_warmup.unwrap_or(0.0);
    if !(warmup >= 0.0 && warmup <= epochs as f64) {
        let reason = format!("needs a number of epochs from 0, which is off, to the {epochs} of the run");
        return Err(Error::value("learning-rate-warmup", warmup, reason));
    }
    let warmup = warmup / epochs as f64;
    Ok(Schedule {
        name: need(f.schedule, "schedule")?,
        learning_rate,
        peak,
        milestones,
        decay_factor,
        warmup,
    })
}

fn optimizer(f: &Recipe) -> Result<OptimizerSpec> {
    let spec = OptimizerSpec {
        name: need(f.optimizer, "optimizer")?,
        momentum: within(f.momentum, "momentum", 0.0, 0.9999)?,
        nesterov: need(f.nesterov, "nesterov")?,
        weight_decay: within(f.weight_decay, "weight-decay", 0.0, 1.0)?,
        decay_norm_and_bias: need(f.decay_norm_and_bias, "decay-norm-and-bias")?,
    };
    if spec.name == OptimizerName::Sgd && spec.nesterov && spec.momentum == 0.0 {
        return Err(Error::value("nesterov", true, "needs a momentum over 0"));
    }
    Ok(spec)
}
