//! The verdict on a network, and its report.

use crate::failed::failed;
use crate::module::Module;
use crate::tensor::unwrap;
use crate::words;
use gaat::batch::Images;
use gaat::evaluate::{Control, EvaluateOptions, ProbeOptions, Progress, Stage, evaluate_images};
use gaat::spec::{Evaluation, Selection};
use gaat_report::page::VerdictPage;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Judges the network behind `adapter` on images; the evaluation as JSON.
///
/// `attacks`: names with their numbers as JSON. `listen` is called after every batch with stage, images done, images in all, and the
/// share of them that withstood.
#[pyfunction]
#[pyo3(signature = (adapter, pixels: "torch.Tensor", labels: "torch.Tensor", *, attacks, norm, eps: "float | str", batch_size, limit, seed, classes, probes,
    state, listen: "collections.abc.Callable[[str, int, int, float], typing.Any] | None"))]
#[expect(clippy::too_many_arguments, reason = "the keyword arguments of one Python function")]
pub(crate) fn evaluate(
    py: Python<'_>,
    adapter: &Bound<'_, PyAny>,
    pixels: &Bound<'_, PyAny>,
    labels: &Bound<'_, PyAny>,
    attacks: Vec<(String, String)>,
    norm: &str,
    eps: &Bound<'_, PyAny>,
    batch_size: usize,
    limit: Option<usize>,
    seed: u64,
    classes: Vec<String>,
    probes: Option<(usize, usize)>,
    state: Option<PathBuf>,
    listen: Option<Py<PyAny>>,
) -> PyResult<String> {
    let threat = words::threat(norm, eps)?;
    let attacks = attacks.iter().map(|(name, numbers)| words::attack(name, numbers, &threat));
    let mut options = EvaluateOptions::new(threat, attacks.collect::<PyResult<_>>()?, batch_size);
    options.limit = limit;
    options.selection = Selection::Seeded;
    options.seed = seed;
    options.probes = probes.map(|(images, noise_draws)| ProbeOptions { images, noise_draws });
    let network = Module::new(adapter, true)?;
    let images = Images::on_device(unwrap(pixels)?, unwrap(labels)?).map_err(failed)?;
    let found = py.detach(move || {
        let mut raised = None;
        let verdict =
            evaluate_images(&network, &images, &classes, &options, state.as_deref(), &mut |progress| {
                match told(progress, listen.as_ref()) {
                    Ok(control) => control,
                    Err(error) => {
                        raised = Some(error);
                        Control::Stop
                    }
                }
            });
        match raised {
            Some(error) => Err(error),
            None => verdict.map_err(failed),
        }
    })?;
    serde_json::to_string(&found).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Tells of `progress`; an interrupt that came meanwhile, or an exception of the listener, is raised.
fn told(progress: &Progress, listen: Option<&Py<PyAny>>) -> PyResult<Control> {
    Python::attach(|py| {
        py.check_signals()?;
        let Some(listen) = listen else { return Ok(Control::Continue) };
        let stage = match &progress.stage {
            Stage::Clean => "clean",
            Stage::Attack { name } => name,
        };
        listen.call1(py, (stage, progress.done, progress.total, progress.robust_accuracy))?;
        Ok(Control::Continue)
    })
}

/// The page of a verdict (JSON) on the network `name`, as HTML.
#[pyfunction]
pub(crate) fn report(verdict: &str, name: &str) -> PyResult<String> {
    let evaluation: Evaluation =
        serde_json::from_str(verdict).map_err(|error| PyValueError::new_err(format!("verdict: {error}")))?;
    Ok(VerdictPage { name, evaluation: &evaluation }.html())
}
