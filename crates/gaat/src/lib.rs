//! Adversarial training of image classifiers with gradient approximation.
//!
//! PGD adversarial training (RAT) recomputes the input gradient K times a batch. GAAT (Gong, arXiv 2309.09464)
//! expands the loss around one point and drives the K steps of the attack with the gradient of that expansion, so
//! that one gradient pays for all of them.
//!
//! | module | holds |
//! |---|---|
//! | [`nn`] | networks: pixels in, logits out |
//! | [`taylor`] | expansions of the loss around an anchor, and how well they predict |
//! | [`attack`] | the ball, gradient oracles, attacks |
//! | [`analyze`] | how well Taylor models predict the loss of a trained network |
//! | [`train`] | the loop, the methods, checkpoints |
//! | [`evaluate`] | clean and robust accuracy with exact gradients |
//! | [`exchange`] | weights of PyTorch as networks of this library; safetensors and ONNX for others |
//! | [`exported`] | networks of `torch.export` from their files |
//! | [`explain`] | saliency maps, and how far those of two networks agree |
//! | [`gallery`] | a few test images with what an attack does to them, for the report |
//! | [`machine`] | the libtorch that was loaded, and what it finds here |
//! | [`device`] | devices, threads, precision: where a process computes |
//! | [`world`] | the processes that work together |
//! | [`run`] | run directories: what training leaves and evaluation reads |
//!
//! Each module uses only those above it; training, evaluation, analysis and explanation do not see each other. [`prelude`]
//! brings in what most programs need; the [`guide`] shows how to train, and how to bring a model, attack or curvature of
//! your own.
#![deny(missing_docs)]

pub mod analyze;
pub mod attack;
pub mod batch;
mod control;
pub mod dataset;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod exchange;
pub mod explain;
pub mod exported;
mod files;
pub mod gallery;
pub mod guide;
mod libtorch;
pub mod lock;
pub mod machine;
pub mod nn;
pub mod npz;
mod pictures;
pub mod prelude;
pub mod run;
pub mod taylor;
mod tensors;
pub mod train;
pub mod weights;
pub mod world;

pub use error::{Error, Result};
pub use gaat_data as data;
pub use gaat_files as formats;
pub use gaat_spec as spec;

/// Compiles the example of docs/using.md.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/using.md")]
struct Using;
