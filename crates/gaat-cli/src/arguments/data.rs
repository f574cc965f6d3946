//! `gaat data`: what can be typed.

use super::OutputArguments;
use clap::{Args, Subcommand};
use gaat_spec::DatasetName;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct DataArguments {
    #[command(subcommand)]
    pub(crate) action: DataAction,
}

/// What `gaat data` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum DataAction {
    /// Say what is there
    Info(LookArguments),
    /// Read all of it and compare digests; exit status 2 when it cannot be used
    Verify(LookArguments),
    /// Download the official files, verify them and put them where they are looked for
    Fetch(FetchArguments),
}

#[derive(Debug, Args)]
pub(crate) struct LookArguments {
    /// One data set [default: all]
    pub(crate) dataset: Option<DatasetName>,
    /// Where the data lies; else the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Height and width that training will bring the images to; without it they must all be of one size
    #[arg(long, value_name = "N")]
    pub(crate) resize: Option<usize>,
    /// Print the result as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Each file counts only with the published SHA-256. What was interrupted goes on with the same command. \
                        HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are respected."
)]
pub(crate) struct FetchArguments {
    /// mnist, fashion-mnist, cifar10 or cifar100
    pub(crate) dataset: DatasetName,
    /// Where to put it, in a folder of its own; else the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder of a web server that has the files, in place of the official sources
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}
