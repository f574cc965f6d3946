//! Networks of torch.export against PyTorch, which wrote the files and the numbers (`reference/exported.py`).

use gaat::nn::{Classifier, ComputePrecision, ExportedNetwork, ExportedOptions, Mode, Normalization, Rng};
use gaat_shim::{Graph, gradients};
use std::collections::HashMap;
use std::sync::Arc;
use tch::{Device, Kind, Reduction, Tensor};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/exported");
/// Largest share by which numbers of the first order may differ: behind batch normalisation of three numbers PyTorch's own float32 is
/// 1.7e-3 from its float64 (`mobilenet_v3_small`).
const FIRST: f64 = 4e-3;
const SECOND: f64 = 1e-2;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.pt2")).unwrap()
}

fn options(normalization: Normalization) -> ExportedOptions {
    ExportedOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        normalization,
        name: "exported-0123".to_owned(),
        digest: "0123".to_owned(),
    }
}

pub(crate) fn open(name: &str) -> gaat::Result<ExportedNetwork> {
    open_on(Device::Cpu, name)
}

pub(crate) fn open_on(device: Device, name: &str) -> gaat::Result<ExportedNetwork> {
    let options = ExportedOptions { device, ..options(Normalization::identity(3)) };
    ExportedNetwork::new(Arc::new(gaat_pt2::read(bytes(name)).unwrap()), &options)
}

type Numbers = HashMap<String, Tensor>;

fn reference(name: &str) -> Numbers {
    Tensor::read_safetensors(format!("{FOLDER}/{name}.safetensors")).unwrap().into_iter().collect()
}

/// Largest difference over the largest number of `right`.
fn apart(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.size(), right.size());
    let (left, right) = (left.to_kind(Kind::Double), right.to_kind(Kind::Double));
    (&left - &right).abs().max().double_value(&[]) / right.abs().max().double_value(&[]).max(1e-12)
}

/// Share of the longest gradient below which one is rounding: that of a shift before a batch normalisation, zero in theory.
const ROUNDING: f64 = 1e-3;

/// How far the length of `found` and its product with cosines are from those that PyTorch found, over the length or `least`.
fn digest_apart(found: &Tensor, wanted: &Tensor, least: f64) -> f64 {
    let flat = found.detach().to_kind(Kind::Double).flatten(0, -1);
    let cosines = Tensor::arange(flat.numel() as i64, (Kind::Double, Device::Cpu)).cos();
    let wanted = Vec::<f64>::try_from(wanted).unwrap();
    let (length, product) =
        (flat.norm().double_value(&[]), (flat * cosines).sum(Kind::Double).double_value(&[]));
    (length - wanted[0]).abs().max((product - wanted[1]).abs()) / wanted[0].max(least)
}

fn loss(network: &dyn Classifier, pixels: &Tensor, labels: &Tensor, mode: Mode) -> (Tensor, Tensor) {
    network.begin_step(Rng::new(0), 0);
    let logits = network.logits(pixels, mode).unwrap();
    let loss = logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0);
    (logits, loss)
}

/// The worst of what was compared, by name.
#[derive(Default)]
struct Worst(f64, String);

impl Worst {
    fn take(&mut self, found: f64, name: String) {
        if found > self.0 || found.is_nan() {
            *self = Self(found, name);
        }
    }
}

fn compare(name: &str) {
    let (network, numbers) = (open(name).unwrap(), reference(name));
    let start = network.store().state().unwrap();
    let (pixels, labels) = (numbers["x"].set_requires_grad(true), &numbers["y"]);
    for (mode, word) in [(Mode::Eval, "eval"), (Mode::Train, "train")] {
        let trained = network.store().trainable();
        let inputs: Vec<&Tensor> = [&pixels].into_iter().chain(&trained).collect();
        let names: Vec<&str> = network.store().trainable_entries().map(|entry| entry.name.as_str()).collect();
        let (logits, sum) = loss(&network, &pixels, labels, mode);
        let found = gradients(&[&sum], None, &inputs, Graph::Free).unwrap();
        let mut first = Worst::default();
        first.take(apart(&logits, &numbers[&format!("{word}/logits")]), "logits".to_owned());
        first.take(
            apart(found[0].as_ref().unwrap(), &numbers[&format!("{word}/grad_x")]),
            "grad_x".to_owned(),
        );
        let digests = |found: &[Option<Tensor>], kind: &str, worst: &mut Worst| {
            let wanted = |name: &str| &numbers[&format!("{word}/{kind}/{name}")];
            let longest = names.iter().map(|name| wanted(name).double_value(&[0])).fold(0.0, f64::max);
            for (name, gradient) in names.iter().zip(found) {
                let wanted = wanted(name);
                match gradient {
                    Some(gradient) => {
                        worst.take(digest_apart(gradient, wanted, ROUNDING * longest), (*name).to_owned());
                    }
                    None => assert_eq!(wanted.double_value(&[0]), 0.0, "{name}"),
                }
            }
        };
        digests(&found[1..], "grad", &mut first);
        if mode == Mode::Train {
            for entry in network.store().named() {
                if let Some(wanted) = numbers.get(&format!("buffer/{}", entry.name)) {
                    first.take(digest_apart(&entry.tensor, wanted, 1e-6), entry.name.clone());
                }
            }
        }
        network.store().load(&start).unwrap();
        let mut second = Worst::default();
        if let Some(wanted) = numbers.get(&format!("{word}/second_x")) {
            let (_, sum) = loss(&network, &pixels, labels, mode);
            let gradient =
                gradients(&[&sum], None, &[&pixels], Graph::Record).unwrap().pop().unwrap().unwrap();
            let slope = (gradient * &numbers["v"]).sum(Kind::Float);
            let found = gradients(&[&slope], None, &inputs, Graph::Free).unwrap();
            second.take(digest_apart(found[0].as_ref().unwrap(), wanted, 1e-6), "second_x".to_owned());
            digests(&found[1..], "second", &mut second);
            network.store().load(&start).unwrap();
        }
        println!(
            "{name} {word}: first order {:.1e} ({}), second {:.1e} ({})",
            first.0, first.1, second.0, second.1
        );
        assert!(first.0 < FIRST, "{name} {word}: {} of {}", first.0, first.1);
        assert!(second.0 < SECOND, "{name} {word}: {} of {}", second.0, second.1);
    }
}

#[test]
fn hand_written_networks_compute_as_pytorch_does() {
    compare("hand");
    compare("tied");
    compare("indexed");
}

#[test]
fn convolutional_networks_compute_as_pytorch_does() {
    for name in ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "timm_resnet18"] {
        compare(name);
    }
}

#[test]
fn transformers_and_their_kin_compute_as_pytorch_does() {
    for name in ["convnext_tiny", "vit_b_16", "swin_t"] {
        compare(name);
    }
}

#[test]
fn a_network_without_a_second_order_says_so_before_it_is_asked_for_one() {
    for name in ["hand", "tied", "efficientnet_b0", "vit_b_16"] {
        open(name).unwrap().check_second_order().unwrap();
    }
    let error = open("mobilenet_v3_small").unwrap().check_second_order().unwrap_err().to_string();
    for part in ["hardsigmoid", "no second order", "curvature"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn frozen_statistics_leave_every_buffer_alone_and_draw_nothing() {
    for name in ["hand", "efficientnet_b0", "timm_resnet18"] {
        let (network, numbers) = (open(name).unwrap(), reference(name));
        let before = network.store().state().unwrap();
        let logits = || network.logits(&numbers["x"], Mode::TrainFrozenStats).unwrap();
        assert_eq!(logits(), logits(), "{name}");
        for ((name, tensor), entry) in before.iter().zip(network.store().named()) {
            assert_eq!(*tensor, entry.tensor, "{name}");
        }
        // The statistics are those of the batch all the same.
        assert!(apart(&logits(), &numbers["eval/logits"]) > 1e-3, "{name}");
    }
}

#[test]
fn what_is_frozen_keeps_weights_and_statistics_and_answers_every_batch_alike() {
    let (network, numbers) = (open("hand").unwrap(), reference("hand"));
    network.store().freeze(&["conv1".to_owned(), "bn1".to_owned()]).unwrap();
    let before = network.store().state().unwrap();
    let replica = network.replica().unwrap().unwrap();
    for network in [&network as &dyn Classifier, replica.as_ref()] {
        let _logits = network.logits(&numbers["x"], Mode::Train).unwrap();
    }
    let changed: Vec<&str> = before
        .iter()
        .zip(network.store().named())
        .filter(|((_, before), entry)| *before != entry.tensor)
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert!(changed.iter().all(|name| name.starts_with("bn2.")) && changed.len() == 3, "{changed:?}");
}

#[test]
fn statistics_of_one_number_are_refused_as_in_other_networks() {
    // Its last maps are of one pixel.
    let network = open("resnet18").unwrap();
    let one = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    assert!(network.logits(&one, Mode::Eval).is_ok());
    for mode in [Mode::Train, Mode::TrainFrozenStats] {
        match network.logits(&one, mode).unwrap_err() {
            gaat::Error::OneValue { layer } => assert!(layer.starts_with("layer4"), "{layer}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn dropout_follows_from_seed_and_step() {
    let (network, numbers) = (open("hand").unwrap(), reference("hand"));
    let logits = |root: u64, step: u64| {
        network.begin_step(Rng::new(root), step);
        network.logits(&numbers["x"], Mode::Train).unwrap()
    };
    assert_eq!(logits(3, 5), logits(3, 5));
    assert_ne!(logits(3, 5), logits(3, 6));
    assert_ne!(logits(3, 5), logits(4, 5));
    // What others draw meanwhile changes nothing.
    let first = logits(3, 5);
    network.begin_step(Rng::new(3), 5);
    let _ = Rng::new(9).seeded("other", 0).uniform(&[7], 0.0, 1.0, Kind::Float, Device::Cpu).unwrap();
    assert_eq!(first, network.logits(&numbers["x"], Mode::Train).unwrap());
}

#[test]
fn a_fixed_batch_is_judged_batch_by_batch() {
    let (fixed, open_one, numbers) = (open("hand-fixed").unwrap(), open("hand").unwrap(), reference("hand"));
    let pixels = Tensor::cat(&[&numbers["x"], &numbers["x"].flip([0])], 0);
    let wanted = open_one.logits(&pixels, Mode::Eval).unwrap();
    assert!(apart(&fixed.logits(&pixels, Mode::Eval).unwrap(), &wanted) < 1e-5);
    assert!(fixed.check_mode(Mode::Train).unwrap_err().to_string().contains("batches of 4"));
    assert!(fixed.logits(&pixels, Mode::Train).is_err());
}

#[test]
fn an_evaluation_export_is_judged_and_not_trained() {
    let (evaluation, numbers) = (open("hand-eval").unwrap(), reference("hand"));
    assert!(apart(&evaluation.logits(&numbers["x"], Mode::Eval).unwrap(), &numbers["eval/logits"]) < 1e-4);
    assert!(evaluation.check_mode(Mode::Train).unwrap_err().to_string().contains("net.train()"));
}

#[test]
fn noise_needs_the_program_of_the_evaluation_mode() {
    let noisy = open("noisy").unwrap();
    assert!(noisy.check_mode(Mode::Eval).unwrap_err().to_string().contains("randn_like"));
    noisy.check_mode(Mode::Train).unwrap();
    let pair = open("noisy-pair").unwrap();
    pair.check_mode(Mode::Eval).unwrap();
    let pixels =
        Rng::new(1).seeded("pixels", 0).uniform(&[2, 3, 32, 32], 0.0, 1.0, Kind::Float, Device::Cpu).unwrap();
    let logits = |mode| pair.logits(&pixels, mode).unwrap();
    assert_eq!(logits(Mode::Eval), logits(Mode::Eval));
    assert_ne!(logits(Mode::Train), logits(Mode::Train));
    // One set of weights for both programs.
    let before = logits(Mode::Eval);
    let _filled = tch::no_grad(|| pair.store().trainable()[0].shallow_clone().fill_(0.5));
    assert_ne!(before, logits(Mode::Eval));
}

#[test]
fn a_second_file_can_be_the_program_of_the_evaluation_mode() {
    let package = gaat_pt2::read(bytes("noisy")).unwrap();
    let package = package.with_evaluation(gaat_pt2::read(bytes("noisy-eval")).unwrap()).unwrap();
    let network = ExportedNetwork::new(Arc::new(package), &options(Normalization::identity(3))).unwrap();
    network.check_mode(Mode::Eval).unwrap();
    let pixels = Tensor::full([2, 3, 32, 32], 0.5, (Kind::Float, Device::Cpu));
    let (logits, pair) = (|mode| network.logits(&pixels, mode).unwrap(), open("noisy-pair").unwrap());
    assert_eq!(logits(Mode::Eval), pair.logits(&pixels, Mode::Eval).unwrap());
    assert_ne!(logits(Mode::Train), logits(Mode::Eval));
    // A run keeps both, so that it outlives the files.
    let (alone, _) = gaat_pt2::read_graph(network.graph_alone().unwrap(), 1 << 20).unwrap();
    let kept =
        ExportedNetwork::without_weights(Arc::new(alone), &options(Normalization::identity(3))).unwrap();
    assert_eq!(kept.variant(), network.variant());
    kept.store().load(&network.store().state().unwrap()).unwrap();
    assert_eq!(kept.logits(&pixels, Mode::Eval).unwrap(), logits(Mode::Eval));
}

#[test]
fn normalisation_comes_before_the_graph() {
    let numbers = reference("tied");
    let normalization = Normalization { mean: vec![0.1, 0.2, 0.3], std: vec![0.5, 0.25, 2.0] };
    let package = gaat_pt2::read(bytes("tied")).unwrap();
    let network = ExportedNetwork::new(Arc::new(package), &options(normalization)).unwrap();
    let column = |values: &[f32]| Tensor::from_slice(values).view([1, 3, 1, 1]);
    let pixels = (&numbers["x"] - column(&[0.1, 0.2, 0.3])) / column(&[0.5, 0.25, 2.0]);
    let wanted = open("tied").unwrap().logits(&pixels, Mode::Eval).unwrap();
    assert!(apart(&network.logits(&numbers["x"], Mode::Eval).unwrap(), &wanted) < 1e-5);
}

#[test]
fn a_replica_shares_weights_and_not_gradients() {
    let (network, numbers) = (open("tied").unwrap(), reference("tied"));
    let replica = network.replica().unwrap().unwrap();
    let logits = |network: &dyn Classifier| network.logits(&numbers["x"], Mode::Eval).unwrap();
    assert_eq!(logits(&network), logits(replica.as_ref()));
    let _filled = tch::no_grad(|| network.store().trainable()[0].shallow_clone().fill_(0.5));
    assert_eq!(logits(&network), logits(replica.as_ref()));
    let sum = logits(replica.as_ref()).sum(Kind::Float);
    let own = network.store().trainable();
    assert!(gradients(&[&sum], None, &[&own[0]], Graph::Free).unwrap()[0].is_none());
}

#[test]
fn maps_of_the_last_convolution_carry_the_logits() {
    let (network, numbers) = (open("resnet18").unwrap(), reference("resnet18"));
    assert_eq!(network.feature_layer(), Some("layer3.1.relu"));
    let pixels = numbers["x"].set_requires_grad(true);
    let found = network.feature_maps(&pixels, Mode::Eval).unwrap().unwrap();
    assert_eq!(found.maps.size(), [3, 32, 2, 2]);
    let sum = found.logits.sum(Kind::Float);
    assert!(gradients(&[&sum], None, &[&found.maps], Graph::Free).unwrap()[0].is_some());
    assert!(open("vit_b_16").unwrap().feature_maps(&pixels, Mode::Eval).unwrap().is_none());
}
