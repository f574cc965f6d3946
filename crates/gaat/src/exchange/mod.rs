//! Networks from and for elsewhere: PyTorch state dicts in; safetensors, programs of torch.export and ONNX out.

mod choice;
mod config;
mod fit;
mod fold;
mod import;
mod names;
mod onnx;
mod scaling;
mod source;
mod whole;

pub use config::Config;
pub(crate) use import::is_safetensors;
pub use import::{ImportOptions, Imported, USUAL_INPUTS, import};
pub(crate) use whole::{StateDict, whole};

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::nn::{Classifier, Step, Trace};
use crate::weights::{self, Description};
use std::path::{Path, PathBuf};

/// How an ONNX graph is written.
#[derive(Debug, Clone, Copy)]
pub struct OnnxOptions {
    /// What becomes of batch normalisations.
    pub norms: BatchNorms,
    /// Version of the operator set; else the oldest since 17 that has every operator of the graph.
    pub operators: Option<i64>,
}

/// What becomes of batch normalisations in an ONNX graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchNorms {
    /// Each is a node of its own.
    Kept,
    /// Each that directly follows a convolution is multiplied into its weights, where no one else uses the convolution.
    Folded,
}

/// Writes a safetensors file with the parameter names of PyTorch, and `config.json` beside it.
///
/// `gaat` reads the file too. Pixels are not normalised in it: see [`Config::mean`]. Returns the path of the configuration,
/// which replaces a file that lay there.
///
/// # Errors
/// When either file cannot be written, or both would be one.
pub fn export_safetensors(
    path: &Path,
    classifier: &dyn Classifier,
    description: &Description,
    config: &Config,
) -> Result<PathBuf> {
    let beside = config_path(path);
    if beside == path {
        return Err(Error::File {
            path: beside,
            reason: "is where the configuration beside the weights goes; give the weights another name"
                .to_owned(),
        });
    }
    weights::save(path, classifier, description)?;
    write_atomically(&beside, config.to_json()?.as_bytes())?;
    Ok(beside)
}

/// Writes the program of torch.export that `classifier` came from with its weights as they are now, as `torch.export.load` takes it,
/// and `config.json` beside it.
///
/// Pixels are not normalised in it: see [`Config::mean`]. Two programs, for training and for evaluation, are written as models `train`
/// and `eval` of one file, which `torch.export.pt2_archive._package.load_pt2` reads. Returns the path of the configuration, which
/// replaces a file that lay there.
///
/// # Errors
/// When the network did not come from torch.export, or either file cannot be written.
pub fn export_program(path: &Path, classifier: &dyn Classifier, config: &Config) -> Result<PathBuf> {
    let Some(network) = classifier.exported() else {
        return Err(Error::Model {
            model: classifier.name(),
            reason: "did not come from torch.export, so that there is no program of it to write; export it as safetensors or ONNX"
                .to_owned(),
        });
    };
    let beside = config_path(path);
    write_atomically(path, &network.file()?)?;
    write_atomically(&beside, config.to_json()?.as_bytes())?;
    Ok(beside)
}

/// Where [`export_safetensors`] and [`export_program`] put the configuration of the weights at `path`.
pub fn config_path(path: &Path) -> PathBuf {
    path.with_file_name("config.json")
}

/// Writes an ONNX file: `pixels` `[batch, C, H, W]`, f32 in `[0, 1]`, to `logits` `[batch, classes]`, as in
/// [`Mode::Eval`](crate::nn::Mode::Eval), with the normalisation of pixels inside and the configuration as text `gaat`.
///
/// # Errors
/// When the classifier cannot say what it computes, the operator set lacks an operator, the file would pass 2 GiB, or it
/// cannot be written.
pub fn export_onnx(
    path: &Path,
    classifier: &dyn Classifier,
    config: &Config,
    options: OnnxOptions,
) -> Result<()> {
    let mut trace = classifier.trace()?;
    check(&trace)?;
    if options.norms == BatchNorms::Folded {
        trace = fold::fold(trace)?;
    }
    let graph = onnx::Writer::write(&trace)?;
    let bytes = graph.finish(
        classifier.input_shape(),
        classifier.class_count(),
        &config.to_json()?,
        options.operators,
    );
    let failed = |error: gaat_files::onnx::Error| Error::File {
        path: path.to_owned(),
        reason: match error {
            gaat_files::onnx::Error::TooLarge(_) => format!("{error}; export safetensors instead"),
            _ => error.to_string(),
        },
    };
    write_atomically(path, &bytes.map_err(failed)?)
}

/// Refuses a trace, which may be of a network of one's own, whose steps take values of later ones.
fn check(trace: &Trace) -> Result<()> {
    let is_early = |(place, step): &(usize, &Step)| step.inputs.iter().any(|input| input > place);
    match trace.steps.iter().enumerate().find(is_early) {
        Some((place, step)) => Err(Error::Usage(format!(
            "step {place} of the trace takes the values {:?}, but only {place} and those before are made by then",
            step.inputs
        ))),
        None => Ok(()),
    }
}
