//! What several tests need: small networks and batches, short runs, and comparison bit for bit.

use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, Rng, build};
use gaat::train::{Control, Observer, Quiet, TrainOptions, train};
use gaat_data::{ImageSet, Source, load};
use gaat_spec::{CheckedRecipe, DatasetName, Event, Norm, Recipe, RunRecord, ThreatModel};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tch::{Device, Kind, Tensor};

pub(crate) fn threat(norm: Norm, epsilon: f64) -> ThreatModel {
    ThreatModel::new(norm, gaat_spec::PixelLength::new(epsilon).unwrap()).unwrap()
}

/// A network for grey 8x8 images and ten classes, as initialised.
pub(crate) fn network(model: &str, kind: Kind) -> Box<dyn Classifier> {
    network_on(Device::Cpu, model, kind)
}

/// The same on `device`.
pub(crate) fn network_on(device: Device, model: &str, kind: Kind) -> Box<dyn Classifier> {
    let options = BuildOptions {
        device,
        precision: ComputePrecision::Fp32,
        kind,
        seed: 0,
        normalization: Normalization::identity(1),
    };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    build(&model.parse().unwrap(), input, 10, &options).unwrap()
}

/// Grey 8x8 images of noise, a good part of the pixels black or white, and labels.
pub(crate) fn noise(count: i64, kind: Kind) -> (Tensor, Tensor) {
    let draws = Rng::new(5).seeded("images", 0);
    let pixels = draws.uniform(&[count, 1, 8, 8], -0.3, 1.3, kind, Device::Cpu).unwrap().clamp(0.0, 1.0);
    (pixels, draws.randint(&[count], 0, 10, Device::Cpu).unwrap())
}

/// The bits of a floating-point tensor.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    let flat = tensor.detach().flatten(0, -1);
    if flat.kind() == Kind::Double {
        Vec::<f64>::try_from(flat).unwrap().into_iter().map(f64::to_bits).collect()
    } else {
        Vec::<f32>::try_from(flat).unwrap().into_iter().map(|value| u64::from(value.to_bits())).collect()
    }
}

/// A recipe for the digits, in single precision.
pub(crate) fn recipe(text: &str) -> CheckedRecipe {
    let common = "dataset = \"digits\"\nprecision = \"fp32\"\n";
    Recipe::from_toml(&format!("{common}{text}")).unwrap().check().unwrap()
}

pub(crate) fn options(run_dir: &Path, resume: bool) -> TrainOptions {
    TrainOptions { run_dir: run_dir.to_owned(), resume }
}

/// Trains to the end in a new directory.
pub(crate) fn trained(recipe: &CheckedRecipe, run_dir: &Path) -> RunRecord {
    train(recipe, &options(run_dir, false), &mut Quiet).unwrap()
}

/// Keeps every event; asks to stop once `stop_after` steps are done.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) events: Vec<Event>,
    pub(crate) stop_after: Option<usize>,
}

impl Observer for Witness {
    fn on_event(&mut self, event: &Event) -> gaat::Result<Control> {
        self.events.push(event.clone());
        let is_stop = matches!(event, Event::Step { step, .. } if Some(*step) == self.stop_after);
        Ok(if is_stop { Control::Stop } else { Control::Continue })
    }
}

/// A convnet after a short robust training on the digits (epsilon 0.1), trained once a process.
pub(crate) fn robust_run() -> PathBuf {
    static RUN: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        // Every number that matters is written down, so that new defaults change no test.
        let text = "method = \"rat\"\nmodel = \"convnet\"\nepsilon = 0.1\nsteps = 3\nstep-size = 0.05\n\
            epochs = 4\nlimit = 600\nbatch-size = 32\noptimizer = \"adam\"\nlearning-rate = 5e-3\n\
            schedule = \"cyclic\"\nvalidation-steps = 2";
        trained(&recipe(text), &folder.path().join("run"));
        folder
    });
    folder.path().join("run")
}

/// The network of [`robust_run`] in single precision.
pub(crate) fn robust_network() -> Box<dyn Classifier> {
    let checkpoint = gaat::run::Checkpoint::Last;
    gaat::run::open(&robust_run(), checkpoint, None, ComputePrecision::Fp32).unwrap().classifier
}

/// The first `count` test images of the digits.
pub(crate) fn digits(count: usize) -> ImageSet {
    let data = load(&Source { dataset: DatasetName::Digits, data_dir: None, resize: None }).unwrap();
    data.test.select(&(0..count).collect::<Vec<_>>())
}
