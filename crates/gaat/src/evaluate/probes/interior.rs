//! Shares of a perturbation: where a shorter one along the same line fools and the whole one does not, the network was
//! fitted to the ends of attacks (Kim et al. 2021, arXiv 2010.01799).

use super::{Prober, percent};
use crate::attack::survival::correct;
use crate::attack::{Attack, Exact, Fgsm, Pgd, Start, UnderAttack, run};
use crate::batch::Batch;
use crate::error::Result;
use crate::nn::Mode;
use gaat_spec::evaluation::{InteriorProbe, Probes, ScaledAccuracy};
use tch::{Kind, Tensor};

/// Shares of the perturbation; the last is the whole.
const SHARES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
const STEPS: usize = 10;
/// Share of the images that may fall inside alone: boundaries are not quite monotone in honest networks either.
const SLACK: f64 = 0.02;
/// Images that may do so however few are probed: of 41 images, one alone is over 2 %.
const FEW: usize = 2;

pub(super) fn probe(prober: &Prober, batch: &Batch) -> Result<Vec<InteriorProbe>> {
    let pgd = Pgd::training(STEPS, 2.5 * prober.threat.epsilon() / STEPS as f64, Start::Random);
    let attacks: [(String, &dyn Attack); 2] = [("fgsm".to_owned(), &Fgsm), (format!("pgd-{STEPS}"), &pgd)];
    attacks.into_iter().map(|(name, attack)| along(prober, batch, name, attack)).collect()
}

fn along(prober: &Prober, batch: &Batch, name: String, attack: &dyn Attack) -> Result<InteriorProbe> {
    let Batch { pixels, labels, .. } = batch;
    let mut oracle = Exact::new(prober.classifier, Mode::Eval);
    let draws = prober.rng.seeded("evaluate/interior", 0);
    let delta = run(attack, &mut oracle, UnderAttack::new(pixels, labels, &prober.threat, &draws))?
        .into_pixels()
        - pixels;
    let mut shares = Vec::new();
    let mut fell_inside = labels.f_lt(0)?;
    for share in SHARES {
        let right = correct(prober.classifier, &(pixels + &delta * share), labels)?;
        if share < 1.0 {
            fell_inside = fell_inside.f_logical_or(&right.f_logical_not()?)?;
        } else {
            fell_inside = fell_inside.f_logical_and(&right)?;
        }
        shares.push(ScaledAccuracy { share, accuracy: count(&right)? as f64 / batch.len() as f64 });
    }
    Ok(InteriorProbe { attack: name, shares, found: count(&fell_inside)? })
}

fn count(mask: &Tensor) -> Result<usize> {
    Ok(mask.f_sum(Kind::Int64)?.f_int64_value(&[])? as usize)
}

pub(super) fn alarms(probes: &Probes) -> Vec<String> {
    let examples = probes.examples;
    let is_suspicious =
        |probe: &&InteriorProbe| probe.found > FEW && probe.found as f64 > SLACK * examples as f64;
    let suspicious = probes.interior.iter().filter(is_suspicious);
    let text = |probe: &InteriorProbe| {
        format!(
            "interior-beats-full: {} of {examples} images ({}) withstand the whole perturbation of {} and fall to a part \
             of it",
            probe.found,
            percent(probe.found as f64 / examples as f64),
            probe.attack
        )
    };
    suspicious.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::evaluation::NoiseProbe;

    #[test]
    fn few_images_raise_no_alarm_whatever_their_share() {
        for (examples, found, expected) in [(41, 1, 0), (41, 2, 0), (41, 3, 1), (250, 5, 0), (250, 6, 1)] {
            let interior = vec![InteriorProbe { attack: "fgsm".to_owned(), shares: Vec::new(), found }];
            let noise = NoiseProbe { draws: 0, accuracy: 1.0, found: 0 };
            let raised = alarms(&Probes { examples, noise, interior, budget: Vec::new() });
            assert_eq!(raised.len(), expected, "{found} of {examples}");
        }
    }
}
