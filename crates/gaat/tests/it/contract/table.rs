//! The table of attacks and gradients that the contract holds for, with what each may cost.

use super::draws;
use gaat::attack::{
    Apgd, ApgdLoss, Attack, Boundary, CarliniWagner, DeepFool, Exact, Fab, Fgsm, GradientOracle, MarginPgd,
    MomentumFgsm, Pgd, Square, Start, StopRule, Taylor, Walk,
};
use gaat::nn::{Classifier, Mode};
use gaat::taylor::TaylorModel;
use gaat_spec::{Anchor, Curvature, Passes, ThreatModel};
use tch::Tensor;

const STEPS: usize = 3;

/// Where the gradients of a case come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Exact,
    Taylor(Anchor, Curvature),
}

impl Origin {
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Exact];
        for anchor in [Anchor::Clean, Anchor::RandomStart] {
            all.extend(Curvature::ALL.iter().map(|curvature| Self::Taylor(anchor, *curvature)));
        }
        all
    }

    pub(super) fn oracle<'a>(
        self,
        classifier: &'a dyn Classifier,
        clean: &Tensor,
        mode: Mode,
        threat: &ThreatModel,
    ) -> Box<dyn GradientOracle + 'a> {
        match self {
            Self::Exact => Box::new(Exact::new(classifier, mode)),
            Self::Taylor(anchor, curvature) => {
                let model = TaylorModel::once(anchor, curvature, threat);
                Box::new(Taylor::new(classifier, mode, clean, model, draws(7)))
            }
        }
    }

    /// Passes an image that one expansion takes, and one question.
    fn declared(self) -> (Passes, Passes) {
        let pass = Passes { forward: 1, input_backward: 1, ..Passes::default() };
        let product = Passes { hessian_vector: 1, ..Passes::default() };
        match self {
            Self::Exact => (Passes::default(), pass),
            Self::Taylor(_, Curvature::SampledFisher) => {
                (Passes { input_backward: 2, ..pass }, Passes::default())
            }
            Self::Taylor(_, Curvature::Secant) => {
                (Passes { forward: 2, input_backward: 2, ..pass }, Passes::default())
            }
            Self::Taylor(_, Curvature::Exact) => (pass, product),
            Self::Taylor(..) => (pass, Passes::default()),
        }
    }
}

/// Every PGD of the table; together the steps go nine tenths of epsilon, so that a random start shows in the end.
pub(super) fn every_pgd(epsilon: f64) -> Vec<Pgd> {
    let mut all = Vec::new();
    for walk in [Walk::InBox, Walk::InBall] {
        for start in [Start::Clean, Start::Random, Start::Near] {
            for stop in [StopRule::Never, StopRule::WhenFooled] {
                all.push(Pgd { steps: STEPS, step_size: 0.3 * epsilon, start, walk, stop });
            }
        }
    }
    all
}

/// What an attack declares that it costs an image.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cost {
    Fgsm,
    Pgd(Pgd),
    /// At most so many forward and backward passes, and at least one forward.
    AtMost {
        forward: u64,
        backward: u64,
    },
}

impl Cost {
    /// Gradients that an image asks for where no image leaves early.
    fn questions(self) -> u64 {
        match self {
            Self::Fgsm => 1,
            Self::Pgd(pgd) => pgd.steps as u64,
            Self::AtMost { backward, .. } => backward,
        }
    }
}

/// What an attack asks an oracle for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Climbs {
    /// Gradients of the cross-entropy.
    CrossEntropy,
    /// Gradients of other losses of the logits.
    Logits,
    /// Answers alone.
    Nothing,
}

/// An attack of the table.
pub(super) struct Case {
    pub(super) attack: Box<dyn Attack>,
    pub(super) name: String,
    pub(super) cost: Cost,
    pub(super) is_random: bool,
    /// The longest perturbation of a batch is at least this share of epsilon.
    pub(super) least: f64,
    pub(super) climbs: Climbs,
}

impl Case {
    fn exact(attack: impl Attack + std::fmt::Debug + 'static, forward: u64, backward: u64) -> Self {
        let (name, cost) = (format!("{attack:?}"), Cost::AtMost { forward, backward });
        let attack = Box::new(attack);
        Self { attack, name, cost, is_random: true, least: 0.2, climbs: Climbs::Logits }
    }

    pub(super) fn all(epsilon: f64) -> Vec<Self> {
        let mut all = vec![Self {
            cost: Cost::Fgsm,
            is_random: false,
            climbs: Climbs::CrossEntropy,
            ..Self::exact(Fgsm, 1, 1)
        }];
        for pgd in every_pgd(epsilon) {
            let is_random = pgd.start != Start::Clean;
            let cost = Cost::Pgd(pgd);
            all.push(Self { cost, is_random, climbs: Climbs::CrossEntropy, ..Self::exact(pgd, 0, 0) });
        }
        let steps = STEPS as u64;
        let apgd = |loss, samples| Apgd { steps: STEPS, loss, samples };
        let ce = Self::exact(apgd(ApgdLoss::CrossEntropy, 1), steps + 1, steps + 1);
        all.push(Self { climbs: Climbs::CrossEntropy, ..ce });
        all.push(Self::exact(apgd(ApgdLoss::Dlr, 2), 2 * (steps + 1), 2 * (steps + 1)));
        all.push(Self::exact(apgd(ApgdLoss::TargetedDlr(2), 1), 2 * (steps + 1) + 1, 2 * (steps + 1)));
        for stop in [StopRule::Never, StopRule::WhenFooled] {
            let fab = |boundary, start| Fab { steps: STEPS, boundary, start, stop };
            let towards = Self::exact(fab(Boundary::Towards(2), Start::Clean), 4 * steps + 1, 2 * steps);
            all.push(Self { is_random: false, least: 0.0, ..towards });
            let nearest = Self::exact(fab(Boundary::Nearest, Start::Random), 11 * steps, 10 * steps);
            all.push(Self { least: 0.0, ..nearest });
        }
        all.push(Self { climbs: Climbs::Nothing, ..Self::exact(Square { queries: 30 }, 31, 0) });
        let momentum = MomentumFgsm { steps: STEPS, step_size: 0.3 * epsilon };
        let momentum = Self::exact(momentum, steps, steps);
        all.push(Self { is_random: false, climbs: Climbs::CrossEntropy, ..momentum });
        for targets in [0, 2] {
            let stop = StopRule::WhenFooled;
            let (start, walk) = (Start::Random, Walk::InBox);
            let pgd = Pgd { steps: STEPS, step_size: 0.3 * epsilon, start, walk, stop };
            all.push(Self::exact(MarginPgd { pgd, targets }, 2 * steps + 1, 2 * steps));
        }
        let deepfool = Self::exact(DeepFool { steps: STEPS }, 10 * steps, 10 * steps);
        all.push(Self { is_random: false, least: 0.0, ..deepfool });
        // Whatever the norm: it only proposes.
        let carlini_wagner = Self::exact(CarliniWagner { steps: 20, searches: 2 }, 40, 40);
        all.push(Self { is_random: false, least: 0.0, ..carlini_wagner });
        all
    }
}

/// Checks the passes on a Taylor model of the logits, of which there is one expansion: a gradient for each of ten classes.
pub(super) fn check_passes_on_logits(passes: Passes, count: u64, case: &str) {
    let expected =
        Passes { forward: passes.forward.max(count), input_backward: 10 * count, ..Passes::default() };
    assert_eq!(passes, expected, "{case}");
}

/// Checks the passes of one run on `count` images.
pub(super) fn check_passes(passes: Passes, origin: Origin, cost: Cost, count: u64, case: &str) {
    if let (Origin::Taylor(..), Cost::Fgsm | Cost::Pgd(_) | Cost::AtMost { backward: 1.., .. }) =
        (origin, cost)
    {
        let (expansion, question) = origin.declared();
        let questions = cost.questions();
        let declared = |of: fn(Passes) -> u64| count * (of(expansion) + questions * of(question));
        let expected = Passes {
            forward: declared(|passes| passes.forward),
            input_backward: declared(|passes| passes.input_backward),
            full_backward: 0,
            hessian_vector: declared(|passes| passes.hessian_vector),
        };
        assert_eq!(passes, expected, "{case}");
        return;
    }
    assert_eq!((passes.full_backward, passes.hessian_vector), (0, 0), "{case}");
    match cost {
        Cost::Fgsm => assert_eq!((passes.forward, passes.input_backward), (count, count), "{case}"),
        Cost::Pgd(Pgd { steps, stop, .. }) => {
            assert_eq!(passes.forward, passes.input_backward, "{case}");
            let most = steps as u64 * count;
            let is_early = stop == StopRule::WhenFooled;
            let fits =
                if is_early { (count..most).contains(&passes.forward) } else { passes.forward == most };
            assert!(fits, "{case}: {passes:?}");
        }
        Cost::AtMost { forward, backward } => {
            let fits = (count..=forward * count).contains(&passes.forward)
                && passes.input_backward <= backward * count;
            assert!(fits, "{case}: {passes:?}");
        }
    }
}
