//! Saliency maps against what they must be: finite differences, completeness, class activation maps; and their agreement.

use crate::support::{digits, network, noise, robust_network};
use crate::toy::{images, largest, smooth, sums};
use gaat::explain::{Control, ExplainOptions, Explained, Subject, attribution, explain, methods_for};
use gaat::nn::{BuildOptions, Classifier, FeatureMaps, InputShape, Mode, build};
use gaat_spec::SaliencyName;
use tch::{Kind, Tensor};

/// Half the width of a finite difference, in pixel units.
const STEP: f64 = 1e-5;

fn logits_of(classifier: &dyn Classifier, pixels: &Tensor, classes: &Tensor) -> Tensor {
    let logits = classifier.logits(pixels, Mode::Eval).unwrap();
    logits.gather(1, &classes.unsqueeze(1), false).squeeze_dim(1).detach()
}

#[test]
fn input_gradients_are_those_of_the_class_logit() {
    let network = smooth();
    let (pixels, classes) = images(3);
    let gradient = attribution(&network, &pixels, &classes, SaliencyName::InputGradient, 0).unwrap();
    for place in [0, 5, 15] {
        let unit = pixels.zeros_like().flatten(1, -1);
        let _filled = unit.select(1, place).fill_(STEP);
        let unit = unit.view_as(&pixels);
        let up = logits_of(&network, &(&pixels + &unit), &classes);
        let down = logits_of(&network, &(&pixels - &unit), &classes);
        let difference = (up - down) / (2.0 * STEP);
        let found = gradient.flatten(1, -1).select(1, place);
        assert!(largest(&(found - difference)) < 1e-7, "pixel {place}");
    }
}

#[test]
fn integrated_gradients_are_complete() {
    let (unkinked, kinked) = (smooth(), network("convnet", Kind::Double));
    let (small, small_classes) = images(5);
    let (large, large_classes) = noise(5, Kind::Double);
    for (classifier, pixels, classes, most) in [
        (&unkinked as &dyn Classifier, &small, &small_classes, 1e-4),
        (kinked.as_ref(), &large, &large_classes, 2e-2),
    ] {
        let found = attribution(classifier, pixels, classes, SaliencyName::IntegratedGradients, 0).unwrap();
        let gained =
            logits_of(classifier, pixels, classes) - logits_of(classifier, &pixels.zeros_like(), classes);
        let missed = largest(&(sums(&found) - &gained)) / largest(&gained);
        println!("{}: gained {gained:?}, missed {missed:.1e}", classifier.name());
        assert!(missed < most, "{}: {missed}", classifier.name());
        // The gradient at the image times the image leaves more out.
        let gradient = attribution(classifier, pixels, classes, SaliencyName::InputGradient, 0).unwrap();
        let plain = largest(&(sums(&(gradient * pixels)) - &gained)) / largest(&gained);
        assert!(plain > 10.0 * missed, "{}: {plain} against {missed}", classifier.name());
    }
}

#[test]
fn smoothgrad_is_a_mean_over_seeded_noise() {
    let network = smooth();
    let (pixels, classes) = images(2);
    let of = |pixels: &Tensor, seed| {
        attribution(&network, pixels, &classes, SaliencyName::SmoothGrad, seed).unwrap()
    };
    assert_eq!(of(&pixels, 1), of(&pixels, 1));
    assert_ne!(of(&pixels, 1), of(&pixels, 2));
    // An image of one colour has no range, and so no noise.
    let flat = pixels.ones_like() * 0.5;
    let gradient = attribution(&network, &flat, &classes, SaliencyName::InputGradient, 0).unwrap();
    assert!(largest(&(of(&flat, 1) - gradient)) < 1e-12);
}

#[test]
fn grad_cam_is_the_class_activation_map_where_the_network_pools() {
    // After global pooling and one linear layer the two are the same but for the number of pixels (Selvaraju et al.
    // 2017, section 3.1).
    let network = network("preact-resnet-18-w8", Kind::Double);
    let (pixels, classes) = noise(4, Kind::Double);
    let found = attribution(network.as_ref(), &pixels, &classes, SaliencyName::GradCam, 0).unwrap();
    let FeatureMaps { maps, .. } = network.feature_maps(&pixels, Mode::Eval).unwrap().unwrap();
    let state = network.store().state().unwrap();
    let (_, weight) = state.iter().find(|(name, _)| name == "linear.weight").unwrap();
    let weight = weight.index_select(0, &classes).view([4, -1, 1, 1]);
    let size = maps.size();
    let map = (weight * maps).sum_dim_intlist([1i64].as_slice(), true, None::<Kind>).relu();
    let expected = (map / (size[2] * size[3]) as f64).contiguous();
    let expected = expected.upsample_bilinear2d([8, 8], false, None, None);
    assert_eq!(found.size(), [4, 1, 8, 8]);
    assert!(largest(&expected) > 0.0, "something is seen");
    assert!(largest(&(found - expected)) < 1e-12);
}

#[test]
fn feature_maps_lead_to_the_same_logits() {
    let options = BuildOptions { kind: Kind::Float, ..crate::nn::options(3) };
    let input = InputShape { channels: 3, height: 32, width: 32 };
    for name in
        ["convnet", "vgg-16", "preact-resnet-18-w8-s2", "wide-resnet-10-1", "resnet-18", "efficientnet-b0"]
    {
        let network = build(&name.parse().unwrap(), input, 10, &options).unwrap();
        let pixels =
            Tensor::linspace(0.0, 1.0, 2 * 3072, (Kind::Float, tch::Device::Cpu)).view([2, 3, 32, 32]);
        let FeatureMaps { maps, logits } = network.feature_maps(&pixels, Mode::Eval).unwrap().unwrap();
        assert_eq!(logits, network.logits(&pixels, Mode::Eval).unwrap(), "{name}");
        assert!(maps.size()[0] == 2 && maps.dim() == 4, "{name}");
        let layer = network.feature_layer().unwrap();
        let names = network.store().state().unwrap();
        assert!(names.iter().any(|(name, _)| name.starts_with(&format!("{layer}."))), "{name}: {layer}");
    }
}

#[test]
fn networks_without_feature_maps_have_no_grad_cam() {
    let network = network("mlp", Kind::Float);
    assert_eq!(methods_for(network.as_ref()).len(), 3);
    let (pixels, classes) = noise(1, Kind::Float);
    let refused = attribution(network.as_ref(), &pixels, &classes, SaliencyName::GradCam, 0).unwrap_err();
    assert!(
        refused.to_string().contains("mlp") && refused.to_string().contains("no feature maps"),
        "{refused}"
    );
}

#[test]
fn a_network_agrees_with_itself_and_less_with_another() {
    tch::set_num_threads(1);
    let (trained, fresh) = (robust_network(), network("mlp", Kind::Float));
    let subject = |run: &str, classifier| Subject {
        run: run.to_owned(),
        label: run.to_owned(),
        seed: None,
        classifier,
    };
    let selection = gaat_spec::Selection::Seeded;
    let options = ExplainOptions { methods: Vec::new(), limit: 120, selection, seed: 0 };
    let images = digits(200);
    let go = |subjects: &[Subject], options: &ExplainOptions| {
        explain(subjects, &images, options, &mut |_| Control::Continue)
    };
    let three =
        [subject("one", trained.as_ref()), subject("two", trained.as_ref()), subject("mlp", fresh.as_ref())];
    let Explained { explanation, maps } = go(&three, &options).unwrap();
    assert_eq!(explanation.candidates, 120);
    assert!(explanation.examples > 0 && explanation.examples < 120);
    assert_eq!(explanation.pairs.iter().map(|pair| pair.runs).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    // No network without feature maps can have Grad-CAM, so all go without.
    assert!(explanation.runs.iter().all(|run| run.maps.len() == 3));
    for (same, other) in explanation.pairs[0].agreement.iter().zip(&explanation.pairs[1].agreement) {
        let (same, other) = (same.rank_correlation.unwrap(), other.rank_correlation.unwrap());
        assert!((same.mean - 1.0).abs() < 1e-9 && other.mean < 0.9, "{same:?} {other:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.png");
    maps[0].save_grid(&path).unwrap();
    assert_eq!(&fs_err::read(&path).unwrap()[1..4], b"PNG");

    let asked = ExplainOptions { methods: vec![SaliencyName::GradCam], ..options };
    let refused = go(&three, &asked).unwrap_err().to_string();
    assert!(refused.contains("no grad-cam of mlp"), "{refused}");
    assert_eq!(go(&three[..1], &asked).unwrap().explanation.runs[0].maps.len(), 1);
}
