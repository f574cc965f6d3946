//! Errors of the library as exceptions of Python.

use gaat::Error;
use pyo3::exceptions::{PyFileExistsError, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// `error` as an exception; one that came from Python goes back as it was, with its traceback.
pub(crate) fn failed(error: Error) -> PyErr {
    match error {
        Error::Network(inner) => match inner.downcast::<PyErr>() {
            Ok(error) => *error,
            Err(other) => PyRuntimeError::new_err(other.to_string()),
        },
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        error @ (Error::Occupied { .. } | Error::InUse { .. }) => {
            PyFileExistsError::new_err(error.to_string())
        }
        error @ (Error::Io(_)
        | Error::File { .. }
        | Error::OtherEvaluation { .. }
        | Error::StateGone { .. }
        | Error::Foreign { .. }) => PyOSError::new_err(error.to_string()),
        error @ (Error::Usage(_)
        | Error::Spec(_)
        | Error::Shape { .. }
        | Error::Model { .. }
        | Error::Data(_)
        | Error::OneValue { .. }) => PyValueError::new_err(error.to_string()),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

/// The same for a value that a call was given.
pub(crate) fn refused(error: gaat_spec::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// What went wrong in Python, to be raised there again as it is.
pub(crate) fn foreign(error: PyErr) -> Error {
    Error::Network(Box::new(error))
}
