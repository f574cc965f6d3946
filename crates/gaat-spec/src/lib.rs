//! Plain data of gaat and its checks: threat models, recipes, run records, events.
//!
//! Nothing here reads a file, draws a random number or knows a tensor; everything is serialisable and cheap to
//! build, so that tools can depend on it without libtorch.
#![deny(missing_docs)]

pub mod analysis;
pub mod attack;
pub mod bounds;
pub mod budget;
pub mod collapse;
pub mod defaults;
pub mod error;
pub mod evaluation;
pub mod event;
pub mod explanation;
pub mod gallery;
pub mod long_step;
pub mod method;
pub mod model;
pub mod model_choice;
pub mod names;
pub mod normalization;
pub mod one_step;
pub mod plan;
pub mod recipe;
pub mod record;
pub mod schedule;
pub mod shard;
mod size;
pub mod statistics;
pub mod subset;
pub mod threat;
mod timeless;
pub mod visible;

pub use analysis::{Analysis, LossModel};
pub use attack::{AttackName, AttackSpec};
pub use budget::Budget;
pub use error::{Error, Result};
pub use evaluation::{AttackResult, ClassResult, Evaluation};
pub use event::Event;
pub use explanation::{Explanation, SaliencyName};
pub use gallery::Gallery;
pub use long_step::long_step;
pub use method::{Anchor, AwpSpec, Curvature, Delay, GaatSpec, MethodName, MethodSpec, PgdSpec, Refinement};
pub use model::{ImageNetDepth, ModelName, Nonlinearity, PreActForm, ShortcutInput};
pub use model_choice::ModelChoice;
pub use names::{
    AttackLabels, AttackStatistics, Checkpoint, CollapsePolicy, ComputePrecision, ConsistencyForm,
    DatasetName, Head, OptimizerName, Residence, ScheduleName, SmoothingForm, judged_in, nearest,
};
pub use normalization::NormalizationChoice;
pub use one_step::{AttackStart, OneStepSpec, OpeningSpec, Projection, StepDraw};
pub use plan::{ConsistencySpec, ExtraSpec, LabelSpec, MixSpec, Plan};
pub use recipe::{CheckedRecipe, Recipe};
pub use record::{EpochRecord, Passes, RunRecord, Seconds, Status};
pub use subset::{Selection, Subset};
pub use threat::{Norm, PixelLength, ThreatModel};
pub use visible::{visible, visible_json, visible_lines, visible_path};

pub use shard::Shard;
pub use size::Size;
