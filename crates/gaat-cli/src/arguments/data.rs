//! `gaat data`: what can be typed.

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
    /// List the data sets on this machine
    Info(LookArguments),
    /// Read all files and compare their digests; exit status 2 when the data cannot be used
    Verify(LookArguments),
    /// Download the official files, verify them and store them in the data directory
    Fetch(FetchArguments),
}

#[derive(Debug, Args)]
pub struct LookArguments {
    /// One data set [default: all]
    pub dataset: Option<DatasetName>,
    /// Directory of the data; by default that of the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Size to which training will resize the images, one side or `WIDTHxHEIGHT`; without it all images must have one size
    #[arg(long, value_name = "PIXELS")]
    pub resize: Option<Size>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A file is accepted only with the published SHA-256. After an interruption, the same command continues. \
                        HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are respected."
)]
pub struct FetchArguments {
    /// The data set
    #[arg(value_parser = Published)]
    pub dataset: DatasetName,
    /// Directory that gets a folder for the data set; by default that of the variable `GAAT_DATA`, else the platform's data
    /// directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// URL of a folder that has the files, instead of the official sources
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
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
