//! `gaat data`: what can be typed.

use super::OutputArguments;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Subcommand, ValueEnum};
use gaat_data::official_files;
use gaat_spec::{DatasetName, Size};
use std::ffi::OsStr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DataArguments {
    #[command(subcommand)]
    pub action: DataAction,
}

/// What `gaat data` can do.
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// Say what is there
    Info(LookArguments),
    /// Read all of it and compare digests; exit status 2 when it cannot be used
    Verify(LookArguments),
    /// Download the official files, verify them and put them where they are looked for
    Fetch(FetchArguments),
}

#[derive(Debug, Args)]
pub struct LookArguments {
    /// One data set [default: all]
    pub dataset: Option<DatasetName>,
    /// Where the data lies; else the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Side, or `WIDTHxHEIGHT`, that training will bring the images to; without it they must all be of one size
    #[arg(long, value_name = "PIXELS")]
    pub resize: Option<Size>,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Each file counts only with the published SHA-256. What was interrupted continues with the same command. \
                        HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are respected."
)]
pub struct FetchArguments {
    /// The data set
    #[arg(value_parser = Published)]
    pub dataset: DatasetName,
    /// Where to put it, in a folder of its own; else the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Folder of a web server that has the files, in place of the official sources
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Shows the data sets that are published alone, and takes the others too: why these are not is said by who fetches.
#[derive(Debug, Clone, Copy)]
struct Published;

impl TypedValueParser for Published {
    type Value = DatasetName;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<DatasetName, clap::Error> {
        if let Some(dataset) = value.to_str().and_then(|text| text.parse().ok()) {
            return Ok(dataset);
        }
        let known = PossibleValuesParser::new(published());
        Err(known
            .parse_ref(command, argument, value)
            .err()
            .unwrap_or_else(|| clap::Error::new(ErrorKind::InvalidValue)))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(published()))
    }
}

fn published() -> impl Iterator<Item = PossibleValue> {
    let published = DatasetName::ALL.iter().filter(|dataset| !official_files(**dataset).is_empty());
    published.filter_map(DatasetName::to_possible_value)
}
