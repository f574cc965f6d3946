//! `gaat doctor`, `gaat completions` and `gaat man`: what can be typed.

use clap::Args;
use clap_complete::Shell;
use gaat_spec::DatasetName;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Exit status 1 when a training with these arguments lacks something.")]
pub struct DoctorArguments {
    /// Data set for the training
    #[arg(long, default_value_t = DatasetName::Digits)]
    pub dataset: DatasetName,
    /// Directory of the data; by default that of the variable `GAAT_DATA`, else the platform's data directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Device for the training: cpu, or cuda:0 and so on
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Directory for runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "For bash: gaat completions bash > ~/.local/share/bash-completion/completions/gaat\n\
                        For zsh: gaat completions zsh > DIR/_gaat, where DIR is in your $fpath\n\
                        For fish: gaat completions fish > ~/.config/fish/completions/gaat.fish")]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "To read one at once: gaat man train | man -l -")]
pub struct ManArguments {
    /// Command to describe [default: gaat itself]
    pub command: Option<String>,
    /// Write the pages of gaat and of every command into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub out: Option<PathBuf>,
}
