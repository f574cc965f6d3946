//! Training: one loop for every method.
//!
//! The loop owns schedule, optimiser, counting, events and checkpoints; a [`TrainingMethod`] only says what one step
//! does. It never sees a test image.

mod agree;
mod ahead;
mod asking;
mod augment;
mod averaging;
mod batches;
mod books;
mod boxes;
mod calendar;
mod chance;
mod collapse;
mod consistency;
mod descent;
mod directory;
mod events;
mod feed;
mod keep;
mod keeper;
mod labels;
mod launch;
mod linearity;
mod logs;
mod mark;
mod memory;
pub mod methods;
mod mixing;
mod named;
mod opening;
mod optimizer;
mod ordering;
mod outside;
mod own_loop;
mod portion;
mod reading;
mod refinement;
mod resampling;
mod run;
mod slope;
mod smooth;
mod start;
mod state_file;
mod statistics;
mod step;
mod sums;
mod tape;
mod tensorboard;
mod trained;
mod training;
#[cfg(test)]
mod trial;
mod validation;
mod wrapped;

pub use crate::nn::Part;
pub use crate::world::{Alone, World};
pub use asking::Losses;
pub use augment::{Augmentation, Placement};
pub use descent::{Descent, Objective};
pub use directory::{KeptRun, TrainOptions, train, train_in, train_of};
pub use events::{Control, Observer, Quiet};
pub use gaat_spec::Head;
pub use keeper::{Keeper, Nothing};
pub use memory::{ImageMemory, Members};
pub use methods::build as build_method;
pub use optimizer::Optimizer;
pub use own_loop::{Alarm, OwnLoop};
pub use refinement::Effort;
pub use start::{GivenWeights, Start, with_given_model};
pub use state_file::State;
pub use step::{Setting, StepContext, StepOutcome, StepReport, TrainingMethod};
pub use tape::Tape;
pub use training::Training;
