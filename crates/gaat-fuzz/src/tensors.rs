//! The readers that make tensors: weights, run directories, states of evaluations.

use crate::signed::signed;
use crate::{put, records, told};
use gaat::evaluate::{EvaluateOptions, evaluate_resumable};
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, build};
use gaat::train::Control;
use gaat::weights::{self, Checkpoint, Description};
use gaat_data::{DatasetName, Parts, SplitOptions, TestSet, split};
use gaat_spec::{ModelName, Norm, ThreatModel};
use std::path::Path;
use tch::{Device, Kind};

fn network() -> Box<dyn Classifier> {
    let model: ModelName = "mlp".parse().unwrap();
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed: 0,
        normalization: Normalization { mean: vec![0.5], std: vec![0.5] },
    };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    build(&model, input, 10, &options).unwrap()
}

pub(crate) fn safetensors(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let path = put(scratch, "weights.safetensors", &signed(bytes));
    told(gaat::run::open(&path, Checkpoint::Best, None, ComputePrecision::Fp32))
}

pub(crate) fn safetensors_seeds() -> Vec<Vec<u8>> {
    let network = network();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("weights.safetensors");
    let names: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    let description = Description::new(network.as_ref(), &names, 1).unwrap();
    weights::save(&path, network.as_ref(), &description).unwrap();
    vec![fs_err::read(path).unwrap()]
}

/// `recipe.toml` or `run.json` of a run directory; the first byte says which.
pub(crate) fn run_directory(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let Some((which, bytes)) = bytes.split_first() else { return Ok(()) };
    let run = scratch.join("run");
    if which % 2 == 0 {
        put(&run, "recipe.toml", bytes);
        return told(gaat::run::recipe(&run));
    }
    put(&run, "run.json", bytes);
    told(gaat::run::record(&run))
}

pub(crate) fn run_directory_seeds() -> Vec<Vec<u8>> {
    let recipes = records::recipe_seeds().into_iter().map(|seed| [&[0][..], &seed].concat());
    recipes.chain(records::record_seeds().into_iter().map(|seed| [&[1][..], &seed].concat())).collect()
}

struct Judging {
    network: Box<dyn Classifier>,
    images: TestSet,
    options: EvaluateOptions,
}

impl Judging {
    fn new() -> Self {
        let loaded = gaat_data::load(&gaat_data::Source {
            dataset: DatasetName::Digits,
            data_dir: None,
            resize: None,
        });
        let options = SplitOptions { limit_test: Some(4), ..SplitOptions::default() };
        let images = split(Parts::try_from(loaded.unwrap()).unwrap(), &options).unwrap().test;
        let options = EvaluateOptions::new(
            ThreatModel::new(Norm::Linf, "0.1".parse().unwrap()).unwrap(),
            Vec::new(),
            2,
        );
        Self { network: network(), images, options }
    }

    fn run(&self, state: &Path) -> Result<(), String> {
        let observer = &mut |_: &gaat::evaluate::Progress| Control::Continue;
        told(evaluate_resumable(self.network.as_ref(), self.images.images(), &self.options, state, observer))
    }
}

/// The state of an evaluation of four images, which continues from it.
pub(crate) fn evaluation_state(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    thread_local! {
        static JUDGING: Judging = Judging::new();
    }
    let state = put(scratch, "state.json", bytes);
    JUDGING.with(|judging| judging.run(&state))
}

pub(crate) fn evaluation_state_seeds() -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("state.json");
    Judging::new().run(&path).unwrap();
    vec![fs_err::read(path).unwrap()]
}
