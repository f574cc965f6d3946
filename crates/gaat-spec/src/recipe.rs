//! The recipe of a run: one flat table of keys, each also a command line flag of the same name.
//!
//! [`Recipe`] is what somebody wrote, every key optional. [`Recipe::check`] fills the rest from the defaults of the
//! data set and the method, refuses what makes no sense, and returns a [`CheckedRecipe`], the only thing that runs.

mod checked;
mod differences;
mod labels;
mod method;
mod mixing;
mod one_step;
mod read;

pub use checked::{AugmentationSpec, CheckedRecipe, OptimizerSpec};
pub use differences::Difference;

use crate::defaults;
use crate::error::{Error, Result};
use crate::method::{Anchor, BaseMethod, Curvature, Delay, MethodName, Refinement};
use crate::model::ModelName;
use crate::model_choice::ModelChoice;
use crate::names::{
    AttackLabels, AttackStatistics, CollapsePolicy, ConsistencyForm, DatasetName, Head, OptimizerName,
    Residence, ScheduleName, SmoothingForm, nearest,
};
use crate::normalization::NormalizationChoice;
use crate::one_step::{AttackStart, Projection, StepDraw};
use crate::size::Size;
use crate::threat::{Norm, PixelLength};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Every setting of a run. Keys are kebab-case in TOML; a key that is absent takes the default of the data set or
/// of the method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Data set
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Data"))]
    pub dataset: Option<DatasetName>,
    /// Directory of the data; by default that of the variable `GAAT_DATA`, else the platform's data directory
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR", help_heading = "Data"))]
    pub data_dir: Option<PathBuf>,
    /// Size in pixels to which images are resized: one side, or `WIDTHxHEIGHT`; required when the images of a `folder` differ
    /// in size
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub resize: Option<Size>,
    /// Where decoded images are kept: resident (in memory), streamed (on disk), or auto (in memory if they take at most half of
    /// the free memory)
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Data"))]
    pub images: Option<Residence>,
    /// Use only this many training images (a seeded, stratified subset), before the validation split
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Data"))]
    pub limit: Option<usize>,
    /// Share of the training images held out for validation
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Data"))]
    pub validation_fraction: Option<f64>,
    /// Random crop after padding by this many pixels; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub crop_padding: Option<usize>,
    /// Crop to this size, one side or `WIDTHxHEIGHT`: a random crop in training, the centre crop in judging
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub crop: Option<Size>,
    /// Random crop with at least this share of an image's area and an aspect ratio of 3:4 to 4:3, resized to the input of the
    /// network; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Data"))]
    pub random_resized_crop: Option<f64>,
    /// Random changes of brightness, contrast and saturation, each by at most this share; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Data"))]
    pub colour_jitter: Option<f64>,
    /// Black out a square of so many pixels at a random place of each image; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "PIXELS", help_heading = "Data"))]
    pub cutout: Option<usize>,
    /// Blend each image and its label with another one, by a weight from the Beta(ALPHA, ALPHA) distribution; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "ALPHA", help_heading = "Data"))]
    pub mixup: Option<f64>,
    /// Paste a box of another image into each image, and mix their labels by area; its share is drawn from Beta(ALPHA, ALPHA); 0 is
    /// off; with mixup, one of the two for each image at random
    #[cfg_attr(feature = "clap", arg(long, value_name = "ALPHA", help_heading = "Data"))]
    pub cutmix: Option<f64>,
    /// More training images, such as generated ones: an archive of numpy with `image` (u8, [N, H, W, C]) and `label`
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE.npz", help_heading = "Data"))]
    pub extra_data: Option<PathBuf>,
    /// Share of every batch that comes from these; an epoch has as many steps as without them
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Data"))]
    pub extra_share: Option<f64>,
    /// Random horizontal flip
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Data"))]
    pub flip: Option<bool>,
    /// Normalisation of pixels in [0, 1] before the network: none, dataset, imagenet, cifar10, cifar100, mnist, or numbers as
    /// MEANS/DEVIATIONS, with a comma between channels
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Data"))]
    pub normalization: Option<NormalizationChoice>,

    /// Network
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            help = format!("Network: {}; or one of your own, which torch.export has saved: NET.pt2", crate::model::ACCEPTED),
            help_heading = "Model and method"
        )
    )]
    pub model: Option<ModelChoice>,
    /// Path of the network saved by torch.export, if the file was moved after the recipe was written
    #[cfg_attr(feature = "clap", arg(long, value_name = "NET.pt2", help_heading = "Model and method"))]
    pub model_file: Option<PathBuf>,
    /// That network exported in evaluation mode, for networks whose training mode alone cannot be judged
    #[cfg_attr(feature = "clap", arg(long, value_name = "EVAL.pt2", help_heading = "Model and method"))]
    pub eval_program: Option<PathBuf>,
    /// Training method
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            help = format!("Training method: {}; awp+METHOD; dat, dat+METHOD", BaseMethod::listed()),
            help_heading = "Model and method"
        )
    )]
    pub method: Option<MethodName>,
    /// Weights to start from: a run directory, weights saved by gaat, or a state dict of PyTorch (.pth, .safetensors)
    #[cfg_attr(feature = "clap", arg(long, value_name = "PATH", help_heading = "Model and method"))]
    pub from: Option<PathBuf>,
    /// The last layer of the weights to start from: keep it (keep), or begin it with random weights for other classes (fresh)
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub from_head: Option<Head>,
    /// Layers that are not trained and whose batch statistics do not move, given by prefixes of their names, such as conv1,layer1
    #[cfg_attr(
        feature = "clap",
        arg(long, value_delimiter = ',', value_name = "PREFIXES", help_heading = "Model and method")
    )]
    pub freeze: Option<Vec<String>>,
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
    /// Labels drawn per image for the curvature sampled-fisher
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Model and method"))]
    pub curvature_draws: Option<usize>,
    /// Expansions of the loss per batch in GAAT, from 1 to the number of steps, spaced evenly over the steps
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Model and method"))]
    pub refreshes: Option<usize>,
    /// Whether GAAT computes more gradients when the gain ratio shows that its model fails: off or adaptive
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub refinement: Option<Refinement>,
    /// Expansion point of GAAT: clean or random-start
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub anchor: Option<Anchor>,
    /// Where the one gradient of gaat, fgsm-rs, n-fgsm and their relatives is taken: noise, label-indicative or universal
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub start: Option<AttackStart>,
    /// How far each pixel goes along that gradient: fixed (the whole step) or uniform (a share of it, drawn for every pixel)
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub step_draw: Option<StepDraw>,
    /// Share of the pixels of each image, those with the smallest slopes, that this step does not move; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub zeroed: Option<f64>,
    /// Shorten this step by min(1, LIMIT / (1 - v)), v the smoothed agreement of the gradients before and after it; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "LIMIT", help_heading = "Model and method"))]
    pub step_limit: Option<f64>,
    /// Where the result of this step is projected on the ball: always, never or, with gaat, adaptive (in the first half of the run, and
    /// then where the gain ratio says that the model does not predict the loss)
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub project: Option<Projection>,
    /// Size of the noise (or the universal perturbation) that this step starts from, or of the noise of gaat-memory, in units of
    /// epsilon
    #[cfg_attr(feature = "clap", arg(long, value_name = "FACTOR", help_heading = "Model and method"))]
    pub noise: Option<f64>,
    /// Number of times in a row that free and gaat-free train on a batch
    #[cfg_attr(feature = "clap", arg(long, value_name = "M", help_heading = "Model and method"))]
    pub replays: Option<usize>,
    /// Weight of the second term of the loss: fgsm-mep, gradalign, nuat, trades, mart
    #[cfg_attr(feature = "clap", arg(long, value_name = "WEIGHT", help_heading = "Model and method"))]
    pub regularization: Option<f64>,
    /// Weight of the distance between the network's outputs at the point of the gradient and at the attacked point: gaat,
    /// gaat-paper, fgsm-rs, n-fgsm and their relatives; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "WEIGHT", help_heading = "Model and method"))]
    pub consistency: Option<f64>,
    /// How that distance is measured: mse (of logits) or js (Jensen-Shannon divergence of distributions)
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub consistency_form: Option<ConsistencyForm>,
    /// In every Nth step the loss is differentiated through both outputs, which costs another pass; in all other steps, and
    /// with 0 in every step, only through the output at the attacked point
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Model and method"))]
    pub consistency_every: Option<usize>,
    /// Share of the run over which the weight of consistency grows from 0; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub consistency_warmup: Option<f64>,
    /// Weight of the loss on clean images where it differs by over 0.03 from the mean of the epoch before: added above, subtracted
    /// below (ConvergeSmooth, 1 as published); 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "WEIGHT", help_heading = "Model and method"))]
    pub converge_smooth: Option<f64>,
    /// Share of a label's weight that other classes get, such as 0.1; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub label_smoothing: Option<f64>,
    /// How that share is divided: even (among all classes) or random (among the other classes, drawn again in each step)
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub label_smoothing_form: Option<SmoothingForm>,
    /// Labels in the loss that the training attack maximises: hard (the class) or soft (those of the training loss)
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub attack_labels: Option<AttackLabels>,
    /// Epochs after which fgsm-mep forgets its memory of each image
    #[cfg_attr(feature = "clap", arg(long, value_name = "EPOCHS", help_heading = "Model and method"))]
    pub memory_reset: Option<usize>,
    /// Size of the weight perturbation of awp+METHOD, as a share of each layer's norm
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub awp_gamma: Option<f64>,
    /// Epochs of METHOD before awp+METHOD perturbs weights
    #[cfg_attr(feature = "clap", arg(long, value_name = "EPOCHS", help_heading = "Model and method"))]
    pub awp_warmup: Option<usize>,
    /// Reaction to catastrophic overfitting, for methods with one gradient per batch: warn, refine (PGD for some steps) or
    /// rollback (back to the last healthy network, then refine)
    #[cfg_attr(feature = "clap", arg(long, hide_possible_values = true, help_heading = "Model and method"))]
    pub on_collapse: Option<CollapsePolicy>,
    /// BatchNorm statistics under the training attack: batch or running
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub attack_statistics: Option<AttackStatistics>,
    /// Natural training before adversarial training: a number of epochs (3) or a share of all epochs (0.5)
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Model and method"))]
    pub delay: Option<Delay>,
    /// Share of the epochs with attack over which epsilon and the step size of that attack grow from 0; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "SHARE", help_heading = "Model and method"))]
    pub epsilon_warmup: Option<f64>,

    /// Passes over the training images
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Optimisation"))]
    pub epochs: Option<usize>,
    /// Images computed at once, in all processes together; a step takes this number times accumulate
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Optimisation"))]
    pub batch_size: Option<usize>,
    /// Batches per step: their gradients are added up one after the other, in the memory of one batch, as if the batch were so
    /// many times larger
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Optimisation"))]
    pub accumulate: Option<usize>,
    /// Whether batch normalisation in several processes uses the statistics of the whole batch instead of those of each
    /// process's part
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Optimisation"))]
    pub sync_batch_norm: Option<bool>,
    /// sgd, adam, or adamw with decoupled weight decay
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub optimizer: Option<OptimizerName>,
    /// Learning rate: start, or peak of cyclic and one-cycle
    #[cfg_attr(feature = "clap", arg(long, value_name = "RATE", help_heading = "Optimisation"))]
    pub learning_rate: Option<f64>,
    /// Epochs over which the learning rate of any schedule grows from 0, such as 5 or 0.5; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "EPOCHS", help_heading = "Optimisation"))]
    pub learning_rate_warmup: Option<f64>,
    /// constant, step, cyclic, cosine or one-cycle
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Optimisation"))]
    pub schedule: Option<ScheduleName>,
    /// Share of the run after which cyclic and one-cycle reach their peak
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
    /// Whether the weight decay covers BatchNorm parameters and biases too
    #[cfg_attr(feature = "clap", arg(long, value_name = "BOOL", help_heading = "Optimisation"))]
    pub decay_norm_and_bias: Option<bool>,
    /// Largest norm of the gradient of all weights; a longer gradient is scaled down to it; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "NORM", help_heading = "Optimisation"))]
    pub clip_norm: Option<f64>,
    /// Decay per step of an exponential moving average of the weights; each epoch saves the average or the weights themselves,
    /// whichever validation prefers; 0 is off
    #[cfg_attr(feature = "clap", arg(long, value_name = "DECAY", help_heading = "Optimisation"))]
    pub weight_averaging: Option<f64>,

    /// PGD steps of the robust validation after each epoch
    #[cfg_attr(feature = "clap", arg(long, value_name = "K", help_heading = "Run"))]
    pub validation_steps: Option<usize>,
    /// Images used by the robust validation
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", help_heading = "Run"))]
    pub validation_limit: Option<usize>,
    /// Seed of all random numbers
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Run"))]
    pub seed: Option<u64>,
    /// cpu, or cuda:0 and so on
    #[cfg_attr(feature = "clap", arg(long, help_heading = "Run"))]
    pub device: Option<String>,
    /// fp32, bf16, or auto: bf16 where it is measured to be faster
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
    /// As [`Recipe::to_toml`]; a whole number that TOML cannot hold is named with its key.
    pub fn overlaid_with(&self, over: &Self) -> Result<Self> {
        self.check_whole_numbers()?;
        over.check_whole_numbers()?;
        let table =
            |recipe: &Self| toml::Table::try_from(recipe).map_err(|error| Error::Document(error.to_string()));
        let mut merged = table(self)?;
        merged.extend(table(over)?);
        merged.try_into().map_err(|error: toml::de::Error| document(&error))
    }

    /// Refuses whole numbers from 2^63 on, of which TOML's own message says neither key nor value.
    fn check_whole_numbers(&self) -> Result<()> {
        let counts = [
            ("limit", self.limit),
            ("crop-padding", self.crop_padding),
            ("cutout", self.cutout),
            ("steps", self.steps),
            ("curvature-draws", self.curvature_draws),
            ("refreshes", self.refreshes),
            ("replays", self.replays),
            ("memory-reset", self.memory_reset),
            ("awp-warmup", self.awp_warmup),
            ("epochs", self.epochs),
            ("batch-size", self.batch_size),
            ("accumulate", self.accumulate),
            ("validation-steps", self.validation_steps),
            ("validation-limit", self.validation_limit),
            ("threads", self.threads),
        ];
        let counts = counts.into_iter().map(|(key, count)| (key, count.map(|count| count as u64)));
        for (key, value) in counts.chain([("seed", self.seed)]) {
            if let Some(value) = value.filter(|value| i64::try_from(*value).is_err()) {
                return Err(Error::value(key, value, "needs a number below 2^63, which TOML can hold"));
            }
        }
        Ok(())
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
        self.check_with(&|_| false)
    }

    /// The same, where `is_own` says which models beside the published ones there are.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_with(&self, is_own: &dyn Fn(&ModelName) -> bool) -> Result<CheckedRecipe> {
        let method = self.method.unwrap_or(MethodName::plain(BaseMethod::Gaat));
        let written = self.for_method(method)?;
        check_place(&written)?;
        let dataset = written.dataset.unwrap_or(DatasetName::Digits);
        let general = defaults::of_dataset(dataset).overlaid_with(&written)?;
        let filled = defaults::of_method(&general, method).overlaid_with(&general)?;
        let checked = CheckedRecipe::new(&filled, method)?;
        if !is_own(&checked.model) {
            checked.model.published()?;
        }
        Ok(checked)
    }
}

/// Refuses what is said of the images where the embedded digits would be taken all the same: no user who names a directory
/// means them, nor does a size without a data set.
fn check_place(written: &Recipe) -> Result<()> {
    let (key, value) = match (written.dataset, &written.data_dir, written.resize) {
        (None | Some(DatasetName::Digits), Some(place), _) => ("data-dir", place.display().to_string()),
        (None, None, Some(side)) => ("resize", side.to_string()),
        _ => return Ok(()),
    };
    let reason = if written.dataset.is_some() {
        "does not apply to digits, which are part of the program; name another data set, such as `folder` for images of your \
         own, or leave it out"
    } else {
        "no data set is named, and the embedded digits would be taken; name a data set, such as `folder` for images of \
         your own"
    };
    Err(Error::value(key, value, reason))
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

/// The key names as serde knows them, so that no second list can go stale.
mod fields {
    use serde::de::value::Error as PlainError;
    use serde::de::{Deserializer, Error, Visitor};

    pub(super) fn of_recipe() -> &'static [&'static str] {
        let mut found: &'static [&'static str] = &[];
        // `KeyNames` only records the names; it always ends in an error, which is of no interest.
        let _ = <super::Recipe as serde::Deserialize>::deserialize(KeyNames(&mut found));
        found
    }

    struct KeyNames<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for KeyNames<'_> {
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
    use crate::method::MethodSpec;
    use crate::one_step::{OneStepSpec, OpeningSpec};
    use crate::plan::{ConsistencySpec, LabelSpec};

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
        assert!((travel / checked.plan.threat().epsilon() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_place_for_images_needs_a_data_set_that_lies_there() {
        for (text, words) in [
            ("data-dir = \"photos\"\nresize = 32", ["data-dir = photos", "`folder`"]),
            ("resize = 32", ["resize = 32", "`folder`"]),
            ("dataset = \"digits\"\ndata-dir = \"photos\"", ["data-dir = photos", "part of the program"]),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
        // Digits are resized like any other images where somebody asks for it.
        let large = check("dataset = \"digits\"\nresize = 32\nmodel = \"vgg-16\"").unwrap();
        assert_eq!(large.resolved.resize, Some(Size::square(32)));
        let photos = check("dataset = \"folder\"\ndata-dir = \"photos\"\nresize = 32").unwrap().resolved;
        assert_eq!((photos.resize, photos.data_dir), (Some(Size::square(32)), Some("photos".into())));
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
        // Ten of them would stop at a third of the ball.
        let checked = check("dataset = \"mnist\"\nmethod = \"trades\"\nsteps = 10").unwrap();
        let MethodSpec::Trades { attack, .. } = checked.method else { panic!("not trades") };
        assert!((attack.step_size.value() - 0.04).abs() < 1e-12);
        let checked = check("dataset = \"cifar10\"\nmethod = \"rat\"\nsteps = 7").unwrap();
        let MethodSpec::Rat(pgd) = checked.method else { panic!("not rat") };
        assert_eq!(pgd.step_size.to_string(), "2/255", "as Madry et al. (2018) trained");
    }

    #[test]
    fn the_resolved_recipe_reproduces_the_run() {
        let plain = BaseMethod::ALL.iter().map(|base| base.as_str());
        for method in plain.chain(["dat+gaat", "awp+rat", "dat+awp+trades"]) {
            let checked = check(&format!("dataset = \"cifar10\"\nmethod = \"{method}\"\nseed = 7")).unwrap();
            let again = check(&checked.resolved.to_toml().unwrap()).unwrap();
            assert_eq!(again, checked, "{method}");
        }
    }

    #[test]
    fn peers_have_the_numbers_of_their_papers() {
        let method = |text: &str| check(&format!("dataset = \"cifar10\"\n{text}")).unwrap().method;
        let one_step = |text: &str| {
            let MethodSpec::OneStep(spec) = method(text) else { panic!("{text}: not one step") };
            let OneStepSpec { step_size, opening, zeroed, limit } = spec;
            (step_size.to_string(), opening, zeroed, limit)
        };
        let usual = OpeningSpec::USUAL;
        let beyond = OpeningSpec { projection: Projection::Never, ..usual };
        let (liet, uap) = (AttackStart::LabelIndicative, AttackStart::Universal);
        for (text, step_size, opening, zeroed, limit) in [
            ("fgsm-rs", "10/255", usual, 0.0, None),
            ("n-fgsm", "8/255", OpeningSpec { noise: 2.0, ..beyond }, 0.0, None),
            ("zerograd", "16/255", usual, 0.35, None),
            ("sora", "16/255", OpeningSpec { draw: StepDraw::Uniform, ..beyond }, 0.0, Some(0.02)),
            ("liet", "8/255", OpeningSpec { start: liet, ..usual }, 0.0, None),
            ("fgsm-uap", "8/255", OpeningSpec { start: uap, ..usual }, 0.0, None),
        ] {
            let expected = (step_size.to_owned(), opening, zeroed, limit);
            assert_eq!(one_step(&format!("method = \"{text}\"")), expected, "{text}");
        }
        let large = one_step("method = \"liet\"\nepsilon = \"16/255\"").1;
        assert_eq!(large, OpeningSpec { start: liet, noise: 2.0, ..beyond });
        let plan = |text: &str| check(&format!("dataset = \"cifar10\"\n{text}")).unwrap().plan;
        let (held, labels) = (plan("method = \"liet\"").consistency(), plan("method = \"liet\"").labels());
        let js = ConsistencySpec { weight: 100.0, form: ConsistencyForm::Js, every: Some(1), warmup: 1.0 };
        assert_eq!((held, held.unwrap().weight_at(0.25)), (Some(js), 25.0));
        let smoothing = LabelSpec { smoothing: 0.6, form: SmoothingForm::Random, in_attack: true };
        assert_eq!(labels, Some(smoothing));
        assert_eq!(plan("method = \"liet\"\nlabel-smoothing = 0").labels(), None);
        assert_eq!(plan("method = \"liet\"\nconsistency = 0").consistency(), None);
        let mse = ConsistencySpec { weight: 10.0, form: ConsistencyForm::Mse, warmup: 0.0, ..js };
        assert_eq!(plan("method = \"fgsm-uap\"").consistency(), Some(mse));
        let MethodSpec::Nuat { step_size, regularization } = method("method = \"nuat\"") else {
            panic!("not nuat")
        };
        assert_eq!((step_size.to_string().as_str(), regularization), ("8/255", 4.0));
        let MethodSpec::Free { step_size, replays, random_start } = method("method = \"free\"") else {
            panic!("not free")
        };
        assert_eq!((step_size.to_string().as_str(), replays, random_start), ("8/255", 8, false));
        for (epsilon, expected) in [("8/255", 0.2), ("16/255", 2.0)] {
            let text = format!("method = \"gradalign\"\nepsilon = \"{epsilon}\"");
            let MethodSpec::GradAlign { regularization, .. } = method(&text) else { panic!("not gradalign") };
            assert!((regularization / expected - 1.0).abs() < 1e-12, "{epsilon}: {regularization}");
        }
        let text = "method = \"dat+awp+trades\"\nepochs = 10\nawp-gamma = 0.01";
        let checked = check(text).unwrap();
        let awp = checked.plan.awp().unwrap();
        assert_eq!((awp.gamma, awp.warmup_epochs, checked.plan.natural_epochs()), (0.01, 0, 5));
        assert_eq!(check("method = \"trades\"").unwrap().plan.awp(), None);
    }

    #[test]
    fn gaat_may_leave_the_ball_where_one_step_follows_one_gradient_and_its_gain_ratio_is_watched() {
        let projection = |text: &str| {
            let text = format!("dataset = \"cifar10\"\n{text}");
            let MethodSpec::Gaat(spec) = check(&text).unwrap().method else { panic!("not gaat") };
            spec.opening.projection
        };
        assert_eq!(projection("method = \"gaat\""), Projection::Adaptive);
        for (word, expected) in [("never", Projection::Never), ("always", Projection::Always)] {
            assert_eq!(projection(&format!("method = \"gaat\"\nproject = \"{word}\"")), expected);
        }
        for text in [
            "norm = \"l2\"",
            "curvature = \"gauss-newton\"",
            "refreshes = 2",
            "anchor = \"clean\"",
            "refinement = \"off\"",
            "step-draw = \"uniform\"",
            "start = \"universal\"",
        ] {
            assert_eq!(projection(&format!("method = \"gaat\"\n{text}")), Projection::Always, "{text}");
        }
        assert_eq!(projection("method = \"gaat-paper\""), Projection::Always);
        for text in ["norm = \"l2\"", "curvature = \"gauss-newton\"", "refreshes = 2", "anchor = \"clean\""] {
            let text = format!("method = \"gaat\"\nproject = \"adaptive\"\n{text}");
            assert!(check(&text).unwrap_err().to_string().contains("one gradient"), "{text}");
        }
    }

    #[test]
    fn the_alarm_acts_in_gaat_warns_in_peers_and_is_absent_elsewhere() {
        let policy = |text: &str| {
            let checked = check(text).unwrap();
            assert_eq!(checked.resolved.on_collapse, checked.plan.on_collapse(), "{text}");
            checked.plan.on_collapse()
        };
        assert_eq!(policy("method = \"dat+awp+gaat\""), Some(CollapsePolicy::Rollback));
        for method in ["gaat-paper", "fgsm-rs", "n-fgsm", "fgsm-mep", "gradalign"] {
            assert_eq!(policy(&format!("method = \"{method}\"")), Some(CollapsePolicy::Warn), "{method}");
        }
        for method in ["natural", "rat", "free", "trades", "mart"] {
            assert_eq!(policy(&format!("method = \"{method}\"")), None, "{method}");
        }
        assert_eq!(policy("method = \"n-fgsm\"\non-collapse = \"refine\""), Some(CollapsePolicy::Refine));
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
            ("step-size = 2", "did you mean 2/255?"),
            ("steps = 0", "steps"),
            ("curvature-draws = 0", "curvature-draws"),
            ("refreshes = 0", "refreshes"),
            ("steps = 3\nrefreshes = 4", "refreshes"),
            ("learning-rate = -1", "learning-rate"),
            ("validation-fraction = 1.5", "validation-fraction"),
            ("milestones = [0.7, 0.2]", "milestones"),
            ("weight-averaging = 1.5", "weight-averaging"),
            ("consistency = -1", "consistency"),
            ("method = \"rat\"\nconsistency = 10", "applies to gaat, "),
            ("method = \"fgsm-mep\"\nconsistency = 10", "regularization"),
            ("consistency-form = \"js\"", "without consistency"),
            ("consistency-every = 2", "without consistency"),
            ("consistency-warmup = 0.5", "without consistency"),
            ("method = \"rat\"\nstart = \"universal\"", "applies to gaat, "),
            ("method = \"gaat-paper\"\nstep-draw = \"uniform\"", "applies to gaat, "),
            ("method = \"fgsm-mep\"\nproject = \"never\"", "applies to gaat, "),
            ("method = \"gaat\"\nrefinement = \"off\"\nproject = \"adaptive\"", "always or never"),
            ("method = \"n-fgsm\"\nproject = \"adaptive\"", "always or never"),
            ("project = \"sometimes\"", "expected one of `always`, `never`, `adaptive`"),
            ("method = \"gaat\"\nzeroed = 0.3", "applies to fgsm-rs, "),
            ("method = \"gaat\"\nstep-limit = 0.3", "applies to fgsm-rs, "),
            ("method = \"gaat\"\nstart = \"universal\"\nrefreshes = 2", "one gradient"),
            ("method = \"gaat\"\nnorm = \"l2\"\nstep-draw = \"uniform\"", "steps = 1"),
            ("method = \"fgsm-rs\"\nzeroed = 1", "zeroed"),
            ("method = \"sora\"\nconsistency = 1", "step-limit"),
            ("converge-smooth = -1", "converge-smooth"),
            ("method = \"natural\"\nconverge-smooth = 1", "natural training"),
            ("label-smoothing = 1", "below 1"),
            ("label-smoothing = -0.1", "label-smoothing"),
            ("label-smoothing-form = \"random\"", "without label-smoothing"),
            ("attack-labels = \"soft\"", "without label-smoothing"),
            ("method = \"mart\"\nlabel-smoothing = 0.1", "mart"),
            ("mixup = 1.5", "mixup"),
            ("cutmix = -1", "cutmix"),
            ("method = \"mart\"\nmixup = 1", "probability of one class"),
            ("method = \"awp+fgsm-mep\"\ncutmix = 1", "awp+fgsm-mep remembers"),
            ("method = \"gaat-memory\"\nmixup = 0.5", "gaat-memory remembers"),
            ("method = \"liet\"\nmixup = 0.5", "label-indicative"),
            ("mixup = 1\nlabel-smoothing-form = \"random\"", "without label-smoothing"),
            ("extra-share = 0.5", "without extra-data"),
            ("extra-data = \"a.npz\"\nextra-share = 1", "between 0 and 1"),
            ("method = \"fgsm-mep\"\nextra-data = \"a.npz\"", "fgsm-mep remembers"),
            ("method = \"trades\"\nlabel-smoothing = 0.1\nattack-labels = \"soft\"", "divergence"),
            ("method = \"gaat-free\"\nlabel-smoothing = 0.1\nattack-labels = \"hard\"", "gaat-free"),
            ("method = \"natural\"\nlabel-smoothing = 0.1\nattack-labels = \"hard\"", "natural"),
            ("anchor = \"random-start\"\nrandom-start = false", "random-start"),
            ("method = \"natural\"\ndelay = 0.5", "delay"),
            ("method = \"n-fgsm\"\nnoise = -1", "noise"),
            ("method = \"free\"\nreplays = 0", "replays"),
            ("method = \"trades\"\nregularization = -1", "regularization"),
            ("method = \"fgsm-mep\"\nmemory-reset = 0", "memory-reset"),
            ("method = \"awp+rat\"\nawp-gamma = 0", "awp-gamma"),
            ("optimizer = \"sgd\"\nnesterov = true\nmomentum = 0", "nesterov"),
            ("method = \"rat\"\non-collapse = \"warn\"", "on-collapse"),
            ("method = \"dat+awp+trades\"\non-collapse = \"refine\"", "applies to gaat, "),
        ];
        for (text, needle) in cases {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn the_attack_grows_to_its_full_size_and_stays_there() {
        let checked = check("epsilon-warmup = 0.2").unwrap();
        assert_eq!(
            [0.0, 0.1, 0.2, 1.0].map(|progress| checked.plan.attack_scale(progress)),
            [0.0, 0.5, 1.0, 1.0]
        );
        assert_eq!(Recipe::default().check().unwrap().plan.attack_scale(0.0), 1.0);
        let delayed = check("method = \"dat+gaat\"\nepochs = 10\nepsilon-warmup = 0.2").unwrap();
        let scales = [0.0, 0.5, 0.55, 0.6, 1.0].map(|progress| delayed.plan.attack_scale(progress));
        assert!(
            scales.iter().zip([0.0, 0.0, 0.5, 1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-9),
            "{scales:?}"
        );
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

    #[test]
    fn counts_out_of_bounds_are_named_with_their_bound() {
        let keys = Recipe::keys().iter().filter(|key| {
            // Every key that takes 1 and no fraction is a count, but for the seed.
            let takes = |value: &str| Recipe::from_toml(&format!("{key} = {value}")).is_ok();
            takes("1") && !takes("1.5") && **key != "seed"
        });
        let mut seen = 0;
        for key in keys {
            // What is checked where machine and images are known, or as it is read.
            if ["threads", "resize", "delay"].contains(key) {
                continue;
            }
            let method = match *key {
                "replays" => "free",
                "memory-reset" => "fgsm-mep",
                "awp-warmup" => "awp+gaat",
                _ => "gaat",
            };
            let text = format!("method = \"{method}\"\n{key} = 9223372036854775807");
            let error = Recipe::from_toml(&text).unwrap().check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key} = ")) && error.contains("needs at most"), "{error}");
            seen += 1;
        }
        assert_eq!(seen, 16);
        let wide =
            Recipe::from_toml("dataset = \"digits\"\nresize = \"32x9000\"").unwrap().check().unwrap_err();
        assert!(wide.to_string().starts_with("resize = 9000: needs at most 8192"), "{wide}");
        let huge = Recipe { epochs: Some(usize::MAX), ..Recipe::default() };
        let error = Recipe::default().overlaid_with(&huge).unwrap_err().to_string();
        assert!(error.contains("epochs = 18446744073709551615") && error.contains("2^63"), "{error}");
    }
}
