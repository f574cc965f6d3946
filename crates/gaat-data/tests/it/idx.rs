//! MNIST and Fashion-MNIST files: layout, spellings, and everything that can be wrong with them.

use gaat_data::DatasetName::{FashionMnist, Mnist};
use gaat_data::{Condition, ImageShape, Location, Source, load_with, verify_with};
use proptest::prelude::*;

use crate::fixtures::{Home, gzip, mnist_files, source};

fn home(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Home {
    let home = Home::new();
    for (name, bytes) in mnist_files() {
        home.write(&format!("mnist/{name}"), &change(name, bytes));
    }
    home
}

#[test]
fn rows_come_before_columns_and_labels_stay_with_their_images() {
    let home = home(|_, bytes| bytes);
    let loaded = home.load(Mnist).unwrap();
    assert_eq!(loaded.train.shape(), ImageShape { channels: 1, height: 2, width: 3 });
    assert_eq!(loaded.train.image(1), [6, 7, 8, 9, 10, 11]);
    assert_eq!(loaded.train.labels(), [5, 0, 9]);
    assert_eq!(loaded.test.image(1), [106, 107, 108, 109, 110, 111]);
    assert_eq!(loaded.test.labels(), [7, 1]);
    assert_eq!(loaded.location, Location::Path(home.path("mnist")));
}

#[test]
fn packed_and_unpacked_files_in_every_spelling_are_equal() {
    let expected = home(|_, bytes| bytes).load(Mnist).unwrap();
    for (place, separator, ending) in
        [("", "-", ".gz"), ("mnist/", ".", ""), ("MNIST/raw/", ".", ".gz"), ("mnist/", "-", "")]
    {
        let home = Home::new();
        for (name, bytes) in mnist_files() {
            let name = name.replace("-idx", &format!("{separator}idx"));
            home.write(&format!("{place}{name}{ending}"), &gzip(&bytes));
        }
        let loaded = home.load(Mnist).unwrap();
        assert_eq!(loaded.train.digest(), expected.train.digest());
        assert_eq!(loaded.test.digest(), expected.test.digest());
    }
}

#[test]
fn fashion_mnist_has_its_own_places_and_names() {
    for place in ["fashion-mnist/", "FashionMNIST/raw/", ""] {
        let home = Home::new();
        for (name, bytes) in mnist_files() {
            home.write(&format!("{place}{name}"), &bytes);
        }
        let loaded = home.load(FashionMnist).unwrap();
        assert_eq!(loaded.train.image(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!(
            (loaded.train.name(), loaded.train.class_names()[9].as_str()),
            ("fashion-mnist", "Ankle boot")
        );
        assert_eq!(home.load(Mnist).is_err(), !place.is_empty());
    }
}

#[test]
fn files_are_judged_by_what_they_are_and_not_by_their_ending() {
    // Only the packed files of Fashion-MNIST have a published digest.
    for (ending, is_packed) in [("", true), (".gz", false)] {
        let home = Home::new();
        for (name, bytes) in mnist_files() {
            let bytes = if is_packed { gzip(&bytes) } else { bytes };
            home.write(&format!("fashion-mnist/{name}{ending}"), &bytes);
        }
        let report = verify_with(&source(FashionMnist), &home.places());
        let expected =
            if is_packed { (Some(false), Condition::NotOfficial) } else { (None, Condition::Readable) };
        assert_eq!((report.files[0].official, report.condition), expected);
    }
}

#[test]
fn a_file_that_is_not_right_is_named() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let cut: Change = |bytes| bytes[..bytes.len() - 1].to_vec();
    let padded: Change = |bytes| [&bytes[..], &[0]].concat();
    let headless: Change = |bytes| bytes[..6].to_vec();
    let floats: Change = |bytes| [&[0, 0, 13], &bytes[3..]].concat();
    let swapped: Change = |bytes| [&[0, 0, 8, 4 - bytes[3]], &bytes[4..]].concat();
    let packed_cut: Change = |bytes| gzip(&bytes)[..20].to_vec();
    let packed_padded: Change = |bytes| gzip(&[&bytes[..], &[0]].concat());
    let packed_wrong: Change = |bytes| {
        let mut packed = gzip(&bytes);
        let checksum = packed.len() - 6;
        packed[checksum] ^= 1;
        packed
    };
    let followed: Change = |bytes| [&gzip(&bytes)[..], b"rest"].concat();
    let changes = [
        ("cut", cut, "cut short"),
        ("padded", padded, "expected the end of the file, found more bytes"),
        ("headless", headless, "IDX header"),
        ("floats", floats, "magic number [00, 00, 08"),
        ("swapped", swapped, "magic number [00, 00, 08"),
        ("packed, cut", packed_cut, ""),
        ("packed, padded", packed_padded, "more bytes"),
        ("packed, wrong checksum", packed_wrong, "damaged"),
        ("packed, followed by something", followed, "damaged"),
    ];
    for (what, change, expected) in changes {
        for (wrong, _) in mnist_files() {
            let home = home(|name, bytes| if name == wrong { change(bytes) } else { bytes });
            let message = home.failure(Mnist);
            assert!(message.contains(wrong) && message.contains(expected), "{what}: {message}");
        }
    }
}

#[test]
fn labels_must_be_digits_and_as_many_as_images() {
    let with_labels = |labels: &'static [u8]| {
        home(move |name, bytes| if name.starts_with("train-labels") { labels.to_vec() } else { bytes })
    };
    let message = with_labels(&[0, 0, 8, 1, 0, 0, 0, 3, 5, 10, 9]).failure(Mnist);
    assert!(message.contains("train-labels") && message.contains("label 10 at index 1"), "{message}");
    let message = with_labels(&[0, 0, 8, 1, 0, 0, 0, 2, 5, 1]).failure(Mnist);
    assert!(message.contains("expected 3 labels") && message.contains("train-images"), "{message}");
}

#[test]
fn both_parts_must_have_one_size() {
    let home = home(|name, mut bytes| {
        if name == "t10k-images-idx3-ubyte" {
            (bytes[11], bytes[15]) = (3, 2);
        }
        bytes
    });
    let message = home.failure(Mnist);
    assert!(message.contains("t10k-images") && message.contains("found 1 x 3 x 2"), "{message}");
}

#[test]
fn a_missing_part_is_named() {
    let home = home(|_, bytes| bytes);
    fs_err::remove_file(home.path("mnist/t10k-labels-idx1-ubyte")).unwrap();
    assert!(home.failure(Mnist).contains("t10k-labels-idx1-ubyte missing"));
}

#[test]
fn resizing_applies_to_every_data_set() {
    let home = home(|_, bytes| bytes);
    let loaded = load_with(&Source { resize: Some((4, 9)), ..source(Mnist) }, &home.places()).unwrap();
    assert_eq!(loaded.train.shape(), ImageShape { channels: 1, height: 4, width: 9 });
    assert_eq!(loaded.train.len(), 3);
    let message = load_with(&Source { resize: Some((0, 9)), ..source(Mnist) }, &home.places()).unwrap_err();
    assert!(message.to_string().contains("resize"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_damaged_file_never_panics(
        file in 0_usize..4, at in 0_usize..40, byte: u8, length in 0_usize..60, packed: bool,
    ) {
        let target = mnist_files()[file].0;
        let home = home(|name, bytes| {
            let mut bytes = if packed { gzip(&bytes) } else { bytes };
            if name == target {
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes.truncate(length);
            }
            bytes
        });
        let _ = home.load(Mnist);
    }
}
