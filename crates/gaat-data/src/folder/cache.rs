//! Decoded image folders on disk.
//!
//! One file for each folder and size, named by their digest; inside it the fingerprint of everything that was decoded
//! (path, resize, and each image's relative path, place in its shard, size and times) tells whether it still holds, and a checksum whether it
//! is undamaged. A stale or damaged file is decoded again and replaced. The format is this crate's own and no exchange
//! format: integers are little-endian u64, and any change to it must change `MAGIC`.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use sha2::{Digest, Sha256};

use super::scan::{Place, Scan};
use crate::error::Error;
use crate::gzip::read_up_to;
use crate::image_set::ImageShape;
use crate::room;
use gaat_files::{hexadecimal, in_words, sweep, write_with};
use gaat_spec::visible_path;

const MAGIC: [u8; 8] = *b"gaatimg2";
/// Magic, fingerprint, channels, height, width, training images, test images.
const HEADER_BYTES: usize = 8 + 32 + 5 * 8;
const CHECKSUM_BYTES: usize = 4;
/// Bytes that are looked at at once where the whole file is checked.
const CHUNK: usize = 4 << 20;

/// Decoded pixels, `[N, C, H, W]` each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) shape: ImageShape,
    pub(crate) train: Vec<u8>,
    pub(crate) test: Vec<u8>,
}

/// A cache that was found whole: pixels `[N, C, H, W]`; training images first, then validation and test images.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) file: File,
    pub(crate) shape: ImageShape,
    /// Where the first image begins, in bytes.
    pub(crate) start: u64,
}

/// A function that passes the pixels of some images at a time to the function that stores them.
pub(crate) type Images<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>;

/// The place in the cache for one folder in one size.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    file: PathBuf,
    fingerprint: [u8; 32],
    train_images: usize,
    test_images: usize,
    settled: bool,
}

impl Cache {
    pub(crate) fn new(directory: &Path, scan: &Scan, resize: Option<(usize, usize)>) -> Self {
        let place = place(scan, resize);
        let name = format!("folder-{}.pixels", &hexadecimal(&place)[..32]);
        Self {
            directory: directory.to_path_buf(),
            file: directory.join(name),
            fingerprint: fingerprint(&place, scan),
            train_images: scan.train.len(),
            test_images: scan.test.len(),
            settled: scan.settled,
        }
    }

    /// What is kept, if it still holds; the error is a warning for the user.
    pub(crate) fn read(&self) -> Result<Option<Entry>, String> {
        // What a killed writer of the cache has left may be as large as the cache.
        sweep(&self.directory);
        match gaat_files::open(&self.file) {
            Ok(file) => self.read_file(file).map_err(|error| self.unusable(&error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    fn read_file(&self, file: File) -> io::Result<Option<Entry>> {
        let mut reader = Checked { inner: file, checksum: 0 };
        let Some((shape, length)) = self.read_header(&mut reader)? else { return Ok(None) };
        if let Some(free) = gaat_files::free_memory().filter(|free| *free < length) {
            return Err(damaged(format!(
                "it holds {}, and {} of memory are free",
                in_words(length),
                in_words(free)
            )));
        }
        let train = reader.take_bytes(self.train_images * shape.bytes())?;
        let test = reader.take_bytes(self.test_images * shape.bytes())?;
        reader.check()?;
        Ok(Some(Entry { shape, train, test }))
    }

    /// The shape of the images and the length of the file, which fits them; `None` where it is of other images.
    fn read_header(&self, reader: &mut Checked<File>) -> io::Result<Option<(ImageShape, u64)>> {
        let length = reader.inner.metadata()?.len();
        let header = reader.take_bytes(HEADER_BYTES)?;
        if header[..8] != MAGIC {
            return Err(damaged("it does not start as it should"));
        }
        if header[8..40] != self.fingerprint {
            return Ok(None);
        }
        let mut numbers = [0; 5];
        for (number, bytes) in numbers.iter_mut().zip(header[40..].as_chunks::<8>().0) {
            *number = usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(usize::MAX);
        }
        let [channels, height, width, train, test] = numbers;
        let shape = ImageShape { channels, height, width };
        let pixels = train.checked_add(test).and_then(|images| images.checked_mul(shape.bytes()));
        let expected = pixels.and_then(|pixels| pixels.checked_add(HEADER_BYTES + CHECKSUM_BYTES));
        // From here on the file itself is as long as what is reserved.
        if expected.map(|expected| expected as u64) != Some(length) {
            return Err(damaged("its length does not fit its header"));
        }
        if (train, test) != (self.train_images, self.test_images) {
            return Err(damaged("it holds another number of images"));
        }
        Ok(Some((shape, length)))
    }

    /// What is kept, to be read by offset, if it still holds: the whole of it is checked once, a little at a time. The error is a
    /// warning for the user.
    pub(crate) fn find(&self) -> Result<Option<Kept>, String> {
        sweep(&self.directory);
        let found = match gaat_files::open(&self.file) {
            Ok(file) => self.check_file(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        found.map_err(|error| self.unusable(&error.to_string()))
    }

    fn check_file(&self, file: File) -> io::Result<Option<Kept>> {
        let mut reader = Checked { inner: file, checksum: 0 };
        let Some((shape, length)) = self.read_header(&mut reader)? else { return Ok(None) };
        let mut left = length as usize - HEADER_BYTES - CHECKSUM_BYTES;
        while left > 0 {
            let some = left.min(CHUNK);
            reader.take_bytes(some)?;
            left -= some;
        }
        reader.check()?;
        let file = reader.inner;
        Ok(Some(Kept { file, shape, start: HEADER_BYTES as u64 }))
    }

    fn unusable(&self, reason: &str) -> String {
        format!(
            "{}: the cache is not usable ({reason}); the images are decoded again",
            visible_path(&self.file)
        )
    }

    /// Keeps images of `shape` that come one after the other, training images first, atomically. The inner error is a warning for
    /// the user.
    ///
    /// # Errors
    /// When `images` fails.
    pub(crate) fn fill(&self, shape: ImageShape, images: Images<'_>) -> Result<Result<(), String>, Error> {
        let pixels = (self.train_images + self.test_images).saturating_mul(shape.bytes());
        if let Err(reason) = self.check_room(pixels as u64) {
            return Ok(Err(reason));
        }
        let header = self.header(shape);
        let mut failed = None;
        let written = write_with(&self.file, |file| {
            let mut checksum = crc32c::crc32c(&header);
            file.write_all(&header)?;
            let mut keep = |pixels: &[u8]| {
                checksum = crc32c::crc32c_append(checksum, pixels);
                Ok(file.write_all(pixels)?)
            };
            if let Err(error) = images(&mut keep) {
                failed = Some(error);
                return Err(io::Error::other("given up"));
            }
            file.write_all(&checksum.to_le_bytes())
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(written.map_err(|error| self.not_kept(&error.to_string()))),
        }
    }

    fn not_kept(&self, reason: &str) -> String {
        format!("{}: the decoded images could not be kept ({reason})", visible_path(&self.directory))
    }

    /// Whether `pixels` bytes may be kept here; else a warning that says why not.
    fn check_room(&self, pixels: u64) -> Result<(), String> {
        if !self.settled {
            let reason = "the images carry times in the future, so that changes might not show";
            return Err(self.not_kept(reason));
        }
        let needed = pixels.saturating_add((HEADER_BYTES + CHECKSUM_BYTES) as u64);
        match room::disk(&self.directory).filter(|free| *free < needed) {
            Some(free) => Err(self.not_kept(&format!(
                "they take {}, and {} are free",
                in_words(needed),
                in_words(free)
            ))),
            None => Ok(()),
        }
    }

    /// Keeps an entry, atomically; the error is a warning for the user.
    pub(crate) fn write(&self, entry: &Entry) -> Result<(), String> {
        self.check_room((entry.train.len() + entry.test.len()) as u64)?;
        self.try_write(entry).map_err(|error| self.not_kept(&error.to_string()))
    }

    fn try_write(&self, entry: &Entry) -> io::Result<()> {
        let header = self.header(entry.shape);
        write_with(&self.file, |file| {
            let mut checksum = 0;
            for part in [&header, &entry.train, &entry.test] {
                checksum = crc32c::crc32c_append(checksum, part);
                file.write_all(part)?;
            }
            file.write_all(&checksum.to_le_bytes())
        })
    }

    fn header(&self, shape: ImageShape) -> Vec<u8> {
        let numbers = [shape.channels, shape.height, shape.width, self.train_images, self.test_images];
        let mut header = [MAGIC.as_slice(), &self.fingerprint].concat();
        header.extend(numbers.iter().flat_map(|&number| (number as u64).to_le_bytes()));
        header
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// Which folder and which size.
fn place(scan: &Scan, resize: Option<(usize, usize)>) -> [u8; 32] {
    let (height, width) = resize.unwrap_or((0, 0));
    let mut hasher = Sha256::new();
    hash_field(&mut hasher, &MAGIC);
    hash_field(&mut hasher, scan.root.as_os_str().as_encoded_bytes());
    hasher.update((height as u64).to_le_bytes());
    hasher.update((width as u64).to_le_bytes());
    hasher.finalize().into()
}

/// Everything that decides what was decoded.
fn fingerprint(place: &[u8; 32], scan: &Scan) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(place);
    for file in scan.files() {
        let path = file.path();
        let relative = path.strip_prefix(&scan.root).unwrap_or(&path);
        hash_field(&mut hasher, relative.as_os_str().as_encoded_bytes());
        if let Place::Member { offset, .. } = &file.place {
            hasher.update(offset.to_le_bytes());
        }
        hasher.update(file.bytes.to_le_bytes());
        hasher.update(file.modified.to_le_bytes());
        hasher.update(file.changed.to_le_bytes());
    }
    hasher.finalize().into()
}

/// With its length, so that no two lists of fields run into the same bytes.
fn hash_field(hasher: &mut Sha256, field: &[u8]) {
    hasher.update((field.len() as u64).to_le_bytes());
    hasher.update(field);
}

/// Keeps the checksum of everything that is read.
struct Checked<R> {
    inner: R,
    checksum: u32,
}

impl<R: Read> Checked<R> {
    fn take_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let bytes = read_up_to(&mut self.inner, count)?;
        if bytes.len() < count {
            return Err(damaged("it is cut short"));
        }
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
        Ok(bytes)
    }

    /// Whether the checksum that comes next is that of all before.
    fn check(&mut self) -> io::Result<()> {
        let checksum = self.checksum;
        if self.take_bytes(CHECKSUM_BYTES)? == checksum.to_le_bytes() {
            return Ok(());
        }
        Err(damaged("its checksum is wrong"))
    }
}

fn damaged(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
