//! Files that are small, lopsided and written byte by byte, so that a transpose or a swap of channels must fail.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gaat_data::{DatasetName, Directories, Loaded, Result, Source, load_with};

/// A directory for data, and places that search only that.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, bytes: &[u8]) {
        let path = self.path(below);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }

    pub(crate) fn places(&self) -> Directories {
        Directories { data_roots: vec![self.path("")], cache: None }
    }

    pub(crate) fn load(&self, dataset: DatasetName) -> Result<Loaded> {
        load_with(&source(dataset), &self.places())
    }

    /// The message of the error that loading ends with.
    pub(crate) fn failure(&self, dataset: DatasetName) -> String {
        self.load(dataset).unwrap_err().to_string()
    }
}

pub(crate) fn source(dataset: DatasetName) -> Source {
    Source { dataset, data_dir: None, resize: None }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The four MNIST files: three training and two test images of 2 rows and 3 columns.
pub(crate) fn mnist_files() -> [(&'static str, Vec<u8>); 4] {
    let images = |count: u8, first: u8| {
        let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3];
        header.into_iter().chain(first..first + count * 6).collect()
    };
    [
        ("train-images-idx3-ubyte", images(3, 0)),
        ("train-labels-idx1-ubyte", vec![0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 9]),
        ("t10k-images-idx3-ubyte", images(2, 100)),
        ("t10k-labels-idx1-ubyte", vec![0, 0, 8, 1, 0, 0, 0, 2, 7, 1]),
    ]
}

/// The value of a pixel in a CIFAR record that starts with `seed`.
pub(crate) fn cifar_pixel(seed: u8, channel: usize, row: usize, column: usize) -> u8 {
    (usize::from(seed) * 11 + channel * 80 + row * 3 + column) as u8
}

/// One CIFAR record: label bytes, then all of red, of green and of blue, each row by row.
pub(crate) fn cifar_record(labels: &[u8], seed: u8) -> Vec<u8> {
    let mut record = labels.to_vec();
    for channel in 0..3 {
        for row in 0..32 {
            record.extend((0..32).map(|column| cifar_pixel(seed, channel, row, column)));
        }
    }
    record
}

/// CIFAR-10 with two records in the first file and one in each other; labels and seeds count up from 0.
pub(crate) fn cifar10_files() -> Vec<(String, Vec<u8>)> {
    let record = |seed: u8| cifar_record(&[seed], seed);
    let mut files = vec![("data_batch_1.bin".to_owned(), [record(0), record(1)].concat())];
    files.extend((2..=5).map(|batch| (format!("data_batch_{batch}.bin"), record(batch))));
    files.push(("test_batch.bin".to_owned(), record(9)));
    let names: Vec<String> = (0..10).map(|class| format!("kind {class}\n")).collect();
    files.push(("batches.meta.txt".to_owned(), format!("{}\n", names.concat()).into_bytes()));
    files
}

/// A `.tar.gz` of `files` in `directory`.
pub(crate) fn archive(directory: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, Path::new(directory).join(name), bytes.as_slice()).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}
