//! Taylor expansions of the loss in the pixels, and how well they predict it (arXiv 2309.09464, section 3).

pub mod curvature;
mod expansion;
mod gain;

pub use expansion::Expansion;
pub use gain::GainRatio;
