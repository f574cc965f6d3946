//! Networks of `torch.export`: a graph from a file, run node by node through libtorch's dispatcher with autograd recording, so that
//! gradients, double backward and devices are libtorch's own. Python has no part in it, and no code of the file runs.
//!
//! One graph that was exported in training mode gives all three modes: they differ in the arguments of batch normalisation, dropout
//! and stochastic depth alone ([`gaat_pt2::Behaviour`]).

mod checks;
mod compile;
mod state;
mod step;

use super::classifier::{Classifier, FeatureMaps, InputShape, Mode};
use super::input::{InputStage, Normalization};
use super::precision::ComputePrecision;
use super::recordings::Recordings;
use super::rng::{Draws, Rng};
use super::store::ParameterStore;
use super::trace::Trace;
use crate::error::{Error, Result};
use compile::Graph;
use gaat_pt2::{Numbers, Package, Program, Stored};
use gaat_shim::{AllocationBound, Autocast};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Stream of the numbers that dropout and its like draw.
const STREAM: &str = "network";
/// What a single tensor may take beyond the largest that the file states: libtorch's kernels unfold their input.
const UNFOLDED: u64 = 64;
/// What it may always take, in bytes.
const ALWAYS: u64 = 1 << 30;
/// Digits of a digest that tell two graphs apart.
const DIGITS: usize = 16;

/// The folder round the members of a file that is written.
const FOLDER: &str = "network";

/// Where the weights of a network come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    OfTheFile,
    Zero,
}

/// How to set up an exported network.
#[derive(Debug, Clone)]
pub struct ExportedOptions {
    /// Where its parameters live.
    pub device: Device,
    /// In which precision it computes: with bf16 libtorch's autocast decides, operator by operator.
    pub precision: ComputePrecision,
    /// What is done to the pixels before the graph.
    pub normalization: Normalization,
    /// What it is called; its class alone would not tell it from others.
    pub name: String,
    /// SHA-256 of the file that its weights came in.
    pub digest: String,
}

/// A network whose layers are a graph out of a file.
pub struct ExportedNetwork {
    package: Arc<Package>,
    training: Arc<Graph>,
    /// Of the evaluation mode, where the file holds it.
    evaluation: Option<Arc<Graph>>,
    store: ParameterStore,
    /// Tensors that are not in the store: of whole numbers, made in `forward`, or not part of the state dict.
    constants: Vec<Tensor>,
    input: InputStage,
    precision: ComputePrecision,
    recordings: Option<Recordings>,
    name: String,
    digest: String,
    /// Digest of its graph.
    variant: String,
    /// Of this step; the next pass takes the next of them.
    draws: RefCell<Draws>,
}

impl ExportedNetwork {
    /// Sets up the network of `package` with the weights of the file, and tries it: whatever is wrong with it is found here.
    ///
    /// # Errors
    /// When this libtorch lacks an operator, the graph does not compute what it states, or its logits cannot be judged by: not
    /// finite, not the same twice, not independent of the other images of a batch, without a gradient in the pixels.
    pub fn new(package: Arc<Package>, options: &ExportedOptions) -> Result<Self> {
        let network = Self::assemble(package, options, Weights::OfTheFile)?;
        network.check()?;
        Ok(network)
    }

    /// The same without weights, which are zero until they are loaded: nothing is tried before.
    ///
    /// # Errors
    /// When this libtorch lacks an operator.
    pub fn without_weights(package: Arc<Package>, options: &ExportedOptions) -> Result<Self> {
        Self::assemble(package, options, Weights::Zero)
    }

    fn assemble(package: Arc<Package>, options: &ExportedOptions, weights: Weights) -> Result<Self> {
        let program = &package.program;
        let mut state = state::State::new(options.device, weights);
        let training = Graph::new(program, options.device, &mut state)?;
        let evaluation = package
            .evaluation
            .as_ref()
            .map(|program| Graph::new(program, options.device, &mut state))
            .transpose()?;
        let gaat_pt2::ImageShape { channels, height, width } = program.image;
        let input = InputStage::new(
            InputShape { channels, height, width },
            options.normalization.clone(),
            // Autocast converts; the pixels come as they are.
            ComputePrecision::Fp32,
            Kind::Float,
            options.device,
            training.is_convolutional,
        )?;
        if training.has_attention {
            gaat_shim::plain_attention()?;
        }
        let state::State { store, constants, .. } = state;
        Ok(Self {
            training: Arc::new(training),
            evaluation: evaluation.map(Arc::new),
            store,
            constants,
            input,
            precision: options.precision,
            recordings: Recordings::of(options.device)?,
            name: options.name.clone(),
            digest: options.digest.clone(),
            variant: variant(&package)?,
            draws: RefCell::new(Rng::new(0).seeded(STREAM, 0)),
            package,
        })
    }

    /// What the file holds.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// SHA-256 of the file that its weights came in.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file of its graph, which what is saved of it needs to be opened again.
    ///
    /// # Errors
    /// When what was read cannot be written again.
    pub fn graph_alone(&self) -> Result<Vec<u8>> {
        self.written(Numbers::LeftOut(&self.digest))
    }

    /// The file that PyTorch loads (`torch.export.load`): the same program with the weights as they are now.
    ///
    /// # Errors
    /// When libtorch has no room.
    pub fn file(&self) -> Result<Vec<u8>> {
        let state: HashMap<String, Tensor> = self.store.state()?.into_iter().collect();
        let mut bytes: HashMap<&str, Vec<u8>> = HashMap::new();
        for (name, tensor) in &state {
            let tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
            let mut content = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.f_copy_data_u8(&mut content, tensor.numel())?;
            bytes.insert(name, content);
        }
        let saved = |stored: &Stored| {
            stored.kept.is_saved().then(|| bytes.get(stored.name.as_str()).cloned()).flatten()
        };
        self.written(Numbers::Given(&saved))
    }

    fn written(&self, numbers: Numbers<'_>) -> Result<Vec<u8>> {
        self.package.write(FOLDER, numbers).map_err(|error| self.fault(error.to_string()))
    }

    fn fault(&self, reason: String) -> Error {
        Error::Model { model: self.name(), reason }
    }

    /// The graph of a mode, and the program that it is from.
    fn graph(&self, mode: Mode) -> (&Graph, &Program) {
        match (mode, &self.evaluation, &self.package.evaluation) {
            (Mode::Eval, Some(graph), Some(program)) => (graph, program),
            _ => (&self.training, &self.package.program),
        }
    }

    /// Logits of any number of images, and the feature maps where `with_maps`.
    fn computed(&self, pixels: &Tensor, mode: Mode, with_maps: bool) -> Result<(Tensor, Option<Tensor>)> {
        let ready = self.input.prepare(pixels)?;
        match self.graph(mode).1.batch {
            None => self.pass(&ready, mode, with_maps),
            Some(size) => self.in_batches(&ready, mode, with_maps, size),
        }
    }

    /// Batches of the one size that the graph takes; the last is filled up with its last image.
    fn in_batches(
        &self,
        pixels: &Tensor,
        mode: Mode,
        with_maps: bool,
        size: i64,
    ) -> Result<(Tensor, Option<Tensor>)> {
        if mode != Mode::Eval {
            return Err(self.fault(format!(
                "takes batches of {size} images alone, so it can be judged but not trained"
            )));
        }
        let count = pixels.size()[0];
        let (mut logits, mut maps) = (Vec::new(), Vec::new());
        for start in (0..count).step_by(size as usize) {
            let length = size.min(count - start);
            let mut part = pixels.f_narrow(0, start, length)?;
            if length < size {
                let last = part.f_narrow(0, length - 1, 1)?.f_expand([size - length, -1, -1, -1], true)?;
                part = Tensor::f_cat(&[&part, &last], 0)?;
            }
            let (found, map) = self.pass(&part, mode, with_maps)?;
            logits.push(found.f_narrow(0, 0, length)?);
            maps.extend(map.map(|map| map.f_narrow(0, 0, length)).transpose()?);
        }
        let joined = |parts: &[Tensor]| Tensor::f_cat(parts, 0);
        let maps = if maps.is_empty() { None } else { Some(joined(&maps)?) };
        Ok((joined(&logits)?, maps))
    }

    /// One pass through the graph.
    fn pass(&self, pixels: &Tensor, mode: Mode, with_maps: bool) -> Result<(Tensor, Option<Tensor>)> {
        let (graph, program) = self.graph(mode);
        let images = pixels.size().first().copied().unwrap_or(1).max(1);
        let bound = graph.largest.saturating_mul(images as u64).saturating_mul(UNFOLDED).max(ALWAYS);
        let _bound = AllocationBound::of(bound)?;
        let _autocast = match self.precision {
            ComputePrecision::Bf16 => Some(Autocast::on(self.store.device())?),
            ComputePrecision::Fp32 => None,
        };
        let wanted = graph.feature_map.filter(|_| with_maps);
        let run = || graph.run(self, program, pixels, mode, wanted, &mut |_, _| Ok(()));
        let (logits, maps) =
            if graph.draws(mode) { self.draws.borrow().lending(self.store.device(), run)?? } else { run()? };
        Ok((logits.f_to_kind(Kind::Float)?, maps))
    }
}

impl Classifier for ExportedNetwork {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.computed(pixels, mode, false)?.0)
    }

    fn feature_maps(&self, pixels: &Tensor, mode: Mode) -> Result<Option<FeatureMaps>> {
        let (logits, maps) = self.computed(pixels, mode, true)?;
        Ok(maps.map(|maps| FeatureMaps { maps, logits }))
    }

    fn feature_layer(&self) -> Option<&str> {
        self.graph(Mode::Eval).0.feature_layer.as_deref()
    }

    fn head(&self) -> Option<&str> {
        self.package.program.head()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input_shape(&self) -> InputShape {
        self.input.shape
    }

    fn class_count(&self) -> i64 {
        self.package.program.classes
    }

    fn compute_precision(&self) -> ComputePrecision {
        self.precision
    }

    fn normalization(&self) -> Normalization {
        self.input.normalization.clone()
    }

    fn store(&self) -> &ParameterStore {
        &self.store
    }

    fn recordings(&self, mode: Mode) -> Option<&Recordings> {
        let graph = self.graph(mode).0;
        self.recordings.as_ref().filter(|_| graph.only_launches && !graph.draws(mode))
    }

    fn begin_step(&self, rng: Rng, step: u64) {
        *self.draws.borrow_mut() = rng.seeded(STREAM, step);
    }

    fn replica(&self) -> Result<Option<Box<dyn Classifier>>> {
        Ok(Some(Box::new(Self {
            package: Arc::clone(&self.package),
            training: Arc::clone(&self.training),
            evaluation: self.evaluation.clone(),
            store: self.store.replica()?,
            constants: self.constants.iter().map(Tensor::shallow_clone).collect(),
            input: self.input.replica(),
            precision: self.precision,
            recordings: Recordings::of(self.store.device())?,
            name: self.name.clone(),
            digest: self.digest.clone(),
            variant: self.variant.clone(),
            draws: RefCell::new(Rng::new(0).seeded(STREAM, 0)),
        })))
    }

    fn check_mode(&self, mode: Mode) -> Result<()> {
        let Package { program, evaluation } = self.package.as_ref();
        let checked = match mode {
            Mode::Eval => evaluation.as_ref().unwrap_or(program).check_judgeable(),
            Mode::Train | Mode::TrainFrozenStats => program.check_trainable(),
        };
        checked.map_err(|error| self.fault(error.to_string()))
    }

    fn twin(&self) -> Result<Option<Box<dyn Classifier>>> {
        let options = ExportedOptions {
            device: self.store.device(),
            precision: self.precision,
            normalization: self.input.normalization.clone(),
            name: self.name.clone(),
            digest: self.digest.clone(),
        };
        Ok(Some(Box::new(Self::without_weights(Arc::clone(&self.package), &options)?)))
    }

    fn exported(&self) -> Option<&ExportedNetwork> {
        Some(self)
    }

    fn trace(&self) -> Result<Trace> {
        Err(self.fault(
            "comes from PyTorch and is not written as ONNX here; export it as safetensors, load it there and call torch.onnx.export"
                .to_owned(),
        ))
    }
}

/// What tells graphs apart whose parameters have the same names and shapes: the beginning of a digest.
fn variant(package: &Package) -> Result<String> {
    let graphs = package.graphs();
    let graphs = graphs
        .map_err(|error| Error::Model { model: package.program.class.clone(), reason: error.to_string() })?;
    Ok(format!("graph-{}", &gaat_files::digest_of(&graphs)[..DIGITS]))
}
