//! Training: one loop for every method.
//!
//! The loop owns schedule, optimiser, counting, events and checkpoints; a [`TrainingMethod`] only says what one step
//! does. It never sees a test image.

mod augment;
mod averaging;
mod checkpoint;
mod descent;
mod epoch;
mod events;
mod mark;
mod memory;
mod methods;
mod optimizer;
mod probe;
mod reading;
mod refinement;
mod sentinel;
mod session;
mod snapshot;
mod state;
mod step;
mod tape;
mod tensorboard;
mod trainer;
#[cfg(test)]
mod trial;
mod validation;
mod watch;

pub use augment::{Augmentation, Placement};
pub use descent::{Descent, Objective};
pub use events::{Control, Observer, Quiet};
pub use memory::{ImageMemory, ScalarMemory};
pub use methods::{
    Awp, FgsmMep, FgsmRs, Free, Gaat, GaatMemory, GradAlign, Mart, NFgsm, Natural, Rat, Trades,
    build as build_method,
};
pub use optimizer::Optimizer;
pub use refinement::Plan;
pub use step::{Setting, StepContext, StepOutcome, StepReport, TrainingMethod};
pub use tape::Tape;
pub use trainer::{TrainOptions, train};
