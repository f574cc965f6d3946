//! `gaat model`: what can be typed.

use super::OutputArguments;
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
    /// Tell what a network of torch.export (.pt2) takes and is made of, try it, and say what cannot be had of it and why
    Info(ModelInfoArguments),
}

#[derive(Debug, Args)]
pub struct ModelInfoArguments {
    /// What torch.export.save wrote
    #[arg(value_name = "NET.pt2")]
    pub file: PathBuf,
    /// Its program of the evaluation mode, where the graph of the training mode alone does not tell it
    #[arg(long, value_name = "EVAL.pt2")]
    pub eval_program: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}
