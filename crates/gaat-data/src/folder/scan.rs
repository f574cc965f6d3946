//! The images of a folder: names, labels, sizes and times. Image files are not opened; of shards the headers are read.

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::arrangement::{Arrangement, Part};
use super::shards;
use crate::classes;
use crate::error::{Error, Result, names};
use gaat_spec::visible_path;

/// How the names of image files end, in lower case.
pub(super) const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// What one look at an image folder shows. Files are ordered by class, then by name; images of shards as they come.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Canonical, so that one folder has one name.
    pub(crate) root: PathBuf,
    pub(crate) class_names: Vec<String>,
    /// Training images, and after them the validation images, where the folder has some of its own.
    pub(crate) train: Vec<ImageFile>,
    /// How many of these are validation images: the last.
    pub(crate) validation: usize,
    pub(crate) test: Vec<ImageFile>,
    pub(crate) warnings: Vec<String>,
    /// Whether a later change to any file must show in its size or times; see [`scan_settled`].
    pub(crate) settled: bool,
}

/// One image, in a file of its own or in a shard.
#[derive(Debug)]
pub(crate) struct ImageFile {
    pub(crate) place: Place,
    pub(crate) label: u16,
    pub(crate) bytes: u64,
    /// When the content changed, in nanoseconds since 1970.
    pub(crate) modified: i128,
    /// When anything changed, its times included; unlike `modified` no program can set it. 0 where unknown.
    pub(crate) changed: i128,
}

/// Where the bytes of an image lie.
#[derive(Debug)]
pub(crate) enum Place {
    /// The whole of a file.
    File(PathBuf),
    /// A member of an archive.
    Member { shard: Arc<Path>, name: Box<str>, offset: u64 },
}

impl ImageFile {
    /// The path for messages; that of a member lies below its archive.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.place {
            Place::File(path) => path.clone(),
            Place::Member { shard, name, .. } => shard.join(&**name),
        }
    }

    /// The whole content, of at most `most` bytes, which `what` describes for the message.
    pub(super) fn read(&self, most: u64, what: &str) -> io::Result<Vec<u8>> {
        let Place::Member { shard, offset, .. } = &self.place else {
            return gaat_files::read_at_most(&self.path(), most, what);
        };
        if self.bytes > most {
            let reason = format!("{}: holds more than {what}", visible_path(&self.path()));
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let mut file = gaat_files::open(shard)?;
        file.seek(SeekFrom::Start(*offset))?;
        let mut bytes = vec![0; self.bytes as usize];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
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

/// Lists the images of a canonical root.
pub(crate) fn scan(root: &Path) -> Result<Scan> {
    let arrangement = Arrangement::of(root);
    let mut ignored = Ignored::default();
    let listed = if arrangement == Some(Arrangement::Shards) {
        shards::list(root)?
    } else {
        list(root, &mut ignored)?
    };
    let Listed { class_names, mut train, validation, test } = listed;
    let counted = validation.len();
    train.extend(validation);
    let warnings = ignored.warning(root).into_iter().chain(untested(root, &class_names, &test)).collect();
    Ok(Scan {
        root: root.to_path_buf(),
        class_names,
        train,
        validation: counted,
        test,
        warnings,
        settled: false,
    })
}

/// The images of a folder, by part.
pub(super) struct Listed {
    pub(super) class_names: Vec<String>,
    pub(super) train: Vec<ImageFile>,
    pub(super) validation: Vec<ImageFile>,
    pub(super) test: Vec<ImageFile>,
}

/// Lists the files of a root whose parts hold a folder for each class.
fn list(root: &Path, ignored: &mut Ignored) -> Result<Listed> {
    let class_names = class_folders(&root.join("train"), ignored)?;
    if class_names.is_empty() {
        return Err(Error::malformed(&root.join("train"), "a folder for each class", "no folder"));
    }
    check_class_count(&root.join("train"), class_names.len())?;
    let label = |class: &String| class_names.binary_search(class).unwrap_or_default() as u16;
    let mut folders = Vec::new();
    for part in Part::ALL {
        let Some(directory) = part.directory(root) else { continue };
        let classes =
            if part == Part::Train { class_names.clone() } else { class_folders(&directory, ignored)? };
        if let Some(class) = classes.iter().find(|class| class_names.binary_search(class).is_err()) {
            let (path, class) = (directory.join(class), class.clone());
            return Err(Error::UnknownClass { path, part: part.name(), class, known: class_names });
        }
        folders.extend(classes.iter().map(|class| (part, directory.join(class), label(class))));
    }
    let listed: Vec<Result<(Vec<ImageFile>, Ignored)>> =
        folders.par_iter().map(|(_, folder, label)| image_files(folder, *label)).collect();
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for ((part, folder, _), listed) in folders.iter().zip(listed) {
        let (files, ignored_here) = listed?;
        ignored.merge(ignored_here);
        match part {
            Part::Train if files.is_empty() => {
                return Err(Error::malformed(folder, "at least one .png, .jpg or .jpeg file", "none"));
            }
            Part::Train => train.extend(files),
            Part::Validation => validation.extend(files),
            Part::Test => test.extend(files),
        }
    }
    if test.is_empty() {
        return Err(Error::malformed(&root.join("test"), "at least one image in a class folder", "none"));
    }
    // Folders whose names differ by blanks alone would be one class to every reader.
    let class_names = classes::class_names(class_names).map_err(|fault| {
        Error::malformed(&root.join("train"), "class folders with names that differ", fault)
    })?;
    Ok(Listed { class_names, train, validation, test })
}

/// Labels are kept in 16 bits.
pub(super) fn check_class_count(path: &Path, count: usize) -> Result<()> {
    if u16::try_from(count).is_ok() {
        return Ok(());
    }
    Err(Error::malformed(path, "at most 65535 classes", count.to_string()))
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

/// The three parts of a folder; it may have no validation images of its own.
#[derive(Debug)]
pub(crate) struct Divided<T> {
    pub(crate) train: T,
    pub(crate) validation: Option<T>,
    pub(crate) test: T,
}

impl<T> Divided<T> {
    /// What `make` makes of each part, in the order of the cache.
    pub(crate) fn map<U>(self, mut make: impl FnMut(T) -> U) -> Divided<U> {
        let (train, validation) = (make(self.train), self.validation.map(&mut make));
        Divided { train, validation, test: make(self.test) }
    }
}

impl Scan {
    /// The images of each part.
    pub(crate) fn parts(&self) -> Divided<&[ImageFile]> {
        let (train, validation) = self.train.split_at(self.train.len() - self.validation);
        Divided { train, validation: (self.validation > 0).then_some(validation), test: &self.test }
    }

    /// The same, taken out, and the names of the classes.
    pub(crate) fn into_parts(mut self) -> (Divided<Vec<ImageFile>>, Vec<String>) {
        let validation = self.train.split_off(self.train.len() - self.validation);
        let validation = (self.validation > 0).then_some(validation);
        (Divided { train: self.train, validation, test: self.test }, self.class_names)
    }

    /// All images: training, validation, test.
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
            metadata = gaat_files::regular(&path)?;
        }
        let (modified, changed) = times(&metadata)?;
        files.push((
            name,
            ImageFile { place: Place::File(path), label, bytes: metadata.len(), modified, changed },
        ));
    }
    files.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    Ok((files.into_iter().map(|(_, file)| file).collect(), ignored))
}

pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ENDINGS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "the portable version can fail")]
pub(super) fn times(metadata: &std::fs::Metadata) -> std::io::Result<(i128, i128)> {
    use std::os::unix::fs::MetadataExt;
    let at = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    Ok((at(metadata.mtime(), metadata.mtime_nsec()), at(metadata.ctime(), metadata.ctime_nsec())))
}

#[cfg(not(unix))]
pub(super) fn times(metadata: &std::fs::Metadata) -> std::io::Result<(i128, i128)> {
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
        let place = Place::File(PathBuf::new());
        let file = ImageFile { place, label: 0, bytes: 0, modified, changed };
        let (root, class_names) = (PathBuf::new(), Vec::new());
        let scan = Scan {
            root,
            class_names,
            train: vec![file],
            validation: 0,
            test: vec![],
            warnings: vec![],
            settled: false,
        };
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
