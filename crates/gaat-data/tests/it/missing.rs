//! Data that is not there, and names that are no data set.

use std::str::FromStr;

use gaat_data::{
    Condition, DatasetName, Directories, Error, Location, Remedy, Source, load_with, verify_with,
};
use proptest::prelude::*;

use crate::fixtures::{Home, source};

#[test]
fn every_place_that_was_searched_is_listed() {
    let (first, second) = (Home::new(), Home::new());
    let places = Directories { data_roots: vec![first.path("x"), second.path("y")], cache: None };
    let expected = [
        (DatasetName::Mnist, "train-images-idx3-ubyte"),
        (DatasetName::FashionMnist, "FashionMNIST/raw"),
        (DatasetName::Cifar10, "data_batch_1.bin"),
        (DatasetName::Cifar100, "cifar-100-binary.tar.gz"),
        (DatasetName::Folder, "train/<class>"),
    ];
    for (dataset, files) in expected {
        let error = load_with(&source(dataset), &places).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }));
        let message = error.to_string();
        let roots = [first.path("x"), second.path("y")].map(|path| path.display().to_string());
        assert!(roots.iter().all(|root| message.contains(root)), "{message}");
        assert!(message.contains(files) && message.contains("GAAT_DATA"), "{message}");
        // Only the user has the images of a folder.
        let fetched = Remedy::Download(dataset);
        let expected = if dataset == DatasetName::Folder { Remedy::Directory } else { fetched };
        assert_eq!(error.remedy(), Some(expected), "{message}");

        let named = Source { data_dir: Some(first.path("z")), ..source(dataset) };
        let message = load_with(&named, &places).unwrap_err().to_string();
        assert!(message.contains(&first.path("z").display().to_string()), "{message}");
        assert!(!message.contains(&roots[1]), "a named directory is the only one: {message}");
    }
}

#[test]
fn digits_need_no_place_at_all() {
    let nowhere = Directories { data_roots: vec![], cache: None };
    let loaded = load_with(&source(DatasetName::Digits), &nowhere).unwrap();
    assert_eq!(loaded.location, Location::Embedded);
    assert_eq!(loaded.train.len() + loaded.test.len(), 1797);
    // Looking at all data sets below one directory does not stop at them.
    let named = Source { data_dir: Some("photos".into()), ..source(DatasetName::Digits) };
    assert_eq!(verify_with(&named, &nowhere).condition, Condition::Official);
    let message = load_with(&named, &nowhere).unwrap_err().to_string();
    assert!(message.contains("data-dir") && message.contains("photos"), "{message}");
}

#[test]
fn names_go_both_ways_and_unknown_ones_list_the_known() {
    for &name in DatasetName::ALL {
        assert_eq!(DatasetName::from_str(&name.to_string()).unwrap(), name);
    }
    let message = DatasetName::from_str("cifar-10").unwrap_err().to_string();
    assert!(
        message.contains("cifar-10")
            && message.contains("digits, mnist, fashion-mnist, cifar10, cifar100, folder")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn random_bytes_as_images_never_panic(start in 0_usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let starts: [&[u8]; 3] = [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0"];
        let home = Home::new();
        let bytes = [starts[start], bytes.as_slice(), b"\xff\xd9"].concat();
        home.write("train/a/1.png", &bytes);
        home.write("test/a/1.jpg", &bytes);
        let _ = home.load(DatasetName::Folder);
    }
}
