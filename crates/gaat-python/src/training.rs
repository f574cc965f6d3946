//! Whole trainings with a run directory, and what a run directory holds.

use crate::failed::{failed, foreign};
use crate::module::Module;
use crate::tensor::unwrap;
use crate::words;
use gaat::data::{ImageSet, ImageShape, SplitOptions};
use gaat::dataset::Dataset;
use gaat::run::{Checkpoint, open_with, record};
use gaat::spec::Event;
use gaat::train::{
    Alone, Control, Keeper, KeptRun, Nothing, Observer, Setting, Start, TrainOptions, Training, build_method,
};
use gaat::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use tch::Kind;

/// Images with their labels, as they come from Python: bytes `[N, C, H, W]` and `[N]`.
type Given<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Trains the network behind `adapter` in place; the record as JSON.
///
/// `recipe`: keys and values as JSON. `listen` is called with every event as JSON; its answer `False` stops the run with its state
/// saved, and its exception ends the run. `built_in`: for tests, the name of a published network; gaat's own form of it, from the
/// weights of the module, is then trained in place of the module, which stays as it is.
#[pyfunction]
#[pyo3(signature = (adapter, images: "tuple[torch.Tensor, torch.Tensor]", validation: "tuple[torch.Tensor, torch.Tensor] | None", *, classes, recipe,
    out, resume, listen: "collections.abc.Callable[[str], bool | None]", built_in=None))]
#[expect(clippy::too_many_arguments, reason = "the keyword arguments of one Python function")]
pub(crate) fn train(
    py: Python<'_>,
    adapter: &Bound<'_, PyAny>,
    images: Given<'_>,
    validation: Option<Given<'_>>,
    classes: Vec<String>,
    recipe: &str,
    out: Option<PathBuf>,
    resume: bool,
    listen: Py<PyAny>,
    built_in: Option<&str>,
) -> PyResult<String> {
    let recipe = words::recipe(recipe)?;
    let network = Module::new(adapter, true)?;
    let network = match built_in {
        Some(model) => network.built_in(model).map_err(failed)?,
        None => Box::new(network),
    };
    let images = image_set(&images, &classes)?;
    let validation = validation.map(|given| image_set(&given, &classes)).transpose()?;
    let found = py.detach(move || {
        let data = if let Some(validation) = validation {
            Dataset::given(Arc::new(images), Arc::new(validation))?
        } else {
            let options = SplitOptions {
                validation_fraction: recipe.validation_fraction,
                seed: recipe.plan.seed(),
                ..SplitOptions::default()
            };
            Dataset::training_on(Arc::new(images), &options)?
        };
        let setting = Setting::of(&recipe.plan, &data, network.as_ref())?;
        let method = build_method(recipe.method, recipe.plan.awp(), &setting)?;
        let training = Training {
            network,
            data,
            method,
            plan: recipe.plan.clone(),
            start: Start::Fresh,
            world: Arc::new(Alone),
        };
        let mut kept = match out {
            Some(run_dir) => Some(KeptRun::open(&recipe, &TrainOptions { run_dir, resume })?),
            None => None,
        };
        let mut nothing = Nothing;
        let keeper: &mut dyn Keeper = match &mut kept {
            Some(kept) => kept,
            None => &mut nothing,
        };
        training.run(keeper, &mut Listener { listen })
    });
    serde_json::to_string(&found.map_err(failed)?).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Images of Python as those of the library.
fn image_set((pixels, labels): &Given<'_>, classes: &[String]) -> PyResult<ImageSet> {
    let odd = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let (pixels, labels) = (unwrap(pixels)?, unwrap(labels)?);
    let size = pixels.size();
    let [_, channels, height, width] = size[..] else {
        return Err(odd(&format!("images: expected [N, C, H, W], found {size:?}")));
    };
    let shape = ImageShape { channels: channels as usize, height: height as usize, width: width as usize };
    let bytes = pixels.f_flatten(0, -1).and_then(Vec::<u8>::try_from).map_err(|error| odd(&error))?;
    let numbers =
        labels.f_to_kind(Kind::Int64).and_then(Vec::<i64>::try_from).map_err(|error| odd(&error))?;
    let labels =
        numbers.iter().map(|&label| u16::try_from(label)).collect::<std::result::Result<Vec<_>, _>>();
    let labels = labels.map_err(|_| odd(&"labels: expected whole numbers from 0 to 65535"))?;
    ImageSet::new(bytes, shape, labels, classes.to_vec(), "images".to_owned()).map_err(|error| odd(&error))
}

/// Hands events to a Python function.
struct Listener {
    listen: Py<PyAny>,
}

impl Observer for Listener {
    fn on_event(&mut self, event: &Event) -> Result<Control> {
        let text = serde_json::to_string(event).map_err(std::io::Error::from)?;
        let answer = Python::attach(|py| self.listen.call1(py, (text,))?.extract::<Option<bool>>(py));
        match answer.map_err(foreign)? {
            Some(false) => Ok(Control::Stop),
            _ => Ok(Control::Continue),
        }
    }
}

/// Sets the weights of the network behind `adapter` to those of a run directory or weights file.
#[pyfunction]
pub(crate) fn load(adapter: &Bound<'_, PyAny>, path: PathBuf, checkpoint: &str) -> PyResult<()> {
    let checkpoint = match checkpoint {
        "best" => Checkpoint::Best,
        "last" => Checkpoint::Last,
        other => {
            return Err(PyValueError::new_err(format!(
                "checkpoint = {other}: there are \"best\" and \"last\""
            )));
        }
    };
    open_with(Box::new(Module::new(adapter, true)?), &path, checkpoint).map_err(failed)?;
    Ok(())
}

/// The record of a run directory as JSON.
#[pyfunction]
pub(crate) fn run_record(path: PathBuf) -> PyResult<String> {
    let record = record(&path).map_err(failed)?;
    serde_json::to_string(&record).map_err(std::io::Error::from).map_err(|error| failed(Error::from(error)))
}
