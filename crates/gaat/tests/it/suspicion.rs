//! Accuracy over epsilon, and what is tried beside the attacks: noise, parts of perturbations, larger budgets.

use crate::evaluation::{flat_images, judge, options};
use crate::stub::{biased, steep, trap};
use crate::support::{digits, robust_network, threat};
use gaat::Error;
use gaat::evaluate::{Control, CurveAttack, EvaluateOptions, ProbeOptions, evaluate, evaluate_resumable};
use gaat_spec::{AttackName, AttackSpec, Evaluation, Norm, ThreatModel};

fn over(epsilons: &[f64], attack: impl Fn(&ThreatModel) -> AttackSpec) -> Vec<CurveAttack> {
    let at = |epsilon: &f64| {
        let threat = threat(Norm::Linf, *epsilon);
        CurveAttack { threat, attack: attack(&threat) }
    };
    epsilons.iter().map(at).collect()
}

fn shares(verdict: &Evaluation) -> Vec<f64> {
    verdict.curve.iter().map(|point| point.result.robust_accuracy).collect()
}

#[test]
fn a_curve_falls_from_clean_accuracy_and_goes_on_where_it_stopped() {
    tch::set_num_threads(1);
    let (network, images) = (robust_network(), digits(60));
    let curve = over(&[0.0, 0.05, 0.1, 0.2], |threat| AttackSpec::pgd(threat, 5, 1, None).unwrap());
    let options = EvaluateOptions { batch_size: 25, curve, ..options(threat(Norm::Linf, 0.1), Vec::new()) };
    let verdict = judge(network.as_ref(), &images, &options);
    let found = shares(&verdict);
    println!("{found:?}");
    assert_eq!(found[0], verdict.clean_accuracy);
    assert!(found.is_sorted_by(|before, after| before >= after) && found[3] < found[0] - 0.2, "{found:?}");
    assert_eq!(verdict.robust_accuracy, verdict.clean_accuracy, "no attack was asked for; a curve is none");

    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let mut starts = 0;
    let resumed = loop {
        starts += 1;
        let mut batches = 0;
        let mut observer = |_: &_| {
            batches += 1;
            if batches == 4 { Control::Stop } else { Control::Continue }
        };
        match evaluate_resumable(network.as_ref(), &images, &options, &state, &mut observer) {
            Err(Error::Interrupted) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!((shares(&resumed), starts), (found, 4));
}

#[test]
fn whoever_fell_in_a_smaller_ball_has_fallen_in_the_larger() {
    tch::set_num_threads(1);
    let (network, images) = (trap(), flat_images(&[(128, 0); 4]));
    let fgsm = over(&[0.06, 0.1, 0.14], AttackSpec::fgsm);
    // Alone, the step of 0.14 lands beyond the ditch.
    let alone = judge(&network, &images, &options(threat(Norm::Linf, 0.14), vec![fgsm[2].attack]));
    assert_eq!(alone.robust_accuracy, 1.0);
    let whole = EvaluateOptions { curve: fgsm.clone(), ..options(threat(Norm::Linf, 0.14), Vec::new()) };
    assert_eq!(shares(&judge(&network, &images, &whole)), [1.0, 0.0, 0.0]);

    let random = AttackSpec::customary(AttackName::AutoAttackRand, &fgsm[0].threat).unwrap();
    for wrong in [
        vec![fgsm[1], fgsm[0]],
        vec![CurveAttack { threat: crate::support::threat(Norm::L2, 0.5), ..fgsm[0] }],
        vec![CurveAttack { attack: random, ..fgsm[0] }],
    ] {
        let options = EvaluateOptions { curve: wrong, ..whole.clone() };
        let error =
            evaluate(&network, &images, &options, &mut |_| Control::Continue).unwrap_err().to_string();
        assert!(error.contains("rising order"), "{error}");
    }
}

fn probed(threat: ThreatModel, attacks: Vec<AttackSpec>) -> EvaluateOptions {
    EvaluateOptions { probes: Some(ProbeOptions { images: 60, noise_draws: 20 }), ..options(threat, attacks) }
}

fn alarms(verdict: &Evaluation, name: &str) -> usize {
    verdict.alarms.iter().filter(|alarm| alarm.starts_with(name)).count()
}

#[test]
fn an_honest_network_raises_no_alarm_and_falls_as_the_budget_grows() {
    tch::set_num_threads(1);
    let (network, images) = (robust_network(), digits(80));
    for (norm, epsilon) in [(Norm::Linf, 0.1), (Norm::L2, 0.6)] {
        let threat = threat(norm, epsilon);
        let pgd = AttackSpec::pgd(&threat, 10, 2, None).unwrap();
        let verdict = judge(network.as_ref(), &images, &probed(threat, vec![pgd]));
        assert!(verdict.alarms.is_empty(), "{:?}", verdict.alarms);
        let probes = verdict.probes.unwrap();
        println!("{threat}: {probes:?}");
        let left: Vec<f64> = probes.budget.iter().map(|budget| budget.accuracy).collect();
        assert!(left[2] < left[0] && left[3] == 0.0, "{left:?}");
        assert!(probes.noise.accuracy > left[0] && probes.noise.draws == 20);
        for interior in &probes.interior {
            let [first, .., whole] = interior.shares.as_slice() else { panic!("{interior:?}") };
            assert!(first.accuracy > whole.accuracy && whole.share == 1.0, "{interior:?}");
        }
    }
    // Twice a fraction is written as one.
    let fraction = ThreatModel::new(Norm::Linf, "8/255".parse().unwrap()).unwrap();
    let probes = judge(network.as_ref(), &images, &probed(fraction, Vec::new())).probes.unwrap();
    let lengths: Vec<String> = probes.budget.iter().map(|budget| budget.epsilon.to_string()).collect();
    assert_eq!(lengths, ["8/255", "8/255", "16/255", "1"]);
    // Without a ball there is nothing to try.
    let still = threat(Norm::Linf, 0.0);
    assert_eq!(judge(network.as_ref(), &images, &probed(still, Vec::new())).probes, None);
}

#[test]
fn a_network_fitted_to_the_end_of_a_step_is_found_out_inside() {
    tch::set_num_threads(1);
    let (network, images) = (trap(), flat_images(&[(128, 0); 9]));
    let threat = threat(Norm::Linf, 0.14);
    let verdict = judge(&network, &images, &probed(threat, vec![AttackSpec::fgsm(&threat)]));
    assert_eq!(verdict.robust_accuracy, 1.0);
    assert!(alarms(&verdict, "interior-beats-full") > 0, "{:?}", verdict.alarms);
    let fgsm = &verdict.probes.as_ref().unwrap().interior[0];
    assert_eq!((fgsm.attack.as_str(), fgsm.found), ("fgsm", 9));

    let none = Some(ProbeOptions { images: 0, noise_draws: 20 });
    let options = options(threat, vec![AttackSpec::fgsm(&threat)]);
    let verdict = judge(&network, &images, &EvaluateOptions { probes: none, ..options });
    assert_eq!((verdict.probes, verdict.robust_accuracy), (None, 1.0), "no image, no probe");
}

#[test]
fn noise_and_budgets_find_out_who_hides_gradients() {
    tch::set_num_threads(1);
    let (network, images) = (steep(robust_network()), digits(60));
    let threat = threat(Norm::Linf, 0.3);
    let verdict = judge(&network, &images, &probed(threat, vec![AttackSpec::fgsm(&threat)]));
    println!("{:?}", verdict.alarms);
    let probes = verdict.probes.as_ref().unwrap();
    assert!(probes.noise.found > 0 && alarms(&verdict, "noise-beats-attacks") == 1, "{probes:?}");
    assert!(alarms(&verdict, "more-budget-not-stronger") > 0, "{probes:?}");
}

#[test]
fn a_network_that_says_the_same_of_every_image_is_not_called_robust() {
    tch::set_num_threads(1);
    let images = digits(200);
    let threat = threat(Norm::Linf, 0.1);
    let options = options(threat, vec![AttackSpec::fgsm(&threat)]);
    let verdict = judge(&biased(100.0), &images, &options);
    assert_eq!(verdict.robust_accuracy, verdict.clean_accuracy);
    let alarm = verdict.alarms.iter().find(|alarm| alarm.starts_with("constant-predictor")).unwrap();
    assert!(alarm.contains("200 of 200 images are classified as 3, "), "{alarm}");

    // Images of the one class that it knows are no evidence.
    let places = images.labels().iter().enumerate().filter(|(_, label)| **label == 3);
    let threes = images.select(&places.map(|(place, _)| place).collect::<Vec<_>>());
    let verdict = judge(&biased(100.0), &threes, &options);
    assert_eq!((verdict.robust_accuracy, alarms(&verdict, "constant-predictor")), (1.0, 0));
    let honest = judge(robust_network().as_ref(), &images, &options);
    assert_eq!(alarms(&honest, "constant-predictor"), 0, "{:?}", honest.alarms);
}
