//! One contract for every training method.

use crate::support::{Witness, bits, options, recipe, trained};
use gaat::nn::ComputePrecision;
use gaat::train::{Quiet, train};
use gaat_spec::Passes;
use gaat_testkit::file_tensors;
use tch::Device;

/// What a method declares for each image of an adversarial epoch, and what it says of itself.
struct Declared {
    method: &'static str,
    /// Forward, backward to the pixels, backward to the weights, double backward.
    passes: [u64; 4],
    /// Forward passes and backward passes to the pixels of the whole run beside these, in images.
    beside: [u64; 2],
    refreshes: u64,
    predicts: bool,
    /// Whether its first epoch is natural.
    delayed: bool,
}

/// A method without delay.
const fn declared(method: &'static str, passes: [u64; 4], refreshes: u64, predicts: bool) -> Declared {
    Declared { method, passes, beside: [0, 0], refreshes, predicts, delayed: false }
}

const METHODS: [Declared; 27] = [
    declared("natural", [1, 0, 1, 0], 0, false),
    declared("rat", [4, 3, 1, 0], 3, false),
    declared("gaat", [2, 1, 1, 0], 1, true),
    declared("gaat-paper", [2, 1, 1, 0], 1, true),
    declared("gaat-paper-diagonal", [2, 1, 1, 0], 1, true),
    Declared { delayed: true, ..declared("dat+gaat", [2, 1, 1, 0], 1, true) },
    declared("gaat-memory", [1, 0, 1, 0], 0, false),
    declared("gaat-free", [1, 0, 1, 0], 0, false),
    declared("fgsm-rs", [2, 1, 1, 0], 1, true),
    declared("n-fgsm", [2, 1, 1, 0], 1, true),
    declared("zerograd", [2, 1, 1, 0], 1, true),
    declared("sora", [2, 1, 1, 0], 1, true),
    // Ten grey images in the first of ten steps.
    Declared { beside: [10, 10], ..declared("liet", [2, 1, 2, 0], 1, true) },
    declared("fgsm-uap", [2, 1, 2, 0], 1, true),
    Declared { beside: [10, 10], ..declared("awp+liet", [4, 1, 4, 0], 1, true) },
    // The clean answers in five of ten steps of 36 images.
    Declared { beside: [180, 0], ..declared("nuat", [3, 1, 2, 0], 1, true) },
    declared("free", [1, 0, 1, 0], 0, false),
    Declared { delayed: true, ..declared("dat+free", [1, 0, 1, 0], 0, false) },
    declared("fgsm-mep", [2, 1, 2, 0], 1, true),
    declared("gradalign", [3, 2, 1, 2], 1, true),
    declared("trades", [6, 3, 2, 0], 3, false),
    declared("mart", [5, 3, 2, 0], 3, false),
    declared("awp+gradalign", [6, 4, 2, 4], 1, true),
    Declared { delayed: true, ..declared("dat+awp+trades", [8, 3, 4, 0], 3, false) },
    declared("awp+rat", [5, 3, 2, 0], 3, false),
    declared("awp+fgsm-mep", [4, 1, 4, 0], 1, true),
    Declared { delayed: true, ..declared("dat+awp+free", [2, 0, 2, 0], 0, false) },
];

#[test]
fn every_method_keeps_the_contract() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for (seed, declared) in METHODS.iter().enumerate() {
        let Declared {
            method, passes: [forward, input_backward, full_backward, hessian_vector], beside, ..
        } = *declared;
        // A name of its own seed, so that no two methods share their draws by chance. Two validation images raise no suspicion of a
        // collapse, whose check would be counted too.
        let text = |seed: usize| {
            let steps = if method == "natural" { "" } else { "steps = 3\n" };
            let delay = if declared.delayed { "delay = 1\n" } else { "" };
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = 2\nbatch-size = 36\n\
                 validation-steps = 2\nvalidation-limit = 2\nreplays = 5\nrefinement = \"off\"\nseed = {seed}\n{steps}{delay}"
            ))
        };
        let run_dir = folder.path().join(method);
        let record = trained(&text(seed), &run_dir);

        // 200 images, a tenth held out, five batches an epoch, two epochs.
        let adversarial = if declared.delayed { 180 } else { 360 };
        let natural = 360 - adversarial;
        assert_eq!(record.images, 360, "{method}");
        let expected = Passes {
            forward: adversarial * forward + natural + beside[0],
            input_backward: adversarial * input_backward + beside[1],
            full_backward: adversarial * full_backward + natural,
            hessian_vector: adversarial * hessian_vector,
        };
        assert_eq!(record.passes, expected, "{method}");
        let each = forward + input_backward + 2 * full_backward + 4 * hessian_vector;
        let units = adversarial * each + natural * 3 + beside[0] + beside[1];
        assert_eq!(record.cost_ratio, units as f64 / (3 * 360) as f64, "{method}");
        assert_eq!(record.epochs.len(), 2, "{method}");
        for epoch in &record.epochs {
            let is_natural = declared.delayed && epoch.epoch == 1;
            assert_eq!(epoch.gain_ratio.is_some(), declared.predicts && !is_natural, "{method}: {epoch:?}");
            assert_eq!(epoch.residual.is_some(), epoch.gain_ratio.is_some(), "{method}: {epoch:?}");
            let (ratio, residual) = (epoch.gain_ratio.unwrap_or(1.0), epoch.residual.unwrap_or(0.0));
            assert!(
                (ratio - 1.0) * residual >= 0.0,
                "both say whether the model underrates the attack: {epoch:?}"
            );
            let refreshes = if is_natural { 0 } else { declared.refreshes };
            assert_eq!(epoch.refreshes, refreshes as f64, "{method}: {epoch:?}");
            assert!(epoch.alarms.is_empty(), "{method}: {epoch:?}");
            let shares = [Some(epoch.train_accuracy), epoch.validation_clean, epoch.validation_robust];
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(&share.unwrap())), "{method}: {epoch:?}");
            assert!(epoch.loss > 0.0 && epoch.loss.is_finite(), "{method}: {epoch:?}");
        }

        let weights = run_dir.join("checkpoints/last.safetensors");
        let (description, state) = gaat::weights::load(&weights).unwrap();
        let untrained = description.build(Device::Cpu, ComputePrecision::Fp32, seed as u64).unwrap();
        for (name, tensor) in untrained.store().state().unwrap() {
            let after = &state.iter().find(|(key, _)| *key == name).unwrap().1;
            assert_ne!(bits(after), bits(&tensor), "{method}: `{name}` was not trained");
        }
        let again = folder.path().join(format!("{method}-again"));
        trained(&text(seed), &again);
        let again = file_tensors(&again.join("checkpoints/state.safetensors"));
        assert_eq!(
            again,
            file_tensors(&run_dir.join("checkpoints/state.safetensors")),
            "{method}: the same seed"
        );
    }
}

/// One-sided, consistency costs no pass; two-sided, a full backward pass in every so many steps, and a forward pass where the attack
/// sees other statistics. It changes what is learned, and a stop changes nothing.
#[test]
fn consistency_costs_what_is_said_and_goes_on_after_a_stop() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for method in ["gaat", "gaat-paper", "n-fgsm", "fgsm-rs"] {
        let refinement = if method == "gaat" { "refinement = \"off\"\n" } else { "" };
        let text = |more: &str| {
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = 2\nbatch-size = 36\n\
                 validation-steps = 2\nvalidation-limit = 2\n{refinement}{more}"
            ))
        };
        let place = |name: &str| folder.path().join(format!("{method}-{name}"));
        let plain = trained(&text(""), &place("plain"));
        let one = trained(&text("consistency = 10\n"), &place("one"));
        let two = "consistency = 10\nconsistency-form = \"js\"\nconsistency-every = 2\n";
        let both = trained(&text(two), &place("both"));
        assert_eq!(one.passes, plain.passes, "{method}");
        assert!(one.epochs[0].loss > plain.epochs[0].loss, "{method}: the distance is part of the loss");
        // Every second of ten steps of 36 images.
        let more = 5 * 36;
        let kept = Passes { full_backward: plain.passes.full_backward + more, ..plain.passes };
        assert_eq!(both.passes, kept, "{method}");
        let running = trained(&text(&format!("{two}attack-statistics = \"running\"\n")), &place("running"));
        assert_eq!(running.passes, Passes { forward: kept.forward + more, ..kept }, "{method}");

        let stopped = &mut Witness { stop_after: Some(3), ..Witness::default() };
        train(&text(two), &options(&place("stopped"), false), stopped).unwrap();
        train(&text(two), &options(&place("stopped"), true), &mut Quiet).unwrap();
        let state = |name: &str| file_tensors(&place(name).join("checkpoints/state.safetensors"));
        assert!(state("stopped") == state("both"), "{method}");
    }
}

/// Soft labels cost no pass, whether the attack climbs their loss or that of the classes; they change what is learned, the gain ratio
/// stays that of the loss that the attack has climbed, and a stop changes nothing.
#[test]
fn soft_labels_cost_no_pass_and_go_on_after_a_stop() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let methods = [
        ("natural", "soft"),
        ("rat", "soft"),
        ("gaat", "hard"),
        ("gaat", "soft"),
        ("fgsm-mep", "soft"),
        ("gaat-free", "soft"),
        ("trades", "hard"),
        ("awp+rat", "hard"),
    ];
    for (method, attack) in methods {
        let steps = if method == "natural" { "" } else { "steps = 2\n" };
        let text = |more: &str| {
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = 2\nbatch-size = 36\n\
                 validation-steps = 2\nvalidation-limit = 2\nreplays = 5\nrefinement = \"off\"\n{steps}{more}"
            ))
        };
        let place = |name: &str| folder.path().join(format!("{method}-{attack}-{name}"));
        let written = if ["natural", "gaat-free", "trades"].contains(&method) {
            String::new()
        } else {
            format!("attack-labels = \"{attack}\"\n")
        };
        let soft = format!("label-smoothing = 0.3\nlabel-smoothing-form = \"random\"\n{written}");
        let plain = trained(&text(""), &place("plain"));
        let smoothed = trained(&text(&soft), &place("soft"));
        assert_eq!(smoothed.passes, plain.passes, "{method}");
        let state = |name: &str| file_tensors(&place(name).join("checkpoints/state.safetensors"));
        assert!(state("plain") != state("soft"), "{method}: nothing has changed");
        for (soft, hard) in smoothed.epochs.iter().zip(&plain.epochs) {
            assert_eq!(soft.gain_ratio.is_some(), hard.gain_ratio.is_some(), "{method}");
            // Of another loss it would not be a ratio: its size would be that of the labels' entropy.
            assert!(soft.gain_ratio.is_none_or(|ratio| (-1.0..3.0).contains(&ratio)), "{method}: {soft:?}");
        }
        let stopped = &mut Witness { stop_after: Some(3), ..Witness::default() };
        train(&text(&soft), &options(&place("stopped"), false), stopped).unwrap();
        train(&text(&soft), &options(&place("stopped"), true), &mut Quiet).unwrap();
        assert!(state("stopped") == state("soft"), "{method}");
    }
}

/// Held convergence looks at the clean images in the second epoch, descends on them in the third, and leaves the first and the last alone.
#[test]
fn smooth_convergence_costs_what_is_said_and_goes_on_after_a_stop() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for method in ["fgsm-rs", "awp+rat", "gaat-free", "dat+n-fgsm"] {
        let steps = if method == "awp+rat" { "steps = 2\n" } else { "" };
        let (epochs, delay) = if method == "dat+n-fgsm" { (5, "delay = 1\n") } else { (4, "") };
        let text = |more: &str| {
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = {epochs}\nbatch-size = 36\n\
                 validation-steps = 2\nvalidation-limit = 2\n{steps}{delay}{more}"
            ))
        };
        let place = |name: &str| folder.path().join(format!("{method}-{name}"));
        let plain = trained(&text(""), &place("plain"));
        let smooth = "converge-smooth = 1\n";
        let held = trained(&text(smooth), &place("held"));
        let expected = Passes {
            forward: plain.passes.forward + 2 * 180,
            full_backward: plain.passes.full_backward + 180,
            ..plain.passes
        };
        assert_eq!(held.passes, expected, "{method}");
        let state = |name: &str| file_tensors(&place(name).join("checkpoints/state.safetensors"));
        let weights = |name: &str| {
            let whole = state(name).into_iter();
            whole.filter(|(name, _)| name.starts_with("weights.")).collect::<Vec<_>>()
        };
        assert!(weights("plain") != weights("held"), "{method}: nothing has changed");
        let stopped = &mut Witness { stop_after: Some(12), ..Witness::default() };
        train(&text(smooth), &options(&place("stopped"), false), stopped).unwrap();
        train(&text(smooth), &options(&place("stopped"), true), &mut Quiet).unwrap();
        assert!(state("stopped") == state("held"), "{method}");
    }
}

/// Mixed and blacked out images cost no pass, change what is learned, and a stop changes nothing. The soft labels go on through
/// replays, smoothing and perturbed weights.
#[test]
fn mixed_images_cost_no_pass_and_go_on_after_a_stop() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("natural", "mixup = 0.8\ncutmix = 1\n"),
        ("rat", "cutmix = 1\ncutout = 3\n"),
        (
            "gaat",
            "mixup = 0.3\nlabel-smoothing = 0.2\nlabel-smoothing-form = \"random\"\nattack-labels = \"hard\"\n",
        ),
        ("gaat-free", "mixup = 1\n"),
        ("awp+trades", "cutmix = 0.5\n"),
        ("nuat", "mixup = 0.5\ncrop-padding = 1\nflip = true\n"),
        ("fgsm-mep", "cutout = 4\n"),
    ];
    for (method, more) in cases {
        let steps = if ["natural", "nuat"].contains(&method) { "" } else { "steps = 2\n" };
        let text = |more: &str| {
            recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 200\nepochs = 2\nbatch-size = 36\n\
                 validation-steps = 2\nvalidation-limit = 2\nreplays = 5\nrefinement = \"off\"\n{steps}{more}"
            ))
        };
        let place = |name: &str| folder.path().join(format!("{method}-{name}"));
        let plain = trained(&text(""), &place("plain"));
        let mixed = trained(&text(more), &place("mixed"));
        assert_eq!(mixed.passes, plain.passes, "{method}");
        let state = |name: &str| file_tensors(&place(name).join("checkpoints/state.safetensors"));
        assert!(state("plain") != state("mixed"), "{method}: nothing has changed");
        let stopped = &mut Witness { stop_after: Some(3), ..Witness::default() };
        train(&text(more), &options(&place("stopped"), false), stopped).unwrap();
        train(&text(more), &options(&place("stopped"), true), &mut Quiet).unwrap();
        assert!(state("stopped") == state("mixed"), "{method}");
    }
}

/// What the gain ratio asks for is what is paid for, and asking costs nothing.
#[test]
fn refinement_costs_the_gradients_that_it_reports() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = |refinement: &str| {
        let text = format!(
            "method = \"gaat\"\nepochs = 12\nepsilon = 0.15\nvalidation-steps = 2\nrefinement = \"{refinement}\""
        );
        trained(&recipe(&text), &folder.path().join(refinement))
    };
    let off = run("off");
    let once = Passes { forward: 2 * off.images, input_backward: off.images, ..off.passes };
    assert_eq!((off.passes, off.passes.full_backward), (once, off.images), "the ratio is free");
    let bent = off.epochs.iter().filter(|epoch| epoch.gain_ratio.unwrap() > 1.3).count();
    assert!(bent > 6, "the loss of this network bends: {bent}");

    let adaptive = run("adaptive");
    let per_epoch = (adaptive.images / 12) as f64;
    let taken: f64 = adaptive.epochs.iter().map(|epoch| epoch.refreshes).sum::<f64>() * per_epoch;
    let paid = adaptive.passes.input_backward;
    assert_eq!(adaptive.passes.forward, adaptive.images + paid);
    // Refreshes are means over batches, of which the last one is smaller.
    assert!((paid as f64 / taken - 1.0).abs() < 0.01, "{paid} paid, {taken} reported");
    assert!(adaptive.epochs[..6].iter().all(|epoch| epoch.refreshes == 1.0), "one gradient at first");
    assert!(adaptive.epochs[6..].iter().all(|epoch| (epoch.refreshes - 2.0).abs() < 0.05), "two later");
}
