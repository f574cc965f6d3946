//! What an attack's model of the loss is to be, as numbers.

use gaat_spec::{Anchor, Curvature, GaatSpec, Norm, ThreatModel};

/// How a Taylor oracle models the loss, and how often it expands it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaylorModel {
    /// Where the first expansion is made.
    pub anchor: Anchor,
    /// Model of the input Hessian.
    pub curvature: Curvature,
    /// Adds the third-order term, which is differenced from Hessian-vector products: for analysis.
    pub third_order: bool,
    /// Labels drawn an image for [`Curvature::SampledFisher`], at least 1.
    pub draws: usize,
    /// Steps of the attack, which `refreshes` are spread over; at least 1.
    pub steps: usize,
    /// Expansions in so many steps: after the first one, at the points that the attack has come to.
    pub refreshes: usize,
    /// Norm in which `secant_step` is measured.
    pub norm: Norm,
    /// Length of the second step of [`Curvature::Secant`], pixel units, over 0.
    pub secant_step: f64,
}

impl TaylorModel {
    /// One expansion at `anchor` for an attack of any length under `threat`; the second step of the secant is epsilon long.
    pub fn once(anchor: Anchor, curvature: Curvature, threat: &ThreatModel) -> Self {
        Self {
            anchor,
            curvature,
            third_order: false,
            draws: 1,
            steps: 1,
            refreshes: 1,
            norm: threat.norm(),
            secant_step: threat.epsilon(),
        }
    }

    /// The model of `spec` under `threat`, step sizes being `scale` times those of `spec`.
    ///
    /// The second step of the secant is as long as one expansion has to carry: `K alpha / refreshes`, at most epsilon.
    pub fn of(spec: &GaatSpec, scale: f64, threat: &ThreatModel) -> Self {
        let reach = scale * spec.step_size.value() * spec.steps as f64 / spec.refreshes as f64;
        Self {
            draws: spec.draws,
            steps: spec.steps,
            refreshes: spec.refreshes,
            secant_step: reach.min(threat.epsilon()),
            ..Self::once(spec.anchor, spec.curvature, threat)
        }
    }

    /// Which expansion answers question `index` (from 0): `refreshes` of them, spread evenly over `steps` questions,
    /// at most `ceil(steps / refreshes)` questions each. One expansion answers for ever.
    pub(crate) fn expansion_of(&self, index: usize) -> usize {
        if self.refreshes == 1 { 0 } else { index * self.refreshes / self.steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(steps: usize, refreshes: usize) -> Vec<usize> {
        let threat = ThreatModel::new(Norm::Linf, "0.1".parse().unwrap()).unwrap();
        let model = TaylorModel {
            steps,
            refreshes,
            ..TaylorModel::once(Anchor::RandomStart, Curvature::None, &threat)
        };
        (0..steps).map(|index| model.expansion_of(index)).collect()
    }

    #[test]
    fn refreshes_are_spread_evenly_and_all_made() {
        assert_eq!(rhythm(6, 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(rhythm(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(rhythm(4, 1), [0; 4]);
        for steps in 1..12_usize {
            for refreshes in 1..=steps {
                let found = rhythm(steps, refreshes);
                let longest =
                    (0..refreshes).map(|one| found.iter().filter(|other| **other == one).count()).max();
                assert_eq!(found.last(), Some(&(refreshes - 1)), "{steps}, {refreshes}");
                assert_eq!(longest, Some(steps.div_ceil(refreshes)), "{steps}, {refreshes}");
            }
        }
    }
}
