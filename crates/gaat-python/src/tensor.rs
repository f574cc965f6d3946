//! Tensors that cross between Python and Rust: the same variable with its graph, never a copy.
#![allow(unsafe_code, reason = "tensors of CPython's objects come through C++")]

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use tch::Tensor;

type Handle = *mut torch_sys::C_tensor;

unsafe extern "C" {
    fn gaat_python_wrap(tensor: Handle) -> *mut PyObject;
    fn gaat_python_tensor_class() -> *mut PyObject;
    fn gaat_python_unwrap(object: *mut PyObject, head: usize) -> Handle;
}

/// `tensor` as Python sees it.
pub(crate) fn wrap<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `py` proves that the GIL is held; what comes back is a new reference or null.
    let object =
        unsafe { Bound::from_owned_ptr_or_opt(py, gaat_python_wrap(tensor.as_ptr().cast_mut().cast())) };
    object.ok_or_else(|| {
        PyErr::take(py).unwrap_or_else(|| PyRuntimeError::new_err("torch made no Python object of a tensor"))
    })
}

/// The tensor that `object` is.
pub(crate) fn unwrap(object: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    // SAFETY: the class is there since `import torch`, for as long as the process.
    let class = unsafe { Bound::from_borrowed_ptr(object.py(), gaat_python_tensor_class()) };
    if !object.is_instance(&class)? {
        return Err(PyTypeError::new_err(format!("expected a torch.Tensor, found {}", object.get_type())));
    }
    // SAFETY: it is a tensor, and what comes back is a handle of our own.
    Ok(unsafe { Tensor::from_ptr(gaat_python_unwrap(object.as_ptr(), size_of::<PyObject>()).cast()) })
}
