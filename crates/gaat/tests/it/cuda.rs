//! What runs on a GPU, where there is one: the numbers of the CPU, from passes launched one by one and recorded alike.

use crate::nn::exported::open_on;
use crate::support::{Witness, network, network_on, noise, options, recipe};
use gaat::Error;
use gaat::attack::{Exact, GradientOracle, Loss};
use gaat::nn::{Classifier, ComputePrecision, Mode, Rng};
use gaat::run::{Checkpoint, open};
use gaat::train::{Quiet, train};
use gaat_spec::{Event, Status};
use gaat_testkit::skip;
use tch::{Device, Kind, Tensor};

/// Whether there is a GPU; the test counts as skipped where there is none.
fn has_gpu() -> bool {
    gaat::device::prepare_process(None).unwrap();
    let found = tch::Cuda::device_count() > 0;
    if !found {
        skip("libtorch sees no CUDA device here");
    }
    found
}

/// Largest difference over the largest number.
fn gap(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_device(Device::Cpu);
    ((found - expected).abs().max() / expected.abs().max()).double_value(&[])
}

#[test]
fn gradients_are_those_of_the_cpu_launched_and_recorded() {
    if !has_gpu() {
        return;
    }
    for model in ["convnet", "mlp", "wide-resnet-10-1", "preact-resnet-18-w8"] {
        for mode in [Mode::Eval, Mode::TrainFrozenStats] {
            let (theirs, ours) =
                (network(model, Kind::Float), network_on(Device::Cuda(0), model, Kind::Float));
            ours.store().copy_from(theirs.store()).unwrap();
            let (pixels, labels) = noise(16, Kind::Float);
            let targets = (&labels + 3).remainder(10);
            let there = |tensor: &Tensor| tensor.to_device(Device::Cuda(0));
            // Passes are recorded after the eighth; the weights change before and after.
            for round in 0..30 {
                if round % 7 == 6 {
                    let mut weight = theirs.store().trainable().remove(0);
                    let _ = tch::no_grad(|| weight.g_mul_scalar_(1.1));
                    ours.store().copy_from(theirs.store()).unwrap();
                }
                let step = Rng::new(round).seeded("step", 0);
                let points =
                    &pixels + step.uniform(&pixels.size(), -0.1, 0.1, Kind::Float, Device::Cpu).unwrap();
                for towards in [false, true] {
                    let on =
                        |targets| if towards { Loss::MarginTowards(targets) } else { Loss::CrossEntropy };
                    let expected =
                        Exact::new(theirs.as_ref(), mode).of(on(&targets), &points, &labels).unwrap();
                    let found = Exact::new(ours.as_ref(), mode)
                        .of(on(&there(&targets)), &there(&points), &there(&labels))
                        .unwrap();
                    for (name, found, expected) in [
                        ("losses", &found.losses, &expected.losses),
                        ("gradient", &found.gradient, &expected.gradient),
                        ("logits", found.logits.as_ref().unwrap(), expected.logits.as_ref().unwrap()),
                    ] {
                        let gap = gap(found, expected);
                        assert!(gap < 2e-2, "{model}, {mode:?}, round {round}, {name}: {gap}");
                    }
                }
            }
        }
    }
}

#[test]
fn programs_of_torch_export_are_recorded_where_they_draw_nothing() {
    if !has_gpu() {
        return;
    }
    for name in ["resnet18", "hand", "vit_b_16", "indexed"] {
        let (theirs, ours) = (open_on(Device::Cpu, name).unwrap(), open_on(Device::Cuda(0), name).unwrap());
        let is_recorded = |mode| ours.recordings(mode).is_some();
        assert_eq!(is_recorded(Mode::TrainFrozenStats), name != "indexed", "{name}");
        assert_eq!(is_recorded(Mode::Train), name == "resnet18", "{name}");
        let pixels = |round| {
            let draws = Rng::new(round).seeded("pixels", 0);
            draws.uniform(&[8, 3, 32, 32], 0.0, 1.0, Kind::Float, Device::Cpu).unwrap()
        };
        let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu));
        for mode in [Mode::Eval, Mode::TrainFrozenStats] {
            for round in 0..12 {
                let points = pixels(round);
                let expected = Exact::new(&theirs, mode).of(Loss::CrossEntropy, &points, &labels).unwrap();
                let there = |tensor: &Tensor| tensor.to_device(Device::Cuda(0));
                let found =
                    Exact::new(&ours, mode).of(Loss::CrossEntropy, &there(&points), &there(&labels)).unwrap();
                let gap = gap(&found.gradient, &expected.gradient);
                assert!(gap < 2e-2, "{name}, {mode:?}, round {round}: {gap}");
            }
        }
    }
}

#[test]
fn every_method_trains_and_pays_the_passes_of_the_cpu() {
    if !has_gpu() {
        return;
    }
    let methods = [
        "natural",
        "rat",
        "gaat",
        "fgsm-rs",
        "n-fgsm",
        "zerograd",
        "sora",
        "liet",
        "fgsm-uap",
        "nuat",
        "free",
        "gaat-free",
        "gaat-memory",
        "fgsm-mep",
        "gradalign",
        "trades",
        "mart",
        "awp+gaat",
        "dat+gaat",
    ];
    for method in methods {
        let folder = tempfile::tempdir().unwrap();
        let records = ["cpu", "cuda:0"].map(|device| {
            let (steps, refinement) = match method {
                "rat" | "trades" | "mart" => ("steps = 3\n", ""),
                "gaat" | "awp+gaat" | "dat+gaat" => ("", "refinement = \"off\"\n"),
                _ => ("", ""),
            };
            let checked = recipe(&format!(
                "method = \"{method}\"\nmodel = \"wide-resnet-10-1\"\nlimit = 400\nbatch-size = 24\nepochs = 4\n\
                 validation-steps = 2\nclip-norm = 1.0\ndevice = \"{device}\"\n{steps}{refinement}"
            ));
            let run_dir = folder.path().join(device.replace(':', "-"));
            let mut witness = Witness::default();
            let record = train(&checked, &options(&run_dir, false), &mut witness).unwrap();
            let steps: Vec<usize> = witness.events.iter().filter_map(|event| match event {
                Event::Step { step, seconds, .. } => {
                    assert!(seconds.total > 0.0 && seconds.attack <= seconds.total, "{method}: {seconds:?}");
                    Some(*step)
                }
                _ => None,
            }).collect();
            assert_eq!(steps, (1..=steps.len()).collect::<Vec<_>>(), "{method}");
            record
        });
        let [theirs, ours] = &records;
        println!("{method}: loss {:?} and {:?}", theirs.epochs[3].loss, ours.epochs[3].loss);
        assert_eq!(ours.status, Status::Done);
        assert_eq!((ours.passes, ours.images), (theirs.passes, theirs.images), "{method}");
        assert!(ours.epochs[3].loss < ours.epochs[0].loss, "{method}: {:?}", ours.epochs);
    }
}

#[test]
fn gaat_learns_to_withstand_pgd_and_goes_on_after_a_stop() {
    if !has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let checked = recipe("method = \"gaat\"\nepochs = 20\ndevice = \"cuda:0\"\n");
    let mut witness = Witness { stop_after: Some(100), ..Witness::default() };
    let stopped = train(&checked, &options(&run_dir, false), &mut witness).unwrap();
    assert_eq!(stopped.status, Status::Interrupted);
    let record = train(&checked, &options(&run_dir, true), &mut Quiet).unwrap();
    let robust = record.epochs[19].validation_robust.unwrap();
    println!("robust validation accuracy {robust}");
    assert!(record.status == Status::Done && record.epochs.len() == 20 && robust > 0.6, "{record:?}");
    let run = open(&run_dir, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
    assert!(run.classifier.store().device() == Device::Cuda(0));
}

#[test]
fn a_loss_that_is_no_number_is_found_late_and_spares_weights_and_checkpoints() {
    if !has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let text = "method = \"natural\"\nmodel = \"mlp\"\nlimit = 100\nbatch-size = 30\nepochs = 40\nvalidation-steps = 1\n\
        optimizer = \"sgd\"\nmomentum = 0\nweight-decay = 1\nlearning-rate = 3\nschedule = \"constant\"\ndevice = \"cuda:0\"\n";
    let error = train(&recipe(text), &options(&run_dir, false), &mut Quiet).unwrap_err();
    let Error::Training { epoch, step, reason } = error else { panic!("{error}") };
    assert_eq!(epoch, (step - 1) / 3 + 1);
    assert!(epoch > 1 && reason.contains("the loss is"), "{reason}");
    let run = open(&run_dir, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
    assert_eq!(run.description.epoch, epoch - 1);
    let state = run.classifier.store().state().unwrap();
    assert!(state.iter().all(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 1));
}
