//! Weights from elsewhere: a PyTorch state dict becomes a network of this library.

use crate::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Normalization, build};
use crate::weights::Description;
use crate::{Error, Result};
use gaat_data::{NamedTensor, Numbers, read_state_dict};
use gaat_spec::ModelName;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What a state dict does not say by itself.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The network.
    pub model: ModelName,
    /// Its images; else the first of [`USUAL_INPUTS`] that the weights fit.
    pub input: Option<InputShape>,
    /// Its classes in the order of the logits; else numbers from 0.
    pub class_names: Option<Vec<String>>,
    /// What it does to the pixels first; else nothing.
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
/// When the file is no state dict, or its names and shapes are not those of the model.
pub fn import(path: &Path, options: &ImportOptions) -> Result<(Box<dyn Classifier>, Description)> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let found = read_state_dict(path)?;
    let classes = match &options.class_names {
        Some(names) => names.len(),
        None => {
            classes(&found).ok_or_else(|| failed("holds no vector that could be the last bias".to_owned()))?
        }
    };
    let state = found.into_iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let inputs = options.input.map_or_else(|| USUAL_INPUTS.to_vec(), |input| vec![input]);
    let mut refusals = Vec::new();
    for input in inputs {
        match network(options, input, classes, &state) {
            Ok(classifier) => {
                let numbers = || (0..classes).map(|class| class.to_string()).collect();
                let names = options.class_names.clone().unwrap_or_else(numbers);
                let description = Description::new(classifier.as_ref(), options.model, &names, 0);
                return Ok((classifier, description));
            }
            Err(error) => refusals.push(format!("for images of {input}: {error}")),
        }
    }
    Err(failed(format!("does not fit {} with {classes} classes; {}", options.model, refusals.join("; "))))
}

/// The length of the last vector: a state dict ends with the bias of the last layer.
fn classes(found: &[NamedTensor]) -> Option<usize> {
    found.iter().rev().find(|tensor| tensor.shape.len() == 1).map(|tensor| tensor.shape[0])
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
