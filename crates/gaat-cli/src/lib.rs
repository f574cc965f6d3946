//! What both binaries of gaat share: arguments, printing, signals, the exit status, and the commands that need no tensors.
//!
//! The binary `gaat` of this package answers those commands itself and becomes `gaat-engine` for all others (decision record
//! 0014). Nothing here may use the `gaat` library, which is linked to libtorch.

pub mod advice;
pub mod arguments;
pub mod directory;
pub mod interrupt;
mod panics;
pub mod printer;
pub mod process;
pub mod quick;
