//! Reports on what is on disk.

use gaat_data::{Condition, DatasetName, Location, info_with, verify_with};

use crate::fixtures::{Home, archive, cifar10_files, gzip, mnist_files, source};

#[test]
fn what_is_missing_is_a_condition_and_no_failure() {
    let home = Home::new();
    for dataset in [DatasetName::Mnist, DatasetName::Cifar10, DatasetName::Cifar100, DatasetName::Folder] {
        let report = info_with(&source(dataset), &home.places());
        assert!(matches!(report.condition, Condition::Missing { .. }), "{report:?}");
        assert!(!report.searched.is_empty() && report.location.is_none() && report.contents.is_none());
    }
    let report = verify_with(&source(DatasetName::Digits), &home.places());
    assert_eq!((report.condition, report.location), (Condition::Official, Some(Location::Embedded)));
}

#[test]
fn mnist_of_ones_own_is_readable_but_not_official() {
    let home = Home::new();
    for (name, bytes) in mnist_files() {
        home.write(name, &bytes);
    }
    let report = info_with(&source(DatasetName::Mnist), &home.places());
    assert_eq!(report.condition, Condition::Readable);
    assert_eq!((report.files.len(), report.files[0].bytes), (4, 34));
    let report = verify_with(&source(DatasetName::Mnist), &home.places());
    assert_eq!(report.condition, Condition::NotOfficial);
    assert!(report.files.iter().all(|file| file.official == Some(false)));
    let contents = report.contents.unwrap();
    assert_eq!((contents.train(), contents.test()), (3, 2));
    home.write("t10k-labels-idx1-ubyte", &[0]);
    let report = verify_with(&source(DatasetName::Mnist), &home.places());
    assert!(
        matches!(report.condition, Condition::Unusable { problem, .. } if problem.contains("t10k-labels"))
    );
}

#[test]
fn archives_and_packed_files_are_held_against_the_published_digests() {
    let home = Home::new();
    home.write("cifar-10-binary.tar.gz", &archive("cifar-10-batches-bin", &cifar10_files()));
    let report = verify_with(&source(DatasetName::Cifar10), &home.places());
    assert_eq!((report.files[0].official, report.condition), (Some(false), Condition::NotOfficial));
    for (name, bytes) in mnist_files() {
        home.write(&format!("fashion-mnist/{name}.gz"), &gzip(&bytes));
    }
    let report = verify_with(&source(DatasetName::FashionMnist), &home.places());
    assert_eq!(report.condition, Condition::NotOfficial);
    // What was unpacked has no published digest to hold it against.
    for (name, bytes) in mnist_files() {
        home.write(&format!("fashion-mnist/{name}"), &bytes);
    }
    let report = verify_with(&source(DatasetName::FashionMnist), &home.places());
    assert_eq!((report.files[0].official, report.condition), (None, Condition::Readable));
}

#[test]
fn partial_cifar_says_so() {
    let home = Home::new();
    for (name, bytes) in cifar10_files() {
        home.write(&name, &bytes);
    }
    let report = verify_with(&source(DatasetName::Cifar10), &home.places());
    assert_eq!(report.condition, Condition::NotOfficial);
    assert_eq!(report.notes, ["partial: 6 of 50000 training images and 1 of 10000 test images"]);
    assert_eq!(report.files.len(), 6);
}

#[test]
fn an_image_folder_is_counted_without_decoding_and_decoded_when_verified() {
    let home = Home::new();
    for path in ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/b/1.png"] {
        home.write(path, b"no image");
    }
    let report = info_with(&source(DatasetName::Folder), &home.places());
    assert_eq!(report.condition, Condition::Readable);
    let contents = report.contents.unwrap();
    assert_eq!((contents.train_per_class, contents.test_per_class), (vec![2, 1], vec![0, 1]));
    assert!(report.notes[0].contains("1 of the 2 training classes: a;"), "{:?}", report.notes);
    assert_eq!((report.files.len(), report.files[0].bytes, report.files[0].images), (4, 16, Some(2)));
    let report = verify_with(&source(DatasetName::Folder), &home.places());
    let Condition::Unusable { problem, .. } = report.condition else { panic!("usable") };
    for part in ["cannot be read: 4\n", "train/a/1.png", "train/a/2.png", "train/b/1.png", "test/b/1.png"] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
}
