//! Runs that are made to collapse, step by step.

use crate::batch::Batch;
use crate::error::Result;
use crate::nn::Catalogue;
use crate::taylor::UnreadGain;
use crate::train::directory::{KeptRun, TrainOptions};
use crate::train::events::{Control, Observer};
use crate::train::keeper::{Keeper, Nothing};
use crate::train::methods::Natural;
use crate::train::run::Run;
use crate::train::state_file::WeightsOnDisk;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use crate::train::training::Training;
use gaat_spec::{CheckedRecipe, Event, Passes, Recipe};
use gaat_testkit::file_tensors;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// Natural training that multiplies every weight of the last layer at step `at`, and whose model is useless for
/// `useless` steps from there on.
struct Sabotage {
    at: u64,
    factor: f64,
    useless: u64,
}

impl TrainingMethod for Sabotage {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let done = context.optimizer.steps();
        if done == self.at {
            let last = context.classifier.store().trainable().into_iter().rev().take(2);
            tch::no_grad(|| last.for_each(|mut tensor| _ = tensor.g_mul_scalar_(self.factor)));
        }
        let report = Natural.step(context, batch)?;
        let images = batch.len() as f64;
        let useless = (self.at..self.at + self.useless).contains(&done);
        let actual = if useless { 0.0 } else { images };
        let gain = UnreadGain { actual: Tensor::from(actual), predicted: Tensor::from(images) };
        // Under its own attack it claims nothing, so that the gain ratio and the validation alone speak.
        Ok(StepReport { gain: Some(gain), correct: Tensor::from(0_i64), ..report })
    }
}

/// 18 steps an epoch, 40 validation images.
fn recipe(text: &str) -> CheckedRecipe {
    recipe_of("fgsm-rs", text)
}

fn recipe_of(method: &str, text: &str) -> CheckedRecipe {
    let common = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nlimit = 400\nbatch-size = 20\n\
        schedule = \"constant\"\nlearning-rate = 2e-3\nvalidation-steps = 3\n";
    Recipe::from_toml(&format!("method = \"{method}\"\n{common}{text}")).unwrap().check().unwrap()
}

fn directory_of(recipe: &CheckedRecipe, place: &Path, resume: bool) -> KeptRun {
    KeptRun::open(recipe, &TrainOptions { run_dir: place.to_owned(), resume }).unwrap()
}

fn run_of<'a>(recipe: &CheckedRecipe, keeper: &'a mut dyn Keeper, sabotage: Sabotage) -> Run<'a> {
    tch::set_num_threads(1);
    let training =
        Training { method: Box::new(sabotage), ..Training::of(recipe, &Catalogue::standard()).unwrap() };
    training.assemble(keeper).unwrap()
}

/// Stops after step `end`, and keeps what the guard had to say.
struct Until {
    end: usize,
    events: Vec<Event>,
}

impl Observer for Until {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        match event {
            Event::Alarm { .. } | Event::Recovered { .. } => self.events.push(event.clone()),
            Event::Step { step, .. } if *step >= self.end => return Ok(Control::Stop),
            _ => {}
        }
        Ok(Control::Continue)
    }
}

/// Continues to step `end`; what the guard had to say.
fn drive(run: &mut Run<'_>, end: usize) -> Vec<Event> {
    let mut until = Until { end, events: Vec::new() };
    run.run(&mut until).unwrap();
    until.events
}

/// Whether the network of a state with its memory is the healthy one that the state keeps.
fn is_set_back(state: &BTreeMap<String, Vec<u8>>) -> bool {
    let kept = state.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("healthy.")?, bytes)));
    let kept: Vec<_> = kept.collect();
    kept.len() > 4 && kept.iter().all(|(name, bytes)| state[*name] == **bytes)
}

/// A network whose last layer is turned round in the last step of the fourth epoch.
const TURNED: Sabotage = Sabotage { at: 71, factor: -1.0, useless: 0 };

#[test]
fn a_fall_in_validation_goes_back_trains_by_pgd_and_recovers_even_when_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("epsilon = 0.05\nepochs = 7\non-collapse = \"rollback\"");
    let state_of = |name: &str| file_tensors(&folder.path().join(name).join("checkpoints/state.safetensors"));
    let mut keeper = directory_of(&recipe, &folder.path().join("whole"), false);
    let mut whole = run_of(&recipe, &mut keeper, TURNED);
    assert_eq!(drive(&mut whole, 71), []);
    let Some(Event::Alarm { epoch: 4, step: 72, name, action, .. }) = drive(&mut whole, 72).pop() else {
        panic!("no alarm: {:?}", whole.books.record.epochs)
    };
    assert_eq!(name, "collapse");
    assert_eq!(action, "back to the last healthy network; 50 steps of PGD-10 instead of the method's own");
    whole.save_state(WeightsOnDisk::Current).unwrap();
    assert!(is_set_back(&state_of("whole")));
    let rest = drive(&mut whole, 126);
    assert!(matches!(rest[..], [Event::Recovered { epoch: 5, .. }]), "{rest:?}");

    let epochs = &whole.books.record.epochs;
    println!("{epochs:?}");
    assert!(epochs[6].validation_robust > epochs[3].validation_robust);
    let alarms: Vec<_> = epochs.iter().map(|epoch| epoch.alarms.len()).collect();
    assert_eq!(alarms, [0, 0, 0, 1, 0, 0, 0]);
    let refreshes: Vec<_> = epochs.iter().map(|epoch| epoch.refreshes).collect();
    // 50 steps: two epochs and 14 steps of the next.
    assert_eq!(refreshes, [0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 10.0 * 14.0 / 18.0]);

    let place = folder.path().join("stopped");
    let mut keeper = directory_of(&recipe, &place, false);
    let mut stopped = run_of(&recipe, &mut keeper, TURNED);
    drive(&mut stopped, 80);
    stopped.save_state(WeightsOnDisk::Current).unwrap();
    drop(keeper);
    let mut keeper = directory_of(&recipe, &place, true);
    let mut resumed = run_of(&recipe, &mut keeper, TURNED);
    drive(&mut resumed, 126);
    assert_eq!(resumed.books.record.timeless().epochs, whole.books.record.timeless().epochs);
    assert_eq!(resumed.books.record.passes, whole.books.record.passes);
    assert!(state_of("stopped") == state_of("whole"), "the stop has changed the run");
}

#[test]
fn a_low_gain_ratio_is_probed_and_the_probe_is_paid_for() {
    // Logits so large that the loss has no gradient where the network is right: one step does nothing, and the random
    // start of PGD nearly everything.
    let sabotage = |factor| Sabotage { at: 60, factor, useless: 40 };
    let [wide, narrow] = [1.0, 0.005]
        .map(|epsilon| recipe(&format!("epsilon = {epsilon}\nepochs = 5\non-collapse = \"warn\"")));
    let mut nothing = Nothing;
    let mut masked = run_of(&wide, &mut nothing, sabotage(1e6));
    let events = drive(&mut masked, 73);
    println!("{events:?}");
    let [Event::Alarm { step, action, .. }] = &events[..] else { panic!("{events:?}") };
    assert!((61..=73).contains(step) && action == "the training goes on unchanged");
    let natural = Passes { forward: 73 * 20, full_backward: 73 * 20, ..Passes::default() };
    let paid = masked.books.record.passes - natural;
    assert!(paid.forward > paid.input_backward && paid.input_backward > 0 && paid.full_backward == 0);
    let Run { guard, trained, validation, books, world, .. } = &mut masked;
    guard
        .as_ref()
        .unwrap()
        .check(trained, &validation.attacked, &wide.plan.threat(), books, world.as_ref())
        .unwrap();
    let again = masked.books.record.passes - natural;
    assert_eq!((again.forward, again.input_backward), (2 * paid.forward, 2 * paid.input_backward));

    // The same signal from a network that withstands PGD as it withstands one step is no alarm.
    let mut nothing = Nothing;
    let mut sound = run_of(&narrow, &mut nothing, sabotage(1.0));
    assert_eq!(drive(&mut sound, 73), []);
    assert!((sound.books.record.passes - natural).input_backward > 0, "was not probed");
}

#[test]
fn without_validation_images_the_signal_alone_raises_and_ends_the_alarm() {
    let recipe = recipe("epsilon = 0.05\nepochs = 8\nvalidation-fraction = 0\non-collapse = \"refine\"");
    let mut nothing = Nothing;
    let mut blind = run_of(&recipe, &mut nothing, Sabotage { at: 40, factor: 1.0, useless: 30 });
    assert!(blind.warnings.iter().any(|warning| warning.contains("validation-fraction")));
    let events = drive(&mut blind, 160);
    let [Event::Alarm { step: raised, action, .. }, Event::Recovered { step: over, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!((41..=53).contains(raised) && action.starts_with("50 steps of PGD-10"), "{events:?}");
    assert_eq!(*over, raised + 50 + 10, "ten steps after the burst");
}

/// Natural training that claims to withstand an attack on `share` of the training images.
struct Boast {
    share: f64,
}

impl TrainingMethod for Boast {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        let report = Natural.step(context, batch)?;
        Ok(StepReport { correct: Tensor::from((self.share * batch.len() as f64).round() as i64), ..report })
    }
}

#[test]
fn accuracy_under_the_training_attack_alone_is_an_alarm_that_the_policy_follows() {
    tch::set_num_threads(1);
    let boast = |method: &str, text: &str, share: f64| {
        let recipe = recipe_of(method, &format!("epochs = 4\n{text}"));
        let training = Training {
            method: Box::new(Boast { share }),
            ..Training::of(&recipe, &Catalogue::standard()).unwrap()
        };
        let mut nothing = Nothing;
        let mut run = training.assemble(&mut nothing).unwrap();
        let events = drive(&mut run, 4 * 18);
        (events, run.books.record.epochs)
    };
    // A network of natural training falls to PGD at 0.4, and knows clean images.
    let (events, epochs) = boast("fgsm-rs", "epsilon = 0.4\non-collapse = \"refine\"", 0.75);
    let [Event::Alarm { epoch, name, message, action, .. }, ..] = &events[..] else { panic!("{epochs:?}") };
    let epoch = *epoch;
    println!("{message}");
    assert_eq!(name, "collapse");
    assert!(message.starts_with("75.0 % of the training images withstand the training's own attack, "));
    assert!(message.ends_with(" of 40 validation images withstand PGD-3"), "{message}");
    assert!(action.starts_with("50 steps of PGD-10"), "{action}");
    assert!(epochs[epoch - 1].alarms[0].contains(message.as_str()), "in the record of its epoch");
    assert_eq!(epochs[epoch].refreshes, 10.0, "a burst of PGD follows");

    // A method without a gain ratio has no policy, and warns once.
    let (events, _) = boast("rat", "epsilon = 0.4\nsteps = 2", 0.75);
    let [Event::Alarm { action, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(action, "the training goes on unchanged");

    // While the attack grows it is another than that of the validation; and a network that claims little looks robust to no reader.
    for (name, text, share) in
        [("growing", "epsilon = 0.4\nepsilon-warmup = 1.0", 0.75), ("modest", "epsilon = 0.4", 0.4)]
    {
        let (events, epochs) = boast("fgsm-rs", text, share);
        assert_eq!(events, [], "{name}: {epochs:?}");
    }
}

/// PGD training up to step `until`, and then natural training that boasts.
struct Turncoat {
    honest: Box<dyn TrainingMethod>,
    until: u64,
    boast: Boast,
}

impl TrainingMethod for Turncoat {
    fn step(&mut self, context: &mut StepContext<'_>, batch: &Batch) -> Result<StepReport> {
        if context.optimizer.steps() < self.until {
            return Ok(StepReport { gain: None, ..self.honest.step(context, batch)? });
        }
        self.boast.step(context, batch)
    }
}

#[test]
fn accuracy_under_the_training_attack_alone_goes_back_to_the_last_healthy_network() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("epsilon = 0.35\nepsilon-warmup = 0.25\nepochs = 40\non-collapse = \"rollback\"");
    let training = Training::of(&recipe, &Catalogue::standard()).unwrap();
    let honest = recipe_of("rat", "epsilon = 0.35\nsteps = 5\nepochs = 40");
    let honest = Training::of(&honest, &Catalogue::standard()).unwrap().method;
    let method = Turncoat { honest, until: 20 * 18, boast: Boast { share: 0.75 } };
    let mut keeper = directory_of(&recipe, folder.path(), false);
    let mut run = Training { method: Box::new(method), ..training }.assemble(&mut keeper).unwrap();
    let mut events = Vec::new();
    let mut epoch = 0;
    while events.is_empty() && epoch < 40 {
        epoch += 1;
        events = drive(&mut run, epoch * 18);
    }
    println!("{events:?} {:?}", run.books.record.epochs);
    let [Event::Alarm { name, message, action, .. }] = &events[..] else { panic!("no alarm") };
    assert_eq!(name, "collapse");
    assert!(message.starts_with("75.0 % of the training images withstand the training's own attack"));
    assert_eq!(action, "back to the last healthy network; 50 steps of PGD-10 instead of the method's own");
    let robust = |epoch: usize| run.books.record.epochs[epoch - 1].validation_robust.unwrap();
    assert!(epoch > 20 && robust(20) > robust(epoch));
    run.save_state(WeightsOnDisk::Current).unwrap();
    assert!(is_set_back(&file_tensors(&folder.path().join("checkpoints/state.safetensors"))));
}

#[test]
fn a_run_that_learns_nothing_says_so_once_and_what_helps() {
    let run = |name: &str, text: &str, epochs: usize| {
        let recipe = Recipe::from_toml(&format!(
            "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nlimit = 400\nbatch-size = 20\nschedule = \"constant\"\n\
             validation-steps = 1\nsteps = 1\nepochs = {epochs}\n{text}"
        ));
        let recipe = recipe.unwrap().check().unwrap();
        let mut nothing = Nothing;
        let mut run = Training::of(&recipe, &Catalogue::standard()).unwrap().assemble(&mut nothing).unwrap();
        let events = drive(&mut run, epochs * 18);
        println!("{name}: {:?}", run.books.record.epochs);
        (events, run.books.record.epochs)
    };
    tch::set_num_threads(1);
    let (events, epochs) = run("still", "method = \"rat\"\nlearning-rate = 1e-9\n", 13);
    let [Event::Alarm { epoch: 12, step: 216, name, message, action }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(
        name == "stuck" && message.starts_with("no better than guessing since the start: loss 2.3"),
        "{message}"
    );
    assert!(
        action.contains("a warm-up of epsilon") && action.contains("a smaller learning rate"),
        "{action}"
    );
    assert!(!action.contains("more epochs") && epochs[11].alarms.len() == 1, "{action}");

    // A short run is told of at its end; natural training has no attack to warm up.
    let (events, _) = run("short", "method = \"natural\"\nlearning-rate = 1e-9\n", 2);
    let [Event::Alarm { epoch: 2, action, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(action.contains("more epochs") && !action.contains("warm-up"), "{action}");

    let (events, _) = run("learning", "method = \"natural\"\nlearning-rate = 2e-3\n", 13);
    assert_eq!(events, []);
}
