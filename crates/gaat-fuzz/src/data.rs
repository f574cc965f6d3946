//! Readers of state dicts of PyTorch, of data sets and of the cache of decoded images.

use crate::{put, told};
use flate2::Compression;
use flate2::write::GzEncoder;
use gaat_data::{DatasetName, Directories, Source, info_with, load_with, verify_with};
use gaat_files::pickle::CheckpointFile;
use image::{DynamicImage, ImageFormat, RgbImage};
use std::io::{Cursor, Write as _};
use std::path::Path;

pub(crate) fn pickle(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let path = put(scratch, "weights.pth", bytes);
    let read = || -> gaat_files::Result<()> {
        let file = CheckpointFile::open(&path)?;
        let checkpoint = file.parse()?;
        checkpoint.closed();
        let dicts = checkpoint.state_dicts(&|_| true)?;
        if dicts.is_empty() {
            return Err(checkpoint.without_tensors());
        }
        for dict in &dicts {
            let places: Vec<usize> = (0..dict.tensors.len()).collect();
            checkpoint.tensors(dict, &places)?;
        }
        Ok(())
    };
    told(read())
}

pub(crate) fn pickle_seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../gaat-files/tests/golden/legacy.pth").to_vec()]
}

/// Without the checksums of their members, which would hide everything behind them: 0 stands for none.
pub(crate) fn zip_seeds() -> Vec<Vec<u8>> {
    let mut seeds = [
        include_bytes!("../../gaat-files/tests/golden/zip.pth").to_vec(),
        include_bytes!("../../gaat-files/tests/golden/wrapped.pth").to_vec(),
        include_bytes!("../../gaat-files/tests/golden/parameters.pth").to_vec(),
    ];
    for seed in &mut seeds {
        drop_checksums(seed);
    }
    seeds.to_vec()
}

/// Sets the checksum of each member of a zip archive to 0, in its table of contents.
pub(crate) fn drop_checksums(archive: &mut [u8]) {
    let entries = archive.windows(4).enumerate().filter(|(_, bytes)| bytes == b"PK\x01\x02");
    for place in entries.map(|(place, _)| place).collect::<Vec<_>>() {
        archive[place + 16..place + 20].fill(0);
    }
}

/// Looks, verifies and loads; the three must agree on whether anything can be read.
pub(crate) fn look(
    dataset: DatasetName,
    root: &Path,
    resize: Option<(usize, usize)>,
    cache: Option<&Path>,
) -> Result<(), String> {
    let source = Source { dataset, data_dir: Some(root.to_owned()), resize };
    let places = Directories { data_roots: Vec::new(), cache: cache.map(Path::to_owned) };
    if cache.is_none() {
        drop(info_with(&source, &places));
        drop(verify_with(&source, &places));
    }
    told(load_with(&source, &places))
}

const IDX: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// The first byte says which of the four files the rest is.
pub(crate) fn idx(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let Some((which, bytes)) = bytes.split_first() else { return Ok(()) };
    let root = scratch.join("mnist");
    for (name, good) in IDX.iter().zip(idx_files()) {
        put(&root, name, &good);
    }
    put(&root, IDX[usize::from(*which) % 4], bytes);
    look(DatasetName::Mnist, &root, None, None)
}

fn idx_files() -> [Vec<u8>; 4] {
    let images = |count: u8| {
        [&[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3][..], &vec![7; 6 * usize::from(count)]].concat()
    };
    let labels = |count: u8| [&[0, 0, 8, 1, 0, 0, 0, count][..], &(0..count).collect::<Vec<u8>>()].concat();
    [images(4), labels(4), images(2), labels(2)]
}

pub(crate) fn idx_seeds() -> Vec<Vec<u8>> {
    let files = idx_files();
    let plain = files.iter().zip(0..).map(|(file, which)| [&[which][..], file].concat());
    let packed = files.iter().zip(0..).map(|(file, which)| [&[which][..], &gzip(file)].concat());
    plain.chain(packed).collect()
}

pub(crate) fn cifar(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let root = scratch.join("cifar");
    put(&root, "cifar-10-binary.tar.gz", bytes);
    look(DatasetName::Cifar10, &root, None, None)
}

pub(crate) fn cifar_seeds() -> Vec<Vec<u8>> {
    tar_seeds().iter().map(|seed| gzip(seed)).collect()
}

/// Unpacked, so that changes reach what is in them.
pub(crate) fn tar_seeds() -> Vec<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), bytes).unwrap();
    };
    add("batches.meta.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n".as_bytes());
    for name in (1..=5).map(|index| format!("data_batch_{index}.bin")).chain(["test_batch.bin".to_owned()]) {
        add(&name, &[3; 3073]);
    }
    vec![archive.into_inner().unwrap()]
}

/// An image beside good ones.
pub(crate) fn folder(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let root = folder_at(scratch);
    put(&root, "train/a/x.png", bytes);
    look(DatasetName::Folder, &root, Some((4, 4)), None)
}

fn folder_at(scratch: &Path) -> std::path::PathBuf {
    let root = scratch.join("photos");
    for path in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        if !root.join(path).exists() {
            put(&root, path, &gaat_files::png::of_rgb(&[9; 48], 4, 4).unwrap());
        }
    }
    root
}

pub(crate) fn folder_seeds() -> Vec<Vec<u8>> {
    let picture =
        DynamicImage::from(RgbImage::from_fn(12, 10, |x, y| image::Rgb([20 * x as u8, 20 * y as u8, 90])));
    let encoded = |picture: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    vec![
        encoded(&picture, ImageFormat::Png),
        encoded(&picture, ImageFormat::Jpeg),
        encoded(&DynamicImage::from(picture.to_luma8()), ImageFormat::Png),
        encoded(&DynamicImage::from(picture.to_rgba16()), ImageFormat::Png),
        encoded(&DynamicImage::from(picture.to_luma8()), ImageFormat::Jpeg),
    ]
}

/// Bytes in the place of a cache of decoded images. Whatever they are, the images come out as they are.
pub(crate) fn cache(bytes: &[u8], scratch: &Path) -> Result<(), String> {
    let (root, cache) = (folder_at(scratch), scratch.join("cache"));
    let path = cache_file(&root, &cache);
    fs_err::write(&path, bytes).unwrap();
    let source = Source { dataset: DatasetName::Folder, data_dir: Some(root), resize: None };
    let places = Directories { data_roots: Vec::new(), cache: Some(cache) };
    let loaded = load_with(&source, &places).map_err(|error| error.to_string())?;
    assert_eq!(loaded.train.pixels(), [9; 96], "the cache was believed");
    Ok(())
}

fn cache_file(root: &Path, cache: &Path) -> std::path::PathBuf {
    let find = || fs_err::read_dir(cache).ok()?.flatten().map(|entry| entry.path()).next();
    find().unwrap_or_else(|| {
        look(DatasetName::Folder, root, None, Some(cache)).unwrap();
        find().unwrap()
    })
}

pub(crate) fn cache_seeds() -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    vec![fs_err::read(cache_file(&folder_at(scratch.path()), &scratch.path().join("cache"))).unwrap()]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
