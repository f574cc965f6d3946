//! Networks of `torch.export`: `.pt2` archives read, judged and written. Runs nothing, unpickles nothing, knows no libtorch.
//!
//! A `.pt2` is a zip of a JSON graph of operators and of raw numbers. [`read`] makes a typed [`Program`] of it: every operator is one
//! of a list of computations on tensors, every value is made before it is used, every tensor lies in the bytes that are there. Who
//! executes a program holds what is computed against the sizes that [`Program`] states.
//!
//! Sources: `docs/source/export/pt2_archive.md` and `torch/_export/serde/schema.py` of PyTorch.
#![deny(missing_docs)]

mod archive;
mod arithmetic;
mod behaviour;
mod error;
mod features;
mod graph;
mod head;
mod package;
mod policy;
mod program;
mod schema;
mod sizes;
mod stored;
mod write;

pub use arithmetic::{Arithmetic, Number};
pub use behaviour::Behaviour;
pub use error::{Error, Result};
pub use features::FeatureMap;
pub use graph::{Argument, Dimension, Input, Node, Output, Target, ValueId};
pub use package::{Package, read, read_graph};
pub use policy::{only_launches, takes};
pub use program::{ImageShape, Program, Value};
pub use sizes::Extent;
pub use stored::{Dtype, Kept, Purpose, Stored};
pub use write::{Given, Numbers};
