//! Bounds that a network is looked at over, where none are named.

use crate::error::Result;
use gaat::evaluate::CurveAttack;
use gaat_spec::{AttackName, Budget, DatasetName, Norm, PixelLength, ThreatModel};

/// Epsilons of a curve in units of the threat model's.
const CURVE_SHARES: [f64; 8] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0];

/// Eight epsilons from 0 to twice that of `threat`; none beyond the whole range of a pixel.
pub fn of_curve(threat: &ThreatModel) -> Vec<PixelLength> {
    let own = threat.epsilon_length();
    let mut epsilons = CURVE_SHARES.map(|share| own.scaled(share)).to_vec();
    epsilons.retain(|epsilon| threat.norm() == Norm::L2 || epsilon.value() <= 1.0);
    epsilons
}

/// `attack` over `epsilons`, from the least on, each bound once; with one random start where `budget` does not say more.
///
/// # Errors
/// When a number of the budget is out of its range, or the attack is not for the norm of `threat`.
pub fn curve(
    threat: &ThreatModel,
    mut epsilons: Vec<PixelLength>,
    attack: AttackName,
    budget: Budget,
) -> Result<Vec<CurveAttack>> {
    epsilons.sort_by(|first, second| first.value().total_cmp(&second.value()));
    epsilons.dedup_by(|first, second| first.value() == second.value());
    let budget = Budget { restarts: budget.restarts.or(Some(1)), ..budget };
    let at = |epsilon: PixelLength| -> Result<CurveAttack> {
        let threat = ThreatModel::new(threat.norm(), epsilon)?;
        Ok(CurveAttack { threat, attack: budget.attack(attack, &threat)? })
    };
    epsilons.into_iter().map(at).collect()
}

/// The bounds in `norm` that images of `dataset` are usually attacked with, and some beyond.
///
/// # Errors
/// Never, as long as the numbers here are lengths.
pub fn of_analysis(norm: Norm, dataset: DatasetName) -> Result<Vec<PixelLength>> {
    let (numerators, denominator): (&[f64], f64) = match norm {
        Norm::L2 => (&[0.25, 0.5, 1.0, 1.5, 2.0, 3.0], 1.0),
        Norm::Linf if dataset.is_grey() => (&[0.05, 0.1, 0.2, 0.3, 0.4, 0.5], 1.0),
        Norm::Linf => (&[2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0], 255.0),
    };
    let lengths = numerators.iter().map(|numerator| PixelLength::fraction(*numerator, denominator));
    Ok(lengths.collect::<gaat_spec::Result<Vec<_>>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_twice_epsilon_and_ends_at_the_range_of_a_pixel() {
        let threat = |epsilon: &str| ThreatModel::new(Norm::Linf, epsilon.parse().unwrap()).unwrap();
        let values = |epsilon: &str| -> Vec<f64> {
            let threat = threat(epsilon);
            let curve = curve(&threat, of_curve(&threat), AttackName::Pgd, Budget::default()).unwrap();
            curve.iter().map(|point| point.threat.epsilon()).collect()
        };
        assert_eq!(values("0.5"), [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0]);
        assert_eq!(values("0.8"), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn grey_images_are_looked_at_in_tenths() {
        let first = |dataset| of_analysis(Norm::Linf, dataset).unwrap()[0].to_string();
        assert_eq!(
            (first(DatasetName::FashionMnist), first(DatasetName::Cifar10)),
            ("0.05".into(), "2/255".into())
        );
    }
}
