//! Runs that are made to collapse, step by step.

use crate::Result;
use crate::batch::Batch;
use crate::taylor::UnreadGain;
use crate::train::directory::{KeptRun, TrainOptions};
use crate::train::events::{Control, Observer};
use crate::train::keeper::{Keeper, Nothing};
use crate::train::methods::Natural;
use crate::train::run::Run;
use crate::train::step::{StepContext, StepReport, TrainingMethod};
use crate::train::training::Training;
use gaat_spec::{CheckedRecipe, EpochRecord, Event, Passes, Recipe, Seconds};
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
        Ok(StepReport { gain: Some(gain), ..report })
    }
}

/// 18 steps an epoch, 40 validation images.
fn recipe(text: &str) -> CheckedRecipe {
    let common = "dataset = \"digits\"\nprecision = \"fp32\"\nmodel = \"mlp\"\nmethod = \"fgsm-rs\"\nlimit = 400\nbatch-size = 20\n\
        schedule = \"constant\"\nlearning-rate = 2e-3\nvalidation-steps = 3\n";
    Recipe::from_toml(&format!("{common}{text}")).unwrap().check().unwrap()
}

fn directory_of(recipe: &CheckedRecipe, place: &Path, resume: bool) -> KeptRun {
    KeptRun::open(recipe, &TrainOptions { run_dir: place.to_owned(), resume }).unwrap()
}

fn run_of<'a>(recipe: &CheckedRecipe, keeper: &'a mut dyn Keeper, sabotage: Sabotage) -> Run<'a> {
    tch::set_num_threads(1);
    let training = Training { method: Box::new(sabotage), ..Training::of(recipe).unwrap() };
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

/// Goes on to step `end`; what the guard had to say.
fn drive(run: &mut Run<'_>, end: usize) -> Vec<Event> {
    let mut until = Until { end, events: Vec::new() };
    run.run(&mut until).unwrap();
    until.events
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs_err::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn timeless(epochs: &[EpochRecord]) -> Vec<EpochRecord> {
    epochs.iter().map(|epoch| EpochRecord { seconds: Seconds::default(), ..epoch.clone() }).collect()
}

/// A network whose last layer is turned round in the last step of the fourth epoch.
const TURNED: Sabotage = Sabotage { at: 71, factor: -1.0, useless: 0 };

#[test]
fn a_fall_in_validation_goes_back_trains_by_pgd_and_recovers_even_when_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("epsilon = 0.05\nepochs = 7\non-collapse = \"rollback\"");
    let state_of = |name: &str| tensors(&folder.path().join(name).join("checkpoints/state.safetensors"));
    let mut keeper = directory_of(&recipe, &folder.path().join("whole"), false);
    let mut whole = run_of(&recipe, &mut keeper, TURNED);
    assert_eq!(drive(&mut whole, 71), []);
    let Some(Event::Alarm { epoch: 4, step: 72, name, action, .. }) = drive(&mut whole, 72).pop() else {
        panic!("no alarm: {:?}", whole.books.record.epochs)
    };
    assert_eq!(name, "collapse");
    assert_eq!(action, "back to the last healthy network; 50 steps of PGD-10 instead of the method's own");
    let state = state_of("whole");
    let kept = state.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("healthy.")?, bytes)));
    let kept: Vec<_> = kept.collect();
    assert!(kept.len() > 4 && kept.iter().all(|(name, bytes)| state[*name] == **bytes), "not set back");
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
    stopped.save_state().unwrap();
    let mut keeper = directory_of(&recipe, &place, true);
    let mut resumed = run_of(&recipe, &mut keeper, TURNED);
    drive(&mut resumed, 126);
    assert_eq!(timeless(&resumed.books.record.epochs), timeless(epochs));
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
    assert!((61..=73).contains(step) && action == "nothing is done");
    let natural = Passes { forward: 73 * 20, full_backward: 73 * 20, ..Passes::default() };
    let paid = masked.books.record.passes - natural;
    assert!(paid.forward > paid.input_backward && paid.input_backward > 0 && paid.full_backward == 0);
    let Run { guard, trained, validation, books, .. } = &mut masked;
    guard.as_ref().unwrap().check(trained, &validation.attacked, &wide.plan.threat(), books).unwrap();
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
