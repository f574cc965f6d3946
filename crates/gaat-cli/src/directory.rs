//! Files that the command line itself leaves, and the command as it was typed.

use anyhow::{Context, Result};
use gaat_report::format::typed;
use gaat_spec::visible_path;
use std::path::Path;

/// Replaces `path` by `text` in one step.
///
/// # Errors
/// When the file cannot be written; it is named.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    gaat_files::write_whole(path, text.as_bytes()).with_context(|| format!("writing {}", visible_path(path)))
}

/// The command that is running, as it can be typed again.
pub fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| typed(Path::new(&word)));
    std::iter::once("gaat".to_owned()).chain(words).collect::<Vec<String>>().join(" ")
}
