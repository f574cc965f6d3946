//! Attacks: the ball, gradient oracles, and what drives them.
//!
//! An attack proposes, the framework disposes: [`run`](run()) projects whatever comes back and hands out a
//! [`Perturbed`], which only it can make. Success is judged by whoever evaluates, never by the attack.

mod ascent;
pub mod ball;
mod fgsm;
pub mod oracle;
mod pgd;
mod run;
pub mod survival;

pub use ascent::Ascent;
pub use fgsm::Fgsm;
pub use oracle::{Exact, GradientOracle, InputGradient, Loss, Taylor};
pub use pgd::{NEAR, Pgd, Start, StopRule, Walk};
pub use run::{Attack, Perturbed, Unbounded, run, run_unbounded};
