//! Random noise: what it finds and the attacks did not, they should have found (Carlini et al. 2019, section 5).

use super::{Prober, all_places};
use crate::attack::survival::survivors;
use crate::attack::{Attack, GradientOracle, UnderAttack, ball};
use crate::batch::Batch;
use crate::error::Result;
use gaat_spec::evaluation::{NoiseProbe, Probes};
use tch::Tensor;

/// Share of the images that noise may find alone.
const SLACK: f64 = 0.002;

/// A random point of the ball, and nothing more.
struct Noise;

impl Attack for Noise {
    fn propose(&self, _oracle: &mut dyn GradientOracle, batch: UnderAttack<'_>) -> Result<Tensor> {
        let UnderAttack { clean, threat, draws, .. } = batch;
        ball::random_start(clean, threat, draws)
    }
}

/// Tries `draws` draws on the images of `batch`, which lie at `places`; `robust` are the places of those that withstood
/// every attack.
pub(super) fn probe(
    prober: &Prober,
    batch: &Batch,
    places: &[i64],
    robust: &[i64],
    draws: usize,
) -> Result<NoiseProbe> {
    let mut standing = all_places(batch)?;
    for draw in 0..draws {
        let drawn = prober.rng.seeded("evaluate/noise", draw as u64);
        (standing, _) = survivors(prober.classifier, batch, &standing, &Noise, &prober.threat, &drawn)?;
    }
    let left = Vec::<i64>::try_from(&standing)?;
    let fell = (0..places.len()).filter(|index| left.binary_search(&(*index as i64)).is_err());
    let found = fell.filter(|index| robust.binary_search(&places[*index]).is_ok()).count();
    Ok(NoiseProbe { draws, accuracy: left.len() as f64 / places.len() as f64, found })
}

pub(super) fn alarm(probes: &Probes) -> Option<String> {
    let NoiseProbe { draws, found, .. } = probes.noise;
    (found as f64 > SLACK * probes.examples as f64).then(|| {
        format!(
            "noise-beats-attacks: {found} of {} images withstand every attack and fall to {draws} draws of random noise",
            probes.examples
        )
    })
}
