//! Networks: images in, logits out.
//!
//! A [`Classifier`] takes pixels in `[0, 1]`; normalisation, memory layout and precision are its own business.
//! Parameters carry the names of the public PyTorch definitions, so that state dicts exchange. Nothing here
//! knows of losses, attacks or training.

pub(crate) mod answer;
mod builder;
mod catalogue;
mod classifier;
mod eager;
mod exported;
pub(crate) mod finite;
mod flow;
mod input;
mod joined;
mod layers;
mod models;
mod network;
mod outline;
mod parts;
mod pixel_pass;
mod precision;
mod recordings;
mod rng;
mod store;
mod trace;

pub use builder::{BuildOptions, Builder, ConvShape, Initial};
pub use catalogue::{Architecture, Catalogue, build};
pub use classifier::{Classifier, FeatureMaps, InputShape, Mode};
pub use exported::{ExportedNetwork, ExportedOptions};
pub use flow::{Activation, Flow};
pub use input::Normalization;
pub(crate) use joined::{Joined, is_joined, with_joined};
pub use layers::{BatchNorm, BlockConv, Conv, Heads, LayerNorm, Linear, TokenEmbedding};
pub(crate) use models::head;
pub use network::Body;
pub(crate) use outline::{Outline, Sized, is_ignored, misfit, misfits};
pub use parts::Part;
pub(crate) use parts::{Rows, in_parts};
pub(crate) use pixel_pass::{PixelPass, pixel_pass, plain_logits};
pub use precision::{ComputePrecision, PrecisionRequest, has_bf16};
pub use recordings::Recordings;
pub(crate) use recordings::{recorded, try_algorithms};
pub use rng::{Draws, Rng};
pub use store::{Entry, ParameterStore, Role};
pub use trace::{Operation, Parameter, Step, Trace};
