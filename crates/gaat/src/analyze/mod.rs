//! How well Taylor models predict the loss of a network: residual, gain ratio, agreement of gradients, and what an
//! attack on the model is worth against the network (arXiv 2309.09464, section 3, over a range of epsilon).
//!
//! Not a judgement of robustness: that takes exact gradients, which the table shows beside each model.

mod compared;
mod outcome;

pub use crate::control::Control;

use crate::attack::{Exact, GradientOracle, Pgd, Start, Taylor, UnderAttack, run};
use crate::batch::{Batch, Choice, Images};
use crate::device::environment;
use crate::error::{Error, Result};
use crate::libtorch::Doing as _;
use crate::nn::{Classifier, Mode, Rng};
use crate::taylor::TaylorModel;
use compared::{Compared, Path};
use gaat_data::ImageSource;
use gaat_spec::analysis::{Analysis, AttackOutcome, EpsilonAnalysis, LossModel, ModelAnalysis, SCHEMA};
use gaat_spec::{Anchor, Curvature, Norm, PixelLength, Selection, ThreatModel, bounds};
use outcome::{Clock, Misfit, Tally};
use std::time::{Duration, Instant};

/// What to analyse, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzeOptions {
    /// Norm of the perturbations.
    pub norm: Norm,
    /// Bounds of the perturbations, each over 0.
    pub epsilons: Vec<PixelLength>,
    /// Models to compare with the network.
    pub models: Vec<LossModel>,
    /// Where each model is expanded, once an attack.
    pub anchor: Anchor,
    /// Attack steps K, of 2.5 epsilon / K each.
    pub steps: usize,
    /// Labels drawn an image for the curvature `sampled-fisher`.
    pub curvature_draws: usize,
    /// Images attacked at once, which `batch-fisher` mixes.
    pub batch_size: usize,
    /// At most this many images.
    pub limit: usize,
    /// Which images these are: a subset fixed by the seed, or the first ones.
    pub selection: Selection,
    /// Seed of the random starts and of the drawn labels.
    pub seed: u64,
}

impl AnalyzeOptions {
    fn check(&self) -> Result<()> {
        let sizes = [self.steps, self.curvature_draws, self.batch_size, self.limit, self.models.len()];
        if sizes.contains(&0) || self.epsilons.is_empty() {
            let needs = "an analysis needs a model, an epsilon, and at least one image, step and draw";
            return Err(Error::Usage(needs.to_owned()));
        }
        for (count, bound) in [
            (self.steps, bounds::STEPS),
            (self.curvature_draws, bounds::CURVATURE_DRAWS),
            (self.batch_size, bounds::BATCH_SIZE),
            (self.limit, bounds::LIMIT),
        ] {
            bound.check(count)?;
        }
        for epsilon in &self.epsilons {
            if epsilon.value() == 0.0 {
                return Err(gaat_spec::Error::value("epsilons", epsilon, "needs lengths over 0").into());
            }
        }
        Ok(())
    }
}

/// How far an analysis is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The bound at hand.
    pub epsilon: PixelLength,
    /// `pgd` for exact gradients, else the model.
    pub subject: String,
    /// Batches attacked, over all epsilons and models.
    pub done: usize,
    /// Batches in all.
    pub total: usize,
}

/// Compares models of the loss of `classifier` with the network itself on `images`, BatchNorm in evaluation mode.
///
/// For each epsilon, PGD runs once with exact gradients and once on each model, from the same random starts.
///
/// # Errors
/// When there is nothing to analyse, a size does not fit, the observer stops, or an attack fails.
pub fn analyze(
    classifier: &dyn Classifier,
    images: &dyn ImageSource,
    options: &AnalyzeOptions,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Analysis> {
    let started = Instant::now();
    options.check()?;
    if images.is_empty() {
        return Err(Error::Usage("an analysis needs at least one image".to_owned()));
    }
    let takes_second = |model: &LossModel| model.curvature == Curvature::Exact;
    if let Some(network) = classifier.exported().filter(|_| options.models.iter().any(takes_second)) {
        network.check_second_order()?;
    }
    let store = classifier.store();
    let choice = Choice { limit: options.limit, selection: options.selection, seed: options.seed };
    let subset = choice.subset(images.len());
    let images = Images::upload_some(images, choice, store.device())?;
    let mut epsilons = options.epsilons.clone();
    epsilons.sort_by(|left, right| left.value().total_cmp(&right.value()));
    let batches = images.batch_count(options.batch_size);
    let mut lab = Lab {
        classifier,
        images: &images,
        options,
        observer,
        done: 0,
        total: epsilons.len() * (options.models.len() + 1) * batches,
    };
    let found = epsilons.into_iter().map(|epsilon| {
        let at = || format!("analysing at epsilon {epsilon}");
        lab.at_epsilon(epsilon).doing(at)
    });
    let found = found.collect::<Result<Vec<_>>>()?;
    Ok(Analysis {
        schema: SCHEMA.to_owned(),
        examples: images.len(),
        subset,
        clean_accuracy: lab.clean_accuracy()?,
        norm: options.norm,
        anchor: options.anchor,
        steps: options.steps,
        curvature_draws: options.curvature_draws,
        batch_size: options.batch_size,
        seed: options.seed,
        environment: environment(classifier),
        epsilons: found,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// One analysis under way.
struct Lab<'a> {
    classifier: &'a dyn Classifier,
    images: &'a Images<'a>,
    options: &'a AnalyzeOptions,
    observer: &'a mut dyn FnMut(&Progress) -> Control,
    done: usize,
    total: usize,
}

/// What all attacks at one epsilon have in common.
#[derive(Clone, Copy)]
struct Setting {
    threat: ThreatModel,
    attack: Pgd,
}

impl Lab<'_> {
    fn at_epsilon(&mut self, epsilon: PixelLength) -> Result<EpsilonAnalysis> {
        let step_size = epsilon.scaled(2.5 / self.options.steps as f64);
        let attack = Pgd::training(self.options.steps, step_size.value(), Start::Random);
        let setting = Setting { threat: ThreatModel::new(self.options.norm, epsilon)?, attack };
        let exact = self.with_exact_gradients(setting)?;
        let models = self.options.models.iter();
        let models = models.map(|model| self.with_model(*model, setting)).collect::<Result<Vec<_>>>()?;
        Ok(EpsilonAnalysis { epsilon, step_size, exact, models })
    }

    fn batches(&self) -> usize {
        self.images.batch_count(self.options.batch_size)
    }

    fn batch(&self, index: usize) -> Result<Batch> {
        self.images.batch(index, self.options.batch_size, self.classifier.store().kind())
    }

    /// Draws that depend on the batch alone: every attack starts from the same points, but for their scale.
    fn draws(&self, stream: &str, index: usize) -> crate::nn::Draws {
        Rng::new(self.options.seed).seeded(&format!("analyze/{stream}"), index as u64)
    }

    fn tell(&mut self, setting: Setting, subject: &str) -> Result<()> {
        self.done += 1;
        let epsilon = setting.threat.epsilon_length();
        let (done, total) = (self.done, self.total);
        match (self.observer)(&Progress { epsilon, subject: subject.to_owned(), done, total }) {
            Control::Continue => Ok(()),
            Control::Stop => Err(Error::Interrupted),
        }
    }

    fn clean_accuracy(&self) -> Result<f64> {
        let mut tally = Tally::default();
        for index in 0..self.batches() {
            let batch = self.batch(index)?;
            let _losses = tally.add(self.classifier, &batch, &batch.pixels)?;
        }
        Ok(tally.robust_accuracy())
    }

    fn with_exact_gradients(&mut self, setting: Setting) -> Result<AttackOutcome> {
        let mut tally = Tally::default();
        let mut clock = Clock::new(self.classifier.store().device());
        for index in 0..self.batches() {
            let batch = self.batch(index)?;
            let mut oracle = Exact::new(self.classifier, Mode::Eval);
            let Batch { pixels, labels, .. } = &batch;
            let draws = self.draws("start", index);
            clock.start();
            let perturbed =
                run(&setting.attack, &mut oracle, UnderAttack::new(pixels, labels, &setting.threat, &draws))?;
            clock.stop(Duration::ZERO);
            tally.passes += oracle.passes();
            let _losses = tally.add(self.classifier, &batch, perturbed.pixels())?;
            self.tell(setting, "pgd")?;
        }
        Ok(tally.outcome(&clock))
    }

    fn with_model(&mut self, model: LossModel, setting: Setting) -> Result<ModelAnalysis> {
        let settings = TaylorModel {
            third_order: model.order == 3,
            draws: self.options.curvature_draws,
            ..TaylorModel::once(self.options.anchor, model.curvature, &setting.threat)
        };
        let (mut tally, mut misfit, mut path) = (Tally::default(), Misfit::default(), Path::default());
        let mut clock = Clock::new(self.classifier.store().device());
        for index in 0..self.batches() {
            let batch = self.batch(index)?;
            let Batch { pixels, labels, .. } = &batch;
            let curvature_draws = self.draws("curvature", index);
            let mut taylor = Taylor::new(self.classifier, Mode::Eval, pixels, settings, curvature_draws);
            let mut oracle = Compared::new(&mut taylor, Exact::new(self.classifier, Mode::Eval), &mut path);
            let draws = self.draws("start", index);
            clock.start();
            let perturbed =
                run(&setting.attack, &mut oracle, UnderAttack::new(pixels, labels, &setting.threat, &draws))?;
            let aside = oracle.seconds_aside();
            clock.stop(aside);
            tally.passes += taylor.passes();
            let losses = tally.add(self.classifier, &batch, perturbed.pixels())?;
            taylor.settle(perturbed.pixels())?;
            misfit.add(&losses, &taylor.into_forecast()?)?;
            self.tell(setting, &model.to_string())?;
        }
        Ok(ModelAnalysis {
            model,
            residual: misfit.residual(),
            gain_ratio: misfit.gain_ratio(),
            cosine: path.cosine(),
            sign_agreement: path.sign_agreement(),
            attack: tally.outcome(&clock),
        })
    }
}
