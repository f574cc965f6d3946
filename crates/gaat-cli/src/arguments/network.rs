//! `gaat model`: what can be typed.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ModelArguments {
    #[command(subcommand)]
    pub action: ModelAction,
}

/// What `gaat model` can do.
#[derive(Debug, Subcommand)]
pub enum ModelAction {
    /// Describe a network of torch.export (.pt2): inputs, classes, parameters, operators, a trial run, and what gaat cannot do with
    /// it and why
    Info(ModelInfoArguments),
}

#[derive(Debug, Args)]
pub struct ModelInfoArguments {
    /// What torch.export.save wrote
    #[arg(value_name = "NET.pt2")]
    pub file: PathBuf,
    /// The same network exported in evaluation mode, if the training mode alone cannot be judged
    #[arg(long, value_name = "EVAL.pt2")]
    pub eval_program: Option<PathBuf>,
}
