//! The extension module behind the Python package `gaat`, which calls a network written in PyTorch.
//!
//! Thin on purpose: what callers write becomes values of the library (`words`), tensors cross as they are (`tensor`), the
//! module is a classifier (`module`). Whatever takes time runs without the GIL. The face that callers see is in `python/gaat`.

#![expect(clippy::needless_pass_by_value, reason = "arguments of Python arrive by value")]

mod attacks;
mod evaluation;
mod failed;
mod method;
mod module;
mod tensor;
mod training;
mod words;

/// What Python imports as `gaat._gaat`.
#[pyo3::pymodule]
mod _gaat {
    use crate::failed::failed;
    use crate::tensor::{unwrap, wrap};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::attacks::perturb;
    #[pymodule_export]
    use crate::evaluation::{evaluate, report};
    #[pymodule_export]
    use crate::method::Method;
    #[pymodule_export]
    use crate::training::{load, run_record, train};
    #[pymodule_export]
    use crate::words::{check_recipe, parts, recipe_keys};

    /// The very tensor, once through Rust: for tests.
    #[pyfunction]
    #[pyo3(signature = (tensor: "torch.Tensor") -> "torch.Tensor")]
    fn echo<'py>(tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        wrap(tensor.py(), &unwrap(tensor)?)
    }

    /// `exp(tensor)`, computed in Rust with its graph: for tests.
    #[pyfunction]
    #[pyo3(signature = (tensor: "torch.Tensor") -> "torch.Tensor")]
    fn exponential<'py>(tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        wrap(tensor.py(), &unwrap(tensor)?.exp())
    }

    /// Path of the libtorch that Rust computes with.
    #[pyfunction]
    fn libtorch() -> PyResult<String> {
        let machine = gaat::machine::Machine::inspect().map_err(failed)?;
        Ok(machine.library.display().to_string())
    }
}
