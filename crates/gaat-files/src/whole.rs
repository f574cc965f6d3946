//! Files that are whole or absent: written beside their place, synced, then renamed.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::regular::regular;
use crate::temporary::Temporary;

/// Replaces the file at `path` by `bytes`, its folders made where they are missing; a crash leaves the old file or the new
/// one. Others may read it as far as the mask of the process lets them.
///
/// # Errors
/// When the folder or the file cannot be written, the old file being then untouched; when a directory, a pipe or a device is in its
/// place, which a file must not replace. A link is replaced, and what it leads to stays.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// The same with what `write` writes.
///
/// # Errors
/// As [`write_whole`], and what `write` fails with, the old file being untouched.
pub fn write_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // A name without a folder has an empty one.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    match regular(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut temporary = Temporary::new(folder)?;
    let file = temporary.file()?;
    write(file)?;
    file.sync_all()?;
    temporary.rename(path)?;
    // The rename itself is only safe once the folder is; not every file system can sync folders.
    if let Ok(folder) = fs_err::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_folders_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/file.txt");
        for text in ["one", "two"] {
            write_whole(&path, text.as_bytes()).unwrap();
            assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs_err::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
        assert!(write_whole(&path.join("below-a-file"), b"three").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced_and_links_are_not_followed() {
        use std::os::unix::fs::{FileTypeExt as _, symlink};
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        symlink("pipe", at("to-pipe")).unwrap();
        for name in ["pipe", "to-pipe"] {
            let refused = write_whole(&at(name), b"one").unwrap_err().to_string();
            assert!(
                refused.ends_with(&format!("{name}: expected a regular file, found a pipe")),
                "{refused}"
            );
            assert!(fs_err::metadata(at(name)).unwrap().file_type().is_fifo());
        }
        fs_err::write(at("theirs"), "theirs").unwrap();
        for (link, to) in [("link", "theirs"), ("nowhere", "absent")] {
            symlink(to, at(link)).unwrap();
            write_whole(&at(link), b"ours").unwrap();
            assert_eq!(fs_err::read(at(link)).unwrap(), b"ours");
        }
        assert_eq!(fs_err::read(at("theirs")).unwrap(), b"theirs");
        assert!(!at("absent").exists());
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 5, "nothing temporary is left");
    }

    #[cfg(unix)]
    #[test]
    fn they_have_the_mode_of_files_made_plainly() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (ours, plain) = (directory.path().join("ours"), directory.path().join("plain"));
        write_whole(&ours, b"").unwrap();
        fs_err::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
