//! What most programs need: `use gaat::prelude::*`.

pub use crate::attack::{Attack, Exact, GradientOracle, Pgd, UnderAttack};
pub use crate::batch::{Batch, Images};
pub use crate::device::prepare_process;
pub use crate::evaluate::{EvaluateOptions, evaluate};
pub use crate::nn::{Classifier, ComputePrecision, InputShape, Mode, Rng};
pub use crate::run::{Checkpoint, OpenedRun, open, test_images};
pub use crate::train::{Control, Observer, Quiet, TrainOptions, train};
pub use crate::{Error, Result};
pub use gaat_spec::{AttackSpec, Event, Norm, PixelLength, Recipe, RunRecord, ThreatModel};
