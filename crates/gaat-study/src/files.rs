//! Documents beside a run: written whole or not at all, read where they are there.

use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Replaces `path` by `text` in one step.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    gaat_files::write_whole(path, text.as_bytes())
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Replaces `path` by `document` as JSON, in lines.
pub(crate) fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(document).map_err(std::io::Error::from)?;
    write_text(path, &(text + "\n"))
}

/// The JSON document at `path`; `None` where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = gaat_files::read_text(path)?;
    serde_json::from_str(&text).map(Some).map_err(|error| Error::File {
        path: path.to_owned(),
        reason: format!("is damaged ({error}); restore the file from a copy, or remove it and repeat the command that wrote it"),
    })
}

/// Whether there is nothing at `path`, or an empty directory.
pub(crate) fn is_free(path: &Path) -> Result<bool> {
    Ok(!path.exists() || (path.is_dir() && fs_err::read_dir(path)?.next().is_none()))
}
