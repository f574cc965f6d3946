//! Files that the command line itself leaves: written whole or not at all.

use anyhow::{Context, Result};
use gaat_spec::visible_path;
use std::path::Path;

/// Replaces `path` by `text` in one step.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    gaat_data::write_whole(path, text.as_bytes()).with_context(|| format!("writing {}", visible_path(path)))
}

/// Whether there is nothing at `path`, or an empty directory.
pub(crate) fn is_free(path: &Path) -> Result<bool> {
    Ok(!path.exists() || (path.is_dir() && fs_err::read_dir(path)?.next().is_none()))
}

/// A path as it can be typed into a shell.
pub(crate) fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:,@%".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The command that is running, as it can be typed again.
pub(crate) fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| typed(Path::new(&word)));
    std::iter::once("gaat".to_owned()).chain(words).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_free_until_something_lies_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("new");
        assert!(is_free(&folder).unwrap());
        write_whole(&folder.join("file.txt"), "one").unwrap();
        assert!(!is_free(&folder).unwrap());
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(typed(Path::new("runs/digits-convnet-dat+gaat-s0")), "runs/digits-convnet-dat+gaat-s0");
        assert_eq!(typed(Path::new("my runs/it's")), r"'my runs/it'\''s'");
    }
}
