//! What a recipe means where it is silent: defaults by data set and by method.

use crate::method::{Anchor, BaseMethod, Curvature, Delay, MethodName, Refinement};
use crate::model::{ModelName, PreActForm};
use crate::names::{
    AttackStatistics, CollapsePolicy, ConsistencyForm, DatasetName, OptimizerName, ScheduleName,
    SmoothingForm,
};
use crate::normalization::NormalizationChoice;
use crate::one_step::{AttackStart, Projection, StepDraw};
use crate::recipe::Recipe;
use crate::threat::{Norm, PixelLength, ThreatModel};

/// Share of the epochs that are natural under `dat+...` unless the recipe says otherwise.
pub const DELAY: Delay = Delay::Fraction(0.5);

/// Total length of GAAT's path on its model over epsilon; refinement makes it longer or shorter (decision record 0007).
const TRAVEL: f64 = 1.0;

/// Defaults of everything that does not depend on the method.
pub fn of_dataset(dataset: DatasetName) -> Recipe {
    let small = dataset.is_grey();
    let general = Recipe {
        dataset: Some(dataset),
        validation_fraction: Some(0.1),
        normalization: Some(if small { NormalizationChoice::None } else { NormalizationChoice::Dataset }),
        norm: Some(Norm::Linf),
        attack_statistics: Some(AttackStatistics::Batch),
        epsilon_warmup: Some(0.0),
        schedule: Some(ScheduleName::Cyclic),
        peak: Some(0.4),
        milestones: Some(vec![0.5, 0.75]),
        decay_factor: Some(0.1),
        momentum: Some(0.9),
        nesterov: Some(false),
        decay_norm_and_bias: Some(true),
        clip_norm: Some(0.0),
        weight_averaging: Some(0.0),
        validation_steps: Some(10),
        validation_limit: Some(1000),
        seed: Some(0),
        device: Some("cpu".to_owned()),
        precision: Some("auto".to_owned()),
        crop_padding: Some(if small { 0 } else { 4 }),
        flip: Some(!small),
        ..Recipe::default()
    };
    match dataset {
        // Wong et al. (2020), train_mnist.py: Adam, cyclic to 5e-3 with the peak at 2/5, batches of 100.
        DatasetName::Mnist => Recipe {
            model: Some(ModelName::ConvNet.into()),
            epsilon: PixelLength::new(0.3).ok(),
            epochs: Some(10),
            batch_size: Some(100),
            optimizer: Some(OptimizerName::Adam),
            learning_rate: Some(5e-3),
            weight_decay: Some(0.0),
            ..general
        },
        // As MNIST, at the epsilon that Wong and Kolter (2018) began with and others kept.
        DatasetName::FashionMnist => Recipe {
            dataset: Some(dataset),
            epsilon: PixelLength::new(0.1).ok(),
            ..of_dataset(DatasetName::Mnist)
        },
        DatasetName::Digits => Recipe {
            model: Some(ModelName::ConvNet.into()),
            epsilon: PixelLength::new(0.1).ok(),
            // Tensors this small are not worth sharing between threads.
            threads: Some(1),
            epochs: Some(40),
            batch_size: Some(64),
            optimizer: Some(OptimizerName::Adam),
            learning_rate: Some(5e-3),
            weight_decay: Some(0.0),
            ..general
        },
        // Wong et al. (2020), train_fgsm.py with de Jorge et al.'s (2022) 30 epochs.
        DatasetName::Cifar10 | DatasetName::Cifar100 | DatasetName::Folder => Recipe {
            model: Some(
                ModelName::PreActResNet18 { width: 64, stem_stride: 1, form: PreActForm::default() }.into(),
            ),
            epsilon: PixelLength::fraction(8.0, 255.0).ok(),
            epochs: Some(30),
            batch_size: Some(128),
            optimizer: Some(OptimizerName::Sgd),
            learning_rate: Some(0.2),
            weight_decay: Some(5e-4),
            ..general
        },
    }
}

/// The epsilon and the step that MNIST is judged with in the literature (Wong et al. 2020).
const MNIST_EPSILON: f64 = 0.3;
const MNIST_STEP: f64 = 0.01;

impl DatasetName {
    /// Whether its images have one channel; unknown of images of one's own, which are taken for coloured ones.
    pub fn is_grey(self) -> bool {
        matches!(self, Self::Digits | Self::Mnist | Self::FashionMnist)
    }

    /// The step that PGD of `steps` steps is always judged with on this data set under `threat`, if there is one and the steps
    /// still cross the ball.
    pub fn customary_step(self, threat: &ThreatModel, steps: usize) -> Option<PixelLength> {
        let is_customary = self == Self::Mnist
            && threat.norm() == Norm::Linf
            && threat.epsilon() == MNIST_EPSILON
            && MNIST_STEP * steps as f64 > MNIST_EPSILON;
        if is_customary { PixelLength::new(MNIST_STEP).ok() } else { None }
    }
}

/// Defaults of `method`, given the data set, epsilon and steps that `recipe` has by now.
pub fn of_method(recipe: &Recipe, method: MethodName) -> Recipe {
    // Wu et al. (2020), section 5: gamma 5e-3 from the first epoch.
    let (awp_gamma, awp_warmup) = if method.awp { (Some(5e-3), Some(0)) } else { (None, None) };
    Recipe { awp_gamma, awp_warmup, on_collapse: on_collapse(method.base), ..of_base(recipe, method.base) }
}

/// Published methods run as published and only warn; nothing where no gain ratio is available.
fn on_collapse(base: BaseMethod) -> Option<CollapsePolicy> {
    let policy = if base == BaseMethod::Gaat { CollapsePolicy::Rollback } else { CollapsePolicy::Warn };
    base.predicts().then_some(policy)
}

fn of_base(recipe: &Recipe, base: BaseMethod) -> Recipe {
    let epsilon = recipe.epsilon;
    let step = |factor: f64| epsilon.map(|epsilon| epsilon.scaled(factor));
    match base {
        BaseMethod::Natural => Recipe::default(),
        BaseMethod::Rat => pgd(recipe),
        // As published, GAAT replaces the gradients of RAT and leaves its steps alone.
        BaseMethod::GaatPaper | BaseMethod::GaatPaperDiagonal => Recipe {
            anchor: Some(Anchor::Clean),
            curvature: Some(if base == BaseMethod::GaatPaper {
                Curvature::GaussNewton
            } else {
                Curvature::Diagonal
            }),
            ..with_one_expansion(pgd(recipe))
        },
        BaseMethod::Gaat => {
            let steps = recipe.steps.unwrap_or(10);
            Recipe {
                steps: Some(steps),
                step_size: epsilon.map(|epsilon| epsilon.scaled(TRAVEL / steps.max(1) as f64)),
                random_start: Some(true),
                anchor: Some(Anchor::RandomStart),
                curvature: Some(Curvature::None),
                project: Some(if leaves_the_ball(recipe) {
                    Projection::Adaptive
                } else {
                    Projection::Always
                }),
                refinement: Some(Refinement::Adaptive),
                ..with_one_expansion(Recipe::default())
            }
        }
        BaseMethod::GaatMemory => Recipe { step_size: step(1.0), noise: Some(0.5), ..Recipe::default() },
        // Wong et al. (2020), train_fgsm.py and train_mnist.py: 1.25 epsilon on both.
        BaseMethod::FgsmRs => Recipe { step_size: step(1.25), ..Recipe::default() },
        // de Jorge et al. (2022): noise of 2 epsilon, a step of epsilon.
        BaseMethod::NFgsm => Recipe { step_size: step(1.0), noise: Some(2.0), ..Recipe::default() },
        // Golgooni et al. (2021), table of hyper-parameters: q 0.35 on CIFAR-10, 0.45 on CIFAR-100, a step of 2 epsilon.
        BaseMethod::ZeroGrad => {
            let many_classes = recipe.dataset == Some(DatasetName::Cifar100);
            let zeroed = Some(if many_classes { 0.45 } else { 0.35 });
            Recipe { step_size: step(2.0), zeroed, ..Recipe::default() }
        }
        // SORA's authors' `attack_params.py` and `sora.py`.
        BaseMethod::Sora => Recipe {
            step_size: step(2.0),
            step_draw: Some(StepDraw::Uniform),
            step_limit: Some(0.02),
            project: Some(Projection::Never),
            ..Recipe::default()
        },
        BaseMethod::Liet => liet(recipe),
        // The FastAT benchmark's `fgsm_uap.py` (arXiv 2604.22853): weight 10 on the logits, both sides differentiated.
        BaseMethod::FgsmUap => Recipe {
            step_size: step(1.0),
            start: Some(AttackStart::Universal),
            ..held(ConsistencyForm::Mse, 10.0, 0.0)
        },
        // Sriramanan et al. (2021) and the benchmark's `nu_at.py`: a step of epsilon, weight 4 at the end.
        BaseMethod::Nuat => Recipe { step_size: step(1.0), regularization: Some(4.0), ..Recipe::default() },
        // Shafahi et al. (2019): 8 replays on CIFAR-10, steps of epsilon (algorithm 1).
        BaseMethod::Free => {
            Recipe { step_size: step(1.0), replays: Some(8), random_start: Some(false), ..Recipe::default() }
        }
        // Decision record 0016.
        BaseMethod::GaatFree => {
            Recipe { step_size: step(1.0), replays: Some(4), random_start: Some(true), ..Recipe::default() }
        }
        // Jia et al. (2022), FGSM_MEP.py: a step of epsilon, weight 10, a new start every 40 epochs.
        BaseMethod::FgsmMep => Recipe {
            step_size: step(1.0),
            regularization: Some(10.0),
            memory_reset: Some(40),
            ..Recipe::default()
        },
        BaseMethod::GradAlign => {
            Recipe { step_size: step(1.0), regularization: Some(alignment(recipe)), ..Recipe::default() }
        }
        // Zhang et al. (2019) on CIFAR-10 and the default of Wang et al.'s (2020) mart.py.
        BaseMethod::Trades | BaseMethod::Mart => Recipe { regularization: Some(6.0), ..pgd(recipe) },
    }
}

/// Whether `gaat` may leave the ball: where its attack is one step from noise along one gradient under the largest norm, as decision
/// record 19 has measured it, and where a gain ratio is watched.
fn leaves_the_ball(recipe: &Recipe) -> bool {
    recipe.norm == Some(Norm::Linf)
        && recipe.curvature.is_none_or(|curvature| curvature == Curvature::None)
        && recipe.anchor.is_none_or(|anchor| anchor == Anchor::RandomStart)
        && recipe.refreshes.is_none_or(|refreshes| refreshes == 1)
        && recipe.start.is_none_or(|start| start == AttackStart::Noise)
        && recipe.step_draw.is_none_or(|draw| draw == StepDraw::Fixed)
        && recipe.refinement.is_none_or(|refinement| refinement == Refinement::Adaptive)
}

/// LIET's authors' `configs.yaml`: labels smoothed at random by 0.6 (0.8 with a hundred classes) and a weight that grows to 100 (200)
/// at 8/255. Beyond 8/255 on colour images smoothing 0.4, weight 20, noise of 2 epsilon and no projection; grey images, whose
/// epsilons are others, take the values of 8/255; these values were not tuned for grey images.
fn liet(recipe: &Recipe) -> Recipe {
    let is_grey = recipe.dataset.is_none_or(DatasetName::is_grey);
    let is_large = !is_grey && recipe.epsilon.is_some_and(|epsilon| epsilon.value() > 8.0 / 255.0 + 1e-9);
    let (smoothing, weight) = match (is_large, recipe.dataset) {
        (true, _) => (0.4, 20.0),
        (false, Some(DatasetName::Cifar100)) => (0.8, 200.0),
        (false, _) => (0.6, 100.0),
    };
    let is_smoothed = recipe.label_smoothing != Some(0.0);
    Recipe {
        step_size: recipe.epsilon,
        start: Some(AttackStart::LabelIndicative),
        noise: Some(if is_large { 2.0 } else { 1.0 }),
        project: Some(if is_large { Projection::Never } else { Projection::Always }),
        label_smoothing: Some(smoothing),
        label_smoothing_form: is_smoothed.then_some(SmoothingForm::Random),
        ..held(ConsistencyForm::Js, weight, 1.0)
    }
}

/// Answers that are held together, both sides differentiated in every step, with a weight that grows over `warmup` of the run.
fn held(form: ConsistencyForm, weight: f64, warmup: f64) -> Recipe {
    Recipe {
        consistency: Some(weight),
        consistency_form: Some(form),
        consistency_every: Some(1),
        consistency_warmup: Some(warmup),
        ..Recipe::default()
    }
}

/// Weight of gradient alignment: exp(e ln(10)/8 + ln 0.02) at epsilon = e/255 on colour images, fitted by the authors
/// at 0.2 for e = 8 and 2.0 for 16 (Andriushchenko and Flammarion 2020, `sh/exps_diff_eps_cifar10.sh`). On grey images,
/// whose epsilons lie far outside that range, 0.2; it has not been tuned there.
fn alignment(recipe: &Recipe) -> f64 {
    let grey = recipe.dataset.is_none_or(DatasetName::is_grey);
    match recipe.epsilon {
        Some(epsilon) if !grey && recipe.norm == Some(Norm::Linf) => {
            (255.0 * epsilon.value() * 10f64.ln() / 8.0 + 0.02f64.ln()).exp()
        }
        _ => 0.2,
    }
}

/// What all presets of GAAT share: one gradient a batch.
fn with_one_expansion(recipe: Recipe) -> Recipe {
    Recipe { curvature_draws: Some(1), refreshes: Some(1), refinement: Some(Refinement::Off), ..recipe }
}

/// PGD as the field trains with it: 40 steps of epsilon/30 on MNIST (Madry et al. 2018), 10 of epsilon/4 elsewhere. Where
/// the recipe asks for so few steps that they would not lead from the image to the edge of the ball, they are longer and go
/// as far as those.
fn pgd(recipe: &Recipe) -> Recipe {
    let (steps, mut share) =
        if recipe.dataset == Some(DatasetName::Mnist) { (40, 1.0 / 30.0) } else { (10, 0.25) };
    let asked = recipe.steps.unwrap_or(steps).max(1) as f64;
    if asked * share < 1.0 {
        share *= steps as f64 / asked;
    }
    Recipe {
        steps: Some(steps),
        step_size: recipe.epsilon.map(|epsilon| epsilon.scaled(share)),
        random_start: Some(true),
        ..Recipe::default()
    }
}
