//! Initial weights and random draws: functions of seed and name.

use super::{network, options, shape};
use gaat::nn::{BuildOptions, Classifier, Rng, Role, build};
use tch::{Device, Kind, Tensor};

fn tensor(classifier: &dyn Classifier, name: &str) -> Tensor {
    let entry = classifier.store().named().iter().find(|entry| entry.name == name);
    entry.unwrap().tensor.detach().to_kind(Kind::Double)
}

#[test]
fn initial_weights_depend_on_seed_and_name_alone() {
    let name = "wide-resnet-10-2".parse().unwrap();
    let seeded = |seed, kind, classes| {
        build(&name, shape(3, 8), classes, &BuildOptions { seed, kind, ..options(3) }).unwrap()
    };
    let first = seeded(1, Kind::Float, 10);
    tch::manual_seed(99);
    let again = seeded(1, Kind::Double, 10);
    for entry in first.store().named() {
        let copy = tensor(again.as_ref(), &entry.name);
        assert_eq!(tensor(first.as_ref(), &entry.name), copy, "{}", entry.name);
    }
    let conv = "block1.layer.0.conv2.weight";
    let fewer = seeded(1, Kind::Float, 3);
    assert_eq!(tensor(first.as_ref(), conv), tensor(fewer.as_ref(), conv));
    assert_ne!(tensor(first.as_ref(), conv), tensor(seeded(2, Kind::Float, 10).as_ref(), conv));
    let twin = "block2.layer.0.conv2.weight";
    assert_ne!(tensor(first.as_ref(), conv).narrow(0, 0, 1), tensor(first.as_ref(), twin).narrow(0, 0, 1));
}

#[test]
fn initial_weights_have_the_spread_of_the_public_definitions() {
    let wide = network("wide-resnet-16-4", shape(3, 32));
    let deviation = tensor(wide.as_ref(), "block3.layer.1.conv2.weight").std(true).double_value(&[]);
    let expected = (2.0_f64 / (9.0 * 256.0)).sqrt();
    assert!((deviation / expected - 1.0).abs() < 0.01, "{deviation} against {expected}");
    let preact = network("preact-resnet-18-w16", shape(3, 32));
    let efficient = network("efficientnet-b0", shape(3, 32));
    // A depthwise convolution of 3x3 on 480 channels: PyTorch counts all of them as its outputs.
    let deviation = tensor(efficient.as_ref(), "features.4.1.block.1.0.weight").std(true).double_value(&[]);
    let expected = (2.0_f64 / (9.0 * 480.0)).sqrt();
    assert!((deviation / expected - 1.0).abs() < 0.05, "{deviation} against {expected}");
    let vit = network("vit-tiny", shape(3, 32));
    for name in ["blocks.3.mlp.fc1.weight", "pos_embed"] {
        let deviation = tensor(vit.as_ref(), name).std(true).double_value(&[]);
        assert!((deviation / 0.02 - 1.0).abs() < 0.05, "{name}: {deviation}");
    }
    for (classifier, name, fan_in, is_zero) in [
        (&preact, "layer3.1.conv1.weight", 9.0 * 64.0, false),
        (&preact, "linear.bias", 128.0, false),
        (&efficient, "classifier.1.weight", 10.0, false),
        (&wide, "fc.weight", 256.0, false),
        (&wide, "fc.bias", 256.0, true),
    ] {
        let most = tensor(classifier.as_ref(), name).abs().max().double_value(&[]);
        let bound = 1.0 / f64::sqrt(fan_in);
        let is_right = if is_zero { most == 0.0 } else { most <= bound && most > 0.6 * bound };
        assert!(is_right, "{name}: largest {most}, bound {bound}");
    }
    for entry in wide.store().named() {
        let expected = match entry.role {
            Role::NormScale => 1.0,
            Role::NormShift => 0.0,
            Role::Buffer => f64::from(u8::from(entry.name.ends_with("running_var"))),
            Role::Weight | Role::Bias | Role::Embedding | Role::Counter => continue,
        };
        assert_eq!(entry.tensor.min().double_value(&[]), expected, "{}", entry.name);
        assert_eq!(entry.tensor.max().double_value(&[]), expected, "{}", entry.name);
    }
}

#[test]
fn a_draw_depends_on_root_stream_step_and_place_alone() {
    let draw = |root, stream, step| {
        let draws = Rng::new(root).seeded(stream, step);
        let first = draws.uniform(&[8], -1.0, 1.0, Kind::Float, Device::Cpu).unwrap();
        (first, draws.uniform(&[8], -1.0, 1.0, Kind::Float, Device::Cpu).unwrap())
    };
    let (first, second) = draw(7, "attack", 3);
    assert_ne!(first, second);
    for other in [draw(8, "attack", 3), draw(7, "augment", 3), draw(7, "attack", 4)] {
        assert_ne!(first, other.0);
    }
    // Other draws in between, from any thread, change nothing.
    let intruder = std::thread::spawn(move || (0..200).for_each(|step| drop(draw(1, "noise", step))));
    for _ in 0..200 {
        assert_eq!(draw(7, "attack", 3), (first.copy(), second.copy()));
    }
    intruder.join().unwrap();

    let draws = Rng::new(0).seeded("range", 0);
    let uniform = draws.uniform(&[20_000], 2.0, 3.0, Kind::Double, Device::Cpu).unwrap();
    assert!(uniform.min().double_value(&[]) >= 2.0 && uniform.max().double_value(&[]) < 3.0);
    assert!((uniform.mean(Kind::Double).double_value(&[]) - 2.5).abs() < 0.01);
    let normal = draws.normal(&[20_000], 1.0, 2.0, Kind::Float, Device::Cpu).unwrap();
    assert!((normal.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.06);
    assert!((normal.std(true).double_value(&[]) - 2.0).abs() < 0.05);
    let whole = draws.randint(&[1000], -1, 2, Device::Cpu).unwrap();
    assert_eq!((whole.min().int64_value(&[]), whole.max().int64_value(&[])), (-1, 1));
    assert!(draws.randint(&[1], 2, 2, Device::Cpu).is_err());
    assert!(draws.uniform(&[1], 1.0, f64::NAN, Kind::Float, Device::Cpu).is_err());
    assert!(draws.normal(&[1], 0.0, -1.0, Kind::Float, Device::Cpu).is_err());
}
