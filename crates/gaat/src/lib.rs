//! Adversarial training of image classifiers with gradient approximation.
#![deny(missing_docs)]

pub mod error;
pub mod nn;

pub use error::{Error, Result};
