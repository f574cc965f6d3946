//! The files of an image folder: names, labels, sizes and times, without opening one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use crate::classes;
use crate::error::{Error, Result, names};
use crate::files;
use gaat_spec::visible_path;

/// What one look at an image folder shows. Files are ordered by class, then by name.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Canonical, so that one folder has one name.
    pub(crate) root: PathBuf,
    pub(crate) class_names: Vec<String>,
    pub(crate) train: Vec<ImageFile>,
    pub(crate) test: Vec<ImageFile>,
    pub(crate) warnings: Vec<String>,
    /// Whether a later change to any file must show in its size or times; see [`scan_settled`].
    pub(crate) settled: bool,
}

/// One image file.
#[derive(Debug)]
pub(crate) struct ImageFile {
    pub(crate) path: PathBuf,
    pub(crate) label: u16,
    pub(crate) bytes: u64,
    /// When the content changed, in nanoseconds since 1970.
    pub(crate) modified: i128,
    /// When anything changed, its times included; unlike `modified` no program can set it. 0 where unknown.
    pub(crate) changed: i128,
}

/// [`scan`] for the cache: where a file was written a moment ago, waits until its clock has moved on and scans again.
///
/// Times have a grain. A file that is written twice within one grain shows the same times, and what was decoded between
/// the two would be kept for ever. Once the grain has passed, every change shows.
pub(crate) fn scan_settled(root: &Path) -> Result<Scan> {
    let (scan, wait) = scan_and_judge(root)?;
    let Some(wait) = wait else { return Ok(scan) };
    std::thread::sleep(wait);
    scan_and_judge(root).map(|(scan, _)| scan)
}

fn scan_and_judge(root: &Path) -> Result<(Scan, Option<Duration>)> {
    let now = SystemTime::now();
    let mut scan = scan(root)?;
    let wait = scan.time_to_settle(now);
    scan.settled = wait.is_none();
    Ok((scan, wait))
}

/// Lists the files of a canonical root.
pub(crate) fn scan(root: &Path) -> Result<Scan> {
    let mut ignored = Ignored::default();
    let class_names = class_folders(&root.join("train"), &mut ignored)?;
    if class_names.is_empty() {
        return Err(Error::malformed(&root.join("train"), "a folder for each class", "no folder"));
    }
    if class_names.len() > usize::from(u16::MAX) {
        return Err(Error::malformed(
            &root.join("train"),
            "at most 65535 classes",
            format!("{}", class_names.len()),
        ));
    }
    let test_classes = class_folders(&root.join("test"), &mut ignored)?;
    if let Some(class) = test_classes.iter().find(|class| class_names.binary_search(class).is_err()) {
        let path = root.join("test").join(class);
        return Err(Error::UnknownClass { path, class: class.clone(), known: class_names });
    }
    let label = |class: &String| class_names.binary_search(class).unwrap_or_default() as u16;
    let folders: Vec<(&str, PathBuf, u16)> = [("train", &class_names), ("test", &test_classes)]
        .into_iter()
        .flat_map(|(part, classes)| classes.iter().map(move |class| (part, class)))
        .map(|(part, class)| (part, root.join(part).join(class), label(class)))
        .collect();
    let listed: Vec<Result<(Vec<ImageFile>, Ignored)>> =
        folders.par_iter().map(|(_, folder, label)| image_files(folder, *label)).collect();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for ((part, folder, _), listed) in folders.iter().zip(listed) {
        let (files, ignored_here) = listed?;
        ignored.merge(ignored_here);
        match *part {
            "train" if files.is_empty() => {
                return Err(Error::malformed(folder, "at least one .png, .jpg or .jpeg file", "none"));
            }
            "train" => train.extend(files),
            _ => test.extend(files),
        }
    }
    if test.is_empty() {
        return Err(Error::malformed(&root.join("test"), "at least one image in a class folder", "none"));
    }
    // Folders whose names differ by blanks alone would be one class to every reader.
    let class_names = classes::class_names(class_names).map_err(|fault| {
        Error::malformed(&root.join("train"), "class folders with names that differ", fault)
    })?;
    let warnings = ignored.warning(root).into_iter().chain(untested(root, &class_names, &test)).collect();
    Ok(Scan { root: root.to_path_buf(), class_names, train, test, warnings, settled: false })
}

/// Says which classes `test` has no image of: nothing that is reported will speak of them.
fn untested(root: &Path, class_names: &[String], test: &[ImageFile]) -> Option<String> {
    let mut is_tested = vec![false; class_names.len()];
    for file in test {
        is_tested[usize::from(file.label)] = true;
    }
    let lacking = class_names.iter().zip(is_tested).filter(|(_, is_tested)| !is_tested);
    let lacking: Vec<&str> = lacking.map(|(class, _)| class.as_str()).collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "{}: no image of {} of the {} training classes: {}; what the test images show says nothing of them",
            visible_path(&root.join("test")),
            lacking.len(),
            class_names.len(),
            names(&lacking)
        )
    })
}

impl Scan {
    /// All files, training first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &ImageFile> {
        self.train.iter().chain(&self.test)
    }

    /// How long until a change can no longer hide in the grain of the clock; `None` if it cannot now.
    fn time_to_settle(&self, now: SystemTime) -> Option<Duration> {
        let newest = self.files().map(|file| file.modified.max(file.changed)).max().unwrap_or_default();
        // File systems that keep whole seconds, or every other one, show times without a fraction.
        let coarse =
            self.files().all(|file| file.modified % 1_000_000_000 == 0 && file.changed % 1_000_000_000 == 0);
        let grain = if coarse { Duration::from_millis(2100) } else { Duration::from_millis(50) };
        let settled_at = newest + grain.as_nanos() as i128;
        let missing = settled_at - nanoseconds(now);
        // A clock that is ahead does not hold anybody up for longer than the grain.
        (missing > 0).then(|| Duration::from_nanos(missing as u64).min(grain))
    }
}

/// Names of the folders in a directory, sorted; hidden ones are left out.
fn class_folders(directory: &Path, ignored: &mut Ignored) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if is_hidden(&name) {
            continue;
        }
        if !path.is_dir() {
            ignored.add(path);
            continue;
        }
        match name.into_string() {
            Ok(name) => names.push(name),
            Err(_) => return Err(Error::malformed(&path, "a class name in UTF-8", "other bytes")),
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn image_files(folder: &Path, label: u16) -> Result<(Vec<ImageFile>, Ignored)> {
    let mut files = Vec::new();
    let mut ignored = Ignored::default();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if is_hidden(&name) {
            continue;
        }
        if !is_image(&path) {
            ignored.add(path);
            continue;
        }
        // The entry's own metadata is the cheap one, but for a link it describes the link.
        let mut metadata = entry.metadata()?;
        if !metadata.is_file() {
            metadata = files::regular(&path)?;
        }
        let (modified, changed) = times(&metadata)?;
        files.push(ImageFile { path, label, bytes: metadata.len(), modified, changed });
    }
    files.sort_unstable_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    Ok((files, ignored))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "the portable version can fail")]
fn times(metadata: &std::fs::Metadata) -> std::io::Result<(i128, i128)> {
    use std::os::unix::fs::MetadataExt;
    let at = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    Ok((at(metadata.mtime(), metadata.mtime_nsec()), at(metadata.ctime(), metadata.ctime_nsec())))
}

#[cfg(not(unix))]
fn times(metadata: &std::fs::Metadata) -> std::io::Result<(i128, i128)> {
    Ok((nanoseconds(metadata.modified()?), 0))
}

fn nanoseconds(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// Files that were passed over because of their names.
#[derive(Debug, Default)]
struct Ignored {
    count: usize,
    first: Option<PathBuf>,
}

impl Ignored {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        self.first = self.first.take().into_iter().chain([path]).min();
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().into_iter().chain(other.first).min();
    }

    fn warning(&self, root: &Path) -> Option<String> {
        let first = visible_path(self.first.as_ref()?);
        let count = self.count;
        Some(format!(
            "{}: {count} entries that are no .png, .jpg or .jpeg file of a class were ignored, such as {first}",
            visible_path(root),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a scan with one file, of these times, waits at 1,000 s after 1970.
    fn wait(modified: i128, changed: i128) -> Option<Duration> {
        let file = ImageFile { path: PathBuf::new(), label: 0, bytes: 0, modified, changed };
        let (root, class_names) = (PathBuf::new(), Vec::new());
        let scan =
            Scan { root, class_names, train: vec![file], test: vec![], warnings: vec![], settled: false };
        scan.time_to_settle(UNIX_EPOCH + Duration::from_secs(1000))
    }

    #[test]
    fn what_was_written_a_moment_ago_is_waited_for() {
        let now = 1_000_000_000_000;
        let millisecond = 1_000_000;
        assert_eq!(wait(1, 1), None);
        assert_eq!(wait(now - 60 * millisecond, 1), None);
        assert_eq!(wait(now - 20 * millisecond, 1), Some(Duration::from_millis(30)));
        assert_eq!(wait(1, now - 20 * millisecond), Some(Duration::from_millis(30)));
        // Whole seconds only: the file system may keep no more.
        assert_eq!(wait(now - 2_000 * millisecond, 0), Some(Duration::from_millis(100)));
        assert_eq!(wait(now - 3_000 * millisecond, 0), None);
        // Times far ahead do not keep anybody waiting.
        assert_eq!(wait(2 * now + 1, 0), Some(Duration::from_millis(50)));
    }
}
