//! gaat's side of a work, in this process, through the library as a user would call it.

use crate::sample::{Sample, peak_mib};
use crate::work::{ATTACK_STEPS, BATCH, Method, Work};
use anyhow::{Context as _, bail, ensure};
use gaat::batch::{Images, to_unit};
use gaat::device::{Compute, parse_device};
use gaat::evaluate::{EvaluateOptions, evaluate};
use gaat::nn::{BuildOptions, Classifier, InputShape, Mode, Normalization, Rng, build};
use gaat::train::{Augmentation, Control, Observer, TrainOptions, train};
use gaat_data::{ImageSet, ImageShape, epoch_order};
use gaat_spec::recipe::AugmentationSpec;
use gaat_spec::{AttackSpec, Event, ModelName, Norm, PixelLength, Recipe, ThreatModel};
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Fewest timed repetitions of a step, and the seconds after which no more are begun.
pub(crate) const STEPS: usize = 2;
pub(crate) const LONG_ENOUGH: f64 = 3.0;
/// Steps between two looks at the clock on a GPU, and steps before the first.
const STEPS_TOGETHER: usize = 10;
const WARM_UP: usize = 20;
/// Images judged, and steps of the judging PGD.
const JUDGED: usize = 1_000;
const PGD_STEPS: usize = 50;
/// So small that no image is fooled: every one is attacked to the end.
const HARMLESS: f64 = 1e-6;
pub(crate) const CLASSES: usize = 10;
/// Images of an epoch in colour, and their augmentation.
const COLOURED: usize = 2_000;
const CROP_PADDING: usize = 4;
/// Timed epochs of batches without a network.
const REPETITIONS: usize = 5;

/// What computes.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) threads: usize,
    pub(crate) device: String,
}

impl Machine {
    pub(crate) fn device(&self) -> anyhow::Result<Device> {
        Ok(parse_device(&self.device)?)
    }

    fn set_up(&self, recipe: &mut Recipe) {
        recipe.threads = Some(self.threads);
        recipe.device = Some(self.device.clone());
    }
}

/// Does `work` on the synthetic images in `data_dir`.
pub(crate) fn sample(work: &Work, machine: &Machine, data_dir: &Path) -> anyhow::Result<Sample> {
    gaat::device::prepare_process(Some(machine.threads))?;
    match work {
        Work::Step { model, method, batch, attack_steps, threads: _ } => {
            let recipe = Recipe {
                batch_size: Some(*batch),
                epochs: Some(1_000),
                ..recipe(*model, *method, *attack_steps, data_dir)
            };
            steps(recipe, machine)
        }
        Work::InPython { model, method } => {
            let recipe = Recipe {
                batch_size: Some(BATCH),
                epochs: Some(1_000),
                precision: Some("fp32".to_owned()),
                ..recipe(*model, *method, ATTACK_STEPS, data_dir)
            };
            steps(recipe, machine)
        }
        Work::Epoch { model, method } => epoch(*model, *method, machine, data_dir),
        Work::Batches => batches(),
        Work::Evaluate { model } => evaluation(*model, machine),
        Work::Start | Work::FirstStep | Work::Exported { .. } => bail!("{work} is measured elsewhere"),
    }
}

fn recipe(model: ModelName, method: Method, attack_steps: usize, data_dir: &Path) -> Recipe {
    let mut recipe = Recipe {
        dataset: Some(gaat_spec::DatasetName::Cifar10),
        model: Some(model.into()),
        method: method.to_string().parse().ok(),
        data_dir: Some(data_dir.to_owned()),
        ..Recipe::default()
    };
    if model == ModelName::ConvNet {
        recipe.dataset = Some(gaat_spec::DatasetName::Mnist);
    }
    // The same attack everywhere, MNIST included.
    if method == Method::Rat {
        recipe.epsilon = PixelLength::fraction(8.0, 255.0).ok();
        recipe.step_size = PixelLength::fraction(2.0, 255.0).ok();
    }
    if method != Method::Natural {
        recipe.steps = Some(attack_steps);
    }
    recipe
}

fn trained(mut recipe: Recipe, machine: &Machine, observer: &mut dyn Observer) -> anyhow::Result<String> {
    machine.set_up(&mut recipe);
    recipe.validation_fraction = Some(0.0);
    let folder = tempfile::tempdir()?;
    let options = TrainOptions { run_dir: folder.path().join("run"), resume: false };
    Ok(train(&recipe.check()?, &options, observer)?.environment.precision)
}

/// Times the steps of a run and stops it: one by one, or so many together where they are read with a delay.
struct StepClock {
    group: usize,
    /// Steps still to come before the clock starts.
    warm_up: usize,
    /// Steps since the last look at the clock.
    passed: usize,
    last: Option<Instant>,
    seconds: Vec<f64>,
}

impl StepClock {
    /// What comes before the end of the first step is warm-up; on a GPU so are those before which passes are recorded.
    fn new(device: &str) -> Self {
        let (group, warm_up) = if device == "cpu" { (1, 0) } else { (STEPS_TOGETHER, WARM_UP) };
        Self { group, warm_up, passed: 0, last: None, seconds: Vec::new() }
    }
}

impl Observer for StepClock {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        match event {
            Event::Step { .. } if self.warm_up > 0 => self.warm_up -= 1,
            Event::Step { .. } => {
                self.passed += 1;
                let now = Instant::now();
                if self.last.is_none() {
                    (self.last, self.passed) = (Some(now), 0);
                } else if self.passed == self.group
                    && let Some(last) = self.last.replace(now)
                {
                    self.seconds.push(now.duration_since(last).as_secs_f64() / self.group as f64);
                    self.passed = 0;
                }
            }
            // Checkpoints are no part of a step.
            Event::Epoch { .. } => self.last = None,
            _ => {}
        }
        let total: f64 = self.seconds.iter().sum::<f64>() * self.group as f64;
        let is_enough = self.seconds.len() >= STEPS && total >= LONG_ENOUGH;
        Ok(if is_enough { Control::Stop } else { Control::Continue })
    }
}

fn steps(recipe: Recipe, machine: &Machine) -> anyhow::Result<Sample> {
    let mut clock = StepClock::new(&machine.device);
    let precision = trained(recipe, machine, &mut clock)?;
    ensure!(clock.seconds.len() >= STEPS, "the run ended after {} steps", clock.seconds.len());
    Ok(Sample { seconds: clock.seconds, peak_mib: peak_mib(machine.device()?), precision })
}

/// Times the first epoch from the loaded data to its last step.
#[derive(Default)]
struct EpochClock {
    started: Option<Instant>,
    seconds: Option<f64>,
}

impl Observer for EpochClock {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        match event {
            Event::Started { .. } => self.started = Some(Instant::now()),
            Event::Epoch { .. } => self.seconds = self.started.map(|started| started.elapsed().as_secs_f64()),
            _ => {}
        }
        Ok(Control::Continue)
    }
}

fn epoch(model: ModelName, method: Method, machine: &Machine, data_dir: &Path) -> anyhow::Result<Sample> {
    let mut clock = EpochClock::default();
    let mut recipe = Recipe { epochs: Some(1), ..recipe(model, method, ATTACK_STEPS, data_dir) };
    if model == ModelName::ConvNet {
        recipe.batch_size = Some(100);
    } else {
        (recipe.batch_size, recipe.limit) = (Some(BATCH), Some(COLOURED));
        (recipe.crop_padding, recipe.flip) = (Some(CROP_PADDING), Some(true));
    }
    let precision = trained(recipe, machine, &mut clock)?;
    let seconds = clock.seconds.context("the run reported no epoch")?;
    Ok(Sample { seconds: vec![seconds], peak_mib: peak_mib(machine.device()?), precision })
}

/// The batches of one epoch, as the training loop makes them, without a network.
fn batches() -> anyhow::Result<Sample> {
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let bytes = vec![7u8; COLOURED * shape.bytes()];
    let labels = (0..COLOURED).map(|image| (image % CLASSES) as u16).collect();
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    let images = ImageSet::new(bytes, shape, labels, names, "synthetic".to_owned())?;
    let images = Images::upload(&images, Device::Cpu)?;
    let augmentation = Augmentation::new(AugmentationSpec {
        crop_padding: CROP_PADDING,
        flip: true,
        ..AugmentationSpec::default()
    });
    let mut seconds = Vec::new();
    for epoch in 0..=REPETITIONS {
        let started = Instant::now();
        let order = epoch_order(0, epoch as u64, COLOURED);
        for (number, places) in order.chunks(BATCH).enumerate() {
            let (bytes, _) = images.gather(&images.indices(places)?)?;
            let draws = Rng::new(epoch as u64).seeded("augment", number as u64);
            let placement = augmentation.plan(&bytes.size(), bytes.device(), &draws)?;
            let _pixels = to_unit(&placement.forward(&bytes)?, Kind::Float)?;
        }
        seconds.push(started.elapsed().as_secs_f64());
    }
    // The first one warms up.
    Ok(Sample {
        seconds: seconds.split_off(1),
        peak_mib: peak_mib(Device::Cpu),
        precision: "fp32".to_owned(),
    })
}

fn evaluation(model: ModelName, machine: &Machine) -> anyhow::Result<Sample> {
    let (channels, side) = if model == ModelName::ConvNet { (1, 28) } else { (3, 32) };
    let input = InputShape { channels, height: side, width: side };
    let Compute { device, precision } = Compute::parse(&machine.device, "auto", &model, input)?;
    let options = BuildOptions {
        device,
        precision,
        kind: Kind::Float,
        seed: 0,
        normalization: Normalization::identity(channels),
    };
    let network = build(&model, input, CLASSES as i64, &options)?;
    let pixels = Tensor::f_randint(256, [JUDGED as i64, channels, side, side], (Kind::Uint8, device))?;
    let images = labelled(network.as_ref(), &pixels)?;
    let threat = ThreatModel::new(Norm::Linf, PixelLength::new(HARMLESS)?)?;
    let attacks = vec![AttackSpec::pgd(&threat, PGD_STEPS, 1, None)?];
    let options = EvaluateOptions::new(threat, attacks, 500);
    let started = Instant::now();
    let verdict = evaluate(network.as_ref(), &images, &options, &mut |_| Control::Continue)?;
    let seconds = vec![started.elapsed().as_secs_f64()];
    ensure!(verdict.robust_accuracy > 0.99, "an epsilon of {HARMLESS} fooled the network");
    Ok(Sample { seconds, peak_mib: peak_mib(device), precision: precision.to_string() })
}

/// `pixels`, `[N, C, H, W]`, u8, with what the network takes them for.
fn labelled(network: &dyn Classifier, pixels: &Tensor) -> anyhow::Result<ImageSet> {
    let unit = pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
    let logits = tch::no_grad(|| network.logits(&unit, Mode::Eval))?;
    let labels = Vec::<i64>::try_from(logits.f_argmax(1, false)?)?;
    let (count, channels, height, width) = pixels.size4()?;
    let shape = ImageShape { channels: channels as usize, height: height as usize, width: width as usize };
    let mut bytes = vec![0u8; count as usize * shape.bytes()];
    let length = bytes.len();
    pixels.f_to_device(Device::Cpu)?.f_copy_data_u8(&mut bytes, length)?;
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    let labels = labels.into_iter().map(|label| label as u16).collect();
    Ok(ImageSet::new(bytes, shape, labels, names, "synthetic".to_owned())?)
}
