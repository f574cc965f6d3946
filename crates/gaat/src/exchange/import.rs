//! Weights from elsewhere: a state dict in a file of PyTorch or safetensors becomes a network of this library.

use crate::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, build, head};
use crate::weights::Description;
use crate::{Error, Result, tensors};
use gaat_data::{NamedTensor, Numbers, read_state_dict, strip_parallel_prefix};
use gaat_spec::{ModelName, visible};
use std::io::Read as _;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What a state dict does not say by itself.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The network.
    pub model: ModelName,
    /// Its images; else what a file of this library says, or the first of [`USUAL_INPUTS`] that the weights fit.
    pub input: Option<InputShape>,
    /// Its classes in the order of the logits; else what a file of this library says, or numbers from 0.
    pub class_names: Option<Vec<String>>,
    /// What it does to the pixels first; else what a file of this library says, or nothing.
    pub normalization: Option<Normalization>,
}

/// Images that networks are usually trained on: MNIST, CIFAR, the digits of 8x8 pixels.
pub const USUAL_INPUTS: [InputShape; 3] = [
    InputShape { channels: 1, height: 28, width: 28 },
    InputShape { channels: 3, height: 32, width: 32 },
    InputShape { channels: 1, height: 8, width: 8 },
];

/// Reads the state dict at `path` and builds its network, on the CPU in single precision.
///
/// # Errors
/// When the file is no state dict, its names and shapes are not those of the model, or a number is not finite.
pub fn import(path: &Path, options: &ImportOptions) -> Result<(Box<dyn Classifier>, Description)> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let Found { state, described } = read(path)?;
    // A file of gaat's own says what another does not; what was asked for goes before it.
    let options = &match described {
        Some(own) => ImportOptions {
            model: options.model,
            input: options.input.or(Some(own.shape())),
            class_names: options.class_names.clone().or(Some(own.class_names)),
            normalization: options
                .normalization
                .clone()
                .or(Some(Normalization { mean: own.mean, std: own.std })),
        },
        None => options.clone(),
    };
    let classes = match &options.class_names {
        Some(names) => names.len(),
        None => classes(&options.model, &state).map_err(failed)?,
    };
    let inputs = options.input.map_or_else(|| USUAL_INPUTS.to_vec(), |input| vec![input]);
    let mut refusals = Vec::new();
    for input in inputs {
        match network(options, input, classes, &state) {
            Ok(classifier) => {
                let numbers = || (0..classes).map(|class| class.to_string()).collect();
                let names = options.class_names.clone().unwrap_or_else(numbers);
                let description = Description::new(classifier.as_ref(), &names, 0)?;
                return Ok((classifier, description));
            }
            // Names and shapes fit: other images change nothing.
            Err(error @ Error::NotFinite(_)) => return Err(failed(error.to_string())),
            Err(error) => refusals.push(format!("for images of {input}: {error}")),
        }
    }
    Err(failed(format!("does not fit {} with {classes} classes; {}", options.model, refusals.join("; "))))
}

/// What a file holds.
struct Found {
    state: Vec<(String, Tensor)>,
    /// Where this library wrote it.
    described: Option<Description>,
}

/// The tensors of a safetensors file or of one that `torch.save` wrote, told apart by content.
fn read(path: &Path) -> Result<Found> {
    if !is_safetensors(path)? {
        let state = read_state_dict(path)?.into_iter().map(tensor).collect::<Result<_>>()?;
        return Ok(Found { state, described: None });
    }
    let tensors::Document { tensors: mut state, metadata } = tensors::read(path)?;
    strip_parallel_prefix(state.iter_mut().map(|(name, _)| name).collect());
    Ok(Found { state, described: Description::of(path, &metadata)? })
}

/// Whether the file starts with the length of a header and the header, a JSON object. No pickle or zip archive of
/// `torch.save` has a brace there.
fn is_safetensors(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    gaat_data::files::open(path)?.take(9).read_to_end(&mut start)?;
    Ok(start.get(8) == Some(&b'{'))
}

/// The length of the bias of the last layer.
fn classes(model: &ModelName, state: &[(String, Tensor)]) -> std::result::Result<usize, String> {
    let name = format!("{}.bias", head(model));
    let found = state.iter().find(|(key, _)| *key == name).map(|(_, tensor)| tensor.size());
    match found.as_deref() {
        Some([classes]) => Ok(*classes as usize),
        Some(size) => {
            Err(format!("`{name}`, the last bias of {model}, has shape {size:?} instead of one side"))
        }
        None => {
            let keys: Vec<_> = state.iter().take(4).map(|(key, _)| visible(key)).collect();
            Err(format!(
                "holds no `{name}`, the last bias of {model}, but {} tensors such as `{}`; is it of another model?",
                state.len(),
                keys.join("`, `")
            ))
        }
    }
}

fn tensor(named: NamedTensor) -> Result<(String, Tensor)> {
    let flat = match &named.numbers {
        Numbers::Float(values) => Tensor::f_from_slice(values)?,
        Numbers::Double(values) => Tensor::f_from_slice(values)?,
        Numbers::Whole(values) => Tensor::f_from_slice(values)?,
    };
    let shape: Vec<i64> = named.shape.iter().map(|side| *side as i64).collect();
    Ok((named.name, flat.f_view(shape.as_slice())?))
}

fn network(
    options: &ImportOptions,
    input: InputShape,
    classes: usize,
    state: &[(String, Tensor)],
) -> Result<Box<dyn Classifier>> {
    let normalization =
        options.normalization.clone().unwrap_or_else(|| Normalization::identity(input.channels));
    let build_options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed: 0,
        normalization,
    };
    let classifier = build(&options.model, input, classes as i64, &build_options)?;
    classifier.store().load(state)?;
    Ok(classifier)
}
