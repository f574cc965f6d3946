//! Attacks against torchattacks: `reference/attacks.py` wrote the expected numbers.

use crate::nn::golden::{fill, uniform};
use crate::support::threat;
use gaat::attack::{
    Apgd, ApgdLoss, Attack, Boundary, CarliniWagner, DeepFool, Exact, Fab, Fgsm, Pgd, Square, Start,
    StopRule, UnderAttack, Walk, ball, run, survival,
};
use gaat::batch::Batch;
use gaat::nn::{BuildOptions, Classifier, InputShape, Mode, Rng, build};
use gaat_spec::{ModelName, Norm, ThreatModel};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// A network, its images, and what torchattacks found on them.
struct Subject {
    golden: Value,
    input: InputShape,
    count: i64,
    /// Share of the perturbed pixels that are kept.
    every: i64,
}

impl Subject {
    /// Grey 8x8 images, and images of the shape of CIFAR-10.
    fn all() -> [Self; 2] {
        let subject = |text: &str, (channels, side), count, every| Self {
            golden: serde_json::from_str(text).unwrap(),
            input: InputShape { channels, height: side, width: side },
            count,
            every,
        };
        [
            subject(include_str!("../golden/attacks.json"), (1, 8), 200, 1),
            subject(include_str!("../golden/attacks-cifar.json"), (3, 32), 80, 29),
        ]
    }

    /// The hash network, its images, and its own answers as labels.
    fn case(&self, kind: Kind, count: i64) -> (Box<dyn Classifier>, Batch) {
        tch::set_num_threads(1);
        let options = BuildOptions { kind, ..crate::nn::options(self.input.channels) };
        let classifier = build(&ModelName::ConvNet, self.input, 10, &options).unwrap();
        fill(classifier.as_ref());
        let InputShape { channels, height, width } = self.input;
        let pixels =
            uniform("images", &[self.count, channels, height, width]).narrow(0, 0, count).to_kind(kind);
        let labels = classifier.logits(&pixels, Mode::Eval).unwrap().argmax(-1, false);
        (classifier, Batch::new(pixels, labels))
    }
}

fn whole(document: &Value, key: &str) -> usize {
    document[key].as_u64().unwrap() as usize
}

fn norms() -> [(Norm, &'static str); 2] {
    [(Norm::Linf, "linf"), (Norm::L2, "l2")]
}

fn bound(norm: Norm, document: &Value) -> ThreatModel {
    threat(norm, document["epsilon"].as_f64().unwrap())
}

#[test]
fn fgsm_and_pgd_end_where_torchattacks_does() {
    Subject::all().iter().for_each(fixed_steps);
}

fn fixed_steps(subject: &Subject) {
    let golden = &subject.golden;
    let (classifier, batch) = subject.case(Kind::Double, if subject.every == 1 { 8 } else { 2 });
    for (norm, key) in norms() {
        let (document, threat) = (&golden[key], bound(norm, &golden[key]));
        let pgd = Pgd {
            steps: whole(golden, "steps"),
            step_size: document["step"].as_f64().unwrap(),
            start: Start::Clean,
            walk: Walk::InBox,
            stop: StopRule::Never,
        };
        for (name, attack) in [("fgsm", &Fgsm as &dyn Attack), ("pgd", &pgd)] {
            let Some(expected) = document["exact"][name].as_array() else { continue };
            let expected: Vec<f64> = expected.iter().map(|value| value.as_f64().unwrap()).collect();
            let mut oracle = Exact::new(classifier.as_ref(), Mode::Eval);
            let draws = Rng::new(0).seeded("unused", 0);
            let found =
                run(attack, &mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws))
                    .unwrap();
            let gap = (found.into_pixels().flatten(0, -1).slice(0, 0, None, subject.every)
                - Tensor::from_slice(&expected))
            .abs()
            .max();
            let gap = gap.double_value(&[]);
            // torchattacks adds 1e-10 to the length of an L2 gradient.
            assert!(gap < 1e-8, "{name}, {threat}: {gap}");
        }
    }
}

#[test]
fn adaptive_attacks_leave_as_many_as_those_of_torchattacks() {
    Subject::all().iter().for_each(adaptive);
}

fn adaptive(subject: &Subject) {
    let golden = &subject.golden;
    let (classifier, batch) = subject.case(Kind::Float, subject.count);
    let standing = Tensor::arange(subject.count, (Kind::Int64, Device::Cpu));
    for (norm, key) in norms() {
        let (expected, threat) = (&golden[key]["robust"], bound(norm, &golden[key]));
        let apgd = |loss| Apgd { steps: whole(golden, "apgd_steps"), loss, samples: 1 };
        let square = Square { queries: whole(golden, "queries") };
        let attacks: [(&str, Box<dyn Attack>, f64); 4] = [
            ("apgd-ce", Box::new(apgd(ApgdLoss::CrossEntropy)), 0.03),
            ("apgd-dlr", Box::new(apgd(ApgdLoss::Dlr)), 0.03),
            ("apgd-t", Box::new(apgd(ApgdLoss::TargetedDlr(9))), 0.01),
            // Another random search of few queries: chance alone moves it by some points on so few images.
            ("square", Box::new(square), 0.05),
        ];
        for (name, attack, slack) in attacks {
            let Some(expected) = expected[name].as_f64() else { continue };
            let draws = Rng::new(1).seeded("attack", 0);
            let network = classifier.as_ref();
            let (left, _) =
                survival::survivors(network, &batch, &standing, attack.as_ref(), &threat, &draws).unwrap();
            let found = left.size()[0] as f64 / subject.count as f64;
            println!("{name}, {threat}: {found} against {expected}");
            assert!((found - expected).abs() <= slack, "{name}, {threat}: {found} against {expected}");
        }
    }
}

#[test]
fn fab_finds_perturbations_of_the_same_length() {
    Subject::all().iter().for_each(fab);
}

fn fab(subject: &Subject) {
    let golden = &subject.golden;
    let (classifier, batch) = subject.case(Kind::Float, subject.count);
    for (norm, key) in norms() {
        let (expected, threat) = (&golden[key]["robust"], bound(norm, &golden[key]));
        let (start, stop) = (Start::Clean, StopRule::Never);
        let fab = Fab { steps: whole(golden, "fab_steps"), boundary: Boundary::Nearest, start, stop };
        let mut oracle = Exact::new(classifier.as_ref(), Mode::Eval);
        let draws = Rng::new(0).seeded("unused", 0);
        let delta = fab
            .propose(&mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws))
            .unwrap();
        let lengths = Vec::<f32>::try_from(ball::lengths(&delta, norm)).unwrap();
        let mean = lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / subject.count as f64;
        let wanted = expected["fab-mean-length"].as_f64().unwrap();
        println!("fab, {threat}: mean length {mean} against {wanted}");
        assert!((mean / wanted - 1.0).abs() < 0.005, "{threat}: {mean} against {wanted}");
        let near = lengths
            .iter()
            .zip(expected["fab-lengths"].as_array().unwrap())
            .filter(|(found, wanted)| (f64::from(**found) / wanted.as_f64().unwrap() - 1.0).abs() < 0.01);
        let near = near.count();
        assert!(near >= 18, "{threat}: only {near} of 20 within a hundredth");
    }
}

#[test]
fn deepfool_and_carlini_wagner_need_perturbations_of_the_same_length() {
    for subject in Subject::all() {
        let golden = &subject.golden;
        let carlini_wagner = CarliniWagner { steps: whole(golden, "cw_steps"), searches: 1 };
        for (name, attack) in [("deepfool", &DeepFool { steps: 50 } as &dyn Attack), ("cw", &carlini_wagner)]
        {
            let wanted = golden["l2"]["robust"][format!("{name}-mean-length")].as_f64().unwrap();
            let found = mean_length(&subject, attack);
            println!("{name}: mean length {found} against {wanted}");
            assert!((found / wanted - 1.0).abs() < 0.02, "{name}: {found} against {wanted}");
        }
    }
}

#[test]
fn with_a_search_over_its_weight_carlini_wagner_needs_little_more_than_fab() {
    // With one weight some images never fall; with a search all do.
    let [grey, _] = Subject::all();
    let searched = mean_length(&grey, &CarliniWagner { steps: 100, searches: 6 });
    let fab = grey.golden["l2"]["robust"]["fab-mean-length"].as_f64().unwrap();
    println!("cw with a search: {searched}, fab {fab}");
    assert!((0.98 * fab..1.1 * fab).contains(&searched), "{searched} against {fab}");
}

/// Mean L2 length of what `attack` proposes.
fn mean_length(subject: &Subject, attack: &dyn Attack) -> f64 {
    let (classifier, batch) = subject.case(Kind::Float, subject.count);
    let threat = bound(Norm::L2, &subject.golden["l2"]);
    let mut oracle = Exact::new(classifier.as_ref(), Mode::Eval);
    let draws = Rng::new(0).seeded("unused", 0);
    let delta =
        attack.propose(&mut oracle, UnderAttack::new(&batch.pixels, &batch.labels, &threat, &draws)).unwrap();
    ball::lengths(&delta, Norm::L2).mean(Kind::Double).double_value(&[])
}
