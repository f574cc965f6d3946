//! Event files of TensorBoard: scalars over steps.
//!
//! A file is a row of records (TensorFlow, `tsl/lib/io/record_writer.h`): length as u64, its masked CRC-32C, the bytes,
//! their masked CRC-32C, all little-endian. The bytes are an `Event` message of `tensorflow/core/util/event.proto`, of which
//! the fields used here are spelt out below.

use crate::error::{Error, Result};
use crate::regular;
use gaat_spec::visible;
use prost::Message;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What the first record of every file says.
const VERSION: &str = "brain.Event:2";
const LENGTH: usize = size_of::<u64>();
const CHECKSUM: usize = size_of::<u32>();

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    // Optional, or a value of 0 would not be written at all.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file, open at its end.
#[derive(Debug)]
pub struct EventFile {
    file: BufWriter<fs_err::File>,
    /// Records so far.
    length: usize,
}

impl EventFile {
    /// Opens the file at `path`, or begins it at `wall_time` (seconds since 1970), and continues after its first `length` records.
    /// What follows is dropped, for it will come again, and so is what a killed process left half written.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut, or is no event file; it is then left as it was.
    pub fn append_to(path: &Path, length: usize, wall_time: f64) -> Result<Self> {
        let file = regular::append(path)?;
        let bytes = regular::read(path)?;
        let (kept, length) = kept(&bytes, length);
        if is_foreign(&bytes) {
            let reason = "is not an event file of TensorBoard; remove it, or choose another directory";
            return Err(Error::file(path, reason));
        }
        file.file().set_len(kept as u64)?;
        let mut events = Self { file: BufWriter::new(file), length };
        if kept == 0 {
            events.write(&Event { wall_time, file_version: Some(VERSION.to_owned()), ..Event::default() })?;
            events.flush()?;
        }
        Ok(events)
    }

    /// Adds the value of each tag at `step`, at `wall_time` in seconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars(&mut self, wall_time: f64, step: usize, values: &[(&str, f64)]) -> io::Result<()> {
        let scalar = |(tag, value): &(&str, f64)| Scalar {
            tag: visible(tag).into_owned(),
            simple_value: Some(*value as f32),
        };
        let summary = Some(Summary { value: values.iter().map(scalar).collect() });
        self.write(&Event { wall_time, step: step as i64, file_version: None, summary })
    }

    /// Records so far, with the one that every file begins with.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Brings all records to the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// Lets readers see what was written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.file.write_all(&record(&event.encode_to_vec()))?;
        self.length += 1;
        Ok(())
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length), data, &masked_checksum(data)].concat()
}

/// CRC-32C, rotated and shifted so that a checksum of data that holds checksums means something.
fn masked_checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Bytes of the whole records at the start, at most `most` of them, and how many these are.
fn kept(bytes: &[u8], most: usize) -> (usize, usize) {
    let (mut end, mut length) = (0, 0);
    while length < most
        && let Some((data, size)) = first_record(&bytes[end..])
        && Event::decode(data).is_ok()
    {
        (end, length) = (end + size, length + 1);
    }
    (end, length)
}

/// Whether a file begins as no event file does, cut short or not.
fn is_foreign(bytes: &[u8]) -> bool {
    let header = bytes.split_first_chunk::<LENGTH>();
    let checked = header.and_then(|(length, rest)| Some((length, rest.first_chunk::<CHECKSUM>()?)));
    checked.is_some_and(|(length, checksum)| masked_checksum(length) != *checksum)
}

/// The data of the first record, and the length of the record; `None` where it is not whole.
fn first_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM>()?;
    if masked_checksum(length) != *checksum {
        return None;
    }
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (checksum, _) = rest.split_first_chunk::<CHECKSUM>()?;
    (masked_checksum(data) == *checksum).then(|| (data, LENGTH + CHECKSUM + data.len() + CHECKSUM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, length: usize, steps: std::ops::RangeInclusive<usize>) -> Vec<u8> {
        let mut file = EventFile::append_to(path, length, 1.5e9).unwrap();
        for step in steps {
            file.scalars(1.5e9 + step as f64, step, &[("a/b", 0.5), ("c", 0.0)]).unwrap();
        }
        drop(file);
        fs_err::read(path).unwrap()
    }

    /// What TensorBoard's own writer makes of these events (`reference/tensorboard_events.py golden`).
    #[test]
    fn the_bytes_are_those_of_tensorboard() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(&folder.path().join("tfevents"), 0, 3..=3);
        let golden = include_str!("../tests/golden/tfevents.hex").trim_end();
        let golden =
            (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap());
        assert_eq!(bytes, golden.collect::<Vec<u8>>());
    }

    #[test]
    fn a_resumed_file_equals_one_that_never_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let whole = written(&folder.path().join("whole"), 0, 1..=9);
        let path = folder.path().join("resumed");
        let first = written(&path, 0, 1..=6);
        // Killed in the middle of a record after step 6; the checkpoint is of step 4.
        fs_err::write(&path, [&first[..], &first[..20]].concat()).unwrap();
        // The first record is that of the file.
        assert_eq!(written(&path, 5, 5..=9), whole);
        // Killed before the first record was whole.
        fs_err::write(&path, &whole[..30]).unwrap();
        assert_eq!(written(&path, 0, 1..=9), whole);
        // A damaged record takes all that follow with it.
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let (kept, length) = kept(&damaged, 10);
        assert!(0 < length && length < 10);
        assert!(0 < kept && kept <= middle && damaged[..kept] == whole[..kept]);
    }

    #[test]
    fn another_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tfevents");
        fs_err::write(&path, "notes that somebody put here").unwrap();
        assert!(EventFile::append_to(&path, 0, 0.0).is_err());
        assert_eq!(fs_err::read(&path).unwrap(), b"notes that somebody put here");
    }
}
