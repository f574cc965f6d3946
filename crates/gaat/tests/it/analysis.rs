//! Analyses of Taylor models: what must hold whatever the network, and on a robust one what the numbers mean.

use crate::support::{digits, robust_network};
use gaat::analyze::{AnalyzeOptions, Control, analyze};
use gaat_spec::analysis::{Analysis, LossModel, ModelAnalysis};
use gaat_spec::{Anchor, Curvature, Norm, PixelLength};

fn options(norm: Norm, epsilons: &[f64]) -> AnalyzeOptions {
    AnalyzeOptions {
        norm,
        epsilons: epsilons.iter().map(|epsilon| PixelLength::new(*epsilon).unwrap()).collect(),
        models: LossModel::all(&[1, 2, 3], Curvature::ALL).unwrap(),
        anchor: Anchor::Clean,
        steps: 4,
        curvature_draws: 2,
        batch_size: 25,
        limit: 60,
        selection: gaat_spec::Selection::Seeded,
        seed: 0,
    }
}

fn run(options: &AnalyzeOptions) -> Analysis {
    tch::set_num_threads(1);
    analyze(robust_network().as_ref(), &digits(80), options, &mut |_| Control::Continue).unwrap()
}

fn of(models: &[ModelAnalysis], order: usize, curvature: Curvature) -> &ModelAnalysis {
    models.iter().find(|found| found.model == LossModel { order, curvature }).unwrap()
}

#[test]
fn every_model_is_measured_at_every_epsilon_under_both_norms() {
    for (norm, epsilons) in [(Norm::Linf, [0.2, 0.01]), (Norm::L2, [1.0, 0.1])] {
        let options = options(norm, &epsilons);
        let found = run(&options);
        assert_eq!((found.examples, found.epsilons.len()), (60, 2));
        assert!(found.epsilons[0].epsilon.value() < found.epsilons[1].epsilon.value(), "ascending");
        for at in &found.epsilons {
            assert_eq!((at.exact.passes.forward, at.exact.passes.input_backward), (240, 240));
            assert!(at.exact.robust_accuracy <= found.clean_accuracy);
            assert_eq!(at.models.len(), options.models.len());
            for model in &at.models {
                let case = format!("{norm} {} {}", at.epsilon, model.model);
                assert!(model.residual.absolute >= model.residual.signed.abs(), "{case}");
                assert!(model.residual.absolute.is_finite(), "{case}");
                assert_eq!(model.cosine.by_step.len(), 4, "{case}");
                assert!((-1.0..=1.0 + 1e-9).contains(&model.cosine.mean), "{case}");
                assert!((0.0..=1.0).contains(&model.sign_agreement.mean), "{case}");
                assert!((0.0..=found.clean_accuracy).contains(&model.attack.robust_accuracy), "{case}");
                // Sixty images, four questions; the end is asked about by the analysis, which does not count.
                let passes = model.attack.passes;
                let expected = match (model.model.order, model.model.curvature) {
                    (3, _) => (1 + 2 * 4, 1 + 2 * 4, 3 * 4),
                    (_, Curvature::Exact) => (1, 1, 4),
                    (_, Curvature::SampledFisher) => (1, 3, 0),
                    (_, Curvature::Secant) => (2, 2, 0),
                    _ => (1, 1, 0),
                };
                let (forward, input_backward, products) = expected;
                assert_eq!(
                    (passes.forward, passes.input_backward, passes.hessian_vector),
                    (60 * forward, 60 * input_backward, 60 * products),
                    "{case}"
                );
            }
        }
        let (again, once) = (run(&options), |analysis: &Analysis| -> Vec<_> {
            analysis.epsilons.iter().flat_map(|at| at.models.clone()).map(|model| model.residual).collect()
        });
        assert_eq!(once(&again), once(&found), "the same seed");
    }
}

#[test]
fn near_the_anchor_every_model_is_right_and_higher_orders_are_more_so() {
    let found =
        run(&AnalyzeOptions { epsilons: vec![PixelLength::new(0.002).unwrap()], ..options(Norm::Linf, &[]) });
    let models = &found.epsilons[0].models;
    let first = of(models, 1, Curvature::None);
    let second = of(models, 2, Curvature::Exact);
    for model in [first, second] {
        let ratio = model.gain_ratio.unwrap();
        assert!((ratio - 1.0).abs() < 0.05, "{}: {ratio}", model.model);
        assert!(model.cosine.mean > 0.99 && model.sign_agreement.mean > 0.95, "{model:?}");
    }
    assert!(second.residual.absolute < first.residual.absolute, "{second:?} {first:?}");
}

#[test]
fn what_makes_no_sense_is_refused_and_an_observer_can_stop() {
    let network = robust_network();
    let images = digits(20);
    let bad = [
        AnalyzeOptions { epsilons: Vec::new(), ..options(Norm::Linf, &[]) },
        options(Norm::Linf, &[0.0]),
        AnalyzeOptions { models: Vec::new(), ..options(Norm::Linf, &[0.1]) },
        AnalyzeOptions { limit: 0, ..options(Norm::Linf, &[0.1]) },
    ];
    for options in bad {
        assert!(
            analyze(network.as_ref(), &images, &options, &mut |_| Control::Continue).is_err(),
            "{options:?}"
        );
    }
    let mut seen = 0;
    let mut stop = |_: &gaat::analyze::Progress| {
        seen += 1;
        if seen == 3 { Control::Stop } else { Control::Continue }
    };
    let error = analyze(network.as_ref(), &images, &options(Norm::Linf, &[0.1]), &mut stop).unwrap_err();
    assert!(matches!(error, gaat::Error::Interrupted), "{error}");
}
