//! Random images in the official layouts, so that gaat measures its own way from file to step.

use anyhow::Context as _;
use std::path::Path;

const CIFAR_FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Records of each CIFAR file: enough steps at batch 256.
const CIFAR_RECORDS: usize = 1_000;
const MNIST: [(&str, &str, usize); 2] = [
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 1_000),
];
const CLASSES: u64 = 10;

/// Writes both data sets into `folder`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let mut noise = Noise(1);
    for file in CIFAR_FILES {
        let mut bytes = Vec::with_capacity(CIFAR_RECORDS * 3_073);
        for record in 0..CIFAR_RECORDS as u64 {
            bytes.push((record % CLASSES) as u8);
            noise.extend(&mut bytes, 3_072);
        }
        put(folder, file, &bytes)?;
    }
    for (images, labels, count) in MNIST {
        let mut bytes = idx_header(&[count, 28, 28]);
        noise.extend(&mut bytes, count * 784);
        put(folder, images, &bytes)?;
        let mut bytes = idx_header(&[count]);
        bytes.extend((0..count as u64).map(|image| (image % CLASSES) as u8));
        put(folder, labels, &bytes)?;
    }
    Ok(())
}

fn put(folder: &Path, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
    fs_err::write(folder.join(file), bytes).context("writing synthetic images")
}

fn idx_header(sizes: &[usize]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    for size in sizes {
        bytes.extend((*size as u32).to_be_bytes());
    }
    bytes
}

/// Splitmix64 (Steele et al. 2014).
struct Noise(u64);

impl Noise {
    fn extend(&mut self, bytes: &mut Vec<u8>, count: usize) {
        for _ in 0..count / 8 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bytes.extend((mixed ^ (mixed >> 31)).to_le_bytes());
        }
    }
}
