//! Runs from start to end: stopping and continuing, refusals, failure, what is logged, and that training works.

use crate::support::{Witness, bits, digits, network, options, recipe, threat, trained};
use gaat::Error;
use gaat::evaluate::{Control, EvaluateOptions, evaluate};
use gaat::nn::{ComputePrecision, Role};
use gaat::run::{Checkpoint, open};
use gaat::train::{Optimizer, Quiet, train};
use gaat_spec::recipe::OptimizerSpec;
use gaat_spec::{AttackSpec, Event, Norm, OptimizerName, Status};
use gaat_testkit::file_tensors;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor};

/// 360 training images, so 18 steps an epoch and 54 in all.
const SHORT: &str = "model = \"convnet\"\nlimit = 400\nbatch-size = 20\nepochs = 3\nvalidation-steps = 2\n";

/// Everything that a step can depend on, switched on.
const SGD: &str = "method = \"dat+gaat\"\ndelay = 1\nepsilon-warmup = 0.8\noptimizer = \"sgd\"\nlearning-rate = 0.1\n\
    nesterov = true\nweight-decay = 5e-4\ndecay-norm-and-bias = false\nclip-norm = 0.5\nweight-averaging = 0.9\n\
    crop-padding = 1\nflip = true\n";

const ADAM: &str = "method = \"rat\"\nsteps = 2\noptimizer = \"adam\"\nschedule = \"one-cycle\"\n";
const ADAMW: &str = "method = \"rat\"\nsteps = 2\noptimizer = \"adamw\"\nweight-decay = 0.1\n";

/// Perturbations that continue from batch to batch, replays that a stop may cut, and an epoch that ends among them.
const FREE: &str = "method = \"dat+free\"\ndelay = 1\nreplays = 4\noptimizer = \"sgd\"\nmomentum = 0\nlearning-rate = 0.1\n\
    crop-padding = 1\nflip = true\n";

/// A memory of every image, carried through augmentation and started again, and perturbed weights.
const MEP: &str = "method = \"awp+fgsm-mep\"\nmemory-reset = 2\nawp-warmup = 1\noptimizer = \"adam\"\ncrop-padding = 1\n\
    flip = true\nepsilon-warmup = 0.5\n";

const MEMORY: &str = "method = \"gaat-memory\"\noptimizer = \"adam\"\ncrop-padding = 1\nflip = true\n";

/// Starts that learn, answers held together by a weight that grows, and a step that gets shorter.
const LIET: &str = "method = \"awp+liet\"\noptimizer = \"adam\"\ncrop-padding = 1\nflip = true\n";
const UAP: &str = "method = \"dat+fgsm-uap\"\ndelay = 1\noptimizer = \"adam\"\nweight-averaging = 0.9\n";
const SORA: &str = "method = \"sora\"\noptimizer = \"adam\"\nepsilon = 0.3\n";
const NUAT: &str = "method = \"nuat\"\noptimizer = \"adam\"\nlabel-smoothing = 0.1\n";
const UNIVERSAL: &str = "method = \"gaat\"\nstart = \"universal\"\nstep-draw = \"uniform\"\nproject = \"never\"\nepsilon = 0.3\n\
    optimizer = \"adam\"\n";

/// The controller refines in the second half: 0.3 bends the loss.
const REFINED: &str = "method = \"gaat\"\nepsilon = 0.3\noptimizer = \"adam\"\n";

const AWP_REFINED: &str = "method = \"awp+gaat\"\nawp-warmup = 0\nepsilon = 0.3\noptimizer = \"adam\"\n";

/// The lines of `events.jsonl`, each parsed.
fn lines(run_dir: &Path) -> Vec<serde_json::Value> {
    let text = fs_err::read_to_string(run_dir.join("events.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All files below a directory: bytes by path.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.display().to_string(), fs_err::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_run_that_was_stopped_ends_as_if_it_never_was() {
    tch::set_num_threads(1);
    // Stops in the middle of the first epoch, of the second, at the end of one, and twice.
    let runs = [
        (SGD, &[25][..], "optimizer.first.7.weight"),
        (SGD, &[7, 36], "average."),
        (ADAM, &[25], "optimizer.second.7.weight"),
        (ADAM, &[1], "optimizer.second.7.weight"),
        (ADAMW, &[25], "optimizer.second.7.weight"),
        (FREE, &[21], "method.delta"),
        (FREE, &[8, 36], "method.delta"),
        (MEMORY, &[25], "method.perturbations"),
        (REFINED, &[40], "method.refinement"),
        (AWP_REFINED, &[40], "method.refinement"),
        (MEP, &[25], "method.momenta"),
        (MEP, &[7, 40], "method.perturbations"),
        (LIET, &[25], "method.start-directions"),
        (LIET, &[7, 40], "method.start-steps"),
        (UAP, &[25], "method.start-momentum"),
        (SORA, &[7, 40], "method.linearity"),
        (NUAT, &[25], "optimizer."),
        (UNIVERSAL, &[40], "method.start-perturbation"),
    ];
    for (text, stops, part) in runs {
        let folder = tempfile::tempdir().unwrap();
        let recipe = recipe(&format!("{SHORT}{text}"));
        let whole = trained(&recipe, &folder.path().join("whole"));
        assert_eq!((whole.status, whole.images), (Status::Done, 3 * 360));

        let run_dir = folder.path().join("stopped");
        for (index, stop) in stops.iter().enumerate() {
            let mut witness = Witness { stop_after: Some(*stop), ..Witness::default() };
            let record = train(&recipe, &options(&run_dir, index > 0), &mut witness).unwrap();
            assert_eq!((record.status, record.images), (Status::Interrupted, 20 * *stop as u64), "{stops:?}");
            assert_eq!(record.epochs.len(), stop / 18, "{stops:?}");
            assert_eq!(record.cost_ratio, record.passes.cost_ratio(record.images), "{stops:?}");
            assert_eq!(gaat::run::record(&run_dir).unwrap(), record, "{stops:?}");
        }
        let resumed = train(&recipe, &options(&run_dir, true), &mut Quiet).unwrap();

        assert_eq!(resumed.timeless(), whole.timeless(), "{stops:?}");
        assert_eq!(gaat::run::record(&run_dir).unwrap(), resumed, "{stops:?}");
        for (file, needle) in [("last", ""), ("best", ""), ("state", "weights."), ("state", part)] {
            let path = format!("checkpoints/{file}.safetensors");
            let (left, right) =
                (file_tensors(&run_dir.join(&path)), file_tensors(&folder.path().join("whole").join(&path)));
            let names: Vec<_> = left.keys().collect();
            assert!(names.iter().any(|name| name.starts_with(needle)), "{file}: no {needle} in {names:?}");
            assert!(left == right, "{stops:?}: {file} differs");
        }
        let steps = lines(&run_dir).into_iter().filter(|line| line["event"] == "step");
        let steps: Vec<_> = steps.map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=54).collect::<Vec<_>>(), "{stops:?}: every step once");

        let before = files(&run_dir);
        assert_eq!(train(&recipe, &options(&run_dir, true), &mut Quiet).unwrap(), resumed, "already done");
        assert!(files(&run_dir) == before, "a finished run is left alone");
    }
}

#[test]
fn sgd_takes_the_steps_of_its_formula() {
    let network = network("wide-resnet-10-1", Kind::Double);
    // The names are those of the recipe: momentum, Nesterov, decay of everything.
    for (momentum, nesterov, everything) in [(0.0, false, true), (0.9, false, true), (0.9, true, false)] {
        let (weight_decay, rate) = (0.1, 0.5);
        let name = OptimizerName::Sgd;
        let spec = OptimizerSpec { name, momentum, nesterov, weight_decay, decay_norm_and_bias: everything };
        let mut optimizer = Optimizer::new(network.store(), spec);
        let entries: Vec<_> = network.store().trainable_entries().collect();
        let copies = || entries.iter().map(|entry| entry.tensor.detach().copy()).collect::<Vec<_>>();
        let mut memory: Vec<Tensor> = copies().iter().map(Tensor::zeros_like).collect();
        for step in 1..=3 {
            let before = copies();
            // Gradients of convolutions come back in another memory order than their weights.
            let gradient = |tensor: &Tensor| {
                let values = (tensor * 7.0 + step).sin();
                if tensor.dim() == 4 { gaat_shim::channels_last(&values).unwrap() } else { values }
            };
            let gradients: Vec<Tensor> = before.iter().map(gradient).collect();
            optimizer.step(&gradients, rate, &Tensor::from(0f32)).unwrap();
            for (index, entry) in entries.iter().enumerate() {
                let decays = everything || entry.role == Role::Weight;
                let gradient = &gradients[index] + &before[index] * if decays { weight_decay } else { 0.0 };
                memory[index] = &memory[index] * momentum + &gradient;
                let direction =
                    if nesterov { gradient + &memory[index] * momentum } else { memory[index].copy() };
                let gap = (&before[index] - direction * rate - entry.tensor.detach()).abs().max();
                assert!(gap.double_value(&[]) < 1e-12, "{spec:?}, step {step}, {}: {gap}", entry.name);
            }
        }
    }
}

/// Statistics of the average are taken again at the end of an epoch, validation chooses between the two networks, and a stop in
/// the middle of an epoch changes nothing.
#[test]
fn averaged_weights_have_statistics_of_their_own_and_are_chosen_by_validation() {
    tch::set_num_threads(1);
    let text = "model = \"wide-resnet-10-1\"\nmethod = \"rat\"\nsteps = 2\nlimit = 300\nbatch-size = 32\n\
                epochs = 3\nlearning-rate = 5e-3\nvalidation-steps = 2\n";
    let averaged = format!("{text}weight-averaging = 0.9\n");
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let whole = train(&recipe(&averaged), &options(&place("whole"), false), &mut Quiet).unwrap();
    let plain = train(&recipe(text), &options(&place("plain"), false), &mut Quiet).unwrap();
    assert!(plain.epochs.iter().all(|epoch| epoch.averaged.is_none()));
    assert!(whole.epochs.iter().all(|epoch| epoch.averaged.is_some()), "{:?}", whole.epochs);
    // The better of the two: never worse than the same training without an average.
    for (with, without) in whole.epochs.iter().zip(&plain.epochs) {
        assert_eq!(with.loss, without.loss, "the average changes nothing in the training");
        assert!(with.validation_robust >= without.validation_robust);
        assert!(with.validation_robust >= with.validation_robust_other);
        let trained =
            if with.averaged == Some(true) { with.validation_robust_other } else { with.validation_robust };
        assert_eq!(
            trained, without.validation_robust,
            "the trained network is the same with and without an average"
        );
    }
    // Ten forward passes an epoch of 9 batches, and as many with a backward pass for the one-step attack.
    let images = 270 * 3;
    assert_eq!(whole.passes.forward, plain.passes.forward + 2 * images);
    assert_eq!(whole.passes.input_backward, plain.passes.input_backward + images);

    let state = file_tensors(&place("whole").join("checkpoints/state.safetensors"));
    let differs = |name: &str| state[&format!("weights.{name}")] != state[&format!("average.{name}")];
    assert!(differs("bn1.running_mean") && differs("bn1.running_var"), "{:?}", state.keys());

    for stop in [4, 9, 13] {
        let run_dir = place(&format!("stopped-{stop}"));
        let witness = &mut Witness { stop_after: Some(stop), ..Witness::default() };
        train(&recipe(&averaged), &options(&run_dir, false), witness).unwrap();
        let resumed = train(&recipe(&averaged), &options(&run_dir, true), &mut Quiet).unwrap();
        assert_eq!(resumed.timeless(), whole.timeless());
        for name in ["state", "best", "last"] {
            let file = |run: &Path| file_tensors(&run.join(format!("checkpoints/{name}.safetensors")));
            assert!(file(&run_dir) == file(&place("whole")), "{name}, stopped after {stop}");
        }
    }
}

/// Kingma and Ba 2015, algorithm 1, with an L2 penalty; Loshchilov and Hutter 2019, algorithm 2, with decoupled decay.
#[test]
fn adam_and_adamw_follow_their_papers() {
    let (rate, weight_decay, beta1, beta2) = (0.01, 0.3, 0.9, 0.999);
    for name in [OptimizerName::Adam, OptimizerName::AdamW] {
        let spec =
            OptimizerSpec { name, momentum: 0.0, nesterov: false, weight_decay, decay_norm_and_bias: false };
        let network = network("convnet", Kind::Double);
        let mut optimizer = Optimizer::new(network.store(), spec);
        let entries: Vec<_> = network.store().trainable_entries().collect();
        let mut moments: Vec<(Tensor, Tensor)> =
            entries.iter().map(|entry| (entry.tensor.zeros_like(), entry.tensor.zeros_like())).collect();
        for step in 1..=3 {
            let before: Vec<Tensor> = entries.iter().map(|entry| entry.tensor.detach().copy()).collect();
            let gradients: Vec<Tensor> = before.iter().map(|tensor| (tensor * 7.0 + step).sin()).collect();
            optimizer.step(&gradients, rate, &Tensor::from(0f32)).unwrap();
            for (index, entry) in entries.iter().enumerate() {
                let decay = if entry.role == Role::Weight { weight_decay } else { 0.0 };
                let (penalty, shrunk) = match name {
                    OptimizerName::AdamW => (0.0, 1.0 - rate * decay),
                    _ => (decay, 1.0),
                };
                let gradient = &gradients[index] + &before[index] * penalty;
                let (first, second) = &mut moments[index];
                *first = &*first * beta1 + &gradient * (1.0 - beta1);
                *second = &*second * beta2 + gradient.square() * (1.0 - beta2);
                let unbiased = |moment: &Tensor, beta: f64| moment / (1.0 - f64::powi(beta, step as i32));
                let direction = unbiased(first, beta1) / (unbiased(second, beta2).sqrt() + 1e-8);
                let expected = &before[index] * shrunk - direction * rate;
                let gap = (expected - entry.tensor.detach()).abs().max().double_value(&[]);
                assert!(gap < 1e-12, "{name}, step {step}, {}: {gap}", entry.name);
            }
        }
    }
}

/// The memory order of a weight's gradient is libtorch's business, what it does to the weight is not.
#[test]
fn adam_does_the_same_whatever_memory_order_gradients_come_in() {
    let spec = OptimizerSpec {
        name: OptimizerName::Adam,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.1,
        decay_norm_and_bias: true,
    };
    let [plain, reordered] = [false, true].map(|reorders| {
        let network = network("wide-resnet-10-1", Kind::Double);
        let mut optimizer = Optimizer::new(network.store(), spec);
        for step in 1..=3 {
            let gradients = network.store().trainable_entries().map(|entry| {
                let values = (entry.tensor.detach() * 7.0 + step).sin();
                let reorder = reorders && values.dim() == 4;
                if reorder { gaat_shim::channels_last(&values).unwrap() } else { values }
            });
            optimizer.step(&gradients.collect::<Vec<_>>(), 0.01, &Tensor::from(0f32)).unwrap();
        }
        network.store().trainable_entries().flat_map(|entry| bits(&entry.tensor)).collect::<Vec<_>>()
    });
    assert!(plain == reordered);
}

#[test]
fn a_directory_that_does_not_fit_is_refused_and_left_as_it_was() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let text = format!("{SHORT}{SGD}");
    let stopped = &mut Witness { stop_after: Some(20), ..Witness::default() };
    train(&recipe(&text), &options(&run_dir, false), stopped).unwrap();
    let before = files(folder.path());
    let refused = |text: &str, run_dir: &Path, resume: bool| {
        let error = train(&recipe(text), &options(run_dir, resume), &mut Quiet).unwrap_err();
        assert!(matches!(error, Error::File { .. } | Error::Occupied { .. }), "{error:?}");
        assert!(files(folder.path()) == before, "something was changed: {error}");
        error.to_string()
    };
    let needs = |message: &str, parts: &[&str]| {
        assert!(parts.iter().all(|part| message.contains(part)), "{message} lacks one of {parts:?}");
    };
    needs(&refused(&text, &run_dir, false), &["/run", "nothing was changed", "Resume"]);
    needs(&refused(&text, &run_dir.join("run.json"), false), &["run.json", "not an empty directory"]);
    for (key, value) in
        [("seed", "4"), ("epochs", "5"), ("learning-rate", "0.2"), ("delay", "2"), ("flip", "false")]
    {
        let kept = text.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect::<Vec<_>>();
        let other = format!("{}\n{key} = {value}\n", kept.join("\n"));
        let message = refused(&other, &run_dir, true);
        needs(&message, &["recipe.toml", &format!("({key})"), "another directory"]);
    }
    // A run directory without a recipe is somebody else's.
    needs(&refused(&text, &run_dir.join("checkpoints"), true), &["checkpoints", "nothing was changed"]);
}

#[test]
fn a_state_that_is_not_whole_is_refused_by_name() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let checked = recipe(&format!("{SHORT}{SGD}"));
    let stopped = &mut Witness { stop_after: Some(20), ..Witness::default() };
    train(&checked, &options(&run_dir, false), stopped).unwrap();
    let state = run_dir.join("checkpoints/state.safetensors");
    let whole = fs_err::read(&state).unwrap();
    let weights = fs_err::read(run_dir.join("checkpoints/last.safetensors")).unwrap();
    let cut = |length: usize| (whole[..length].to_vec(), "not a whole safetensors file");
    // The names of one tensor of each part, replaced by others of the same length.
    let renamed = |from: &str, to: &str| {
        let place = whole.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[place..place + from.len()].copy_from_slice(to.as_bytes());
        (bytes, "is damaged")
    };
    let cases = [
        cut(0),
        cut(7),
        cut(100),
        cut(whole.len() / 2),
        cut(whole.len() - 1),
        (weights, "not the state of a run"),
        renamed("\"weights.", "\"weighty."),
        renamed("\"average.", "\"averagy."),
        renamed("\"optimizer.", "\"optimizes."),
    ];
    for (bytes, needle) in cases {
        fs_err::write(&state, &bytes).unwrap();
        let error = train(&checked, &options(&run_dir, true), &mut Quiet).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("state.safetensors") && message.contains(needle), "{needle}: {message}");
    }
    // With the file back in place the run continues.
    fs_err::write(&state, &whole).unwrap();
    assert_eq!(train(&checked, &options(&run_dir, true), &mut Quiet).unwrap().status, Status::Done);
}

#[test]
fn a_void_step_changes_nothing() {
    for name in [OptimizerName::Sgd, OptimizerName::Adam] {
        let network = network("mlp", Kind::Float);
        let store = network.store();
        let (momentum, weight_decay) = (0.9, 0.1);
        let spec = OptimizerSpec { name, momentum, nesterov: false, weight_decay, decay_norm_and_bias: true };
        let mut optimizer = Optimizer::new(store, spec);
        let gradients: Vec<Tensor> =
            store.trainable().iter().map(|weight| weight.detach().ones_like()).collect();
        let everything = |optimizer: &Optimizer| {
            let memory = optimizer.state().into_iter().map(|(_, tensor)| tensor);
            store.trainable().into_iter().chain(memory).map(|tensor| bits(&tensor)).collect::<Vec<_>>()
        };
        optimizer.step(&gradients, 0.1, &Tensor::from(0f32)).unwrap();
        let before = everything(&optimizer);
        let broken: Vec<Tensor> = gradients.iter().map(|gradient| gradient * f64::NAN).collect();
        optimizer.step(&broken, 0.1, &Tensor::from(1f32)).unwrap();
        assert_eq!(everything(&optimizer), before, "{name:?}");
        optimizer.step(&gradients, 0.1, &Tensor::from(0f32)).unwrap();
        assert_ne!(everything(&optimizer), before, "{name:?}");
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoints() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    // Decay of 1 at a rate of 3 doubles every weight at every step: whole for an epoch or two, then infinite.
    let text = "method = \"natural\"\nmodel = \"mlp\"\nlimit = 100\nbatch-size = 30\nepochs = 40\nvalidation-steps = 1\n\
        optimizer = \"sgd\"\nmomentum = 0\nweight-decay = 1\nlearning-rate = 3\nschedule = \"constant\"\n";
    let checked = recipe(text);
    let mut witness = Witness::default();
    let error = train(&checked, &options(&run_dir, false), &mut witness).unwrap_err();
    let message = error.to_string();
    let Error::Training { epoch, step, reason } = error else { panic!("{message}") };
    println!("{message}");
    assert_eq!(epoch, (step - 1) / 3 + 1, "{message}");
    assert!(epoch > 1 && reason.contains("the loss is"), "{message}");
    assert!(message.contains(&format!("epoch {epoch}, step {step}")), "{message}");

    let record = gaat::run::record(&run_dir).unwrap();
    assert_eq!((record.status, record.failure.as_ref()), (Status::Failed, Some(&message)));
    assert_eq!(record.epochs.len(), epoch - 1);
    for checkpoint in [Checkpoint::Best, Checkpoint::Last] {
        let run = open(&run_dir, checkpoint, None, ComputePrecision::Fp32).unwrap();
        let expected = if checkpoint == Checkpoint::Last { epoch - 1 } else { record.best_epoch.unwrap() };
        assert_eq!(run.description.epoch, expected);
        let state = run.classifier.store().state().unwrap();
        assert!(state.iter().all(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 1));
    }
    let Some(Event::Ended { record: told }) = witness.events.last() else { panic!("not told of the end") };
    assert_eq!(**told, record);
    assert_eq!(lines(&run_dir).last().unwrap()["record"]["status"], "failed");
    // Going on meets the same end; the state was that of the last whole epoch.
    let again = train(&checked, &options(&run_dir, true), &mut Quiet).unwrap_err().to_string();
    assert_eq!(again, message);

    let hopeless = text.replace("learning-rate = 3", "learning-rate = 1e20");
    let error = train(&recipe(&hopeless), &options(&folder.path().join("b"), false), &mut Quiet).unwrap_err();
    assert!(matches!(error, Error::Training { epoch: 1, .. }), "{error}");
    let error = open(&folder.path().join("b"), Checkpoint::Last, None, ComputePrecision::Fp32)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("last.safetensors") && error.contains("has not finished an epoch"), "{error}");
}

#[test]
fn what_happens_is_told_and_logged_in_order() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let schedules = [
        "schedule = \"constant\"",
        "schedule = \"step\"\nmilestones = [0.3, 0.6]\ndecay-factor = 0.5",
        "schedule = \"cyclic\"\npeak = 0.3",
        "schedule = \"cosine\"",
        "schedule = \"one-cycle\"\npeak = 0.25",
    ];
    for (index, schedule) in schedules.into_iter().enumerate() {
        let run_dir = folder.path().join(index.to_string());
        // 90 training images: 5 steps an epoch, the last of 10 images.
        let text = "method = \"gaat\"\nlimit = 100\nbatch-size = 20\nepochs = 2\nvalidation-steps = 1\n";
        let checked = recipe(&format!("{text}{schedule}"));
        let mut witness = Witness::default();
        let record = train(&checked, &options(&run_dir, false), &mut witness).unwrap();

        let mut rates = Vec::new();
        let mut kinds = String::new();
        for event in &witness.events {
            match event {
                Event::Started { steps_per_epoch, steps_done, .. } => {
                    assert_eq!((*steps_per_epoch, *steps_done), (5, 0));
                    kinds.push('<');
                }
                Event::Step {
                    epoch,
                    step,
                    images,
                    learning_rate,
                    loss,
                    accuracy,
                    gain_ratio,
                    refreshes,
                    seconds,
                } => {
                    rates.push(*learning_rate);
                    assert_eq!((*epoch, *step), ((rates.len() - 1) / 5 + 1, rates.len()));
                    assert!(*loss > 0.0 && (0.0..=1.0).contains(accuracy) && gain_ratio.is_some());
                    assert_eq!(*images, if *step % 5 == 0 { 10 } else { 20 });
                    assert!(*refreshes >= 1.0 && 0.0 < seconds.attack && seconds.attack < seconds.total);
                    kinds.push('s');
                }
                Event::Validating { .. } => kinds.push('v'),
                Event::Epoch { record: epoch, cost_ratio } => {
                    assert_eq!(*epoch, record.epochs[epoch.epoch - 1]);
                    assert_eq!(epoch.learning_rate, *rates.last().unwrap());
                    assert!(*cost_ratio > 1.0 && (epoch.epoch == 1 || *cost_ratio == record.cost_ratio));
                    kinds.push('e');
                }
                Event::Checkpoint { .. } => kinds.push('c'),
                // Ten steps may be too few to learn anything, and then the last epoch says so.
                Event::Alarm { name, epoch: 2, .. } if name == "stuck" => {}
                Event::Alarm { .. } | Event::Recovered { .. } => panic!("{event:?}"),
                Event::Ended { record: told } => {
                    assert_eq!(**told, record);
                    kinds.push('>');
                }
            }
        }
        assert_eq!(kinds, "<sssssvecsssssvec>", "{schedule}");
        let expected: Vec<f64> =
            (0..10).map(|step| checked.plan.schedule().at((step as f64 + 0.5) / 10.0)).collect();
        assert_eq!(rates, expected, "{schedule}");
        let told: Vec<_> = witness.events.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
        assert_eq!(lines(&run_dir), told, "{schedule}");
    }
}

#[test]
fn training_learns_and_adversarial_training_withstands() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = |method: &str| {
        let run_dir = folder.path().join(method.replace('"', "").replace(['\n', ' ', '='], "-"));
        let text = format!(
            "method = {method}\nmodel = \"convnet\"\nepsilon = 0.15\nepochs = 8\nbatch-size = 64\n\
            optimizer = \"adam\"\nlearning-rate = 5e-3\nschedule = \"cyclic\"\n"
        );
        let record = trained(&recipe(&text), &run_dir);
        let network = open(&run_dir, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap().classifier;
        let threat = threat(Norm::Linf, 0.15);
        let attacks = vec![AttackSpec::pgd(&threat, 10, 1, None).unwrap()];
        let options = EvaluateOptions::new(threat, attacks, 200);
        let verdict = evaluate(network.as_ref(), &digits(200), &options, &mut |_| Control::Continue).unwrap();
        let last = &record.epochs[7];
        println!("{method}: {last:?}: clean {}, robust {}", verdict.clean_accuracy, verdict.robust_accuracy);
        (record, verdict)
    };
    let (natural, natural_verdict) = run("\"natural\"");
    let losses: Vec<f64> = natural.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[7] < 0.3 * losses[0], "{losses:?}");
    assert!(natural.epochs[7].validation_clean.unwrap() > 0.8, "{:?}", natural.epochs[7]);
    assert!(natural_verdict.clean_accuracy > 0.75);
    let (rat, rat_verdict) = run("\"rat\"\nsteps = 5\nstep-size = 0.06");
    assert!(rat.epochs[7].loss < rat.epochs[0].loss);
    assert!(rat_verdict.robust_accuracy > natural_verdict.robust_accuracy + 0.15);
    assert!(rat.epochs[7].validation_robust.unwrap() > natural.epochs[7].validation_robust.unwrap() + 0.1);
}

#[test]
fn healthy_runs_raise_no_alarm() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for method in ["gaat", "n-fgsm"] {
        let text = format!("method = \"{method}\"\nepochs = 8\nvalidation-steps = 3\n");
        let record = trained(&recipe(&text), &folder.path().join(method));
        assert!(record.epochs.iter().all(|epoch| epoch.alarms.is_empty()), "{method}: {:?}", record.epochs);
    }
}

/// Puts a directory where the record would be written, and panics after as many steps.
struct Spoiler {
    record: std::path::PathBuf,
    panics: bool,
}

impl gaat::train::Observer for Spoiler {
    fn on_event(&mut self, event: &Event) -> gaat::Result<gaat::train::Control> {
        if let Event::Step { .. } = event {
            fs_err::create_dir_all(self.record.join("in the way")).unwrap();
            assert!(!self.panics, "the observer's own panic");
        }
        Ok(gaat::train::Control::Continue)
    }
}

#[test]
fn a_record_that_cannot_be_written_hides_neither_error_nor_panic() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let checked = recipe(
        "method = \"natural\"\nmodel = \"mlp\"\nlimit = 100\nbatch-size = 30\nepochs = 4\nvalidation-steps = 1\n\
         optimizer = \"sgd\"\nmomentum = 0\nweight-decay = 1\nlearning-rate = 1e20\nschedule = \"constant\"\n",
    );
    let spoiled = |name: &str, panics: bool| {
        let run_dir = folder.path().join(name);
        let mut spoiler = Spoiler { record: run_dir.join("run.json"), panics };
        train(&checked, &options(&run_dir, false), &mut spoiler)
    };
    let error = spoiled("diverged", false).unwrap_err();
    assert!(matches!(error, Error::Training { epoch: 1, .. }), "{error}");
    let panic = std::panic::catch_unwind(|| spoiled("panicked", true)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the observer's own panic"));
}
