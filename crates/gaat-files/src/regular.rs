//! The one way in which files that others made are opened: regular files alone, and no more of them than memory holds.
//!
//! A pipe in the place of a file would hold a program up for ever, and a device would fill its memory; a file may be as long as
//! its author says without one byte on disk. A file that is changed in place must be a regular file with one name: writing
//! through a link would change another file, which the user did not name.

use std::fs::{FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use fs_err::File;
use gaat_spec::visible_path;

use crate::memory::{free_memory, in_words};

/// The longest text: recipes, records and verdicts take kilobytes.
const LONGEST_TEXT: u64 = 64 << 20;

/// Opens a regular file for reading. A link to one is as good.
///
/// # Errors
/// When there is no such file, or something else stands in its place: a directory, a pipe, a socket, a device.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open_with(options.read(true), path)
}

/// Opens a regular file to write at its end; makes it where there is none.
///
/// # Errors
/// As [`open`], when it cannot be made, and when it is a link, or has a second name.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open_own(options.create(true).append(true), path)
}

/// Opens a regular file to read and write it as it is; makes it where there is none.
///
/// # Errors
/// As [`append`].
pub fn rewrite(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open_own(options.create(true).read(true).write(true).truncate(false), path)
}

/// Whether `file` is what lies at `path`, and no link to it.
#[cfg(unix)]
pub fn is_at(file: &std::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let there = fs_err::symlink_metadata(path).map(|there| (there.dev(), there.ino()));
    file.metadata().is_ok_and(|ours| there.is_ok_and(|there| there == (ours.dev(), ours.ino())))
}

/// Whether any file lies at `path`: this system gives no way to compare two files.
#[cfg(not(unix))]
pub fn is_at(_file: &std::fs::File, path: &Path) -> bool {
    path.exists()
}

/// The whole of a regular file.
///
/// # Errors
/// As [`open`], and when it is longer than the memory that is free.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, free_memory().unwrap_or(u64::MAX), "the memory that is free")
}

/// The whole of a regular file of text.
///
/// # Errors
/// As [`open`], and when it is no UTF-8 or longer than any that is meant.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_at_most(path, LONGEST_TEXT, "any text that is read here")?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let reason =
            format!("{}: expected text in UTF-8, found other bytes from byte {place} on", visible_path(path));
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })
}

/// A regular file of at most `most` bytes, which `what` describes for the message.
///
/// # Errors
/// As [`open`], and when it is longer.
pub fn read_at_most(path: &Path, most: u64, what: &str) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let too_long = |length: &str| {
        let reason = format!("{}: holds {length}, more than {what} ({})", visible_path(path), in_words(most));
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    };
    if length > most {
        return Err(too_long(&in_words(length)));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize).map_err(|_| too_long(&in_words(length)))?;
    // It may have grown since.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long("more than it said")) } else { Ok(bytes) }
}

/// Insists that `path` leads to a regular file, whose metadata come back.
///
/// # Errors
/// As [`open`].
pub fn regular(path: &Path) -> io::Result<Metadata> {
    let metadata = fs_err::metadata(path)?;
    insist(metadata.file_type(), path)?;
    Ok(metadata)
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Opening some devices does something, so that the first look is from outside.
    match regular(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // What stood there may have been replaced meanwhile; a pipe that is opened without waiting is found out below.
    open_flagged(options, path, Links::Followed)
}

/// As [`open_with`], for a file that is written.
fn open_own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) => insist(metadata.file_type(), path)?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let file = open_flagged(options, path, Links::Refused)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if file.metadata()?.nlink() > 1 {
            let reason = format!(
                "{}: has a second name (a hard link), so that writing here would change another file too; put a copy in its place",
                visible_path(path)
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    }
    Ok(file)
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

fn open_flagged(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let unfollowed = if links == Links::Refused { OFlags::NOFOLLOW } else { OFlags::empty() };
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | unfollowed).bits() as i32);
    }
    #[cfg(not(unix))]
    let _ = links;
    let file = fs_err::OpenOptions::from_options(options.clone()).open(path)?;
    insist(file.metadata()?.file_type(), path)?;
    Ok(file)
}

fn insist(kind: FileType, path: &Path) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let error = if kind.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::Unsupported };
    Err(io::Error::new(
        error,
        format!("{}: expected a regular file, found {}", visible_path(path), name(kind)),
    ))
}

#[cfg(unix)]
fn name(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link, which nothing is written through",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link, which nothing is written through",
        _ => "a device",
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode};

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::write(at("file"), "text").unwrap();
        rustix::fs::mkfifoat(CWD, at("pipe"), Mode::RWXU).unwrap();
        fs_err::create_dir(at("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (link, to) in [("link", "file"), ("loop", "loop"), ("nowhere", "absent"), ("zero", "/dev/zero")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        for whole in ["file", "link"] {
            assert_eq!(read_text(&at(whole)).unwrap(), "text");
        }
        for (name, kind) in
            [("pipe", "a pipe"), ("folder", "a directory"), ("socket", "a socket"), ("zero", "a device")]
        {
            let expected = format!("{}: expected a regular file, found {kind}", at(name).display());
            assert_eq!(read(&at(name)).unwrap_err().to_string(), expected);
            if name != "zero" {
                assert_eq!(append(&at(name)).unwrap_err().to_string(), expected);
                assert_eq!(rewrite(&at(name)).unwrap_err().to_string(), expected);
            }
        }
        for name in ["loop", "nowhere"] {
            assert!(open(&at(name)).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::write(at("theirs"), "theirs").unwrap();
        for (link, to) in [("link", "theirs"), ("nowhere", "absent"), ("loop", "loop"), ("zero", "/dev/zero")]
        {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
            let expected = format!(
                "{}: expected a regular file, found a symbolic link, which nothing is written through",
                at(link).display()
            );
            for opened in [append(&at(link)), rewrite(&at(link))] {
                assert_eq!(opened.unwrap_err().to_string(), expected);
            }
        }
        assert!(!at("absent").exists());
        fs_err::hard_link(at("theirs"), at("second")).unwrap();
        for opened in [append(&at("second")), rewrite(&at("second"))] {
            assert!(opened.unwrap_err().to_string().contains("second: has a second name"));
        }
        assert_eq!(fs_err::read(at("theirs")).unwrap(), b"theirs");
        // A link to a folder on the way is its user's choice.
        fs_err::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("folder", at("way")).unwrap();
        let file = append(&at("way/new")).unwrap();
        assert!(is_at(file.file(), &at("folder/new")) && !is_at(file.file(), &at("theirs")));
    }

    #[test]
    fn files_longer_than_memory_are_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        fs_err::File::create(&path).unwrap().set_len(1 << 43).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("holds 8.8 TB, more than the memory that is free"), "{message}");
        let message = read_text(&path).unwrap_err().to_string();
        assert!(message.contains("(67.1 MB)"), "{message}");
        fs_err::write(&path, b"a\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("from byte 1 on"));
    }
}
