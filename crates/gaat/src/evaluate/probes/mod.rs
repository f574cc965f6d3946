//! What is tried beside the attacks, on a few images that are classified correctly: signs that the numbers are too good.

mod budget;
mod interior;
mod network;
mod noise;

use crate::attack::survival::standing_clean;
use crate::batch::{Batch, Images};
use crate::error::Result;
use crate::nn::{Classifier, Rng};
use gaat_spec::ThreatModel;
use gaat_spec::evaluation::Probes;
use tch::Tensor;

/// Images that the network is looked at with, whatever else is tried.
const IMAGES: usize = 250;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Images at most; 0 leaves these probes out.
    pub images: usize,
    /// Draws of random noise for each.
    pub noise_draws: usize,
}

/// What the probes are about.
pub(super) struct Prober<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) images: &'a Images<'a>,
    pub(super) threat: ThreatModel,
    pub(super) rng: Rng,
}

impl Prober<'_> {
    /// What the probes found, if any were asked for, and their alarms. `robust` are the images that withstood every
    /// attack, in order.
    pub(super) fn probe(
        &self,
        options: Option<ProbeOptions>,
        robust: &[i64],
    ) -> Result<(Option<Probes>, Vec<String>)> {
        let (batch, _) = self.correctly_classified(IMAGES)?;
        if batch.is_empty() {
            return Ok((None, Vec::new()));
        }
        let mut alarms = network::probe(self.classifier, &batch)?;
        let Some(ProbeOptions { images, noise_draws }) = options.filter(|options| options.images > 0) else {
            return Ok((None, alarms));
        };
        let (batch, places) = self.correctly_classified(images)?;
        if batch.is_empty() || self.threat.epsilon() == 0.0 {
            return Ok((None, alarms));
        }
        let noise = noise::probe(self, &batch, &places, robust, noise_draws)?;
        let interior = interior::probe(self, &batch)?;
        let budget = budget::probe(self, &batch)?;
        let probes = Probes { examples: batch.len(), noise, interior, budget };
        alarms.extend(noise::alarm(&probes));
        alarms.extend(interior::alarms(&probes));
        alarms.extend(budget::alarms(&probes));
        Ok((Some(probes), alarms))
    }

    /// Those of the first `most` images that are classified correctly, and their places.
    fn correctly_classified(&self, most: usize) -> Result<(Batch, Vec<i64>)> {
        let kind = self.classifier.store().kind();
        let few = self.images.range(0, self.images.len().min(most), kind)?;
        let right = standing_clean(self.classifier, &few)?;
        Ok((few.select(&right)?, Vec::<i64>::try_from(right)?))
    }
}

/// All places of `batch`, i64.
fn all_places(batch: &Batch) -> Result<Tensor> {
    Ok(batch.labels.f_ones_like()?.f_nonzero()?.f_squeeze_dim(1)?)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
