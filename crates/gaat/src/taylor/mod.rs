//! Taylor expansions of the loss in the pixels, and how well they predict it (arXiv 2309.09464, section 3).

pub mod curvature;
mod expansion;
mod gain;
mod model;
pub(crate) mod network;
mod third_order;

pub use expansion::{Expansion, Forecast};
pub use gain::{GainRatio, UnreadGain};
pub use model::TaylorModel;
