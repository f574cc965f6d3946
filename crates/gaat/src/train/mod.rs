//! Training: one loop for every method.
//!
//! The loop owns schedule, optimiser, counting, events and checkpoints; a [`TrainingMethod`] only says what one step
//! does. It never sees a test image.

mod augment;
mod averaging;
mod checkpoint;
mod epoch;
mod events;
mod methods;
mod optimizer;
mod session;
mod step;
mod trainer;
mod validation;

pub use augment::Augmentation;
pub use events::{Control, Observer, Quiet};
pub use methods::{Gaat, Natural, Rat, build as build_method};
pub use optimizer::Optimizer;
pub use step::{Descent, StepContext, StepReport, TrainingMethod};
pub use trainer::{TrainOptions, train};
