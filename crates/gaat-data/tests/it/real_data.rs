//! The real data, where `GAAT_TEST_DATA` names a folder with it.

use std::path::Path;

use gaat_data::{Condition, DatasetName, Directories, Loaded, Source, load_with, verify_with};
use gaat_testkit::data;

use crate::fixtures::source;

const NOWHERE: Directories = Directories { data_roots: vec![], cache: None };

fn load(dataset: DatasetName, folder: &Path) -> Loaded {
    load_with(&Source { data_dir: Some(folder.to_path_buf()), ..source(dataset) }, &NOWHERE).unwrap()
}

/// The mean of all pixels.
fn mean(pixels: &[u8]) -> f64 {
    pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>() as f64 / pixels.len() as f64
}

#[test]
fn the_official_mnist_is_known_as_such() {
    let Some(folder) = data("mnist") else { return };
    let loaded = load(DatasetName::Mnist, &folder);
    assert_eq!((loaded.train.len(), loaded.test.len()), (60_000, 10_000));
    assert_eq!(loaded.train.images_per_class(), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(loaded.train.labels()[..5], [5, 0, 4, 1, 9]);
    // The published mean of the training pixels is 0.1307 of 255.
    assert!((mean(loaded.train.pixels()) / 255.0 - 0.1307).abs() < 1e-4);
    let report = verify_with(&Source { data_dir: Some(folder), ..source(DatasetName::Mnist) }, &NOWHERE);
    assert_eq!(report.condition, Condition::Official, "{report:?}");
}

#[test]
fn mnist_is_not_taken_for_fashion_mnist() {
    let Some(folder) = data("mnist") else { return };
    let source = Source { data_dir: Some(folder), ..source(DatasetName::FashionMnist) };
    let message = load_with(&source, &NOWHERE).unwrap_err().to_string();
    assert!(message.contains("t10k-labels") && message.contains("the file of mnist"), "{message}");
}

#[test]
fn cifar_10_looks_like_itself() {
    let Some(folder) = data("cifar10") else { return };
    let loaded = load(DatasetName::Cifar10, &folder);
    assert_eq!(loaded.train.class_names()[..2], ["airplane", "automobile"]);
    // The first images of the first batch: frog, truck, truck, deer, automobile.
    assert_eq!(loaded.train.labels()[..5], [6, 9, 9, 4, 1]);
    assert_eq!(loaded.test.labels()[..5], [3, 8, 8, 0, 6]);
    // The published means of red, green and blue are 0.491, 0.482 and 0.447 of 255.
    for (channel, published) in [0.491, 0.482, 0.447].into_iter().enumerate() {
        let plane = |image: usize| &loaded.train.image(image)[channel * 1024..(channel + 1) * 1024];
        let sum: f64 = (0..loaded.train.len()).map(|image| mean(plane(image))).sum();
        let found = sum / loaded.train.len() as f64 / 255.0;
        assert!((found - published).abs() < 0.01, "channel {channel}: {found}");
    }
}

#[test]
fn cifar_100_looks_like_itself() {
    let Some(folder) = data("cifar100") else { return };
    let loaded = load(DatasetName::Cifar100, &folder);
    assert_eq!((loaded.train.class_names()[0].as_str(), loaded.train.class_count()), ("apple", 100));
    // The first training image is a cow (19 of 100; its coarse label is 11).
    assert_eq!(loaded.train.labels()[0], 19);
}
