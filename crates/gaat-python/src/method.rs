//! A training method in a loop of Python.

use crate::failed::failed;
use crate::module::Module;
use crate::tensor::{unwrap, wrap};
use crate::words;
use gaat::batch::Batch;
use gaat::nn::Classifier;
use gaat::train::{OwnLoop, Setting};
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// Attack and memory of a method, step by step.
#[pyclass]
pub(crate) struct Method {
    inner: Mutex<OwnLoop>,
}

/// Which images a step is on.
struct Given {
    network: Module,
    batch: Batch,
    indices: Tensor,
}

impl Given {
    fn of(adapter: &Bound<'_, PyAny>, [pixels, labels, indices]: [&Bound<'_, PyAny>; 3]) -> PyResult<Self> {
        let batch = Batch::new(unwrap(pixels)?, unwrap(labels)?);
        Ok(Self { network: Module::new(adapter, false)?, batch, indices: unwrap(indices)? })
    }
}

impl Method {
    fn inner(&self) -> MutexGuard<'_, OwnLoop> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Method {
    #[new]
    #[pyo3(signature = (adapter, recipe, total))]
    fn new(adapter: &Bound<'_, PyAny>, recipe: &str, total: Option<usize>) -> PyResult<Self> {
        let recipe = words::recipe(recipe)?;
        let network = Module::new(adapter, false)?;
        let setting = Setting {
            threat: recipe.plan.threat(),
            images: 1,
            classes: network.class_count(),
            least_loss: recipe
                .plan
                .labels()
                .map_or(0.0, |labels| labels.least_loss(network.class_count() as usize)),
            batch_size: recipe.plan.batch_size(),
            shape: network.input_shape(),
            device: network.store().device(),
            kind: network.store().kind(),
            are_views_whole: true,
        };
        let inner = OwnLoop::new(&recipe, &setting, total).map_err(failed)?;
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// The images to train on, `[N, C, H, W]`.
    #[pyo3(signature = (adapter, pixels: "torch.Tensor", labels: "torch.Tensor", indices: "torch.Tensor") -> "torch.Tensor")]
    fn perturb<'py>(
        &self,
        py: Python<'py>,
        adapter: &Bound<'py, PyAny>,
        pixels: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
        indices: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Given { network, batch, indices } = Given::of(adapter, [pixels, labels, indices])?;
        let found = py.detach(move || self.inner().perturb(&network, batch, indices));
        wrap(py, &found.map_err(failed)?)
    }

    /// The loss of each image with its graph, `[N]`.
    #[pyo3(signature = (adapter, pixels: "torch.Tensor", labels: "torch.Tensor", indices: "torch.Tensor") -> "torch.Tensor")]
    fn losses<'py>(
        &self,
        py: Python<'py>,
        adapter: &Bound<'py, PyAny>,
        pixels: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
        indices: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Given { network, batch, indices } = Given::of(adapter, [pixels, labels, indices])?;
        let found = py.detach(move || self.inner().losses(&network, batch, indices));
        wrap(py, &found.map_err(failed)?)
    }

    /// Takes note of the mean loss of the step before; step and words of an alarm.
    fn observe(
        &self,
        py: Python<'_>,
        adapter: &Bound<'_, PyAny>,
        loss: f64,
    ) -> PyResult<Option<(usize, String)>> {
        let network = Module::new(adapter, false)?;
        let alarm = py.detach(move || self.inner().observe(&network, loss)).map_err(failed)?;
        Ok(alarm.map(|alarm| (alarm.step, alarm.message)))
    }

    /// The smoothed gain ratio, once it says anything.
    fn gain_ratio(&self) -> Option<f64> {
        self.inner().gain_ratio()
    }

    /// Steps so far.
    fn steps(&self) -> usize {
        self.inner().steps()
    }

    /// Passes of attacks and checks so far, in images: forward, backward to the pixels, Hessian-vector products.
    fn passes(&self) -> (u64, u64, u64) {
        let passes = self.inner().passes();
        (passes.forward, passes.input_backward, passes.hessian_vector)
    }
}
