//! The recipe of a run: one flat table of keys, each also a command line flag of the same name.
//!
//! [`Recipe`] is what somebody wrote, every key optional. [`Recipe::check`] fills the rest from the defaults of the
//! data set and the method, refuses what makes no sense, and returns a [`CheckedRecipe`], the only thing that runs.

use crate::method::{BaseMethod, Delay, GaatSpec, MethodSpec, PgdSpec};
use crate::names::{
    AttackStatistics, DatasetName, NormalizationChoice, OptimizerName, ScheduleName, nearest,
};
use crate::schedule::Schedule;
use crate::{
    Anchor, Curvature, Error, MethodName, ModelName, Norm, PixelLength, Result, ThreatModel, defaults,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Every setting of a run. Keys are kebab-case in TOML; a key that is absent takes the default of the data set or
/// of the method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Data set: digits, mnist, cifar10, cifar100 or folder
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Data"))]
    pub dataset: Option<DatasetName>,
    /// Where the data lies; else the variable `GAAT_DATA`, else the platform's data directory
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR", help_heading = "Data"))]
    pub data_dir: Option<PathBuf>,
    /// Side in pixels that `folder` images are resized to; needed when they differ in size
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub resize: Option<usize>,
    /// Use only this many training images (a seeded, stratified subset), before the validation split
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Data"))]
    pub limit: Option<usize>,
    /// Share of the training images held out for validation
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Data"))]
    pub validation_fraction: Option<f64>,
    /// Random crop after padding by this many pixels; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub crop_padding: Option<usize>,
    /// Random horizontal flip
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Data"))]
    pub flip: Option<bool>,
    /// Scaling of pixels inside the model: none or dataset
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Data"))]
    pub normalization: Option<NormalizationChoice>,

    /// Network: convnet, mlp, vgg-16, preact-resnet-18, wide-resnet-DEPTH-WIDTH
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub model: Option<ModelName>,
    /// Training method: natural, rat, gaat, gaat-paper, gaat-paper-diagonal, dat, dat+METHOD
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub method: Option<MethodName>,
    /// Norm of the threat model: linf or l2
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub norm: Option<Norm>,
    /// Bound of the threat model in pixel units, such as 0.3 or 8/255
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub epsilon: Option<PixelLength>,
    /// Attack steps per batch while training
    #[cfg_attr(feature = "clap", arg(long, value_name = "K", help_heading = "Model and method"))]
    pub steps: Option<usize>,
    /// Length of one attack step while training, pixel units
    #[cfg_attr(feature = "clap", arg(long, value_name = "LENGTH", help_heading = "Model and method"))]
    pub step_size: Option<PixelLength>,
    /// Start the training attack at a random point of the ball
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Model and method"))]
    pub random_start: Option<bool>,
    /// Curvature model of GAAT: none, gauss-newton, diagonal, batch-fisher, sampled-fisher, secant, exact
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub curvature: Option<Curvature>,
    /// Labels drawn an image for the curvature sampled-fisher
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Model and method"))]
    pub curvature_draws: Option<usize>,
    /// Expansions of GAAT a batch, 1 to steps: the loss is expanded anew after every share of the steps
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Model and method"))]
    pub refreshes: Option<usize>,
    /// Expansion point of GAAT: clean or random-start
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub anchor: Option<Anchor>,
    /// BatchNorm statistics under the training attack: batch or running
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub attack_statistics: Option<AttackStatistics>,
    /// Natural training first: so many epochs (3) or such a share of them (0.5)
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub delay: Option<Delay>,
    /// Share of the run over which epsilon and the step size of the training attack grow from 0; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub epsilon_warmup: Option<f64>,

    /// Passes over the training images
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Optimisation"))]
    pub epochs: Option<usize>,
    /// Images per step
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Optimisation"))]
    pub batch_size: Option<usize>,
    /// sgd or adam
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub optimizer: Option<OptimizerName>,
    /// Learning rate: start, or peak of cyclic and one-cycle
    #[cfg_attr(feature = "clap", arg(long, value_name = "RATE", help_heading = "Optimisation"))]
    pub learning_rate: Option<f64>,
    /// constant, step, cyclic, cosine or one-cycle
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub schedule: Option<ScheduleName>,
    /// Where cyclic and one-cycle peak, as a share of the run
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Optimisation"))]
    pub peak: Option<f64>,
    /// Shares of the run at which `step` decays, ascending, such as 0.5,0.75
    #[cfg_attr(
        feature = "clap",
        arg(long, value_delimiter = ',', value_name = "SHARES", help_heading = "Optimisation")
    )]
    pub milestones: Option<Vec<f64>>,
    /// Factor of `step` at each milestone
    #[cfg_attr(feature = "clap", arg(long, value_name = "FACTOR", help_heading = "Optimisation"))]
    pub decay_factor: Option<f64>,
    /// Momentum of sgd
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub momentum: Option<f64>,
    /// Nesterov momentum
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Optimisation"))]
    pub nesterov: Option<bool>,
    /// L2 penalty on the weights
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub weight_decay: Option<f64>,
    /// Decay BatchNorm parameters and biases too
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Optimisation"))]
    pub decay_norm_and_bias: Option<bool>,
    /// Largest norm of the whole gradient; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "NORM", help_heading = "Optimisation"))]
    pub clip_norm: Option<f64>,
    /// Decay per step of an exponential moving average of the weights, which is then judged and saved; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "DECAY", help_heading = "Optimisation"))]
    pub weight_averaging: Option<f64>,

    /// PGD steps of the robust validation after each epoch
    #[cfg_attr(feature = "clap", arg(long, value_name = "K", help_heading = "Run"))]
    pub validation_steps: Option<usize>,
    /// Images used by the robust validation
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Run"))]
    pub validation_limit: Option<usize>,
    /// Root of every random draw
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Run"))]
    pub seed: Option<u64>,
    /// cpu, or cuda:0 and so on
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Run"))]
    pub device: Option<String>,
    /// fp32, bf16, or auto: bf16 where the hardware has it
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Run"))]
    pub precision: Option<String>,
    /// Threads of libtorch; the number of cores if absent
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Run"))]
    pub threads: Option<usize>,

    /// Keys that differ for one method when several are compared: `[methods.rat]`, `[methods.gaat]`
    #[cfg_attr(feature = "clap", arg(skip))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<MethodName, Recipe>,
}

impl Recipe {
    /// Reads a recipe from TOML.
    ///
    /// # Errors
    /// On a document that is not TOML, an unknown key (with the nearest known one) or a value of the wrong type.
    pub fn from_toml(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| document(&error))?;
        check_keys(&table)?;
        toml::from_str(text).map_err(|error| document(&error))
    }

    /// The recipe as TOML, absent keys left out.
    ///
    /// # Errors
    /// When a value has no TOML form, such as a seed over 2^63.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Document(error.to_string()))
    }

    /// Names of all keys, in the order of the documentation.
    pub fn keys() -> &'static [&'static str] {
        fields::of_recipe()
    }

    /// This recipe with every key that `over` has taken from there.
    ///
    /// # Errors
    /// As [`Recipe::to_toml`].
    pub fn overlaid_with(&self, over: &Self) -> Result<Self> {
        let table =
            |recipe: &Self| toml::Table::try_from(recipe).map_err(|error| Error::Document(error.to_string()));
        let mut merged = table(self)?;
        merged.extend(table(over)?);
        merged.try_into().map_err(|error: toml::de::Error| document(&error))
    }

    /// This recipe for one method of a comparison: its own section laid over the rest, all sections dropped.
    ///
    /// # Errors
    /// When the section names another method or has sections itself.
    pub fn for_method(&self, method: MethodName) -> Result<Self> {
        let mut recipe = match self.methods.get(&method) {
            None => self.clone(),
            Some(section) if section.method.is_some() || !section.methods.is_empty() => {
                let key = format!("methods.{method}");
                return Err(Error::value(
                    &key,
                    "{..}",
                    "a method's section holds no `method` and no sections",
                ));
            }
            Some(section) => self.overlaid_with(section)?,
        };
        recipe.methods.clear();
        recipe.method = Some(method);
        Ok(recipe)
    }

    /// Fills in the defaults and checks every value.
    ///
    /// # Errors
    /// Naming the first key whose value cannot be used, and why.
    pub fn check(&self) -> Result<CheckedRecipe> {
        let method = self.method.unwrap_or(MethodName::plain(BaseMethod::Gaat));
        let written = self.for_method(method)?;
        let dataset = written.dataset.unwrap_or(DatasetName::Digits);
        let general = defaults::of_dataset(dataset).overlaid_with(&written)?;
        let filled = defaults::of_method(&general, method.base).overlaid_with(&general)?;
        CheckedRecipe::new(&filled, method)
    }
}

fn document(error: &toml::de::Error) -> Error {
    Error::Document(error.to_string().trim_end().to_owned())
}

/// Refuses unknown keys before serde does, so that the nearest known one can be named.
fn check_keys(table: &toml::Table) -> Result<()> {
    for (key, value) in table {
        if !Recipe::keys().contains(&key.as_str()) {
            let hint = match nearest(key, Recipe::keys()) {
                Some(known) => format!(": did you mean `{known}`?"),
                None => format!("; known: {}", Recipe::keys().join(", ")),
            };
            return Err(Error::UnknownKey { key: key.clone(), hint });
        }
        if let (true, Some(sections)) = (key == "methods", value.as_table()) {
            for section in sections.values().filter_map(toml::Value::as_table) {
                check_keys(section)?;
            }
        }
    }
    Ok(())
}

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
    /// Natural epochs before the method starts.
    pub natural_epochs: usize,
    /// The threat model that is trained against and validated with.
    pub threat: ThreatModel,
    /// BatchNorm statistics under the training attack.
    pub attack_statistics: AttackStatistics,
    /// Share of the run over which the training attack grows to its full size.
    pub epsilon_warmup: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate over the run.
    pub schedule: Schedule,
    /// Optimiser and its numbers.
    pub optimizer: OptimizerSpec,
    /// Largest norm of the whole gradient.
    pub clip_norm: Option<f64>,
    /// Decay per step of the moving average of the weights.
    pub weight_averaging: Option<f64>,
    /// Augmentation.
    pub augmentation: AugmentationSpec,
    /// Scaling of pixels inside the model.
    pub normalization: NormalizationChoice,
    /// Share of the training images held out.
    pub validation_fraction: f64,
    /// Validation attack: PGD-K with this K, on at most `validation_limit` images.
    pub validation_steps: usize,
    /// See `validation_steps`.
    pub validation_limit: usize,
    /// Root of every random draw.
    pub seed: u64,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AugmentationSpec {
    /// Zero padding before a random crop back to the original size; 0 is off.
    pub crop_padding: usize,
    /// Random horizontal flip.
    pub flip: bool,
}

impl CheckedRecipe {
    /// Size of the training attack, as a share of its full size, at `progress` in `[0, 1]` of the run.
    pub fn attack_scale(&self, progress: f64) -> f64 {
        if progress >= self.epsilon_warmup { 1.0 } else { progress / self.epsilon_warmup }
    }

    fn new(filled: &Recipe, method_name: MethodName) -> Result<Self> {
        let f = filled;
        let threat = ThreatModel::new(need(f.norm, "norm")?, need(f.epsilon, "epsilon")?)?;
        if method_name.base != BaseMethod::Natural && threat.epsilon() == 0.0 {
            return Err(Error::value(
                "epsilon",
                0,
                format!("{method_name} needs a bound over 0; use natural"),
            ));
        }
        let method = method_spec(f, method_name)?;
        let epochs = at_least(f.epochs, "epochs", 1)?;
        let delay = f.delay.or(method_name.delayed.then_some(defaults::DELAY));
        if delay.is_some() && matches!(method, MethodSpec::Natural) {
            return Err(Error::value("delay", "set", "natural training has nothing to delay"));
        }
        let checked = Self {
            dataset: need(f.dataset, "dataset")?,
            model: need(f.model, "model")?,
            method_name,
            method,
            natural_epochs: delay.map_or(0, |delay| delay.natural_epochs(epochs)),
            threat,
            attack_statistics: need(f.attack_statistics, "attack-statistics")?,
            epsilon_warmup: within(f.epsilon_warmup, "epsilon-warmup", 0.0, 1.0)?,
            epochs,
            batch_size: at_least(f.batch_size, "batch-size", 1)?,
            schedule: schedule(f)?,
            optimizer: optimizer(f)?,
            clip_norm: positive(f.clip_norm, "clip-norm")?,
            weight_averaging: positive(f.weight_averaging, "weight-averaging")?,
            augmentation: AugmentationSpec {
                crop_padding: need(f.crop_padding, "crop-padding")?,
                flip: need(f.flip, "flip")?,
            },
            normalization: need(f.normalization, "normalization")?,
            validation_fraction: within(f.validation_fraction, "validation-fraction", 0.0, 0.9)?,
            validation_steps: at_least(f.validation_steps, "validation-steps", 1)?,
            validation_limit: at_least(f.validation_limit, "validation-limit", 1)?,
            seed: need(f.seed, "seed")?,
            device: need(f.device.clone(), "device")?,
            precision: need(f.precision.clone(), "precision")?,
            resolved: Recipe { delay, ..filled.clone() },
        };
        if checked.weight_averaging.is_some_and(|decay| decay >= 1.0) {
            return Err(Error::value(
                "weight-averaging",
                "1 or more",
                "needs a decay below 1, such as 0.999",
            ));
        }
        if checked.seed > i64::MAX as u64 {
            return Err(Error::value("seed", checked.seed, "needs a number below 2^63, which TOML can hold"));
        }
        Ok(checked)
    }
}

fn method_spec(f: &Recipe, method: MethodName) -> Result<MethodSpec> {
    if method.base == BaseMethod::Natural {
        return Ok(MethodSpec::Natural);
    }
    let steps = at_least(f.steps, "steps", 1)?;
    let step_size = need(f.step_size, "step-size")?;
    if step_size.value() == 0.0 {
        return Err(Error::value("step-size", step_size, "needs a length over 0"));
    }
    let random_start = need(f.random_start, "random-start")?;
    if method.base == BaseMethod::Rat {
        return Ok(MethodSpec::Rat(PgdSpec { steps, step_size, random_start }));
    }
    let anchor = need(f.anchor, "anchor")?;
    if anchor == Anchor::RandomStart && !random_start {
        return Err(Error::value("anchor", anchor, "needs random-start = true"));
    }
    let curvature = need(f.curvature, "curvature")?;
    let draws = at_least(f.curvature_draws, "curvature-draws", 1)?;
    let refreshes = at_least(f.refreshes, "refreshes", 1)?;
    if refreshes > steps {
        return Err(Error::value(
            "refreshes",
            refreshes,
            format!("needs at most one for each of {steps} steps"),
        ));
    }
    Ok(MethodSpec::Gaat(GaatSpec { steps, step_size, random_start, curvature, anchor, draws, refreshes }))
}

fn schedule(f: &Recipe) -> Result<Schedule> {
    let learning_rate = need(f.learning_rate, "learning-rate")?;
    if !(learning_rate.is_finite() && learning_rate > 0.0) {
        return Err(Error::value("learning-rate", learning_rate, "needs a number over 0"));
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
    Ok(Schedule { name: need(f.schedule, "schedule")?, learning_rate, peak, milestones, decay_factor })
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

fn need<T>(value: Option<T>, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::value(key, "absent", "has no default here; set it"))
}

fn at_least(value: Option<usize>, key: &str, least: usize) -> Result<usize> {
    let value = need(value, key)?;
    if value < least { Err(Error::value(key, value, format!("needs at least {least}"))) } else { Ok(value) }
}

fn within(value: Option<f64>, key: &str, low: f64, high: f64) -> Result<f64> {
    let value = need(value, key)?;
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(Error::value(key, value, format!("needs a number from {low} to {high}")))
    }
}

/// `None` for 0, which switches the feature off.
fn positive(value: Option<f64>, key: &str) -> Result<Option<f64>> {
    let value = need(value, key)?;
    if value.is_finite() && value >= 0.0 {
        Ok((value > 0.0).then_some(value))
    } else {
        Err(Error::value(key, value, "needs a number over 0, or 0 for off"))
    }
}

/// The key names as serde knows them, so that no second list can go stale.
mod fields {
    use serde::de::{Deserializer, Error, Visitor, value::Error as PlainError};

    pub(super) fn of_recipe() -> &'static [&'static str] {
        let mut found: &'static [&'static str] = &[];
        // The probe only records the names; it always ends in an error, which is of no interest.
        let _ = <super::Recipe as serde::Deserialize>::deserialize(Probe(&mut found));
        found
    }

    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = PlainError;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, PlainError> {
            *self.0 = fields;
            Err(PlainError::custom("only the names were wanted"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, PlainError> {
            Err(PlainError::custom("not a struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<CheckedRecipe> {
        Recipe::from_toml(text)?.check()
    }

    #[test]
    fn an_empty_recipe_runs_gaat_on_the_digits() {
        let checked = Recipe::default().check().unwrap();
        assert_eq!(checked.dataset, DatasetName::Digits);
        assert_eq!(checked.method_name.to_string(), "gaat");
        let MethodSpec::Gaat(gaat) = checked.method else { panic!("not gaat") };
        let travel = gaat.steps as f64 * gaat.step_size.value();
        assert!((travel / checked.threat.epsilon() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn step_sizes_follow_the_written_epsilon() {
        let checked = check("dataset = \"cifar10\"\nmethod = \"rat\"\nepsilon = \"16/255\"").unwrap();
        let MethodSpec::Rat(pgd) = checked.method else { panic!("not rat") };
        assert_eq!((pgd.steps, pgd.step_size.to_string().as_str()), (10, "4/255"));
        let checked = check("dataset = \"mnist\"\nmethod = \"rat\"").unwrap();
        let MethodSpec::Rat(pgd) = checked.method else { panic!("not rat") };
        assert_eq!(pgd.steps, 40);
        assert!((pgd.step_size.value() - 0.01).abs() < 1e-12);
    }

    #[test]
    fn the_resolved_recipe_reproduces_the_run() {
        for method in ["natural", "rat", "gaat", "gaat-paper", "gaat-paper-diagonal", "dat+gaat"] {
            let checked = check(&format!("dataset = \"cifar10\"\nmethod = \"{method}\"\nseed = 7")).unwrap();
            let again = check(&checked.resolved.to_toml().unwrap()).unwrap();
            assert_eq!(again, checked, "{method}");
        }
    }

    #[test]
    fn unknown_keys_name_the_nearest_one() {
        let error = Recipe::from_toml("epsilom = 0.3").unwrap_err().to_string();
        assert!(error.contains("`epsilom`") && error.contains("did you mean `epsilon`"), "{error}");
        let error = Recipe::from_toml("[methods.rat]\nstep = 3").unwrap_err().to_string();
        assert!(error.contains("did you mean `steps`"), "{error}");
        assert!(Recipe::keys().contains(&"validation-fraction") && Recipe::keys().len() > 30);
    }

    #[test]
    fn values_of_the_wrong_type_name_line_and_key() {
        let error = Recipe::from_toml("seed = 1\nepochs = \"ten\"").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("epochs"), "{error}");
    }

    #[test]
    fn impossible_values_name_their_key() {
        let cases = [
            ("epochs = 0", "epochs"),
            ("batch-size = 0", "batch-size"),
            ("epsilon = 8", "8/255"),
            ("epsilon = 0", "natural"),
            ("step-size = 0", "step-size"),
            ("steps = 0", "steps"),
            ("curvature-draws = 0", "curvature-draws"),
            ("refreshes = 0", "refreshes"),
            ("steps = 3\nrefreshes = 4", "refreshes"),
            ("learning-rate = -1", "learning-rate"),
            ("validation-fraction = 1.5", "validation-fraction"),
            ("milestones = [0.7, 0.2]", "milestones"),
            ("weight-averaging = 1.5", "weight-averaging"),
            ("anchor = \"random-start\"\nrandom-start = false", "random-start"),
            ("method = \"natural\"\ndelay = 0.5", "delay"),
            ("optimizer = \"sgd\"\nnesterov = true\nmomentum = 0", "nesterov"),
        ];
        for (text, needle) in cases {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn the_attack_grows_to_its_full_size_and_stays_there() {
        let checked = check("epsilon-warmup = 0.2").unwrap();
        assert_eq!([0.0, 0.1, 0.2, 1.0].map(|progress| checked.attack_scale(progress)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Recipe::default().check().unwrap().attack_scale(0.0), 1.0);
    }

    #[test]
    fn a_method_section_applies_to_its_method_alone() {
        let recipe = Recipe::from_toml("steps = 4\n[methods.rat]\nsteps = 7\nstep-size = 0.05").unwrap();
        let rat = recipe.for_method("rat".parse().unwrap()).unwrap();
        assert_eq!((rat.steps, rat.step_size.map(PixelLength::value)), (Some(7), Some(0.05)));
        let gaat = recipe.for_method("gaat".parse().unwrap()).unwrap();
        assert_eq!((gaat.steps, gaat.step_size), (Some(4), None));
        let nested = Recipe::from_toml("[methods.rat]\nmethod = \"gaat\"").unwrap();
        assert!(nested.for_method("rat".parse().unwrap()).is_err());
    }
}
