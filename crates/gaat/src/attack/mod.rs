//! Attacks: the ball, losses, gradient oracles, and what drives them.
//!
//! An attack proposes, the framework disposes: [`run`](run()) projects whatever comes back and hands out a
//! [`Perturbed`], which only it can make. The evaluation judges success, never the attack.

mod apgd;
mod ascent;
pub mod ball;
mod carlini_wagner;
mod deepfool;
mod fab;
mod fgsm;
pub(crate) mod loss;
mod momentum;
pub mod oracle;
mod pgd;
mod plane;
mod run;
mod square;
mod standing;
mod stride;
pub mod survival;
mod targets;

pub use apgd::{Apgd, ApgdLoss};
pub use ascent::Ascent;
pub use carlini_wagner::CarliniWagner;
pub use deepfool::DeepFool;
pub use fab::{Boundary, Fab};
pub use fgsm::Fgsm;
pub use loss::Loss;
pub use momentum::MomentumFgsm;
pub use oracle::{Exact, GradientOracle, InputGradient, Taylor, Visitor};
pub use pgd::{MarginPgd, NEAR, Pgd, Start, StopRule, Walk};
pub use run::{Attack, Perturbed, Unbounded, UnderAttack, run, run_unbounded};
pub use square::Square;
pub use stride::Stride;
