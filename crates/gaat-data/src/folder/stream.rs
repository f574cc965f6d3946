//! The images of a folder, read when they are asked for: by offset from the cache of decoded images, or, where no cache can be kept,
//! decoded again. Memory holds labels, and no pixel.

use std::path::Path;
use std::sync::Arc;

use fs_err::File;

use super::cache::{Cache, Kept};
use super::decode::Job;
use super::failures::Failures;
use super::scan::{Divided, ImageFile, Scan};
use crate::error::{Error, Result};
use crate::image_set::ImageShape;
use crate::source::{ImageSource, KeptDigest};

/// Bytes of pixels that are decoded at once on the way to the cache.
const CHUNK: usize = 32 << 20;

/// The images of one part of a folder.
pub(crate) struct Streamed {
    origin: Origin,
    shape: ImageShape,
    labels: Vec<i64>,
    class_names: Vec<String>,
    name: String,
    digest: KeptDigest,
}

enum Origin {
    /// Pixels `[N, C, H, W]` from `start` on.
    Cache {
        file: Arc<File>,
        start: u64,
    },
    Files {
        job: Arc<Job>,
        files: Vec<ImageFile>,
    },
}

/// The parts of the folder that `scan` has seen, and warnings for the user.
pub(crate) fn stream(
    scan: Scan,
    name: &str,
    resize: Option<(usize, usize)>,
    cache: Option<&Cache>,
) -> Result<(Divided<Streamed>, Vec<String>)> {
    let mut warnings = Vec::new();
    if let Some(cache) = cache {
        let mut found = cache.find();
        if let Err(warning) = &found {
            warnings.push(warning.clone());
        }
        if !matches!(found, Ok(Some(_))) {
            match fill(cache, &scan, resize)? {
                Ok(()) => found = cache.find(),
                Err(warning) => warnings.push(warning),
            }
        }
        match found {
            Ok(Some(kept)) => return Ok((of_cache(kept, &scan, name), warnings)),
            Ok(None) => {}
            Err(warning) => warnings.push(warning),
        }
    }
    warnings.push(
        "every image is decoded again in every epoch, because the decoded images are not kept: give the cache directory more room, \
         or name another one (GAAT_CACHE)"
            .to_owned(),
    );
    let job = Job::of(&scan, resize)?;
    let shape = job.shape(&scan);
    let job = Arc::new(job);
    let (parts, class_names) = scan.into_parts();
    let parts = parts.map(|files| {
        let labels = files.iter().map(|file| i64::from(file.label)).collect();
        let origin = Origin::Files { job: Arc::clone(&job), files };
        Streamed::new(origin, shape, labels, &class_names, name)
    });
    Ok((parts, warnings))
}

/// Decodes into the cache, some images at a time; the inner error is a warning for the user.
fn fill(
    cache: &Cache,
    scan: &Scan,
    resize: Option<(usize, usize)>,
) -> Result<std::result::Result<(), String>> {
    let job = Job::of(scan, resize)?;
    let shape = job.shape(scan);
    let files: Vec<&ImageFile> = scan.files().collect();
    let at_once = (CHUNK / job.planes().bytes().max(1)).max(1);
    cache.fill(shape, &mut |keep| {
        let mut failures = Failures::default();
        for files in files.chunks(at_once) {
            let (pixels, failed) = job.decode_chunk(files.to_vec(), shape.channels);
            failures = failures.followed_by(failed);
            keep(&pixels)?;
        }
        failures.check()
    })
}

fn of_cache(kept: Kept, scan: &Scan, name: &str) -> Divided<Streamed> {
    let (shape, mut start) = (kept.shape, kept.start);
    let file = Arc::new(kept.file);
    scan.parts().map(|files| {
        let labels: Vec<i64> = files.iter().map(|file| i64::from(file.label)).collect();
        let origin = Origin::Cache { file: Arc::clone(&file), start };
        start += (labels.len() * shape.bytes()) as u64;
        Streamed::new(origin, shape, labels, &scan.class_names, name)
    })
}

impl Streamed {
    fn new(origin: Origin, shape: ImageShape, labels: Vec<i64>, class_names: &[String], name: &str) -> Self {
        let (class_names, name) = (class_names.to_vec(), name.to_owned());
        Self { origin, shape, labels, class_names, name, digest: KeptDigest::default() }
    }
}

impl ImageSource for Streamed {
    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn labels(&self) -> &[i64] {
        &self.labels
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        let bytes = self.shape.bytes();
        match &self.origin {
            Origin::Cache { file, start } => {
                // Neighbours in one go.
                let mut done = 0;
                for run in indices.chunk_by(|left, right| left + 1 == *right) {
                    let target = &mut pixels[done * bytes..(done + run.len()) * bytes];
                    read_at(file, target, start + (run[0] * bytes) as u64)?;
                    done += run.len();
                }
                Ok(())
            }
            Origin::Files { job, files } => {
                let files: Vec<&ImageFile> = indices.iter().map(|&index| &files[index]).collect();
                let (decoded, failures) = job.decode_chunk(files, self.shape.channels);
                failures.check()?;
                pixels[..decoded.len()].copy_from_slice(&decoded);
                Ok(())
            }
        }
    }

    fn digest(&self) -> Result<String> {
        self.digest.of(self)
    }

    fn is_resident(&self) -> bool {
        false
    }
}

#[cfg(unix)]
fn read_at(file: &File, target: &mut [u8], offset: u64) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.file().read_exact_at(target, offset).map_err(|error| cut_short(file.path(), &error))
}

#[cfg(not(unix))]
fn read_at(file: &File, target: &mut [u8], offset: u64) -> Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    // A handle of its own: threads do not share a place in it.
    let mut own = File::open(file.path())?;
    own.seek(SeekFrom::Start(offset))?;
    own.read_exact(target).map_err(|error| cut_short(file.path(), &error))
}

fn cut_short(path: &Path, error: &std::io::Error) -> Error {
    Error::malformed(path, "the decoded images that were there when the program began", error.to_string())
}
