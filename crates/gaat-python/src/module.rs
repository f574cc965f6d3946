//! A `torch.nn.Module` as a [`Classifier`].

use crate::failed::{failed, foreign};
use crate::tensor::{unwrap, wrap};
use gaat::nn::{
    BuildOptions, Classifier, ComputePrecision, Draws, InputShape, Mode, Normalization, ParameterStore, Rng,
    Role, build,
};
use gaat::spec::ModelName;
use gaat::{Error, Result};
use gaat_shim::KeptMemory;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::cell::RefCell;
use tch::Tensor;

/// The random numbers of the module's own layers.
const STREAM: &str = "network";
/// How torch begins to say that batch normalisation wants more images.
const ONE_VALUE: &str = "Expected more than 1 value per channel";

/// The network of somebody else. `adapter` is a `gaat._adapter.Adapter`, which calls it.
pub(crate) struct Module {
    adapter: Py<PyAny>,
    name: String,
    shape: InputShape,
    classes: i64,
    normalization: Normalization,
    precision: ComputePrecision,
    store: ParameterStore,
    draws: RefCell<Draws>,
    /// Passes allocate the same blocks again and again. The process is the user's, who gets the allocator back after the call.
    _memory: KeptMemory,
}

impl Module {
    /// The network behind `adapter`. Without `with_tensors` its parameters stay unknown, which an attack does not need.
    pub(crate) fn new(adapter: &Bound<'_, PyAny>, with_tensors: bool) -> PyResult<Self> {
        let (channels, height, width) = adapter.getattr("input_shape")?.extract()?;
        let sample = unwrap(&adapter.getattr("sample")?)?;
        let mut store = ParameterStore::new(sample.device(), sample.kind());
        if with_tensors {
            for entry in adapter.call_method0("entries")?.try_iter()? {
                let (name, tensor, role): (String, Bound<'_, PyAny>, String) = entry?.extract()?;
                store.adopt(&name, &unwrap(&tensor)?, role_of(&role)?).map_err(failed)?;
            }
        }
        let name: String = adapter.getattr("name")?.extract()?;
        let scaling: Option<(Vec<f64>, Vec<f64>)> = adapter.getattr("normalization")?.extract()?;
        let in_bf16: bool = adapter.getattr("in_bf16")?.extract()?;
        // A published name stays with the published network.
        let is_published = name.parse::<ModelName>().is_ok_and(|name| name.published().is_ok());
        Ok(Self {
            name: if is_published { format!("own-{name}") } else { name },
            classes: adapter.getattr("classes")?.extract()?,
            shape: InputShape { channels, height, width },
            normalization: scaling
                .map_or_else(|| Normalization::identity(channels), |(mean, std)| Normalization { mean, std }),
            precision: if in_bf16 { ComputePrecision::Bf16 } else { ComputePrecision::Fp32 },
            adapter: adapter.clone().unbind(),
            store,
            draws: RefCell::new(Rng::new(0).seeded(STREAM, 0)),
            _memory: KeptMemory::new(),
        })
    }
}

impl Module {
    /// gaat's own form of the published network `model`, with copies of the tensors of this one: tests hold the two against each
    /// other.
    pub(crate) fn built_in(&self, model: &str) -> Result<Box<dyn Classifier>> {
        let model = model.parse::<ModelName>()?;
        let options = BuildOptions {
            device: self.store.device(),
            precision: ComputePrecision::Fp32,
            kind: self.store.kind(),
            seed: 0,
            normalization: Normalization::identity(self.shape.channels),
        };
        let network = build(&model, self.shape, self.classes, &options)?;
        network.store().copy_from(&self.store)?;
        Ok(network)
    }
}

fn role_of(role: &str) -> PyResult<Role> {
    Ok(match role {
        "weight" => Role::Weight,
        "bias" => Role::Bias,
        "norm-scale" => Role::NormScale,
        "norm-shift" => Role::NormShift,
        "embedding" => Role::Embedding,
        "buffer" => Role::Buffer,
        other => return Err(PyValueError::new_err(format!("no tensor has the role {other}"))),
    })
}

impl Classifier for Module {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> Result<Tensor> {
        let mode = match mode {
            Mode::Train => 0,
            Mode::TrainFrozenStats => 1,
            Mode::Eval => 2,
        };
        // The adapter applies normalisation, so that the library sees a network of pixels.
        let pass = || Python::attach(|py| unwrap(&self.adapter.bind(py).call1((wrap(py, pixels)?, mode))?));
        self.draws.borrow().lending(self.store.device(), pass)?.map_err(|error| {
            let text = Python::attach(|py| error.value(py).to_string());
            if text.starts_with(ONE_VALUE) {
                Error::OneValue { layer: self.name.clone() }
            } else {
                foreign(error)
            }
        })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn input_shape(&self) -> InputShape {
        self.shape
    }

    fn class_count(&self) -> i64 {
        self.classes
    }

    /// That of the module under autocast; its tensors stay in the dtype of the store.
    fn compute_precision(&self) -> ComputePrecision {
        self.precision
    }

    /// For the record: the adapter does it.
    fn normalization(&self) -> Normalization {
        self.normalization.clone()
    }

    fn store(&self) -> &ParameterStore {
        &self.store
    }

    fn begin_step(&self, rng: Rng, step: u64) {
        *self.draws.borrow_mut() = rng.seeded(STREAM, step);
    }

    fn twin(&self) -> Result<Option<Box<dyn Classifier>>> {
        let twin = Python::attach(|py| Self::new(&self.adapter.bind(py).call_method0("twin")?, true));
        Ok(Some(Box::new(twin.map_err(foreign)?)))
    }
}
