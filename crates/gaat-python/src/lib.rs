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

use pyo3::prelude::*;
use tensor::{unwrap, wrap};

/// The very tensor, once through Rust: for tests.
#[pyfunction]
fn echo<'py>(tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    wrap(tensor.py(), &unwrap(tensor)?)
}

/// `exp(tensor)`, computed in Rust with its graph: for tests.
#[pyfunction]
fn exponential<'py>(tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    wrap(tensor.py(), &unwrap(tensor)?.exp())
}

/// Path of the libtorch that Rust computes with.
#[pyfunction]
fn libtorch() -> PyResult<String> {
    let machine = gaat::machine::Machine::inspect().map_err(failed::failed)?;
    Ok(machine.library.display().to_string())
}

#[pymodule]
fn _gaat(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<method::Method>()?;
    module.add_function(wrap_pyfunction!(attacks::perturb, module)?)?;
    module.add_function(wrap_pyfunction!(evaluation::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(evaluation::report, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(training::load, module)?)?;
    module.add_function(wrap_pyfunction!(training::run_record, module)?)?;
    module.add_function(wrap_pyfunction!(words::parts, module)?)?;
    module.add_function(wrap_pyfunction!(echo, module)?)?;
    module.add_function(wrap_pyfunction!(exponential, module)?)?;
    module.add_function(wrap_pyfunction!(libtorch, module)?)?;
    Ok(())
}
