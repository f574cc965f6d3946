//! CIFAR-10 and CIFAR-100 in their binary and in their Python version, which torchvision keeps.
//!
//! Format: <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version": records of one label byte (CIFAR-10) or two,
//! coarse and fine (CIFAR-100; the fine label is used), then 1,024 bytes each of red, green and blue, row-major. Files with
//! fewer records than the official ones are accepted. The Python
//! version holds the same planes in pickled arrays, which are read and never run. Not read: the Matlab version.

use std::path::Path;

use crate::cifar_files::{Member, Members, Store};
use crate::classes;
use crate::error::{Error, Result};
use crate::image_set::{ImageSet, ImageShape};
use crate::layouts::cifar::{Format, Layout, TEST_RECORDS};
use gaat_files::pickle::{Batch, read_batch, read_names};
use gaat_spec::DatasetName;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

impl Layout {
    /// The files with records, training first.
    pub(crate) fn record_files(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().copied().chain([self.test])
    }

    const fn record_bytes(&self) -> usize {
        self.label_bytes + SHAPE.bytes()
    }

    /// The longest that a file may be; what is longer is not unpacked into memory.
    pub(crate) fn longest(&self, file: &str) -> usize {
        let records = if file == self.test { TEST_RECORDS } else { self.train_records };
        match self.format {
            _ if file == self.names => 64 << 10,
            Format::Binary => records * self.record_bytes(),
            // Python 3 writes bytes beyond 127 as two in protocol 2; names of files come on top.
            Format::Python(..) => records * (2 * self.record_bytes() + 200) + (64 << 10),
        }
    }

    /// The most that an archive may unpack to: all files at their longest, and as much again for what stands around them.
    pub(crate) fn longest_archive(&self) -> u64 {
        let files = self.record_files().chain([self.names]);
        2 * files.map(|file| self.longest(file) as u64).sum::<u64>()
    }

    /// The images of an official training set and test set.
    pub(crate) fn official_counts(&self) -> (usize, usize) {
        (self.train.len() * self.train_records, TEST_RECORDS)
    }
}

/// Reads (train, test).
pub(crate) fn load(layout: &Layout, store: &Store) -> Result<(ImageSet, ImageSet)> {
    let members = store.read(layout)?;
    let class_names = class_names(layout, &members)?;
    let train = read_part(layout, &members, layout.train, &class_names)?;
    let test = read_part(layout, &members, &[layout.test], &class_names)?;
    Ok((train, test))
}

fn read_part(layout: &Layout, members: &Members, files: &[&str], class_names: &[String]) -> Result<ImageSet> {
    let members: Vec<&Member> = files.iter().filter_map(|file| members.get(*file)).collect();
    let bytes: usize = members.iter().map(|member| member.bytes.len()).sum();
    let mut pixels = Vec::with_capacity(bytes);
    let mut labels = Vec::with_capacity(bytes / layout.record_bytes());
    for member in members {
        append_records(layout, member, &mut pixels, &mut labels)?;
    }
    ImageSet::new(pixels, SHAPE, labels, class_names.to_vec(), layout.dataset.to_string())
}

fn append_records(
    layout: &Layout,
    member: &Member,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<()> {
    let Member { path, bytes } = member;
    if let Format::Python(key, _) = layout.format {
        let found = read_batch(bytes, SHAPE.bytes(), key);
        let found = found.map_err(|found| Error::malformed(path, "a pickled batch of CIFAR", found))?;
        return append_batch(layout, path, found, pixels, labels);
    }
    let record_bytes = layout.record_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(record_bytes) {
        let expected = format!("a whole number of records of {record_bytes} bytes");
        let found = format!(
            "{} bytes, {} more than {} records",
            bytes.len(),
            bytes.len() % record_bytes,
            bytes.len() / record_bytes,
        );
        return Err(Error::malformed(path, expected, found));
    }
    for (index, record) in bytes.chunks_exact(record_bytes).enumerate() {
        // The fine label of CIFAR-100 is the second byte: the last one before the pixels in both.
        let label = u16::from(record[layout.label_bytes - 1]);
        if label >= layout.classes {
            let expected = format!("labels from 0 to {}", layout.classes - 1);
            return Err(Error::malformed(path, expected, format!("label {label} in record {index}")));
        }
        labels.push(label);
        pixels.extend_from_slice(&record[layout.label_bytes..]);
    }
    Ok(())
}

fn append_batch(
    layout: &Layout,
    path: &Path,
    batch: Batch,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<()> {
    if batch.labels.is_empty() {
        return Err(Error::malformed(path, "at least one image", "none"));
    }
    let wrong = batch.labels.iter().enumerate().find(|(_, label)| **label >= layout.classes);
    if let Some((index, label)) = wrong {
        let expected = format!("labels from 0 to {}", layout.classes - 1);
        return Err(Error::malformed(path, expected, format!("label {label} of image {index}")));
    }
    pixels.extend_from_slice(&batch.pixels);
    labels.extend(batch.labels);
    Ok(())
}

fn class_names(layout: &Layout, members: &Members) -> Result<Vec<String>> {
    let Some(Member { path, bytes }) = members.get(layout.names) else {
        return Ok(default_names(layout));
    };
    let expected = format!("{} class names, one a line", layout.classes);
    let malformed = |found: String| Error::malformed(path, expected.clone(), found);
    let names: Vec<String> = if let Format::Python(_, key) = layout.format {
        read_names(bytes, key).map_err(malformed)?
    } else {
        let text =
            std::str::from_utf8(bytes).map_err(|_| malformed("bytes that are not UTF-8".to_owned()))?;
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    if names.len() != usize::from(layout.classes) {
        return Err(malformed(format!("{} lines with text", names.len())));
    }
    classes::class_names(names).map_err(malformed)
}

/// Without the file of names, CIFAR-10 is known by heart and the hundred fine classes go by number.
fn default_names(layout: &Layout) -> Vec<String> {
    const CIFAR10_NAMES: [&str; 10] =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    match layout.dataset {
        DatasetName::Cifar10 => CIFAR10_NAMES.map(str::to_owned).to_vec(),
        _ => (0..layout.classes).map(|class| format!("class-{class}")).collect(),
    }
}

/// Insists that a file is no longer than an official one.
pub(crate) fn check_length(layout: &Layout, file: &str, path: &Path, bytes: u64) -> Result<()> {
    let longest = layout.longest(file);
    if bytes <= longest as u64 {
        return Ok(());
    }
    Err(Error::malformed(path, format!("at most {longest} bytes"), format!("{bytes} bytes")))
}
