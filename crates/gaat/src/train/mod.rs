//! Training: one loop for every method.
//!
//! The loop owns schedule, optimiser, counting, events and checkpoints; a [`TrainingMethod`] only says what one step
//! does. It never sees a test image.

mod augment;
mod averaging;
mod batches;
mod books;
mod calendar;
mod collapse;
mod descent;
mod events;
mod feed;
mod keep;
mod launch;
mod mark;
mod memory;
mod methods;
mod named;
mod optimizer;
mod reading;
mod refinement;
mod run;
mod state_file;
mod step;
mod sums;
mod tape;
mod tensorboard;
mod trained;
mod training;
#[cfg(test)]
mod trial;
mod validation;

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
pub use training::{TrainOptions, train};
