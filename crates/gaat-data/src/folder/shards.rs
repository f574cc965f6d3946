//! Shards of WebDataset: tar archives whose members belong together by name, `0001.jpg` with its class in `0001.cls`.
//!
//! Format: POSIX.1-2017, pax, "ustar interchange format"; <https://github.com/webdataset/webdataset>, "The WebDataset format". A
//! class is a number from 0 in ASCII. The names of the classes are the lines of `classnames.txt` (or `classes.txt`) beside the
//! shards, else their numbers. Of a shard the headers and the classes are read; an image is read when it is decoded.

use std::collections::HashMap;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tar::Archive;

use super::arrangement::Part;
use super::scan::{ENDINGS, ImageFile, Listed, Place, check_class_count, times};
use crate::classes;
use crate::error::{Error, Result};

/// What a shard must be, for messages.
const EXPECTED: &str = "a whole tar archive";
/// A tar archive ends with two blocks of zeros.
const END: u64 = 1024;
const BLOCK: u64 = 512;
/// A number and the end of a line are shorter.
const LONGEST_CLASS: u64 = 32;
/// Files with the names of the classes.
const NAMES: [&str; 2] = ["classnames.txt", "classes.txt"];

/// The images of all shards in `root`.
pub(super) fn list(root: &Path) -> Result<Listed> {
    let part = |part: Part| -> Result<Vec<ImageFile>> {
        let shards: Vec<Result<Vec<ImageFile>>> =
            part.shards(root).par_iter().map(|shard| images(shard)).collect();
        Ok(shards.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let (train, validation, test) = (part(Part::Train)?, part(Part::Validation)?, part(Part::Test)?);
    let class_names =
        class_names(root, train.iter().map(|image| usize::from(image.label) + 1).max().unwrap_or(0))?;
    for image in validation.iter().chain(&test).chain(&train) {
        if usize::from(image.label) >= class_names.len() {
            let expected = format!("a class below {}, as in the training shards", class_names.len());
            return Err(Error::malformed(&image.path(), expected, image.label.to_string()));
        }
    }
    Ok(Listed { class_names, train, validation, test })
}

/// The lines of the file with the names, else the numbers below `count`.
fn class_names(root: &Path, count: usize) -> Result<Vec<String>> {
    for name in NAMES {
        let path = root.join(name);
        if path.is_file() {
            let text = gaat_files::read_text(&path)?;
            let names = text.lines().map(str::to_owned);
            let names = classes::class_names(names)
                .map_err(|fault| Error::malformed(&path, "a name of its own in each line", fault))?;
            check_class_count(&path, names.len())?;
            return Ok(names);
        }
    }
    check_class_count(root, count)?;
    Ok((0..count).map(|class| class.to_string()).collect())
}

/// One sample of a shard, while its members are found.
#[derive(Default)]
struct Sample {
    class: Option<u16>,
    image: Option<(Box<str>, u64, u64)>,
}

/// The images of one shard, in its order.
fn images(path: &Path) -> Result<Vec<ImageFile>> {
    let reading = |error| Error::reading(path, EXPECTED, error);
    let file = gaat_files::open(path)?;
    let metadata = file.metadata()?;
    let length = metadata.len();
    let (modified, changed) = times(&metadata)?;
    let mut archive = Archive::new(BufReader::new(file));
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut samples: Vec<(String, Sample)> = Vec::new();
    let mut end = 0;
    for entry in archive.entries_with_seek().map_err(reading)? {
        let mut entry = entry.map_err(reading)?;
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        end = offset.saturating_add(bytes).div_ceil(BLOCK).saturating_mul(BLOCK);
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if end > length {
            let expected = format!("{bytes} bytes of the member {name}");
            return Err(Error::malformed(path, expected, "the end of the file: the shard is cut short"));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((key, ending)) = key(&name) else { continue };
        let (is_class, is_image) = (ending == "cls", ENDINGS.contains(&ending.as_str()));
        if !is_class && !is_image {
            continue;
        }
        let place = *places.entry(key.clone()).or_insert_with(|| {
            samples.push((key, Sample::default()));
            samples.len() - 1
        });
        let sample = &mut samples[place].1;
        let member = path.join(&name);
        if is_class {
            let mut text = String::new();
            entry.by_ref().take(LONGEST_CLASS).read_to_string(&mut text).map_err(reading)?;
            let class = text.trim().parse().map_err(|_| {
                Error::malformed(
                    &member,
                    "the number of a class, from 0 to 65534",
                    format!("{:?}", text.trim()),
                )
            })?;
            if sample.class.replace(class).is_some() {
                return Err(Error::malformed(&member, "one class for an image", "two"));
            }
        } else if sample.image.replace((name.into(), offset, bytes)).is_some() {
            return Err(Error::malformed(&member, "one image of a name", "two"));
        }
    }
    check_end(path, end, length)?;
    let shard: Arc<Path> = path.into();
    samples
        .into_iter()
        .map(|(key, sample)| match sample {
            Sample { class: Some(label), image: Some((name, offset, bytes)) } => {
                let place = Place::Member { shard: Arc::clone(&shard), name, offset };
                Ok(ImageFile { place, label, bytes, modified, changed })
            }
            Sample { class: None, .. } => Err(Error::malformed(
                &path.join(key),
                "the number of its class in a member .cls, as in shards of WebDataset",
                "an image alone",
            )),
            Sample { image: None, .. } => {
                Err(Error::malformed(&path.join(key), "an image, .png, .jpg or .jpeg", "a class alone"))
            }
        })
        .collect()
}

/// Insists on the blocks of zeros with which an archive ends: without them members may be missing.
fn check_end(path: &Path, end: u64, length: u64) -> Result<()> {
    let cut_short = || {
        Error::malformed(
            path,
            "two blocks of zeros at the end of a tar archive",
            "none: the shard is cut short",
        )
    };
    if length < end.saturating_add(END) {
        return Err(cut_short());
    }
    let mut file = gaat_files::open(path)?;
    file.seek(std::io::SeekFrom::Start(end))?;
    let mut block = [0; END as usize];
    file.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(cut_short()) }
}

/// Name and ending of a member, as WebDataset divides them: at the first dot of the last part of the path.
fn key(name: &str) -> Option<(String, String)> {
    let (folder, last) = name.rsplit_once('/').map_or(("", name), |(folder, last)| (folder, last));
    let (stem, ending) = last.split_once('.')?;
    (!stem.is_empty())
        .then(|| (format!("{folder}/{stem}").trim_start_matches('/').to_owned(), ending.to_lowercase()))
}
