//! Attacks: the ball, losses, gradient oracles, and what drives them.
//!
//! An attack proposes, the framework disposes: [`run`](run()) projects whatever comes back and hands out a
//! [`Perturbed`], which only it can make. Success is judged by whoever evaluates, never by the attack.

mod apgd;
pub mod ball;
mod fab;
mod fgsm;
mod loss;
pub mod oracle;
mod pgd;
mod run;
mod square;
mod standing;
pub mod survival;
mod targets;

pub use apgd::{Apgd, ApgdLoss};
pub use fab::{Boundary, Fab};
pub use fgsm::Fgsm;
pub use loss::Loss;
pub use oracle::{Exact, GradientOracle, InputGradient, Taylor};
pub use pgd::{Pgd, Start, StopRule, Walk};
pub use run::{Attack, Perturbed, run};
pub use square::Square;
