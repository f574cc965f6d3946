//! Images of one's own that are not files of their own: shards of WebDataset and arrays of numpy.

use crate::data::look;
use crate::put;
use gaat_data::DatasetName;
use gaat_testkit::npy;
use std::io::{Cursor, Write as _};
use std::path::Path;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A training shard beside a good test shard.
pub(crate) fn shards(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let root = scratch.join("shards");
    put(&root, "test-0.tar", &shard());
    put(&root, "train-0.tar", bytes);
    look(DatasetName::Folder, &root, Some((4, 4)), None)
}

pub(crate) fn shards_seeds() -> Vec<Vec<u8>> {
    vec![shard()]
}

fn shard() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    for (name, class) in [("a/0", "0"), ("a/1", "1\n")] {
        add(&format!("{name}.png"), &gaat_files::png::of_rgb(&[9; 48], 4, 4).unwrap());
        add(&format!("{name}.cls"), class.as_bytes());
    }
    archive.into_inner().unwrap()
}

/// Training arrays beside good test arrays. The first byte says what the rest is: the whole file, its labels or its images; a member is
/// packed with the checksum that fits it, so that changes reach what lies behind the checksum.
pub(crate) fn arrays(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let Some((which, bytes)) = bytes.split_first() else { return Ok(()) };
    let root = scratch.join("arrays");
    put(&root, "test.npz", &npz(&labels(), &images()));
    let file = match which % 3 {
        0 => bytes.to_vec(),
        1 => npz(bytes, &images()),
        _ => npz(&labels(), bytes),
    };
    put(&root, "train.npz", &file);
    look(DatasetName::Folder, &root, None, None)
}

pub(crate) fn arrays_seeds() -> Vec<Vec<u8>> {
    [npz(&labels(), &images()), labels(), images()]
        .into_iter()
        .zip(0u8..)
        .map(|(content, which)| [&[which][..], &content].concat())
        .collect()
}

fn npz(labels: &[u8], images: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, method, content) in
        [("label.npy", CompressionMethod::Stored, labels), ("image.npy", CompressionMethod::Deflated, images)]
    {
        archive.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn labels() -> Vec<u8> {
    npy("<i8", "(2,)", &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
}

fn images() -> Vec<u8> {
    npy("|u1", "(2, 2, 2, 3)", &[7; 24])
}
