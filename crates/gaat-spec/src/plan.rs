//! The numbers of a training: everything of a checked recipe that makes no part, such as a network or a data set.

use crate::long_step::long_step;
use crate::method::{AwpSpec, BaseMethod};
use crate::names::{AttackStatistics, CollapsePolicy, ConsistencyForm, SmoothingForm};
use crate::recipe::{AugmentationSpec, OptimizerSpec, Recipe};
use crate::schedule::Schedule;
use crate::threat::{PixelLength, ThreatModel};

/// What the loop goes by. Only [`Recipe::check`] makes one, so that a plan is always a checked one.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) recipe: Recipe,
    pub(crate) awp: Option<AwpSpec>,
    pub(crate) on_collapse: Option<CollapsePolicy>,
    pub(crate) consistency: Option<ConsistencySpec>,
    pub(crate) converge_smooth: Option<f64>,
    pub(crate) labels: Option<LabelSpec>,
    pub(crate) mixing: Option<MixSpec>,
    pub(crate) extra: Option<ExtraSpec>,
    pub(crate) natural_epochs: usize,
    pub(crate) threat: ThreatModel,
    pub(crate) attack_statistics: AttackStatistics,
    pub(crate) epsilon_warmup: f64,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) accumulate: usize,
    pub(crate) sync_batch_norm: bool,
    pub(crate) schedule: Schedule,
    pub(crate) optimizer: OptimizerSpec,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) weight_averaging: Option<f64>,
    pub(crate) augmentation: AugmentationSpec,
    pub(crate) validation_steps: usize,
    pub(crate) validation_limit: usize,
    pub(crate) seed: u64,
}

/// The consistency of the network's answers at the point where the attack takes its gradient and at the attacked point:
/// `weight` times their distance is added to the loss of each image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConsistencySpec {
    /// Weight of the distance, over 0.
    pub weight: f64,
    /// How the distance is measured.
    pub form: ConsistencyForm,
    /// Every so many steps both answers are differentiated; `None`: the answer at the gradient's point is always a constant.
    pub every: Option<usize>,
    /// Share of the run over which the weight grows from 0; 0: it is whole from the first step on.
    pub warmup: f64,
}

impl ConsistencySpec {
    /// The weight at `progress` in `[0, 1]` of the run.
    pub fn weight_at(&self, progress: f64) -> f64 {
        if progress >= self.warmup { self.weight } else { self.weight * progress / self.warmup }
    }
}

/// How an image is mixed with another one of its batch; the weights are drawn from Beta distributions for every image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixSpec {
    /// Both parameters of the weight of a blend (Zhang et al. 2018), in `[0, 1]`; 0: no image is blended.
    pub mixup: f64,
    /// Both parameters of the share that a pasted box leaves (Yun et al. 2019), in `[0, 1]`; 0: no box is pasted.
    pub cutmix: f64,
}

/// Images of another source in every batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtraSpec {
    /// Their share of every batch, between 0 and 1.
    pub share: f64,
}

/// Soft labels: probabilities of the classes in place of one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelSpec {
    /// Share of the weight of a label that other classes get, in `[0, 1)`; 0 where labels are soft because images are mixed.
    pub smoothing: f64,
    /// How that share is divided.
    pub form: SmoothingForm,
    /// Whether the attack climbs the loss of the soft labels too, and not that of the classes.
    pub in_attack: bool,
}

impl LabelSpec {
    /// The least loss that labels of `classes` classes leave: their entropy, in nats. Labels smoothed at random have at most
    /// that.
    pub fn least_loss(&self, classes: usize) -> f64 {
        let others = classes.saturating_sub(1).max(1) as f64;
        let share = match self.form {
            SmoothingForm::Even => self.smoothing / (others + 1.0),
            SmoothingForm::Random => self.smoothing / others,
        };
        let term = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
        term(1.0 - others * share) + others * term(share)
    }
}

/// One getter a field.
macro_rules! numbers {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty;)+) => {
        impl Plan {
            $($(#[doc = $doc])+ pub fn $name(&self) -> $kind { self.$name })+
        }
    };
}

numbers! {
    /// Perturbation of the weights round the method.
    awp: Option<AwpSpec>;
    /// What to do about a collapse; `None` where no gain ratio is available.
    on_collapse: Option<CollapsePolicy>;
    /// The distance between two answers that is made small beside the loss.
    consistency: Option<ConsistencySpec>;
    /// Weight of the loss on clean images where it jumps from the mean of the epoch before.
    converge_smooth: Option<f64>;
    /// Soft labels; `None` where the labels are classes.
    labels: Option<LabelSpec>;
    /// How images are mixed.
    mixing: Option<MixSpec>;
    /// Images of another source.
    extra: Option<ExtraSpec>;
    /// Natural epochs before the method starts.
    natural_epochs: usize;
    /// The threat model that is trained against and validated with.
    threat: ThreatModel;
    /// BatchNorm statistics under the training attack.
    attack_statistics: AttackStatistics;
    /// Share of the run over which the training attack grows to its full size.
    epsilon_warmup: f64;
    /// Passes over the training images.
    epochs: usize;
    /// Images that are computed at once, by all processes together.
    batch_size: usize;
    /// Batches whose gradients one step adds up.
    accumulate: usize;
    /// Whether several processes normalise by the statistics of the whole batch.
    sync_batch_norm: bool;
    /// Optimiser and its numbers.
    optimizer: OptimizerSpec;
    /// Largest norm of the whole gradient.
    clip_norm: Option<f64>;
    /// Decay per step of the moving average of the weights.
    weight_averaging: Option<f64>;
    /// Augmentation.
    augmentation: AugmentationSpec;
    /// Validation attack: PGD-K with this K, on at most `validation_limit` images.
    validation_steps: usize;
    /// See `validation_steps`.
    validation_limit: usize;
    /// Seed of all random numbers.
    seed: u64;
}

impl Plan {
    /// Every key with its value: what is saved with the run and reproduces it.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Images that one step goes by: `accumulate` batches.
    pub fn images_per_step(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// Learning rate over the run.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What should be known before the run though it stops nothing: steps longer than the ball, where they are not those that
    /// the method is published with.
    pub fn notes(&self) -> Vec<String> {
        let step_size = |recipe: Recipe| recipe.check().ok().and_then(|checked| checked.method.step_size());
        let usual = step_size(Recipe { step_size: None, ..self.recipe.clone() }).map(PixelLength::value);
        let own = step_size(self.recipe.clone()).filter(|step_size| Some(step_size.value()) != usual);
        let who = self.recipe.method.map(|method| method.to_string()).unwrap_or_default();
        own.and_then(|step_size| long_step(&who, step_size, &self.threat)).into_iter().collect()
    }

    /// Whether the method is natural training, which nothing attacks.
    pub fn is_natural(&self) -> bool {
        self.recipe.method.is_some_and(|method| method.base == BaseMethod::Natural)
    }

    /// Size of the training attack, as a share of its full size, at `progress` in `[0, 1]` of the run. It grows from the
    /// end of the natural epochs on: no network should meet the full attack unprepared.
    pub fn attack_scale(&self, progress: f64) -> f64 {
        let delay = self.natural_epochs as f64 / self.epochs as f64;
        let growth = self.epsilon_warmup * (1.0 - delay);
        let since = (progress - delay).max(0.0);
        if since >= growth { 1.0 } else { since / growth }
    }

    /// The threat model at the size that the training attack has at `progress`.
    pub fn threat_at(&self, progress: f64) -> ThreatModel {
        self.threat.scaled(self.attack_scale(progress))
    }
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    #[test]
    fn a_step_longer_than_the_ball_is_noted_unless_it_is_the_usual_one() {
        let notes = |text: &str| Recipe::from_toml(text).unwrap().check().unwrap().plan.notes();
        assert_eq!(notes("method = \"fgsm-rs\"\nepsilon = 0.3"), [""; 0], "1.25 epsilon is published");
        let found = notes("method = \"fgsm-rs\"\nepsilon = 0.3\nstep-size = 0.6");
        assert!(found.len() == 1 && found[0].starts_with("fgsm-rs: a step of 0.6 is longer"), "{found:?}");
        assert_eq!(notes("method = \"rat\"\nepsilon = 0.3\nstep-size = 0.3"), [""; 0]);
        assert_eq!(notes("method = \"rat\"\nepsilon = \"8/255\"\nstep-size = 0.9").len(), 1);
        assert_eq!(notes("method = \"natural\"\nepsilon = 0.3"), [""; 0]);
    }
}
