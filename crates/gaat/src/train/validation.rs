//! Validation after each epoch: clean accuracy, and PGD accuracy on a part of the validation images.

use super::feed::Served;
use super::launch::located;
use super::run::Run;
use crate::attack::survival::{correct, standing_clean, survivors};
use crate::attack::{Pgd, Start};
use crate::batch::Images;
use crate::error::Result;
use crate::nn::{Classifier, Part, Rng, try_algorithms};
use crate::world::World;
use gaat_spec::ThreatModel;
use std::time::Instant;
use tch::{Kind, Tensor};

/// Images judged at once; of images of more than 64x64 pixels in colour as many fewer as they are larger.
const BATCH: usize = 500;
const LARGE: usize = 3 * 64 * 64;

/// How many of `at_most` images of `numbers` pixels and channels are judged at once.
pub(super) fn at_once(at_most: usize, numbers: i64) -> usize {
    let numbers = usize::try_from(numbers).unwrap_or(1).max(1);
    if numbers <= LARGE { at_most } else { (at_most * LARGE / numbers).max(1) }
}

/// How to validate, and on what.
pub(super) struct Validation {
    pub(super) images: Images<'static>,
    /// The part of the images that is attacked.
    pub(super) attacked: Images<'static>,
    pub(super) threat: ThreatModel,
    /// PGD steps of epsilon/4, one random start.
    pub(super) steps: usize,
    pub(super) rng: Rng,
}

/// Fractions; `None` where there is nothing to judge.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Accuracy {
    pub(super) clean: Option<f64>,
    pub(super) robust: Option<f64>,
    /// Whether it is that of the averaged weights; `None` where nothing is averaged.
    pub(super) averaged: Option<bool>,
    /// Robust accuracy of the other one of the trained and the averaged network.
    pub(super) robust_of_other: Option<f64>,
}

impl Validation {
    /// Judges `classifier`. The attack's draws are the same every epoch, so that epochs compare.
    /// Clean accuracy is that on all images, robust accuracy that on the attacked part.
    /// Each of `world` takes some of the batches.
    pub(super) fn judge(&self, classifier: &dyn Classifier, world: &dyn World) -> Result<Accuracy> {
        let Self { images, attacked, .. } = self;
        if images.is_empty() || attacked.is_empty() {
            return Ok(Accuracy::default());
        }
        let kind = classifier.store().kind();
        let size = at_once(BATCH, classifier.input_shape().size());
        let is_own = |index: usize| index % world.size() == world.rank();
        let mut right = 0;
        for (index, batch) in images.batches(size, kind).filter(|(index, _)| is_own(*index)) {
            let batch = batch?;
            classifier.begin_step(self.rng, index as u64);
            let hits = correct(classifier, &batch.pixels, &batch.labels)?;
            right += hits.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        }
        let attack = Pgd::judging(self.steps, self.threat.epsilon() / 4.0, Start::Random);
        let mut withstood = 0;
        for (index, batch) in attacked.batches(size, kind).filter(|(index, _)| is_own(*index)) {
            let batch = batch?;
            let draws = self.rng.seeded("validation", index as u64);
            classifier.begin_step(self.rng, index as u64);
            let standing = standing_clean(classifier, &batch)?;
            withstood += survivors(classifier, &batch, &standing, &attack, &self.threat, &draws)?.0.size()[0];
        }
        let counts = Tensor::from_slice(&[right, withstood]);
        world.sum(&[counts.shallow_clone()])?;
        let (right, withstood) = (counts.f_int64_value(&[0])?, counts.f_int64_value(&[1])?);
        Ok(Accuracy {
            clean: Some(right as f64 / images.len() as f64),
            robust: Some(withstood as f64 / attacked.len() as f64),
            averaged: None,
            robust_of_other: None,
        })
    }
}

impl Run<'_> {
    /// Judges the network after `epoch`; its seconds enter the books. Where weights are averaged, the average is judged beside the
    /// weights themselves, and the better of the two is what is kept: by robust accuracy, in natural training by clean accuracy. Where
    /// nothing is validated the average is.
    pub(super) fn validate(&mut self, epoch: usize) -> Result<Accuracy> {
        try_algorithms(false);
        let started = Instant::now();
        let mut accuracy = self.judge_both();
        if matches!(accuracy, Ok(Accuracy { clean: None, .. })) {
            accuracy = self.check_answers().and(accuracy);
        }
        self.books.add_evaluation(started.elapsed().as_secs_f64());
        accuracy.map_err(|error| located(error, epoch, self.books.steps()))
    }

    fn judge_both(&mut self) -> Result<Accuracy> {
        let judge = |network: &dyn Classifier| self.validation.judge(network, self.world.as_ref());
        let own = judge(self.trained.network.as_ref())?;
        let Some(average) = &self.trained.average else { return Ok(own) };
        let of_average = judge(average.network())?;
        let is_natural = self.method.is_natural();
        let score = |accuracy: Accuracy| if is_natural { accuracy.clean } else { accuracy.robust };
        let is_preferred = score(of_average) >= score(own);
        self.trained.prefer_average(is_preferred);
        let (chosen, other) = if is_preferred { (of_average, own) } else { (own, of_average) };
        Ok(Accuracy { averaged: Some(is_preferred), robust_of_other: other.robust, ..chosen })
    }

    /// Insists that the network answers the images of the last step, where no validation image asks it anything: finite weights
    /// may have sums that are not.
    fn check_answers(&mut self) -> Result<()> {
        let last = self.calendar.batch_number(self.books.steps() - 1);
        let Served { batch, parts, .. } = self.feed.serve(last, self.world.as_ref())?;
        for part in Part::all(batch.len(), parts) {
            let _right = correct(self.trained.judged(), &part.of(&batch.pixels)?, &part.of(&batch.labels)?)?;
        }
        Ok(())
    }
}
