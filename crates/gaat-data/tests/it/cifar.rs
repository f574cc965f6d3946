//! CIFAR-10 and CIFAR-100: layout, folder and archive, and everything that can be wrong with them.

use gaat_data::DatasetName::{Cifar10, Cifar100};
use gaat_data::{ImageSet, ImageShape, Location, Source, load_with};
use proptest::prelude::*;

use crate::fixtures::{Home, archive, cifar_pixel, cifar_record, cifar10_files, gzip, source};

fn folder(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Home {
    let home = Home::new();
    for (name, bytes) in cifar10_files() {
        home.write(&format!("cifar-10-batches-bin/{name}"), &change(&name, bytes));
    }
    home
}

fn assert_planes(set: &ImageSet, index: usize, seed: u8) {
    let image = set.image(index);
    for (channel, row, column) in [(0, 0, 0), (0, 0, 31), (0, 31, 0), (1, 2, 5), (1, 5, 2), (2, 31, 31)] {
        let found = image[(channel * 32 + row) * 32 + column];
        assert_eq!(found, cifar_pixel(seed, channel, row, column), "channel {channel}, {row}, {column}");
    }
}

#[test]
fn planes_are_red_green_blue_and_row_by_row() {
    let loaded = folder(|_, bytes| bytes).load(Cifar10).unwrap();
    assert_eq!(loaded.train.shape(), ImageShape { channels: 3, height: 32, width: 32 });
    assert_eq!(loaded.train.labels(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(loaded.test.labels(), [9]);
    for index in 0..6 {
        assert_planes(&loaded.train, index, index as u8);
    }
    assert_planes(&loaded.test, 0, 9);
    assert_eq!(loaded.train.class_names()[3], "kind 3");
}

#[test]
fn the_archive_equals_the_folder_wherever_they_are() {
    let expected = folder(|_, bytes| bytes).load(Cifar10).unwrap();
    let packed = archive("cifar-10-batches-bin", &cifar10_files());
    for place in ["cifar-10-binary.tar.gz", "cifar10/cifar-10-binary.tar.gz"] {
        let home = Home::new();
        home.write(place, &packed);
        let loaded = home.load(Cifar10).unwrap();
        assert_eq!(loaded.train.digest(), expected.train.digest());
        assert_eq!(loaded.test.digest(), expected.test.digest());
        assert_eq!(loaded.train.class_names(), expected.train.class_names());
        assert_eq!(loaded.location, Location::Path(home.path(place)));
        let direct = Source { data_dir: Some(home.path(place)), ..source(Cifar10) };
        assert!(load_with(&direct, &Home::new().places()).is_ok());
    }
    for place in ["", "cifar10/", "cifar10/cifar-10-batches-bin/"] {
        let home = Home::new();
        for (name, bytes) in cifar10_files() {
            home.write(&format!("{place}{name}"), &bytes);
        }
        assert_eq!(home.load(Cifar10).unwrap().train.digest(), expected.train.digest());
    }
}

#[test]
fn class_names_are_optional_but_not_few() {
    let home = folder(|_, bytes| bytes);
    fs_err::remove_file(home.path("cifar-10-batches-bin/batches.meta.txt")).unwrap();
    assert_eq!(home.load(Cifar10).unwrap().train.class_names()[8], "ship");
    home.write("cifar-10-batches-bin/batches.meta.txt", b"one\ntwo\n");
    let message = home.failure(Cifar10);
    assert!(message.contains("batches.meta.txt") && message.contains("found 2 lines"), "{message}");
    home.write("cifar-10-batches-bin/batches.meta.txt", b"0\n1\n2\n3\n4\n5\n6\n7\n8\n 3\n");
    let message = home.failure(Cifar10);
    assert!(message.contains("batches.meta.txt") && message.contains("`3` comes twice"), "{message}");
}

#[test]
fn cifar_100_uses_the_fine_label() {
    let home = Home::new();
    let train = [cifar_record(&[3, 97], 1), cifar_record(&[19, 4], 2)].concat();
    home.write("cifar100/cifar-100-binary/train.bin", &train);
    home.write("cifar100/cifar-100-binary/test.bin", &cifar_record(&[0, 99], 3));
    let loaded = home.load(Cifar100).unwrap();
    assert_eq!(loaded.train.labels(), [97, 4]);
    assert_eq!(loaded.test.labels(), [99]);
    assert_eq!(loaded.train.class_count(), 100);
    assert_planes(&loaded.train, 1, 2);
    home.write("cifar100/cifar-100-binary/test.bin", &cifar_record(&[0, 100], 3));
    let message = home.failure(Cifar100);
    assert!(message.contains("test.bin") && message.contains("label 100 in record 0"), "{message}");
}

#[test]
fn a_file_that_is_not_right_is_named() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let cut: Change = |bytes| bytes[..bytes.len() - 1].to_vec();
    let padded: Change = |bytes| [&bytes[..], &[0]].concat();
    let empty: Change = |_| vec![];
    let fine_records: Change = |_| cifar_record(&[0, 0], 0);
    let label: Change = |bytes| [&[10], &bytes[1..]].concat();
    let changes = [
        (cut, "records of 3073 bytes, found"),
        (padded, "1 more than"),
        (empty, "found 0 bytes"),
        (fine_records, "3074 bytes, 1 more than 1 records"),
        (label, "label 10 in record 0"),
    ];
    for wrong in ["data_batch_1.bin", "data_batch_4.bin", "test_batch.bin"] {
        for (change, expected) in changes {
            let change = |name: &str, bytes| if name == wrong { change(bytes) } else { bytes };
            let message = folder(change).failure(Cifar10);
            assert!(message.contains(wrong) && message.contains(expected), "folder: {message}");

            let files: Vec<_> = cifar10_files()
                .into_iter()
                .map(|(name, bytes)| (name.clone(), change(&name, bytes)))
                .collect();
            let home = Home::new();
            home.write("cifar-10-binary.tar.gz", &archive("cifar-10-batches-bin", &files));
            let message = home.failure(Cifar10);
            let member = format!("cifar-10-binary.tar.gz/cifar-10-batches-bin/{wrong}");
            assert!(message.contains(&member) && message.contains(expected), "archive: {message}");
        }
    }
}

#[test]
fn a_file_longer_than_the_official_one_is_refused_before_it_is_read() {
    let home = folder(|_, bytes| bytes);
    let path = home.path("cifar-10-batches-bin/data_batch_2.bin");
    fs_err::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
    let message = home.failure(Cifar10);
    assert!(message.contains("data_batch_2.bin: expected at most 30730000 bytes"), "{message}");
}

#[test]
fn a_missing_or_doubled_file_is_named() {
    let home = folder(|_, bytes| bytes);
    fs_err::remove_file(home.path("cifar-10-batches-bin/data_batch_3.bin")).unwrap();
    assert!(home.failure(Cifar10).contains("data_batch_3.bin missing"));

    let mut files = cifar10_files();
    let home = Home::new();
    home.write("cifar-10-binary.tar.gz", &archive("d", &files[1..]));
    assert!(home.failure(Cifar10).contains("data_batch_1.bin missing"));
    files.push(files[2].clone());
    home.write("cifar-10-binary.tar.gz", &archive("d", &files));
    assert!(home.failure(Cifar10).contains("two files of this name"));
}

#[test]
fn a_damaged_archive_is_named() {
    let whole = archive("cifar-10-batches-bin", &cifar10_files());
    let mut wrong_checksum = whole.clone();
    let at = whole.len() - 6;
    wrong_checksum[at] ^= 1;
    let cases =
        [&whole[..whole.len() / 2], &whole[..whole.len() - 1], &wrong_checksum, b"no archive", &gzip(b"no")];
    for case in cases {
        let home = Home::new();
        home.write("cifar-10-binary.tar.gz", case);
        assert!(home.failure(Cifar10).contains("cifar-10-binary.tar.gz"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_damaged_archive_never_panics(edits in proptest::collection::vec((0_usize..5000, any::<u8>()), 1..4)) {
        let mut bytes = archive("cifar-10-batches-bin", &cifar10_files());
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let home = Home::new();
        home.write("cifar-10-binary.tar.gz", &bytes);
        let _ = home.load(Cifar10);
    }

    #[test]
    fn a_damaged_tar_header_never_panics(edits in proptest::collection::vec((0_usize..512, any::<u8>()), 1..9)) {
        let mut bytes = vec![0; 2048];
        bytes[..14].copy_from_slice(b"test_batch.bin");
        bytes[124..135].copy_from_slice(b"00000001000");
        bytes[156] = b'0';
        bytes[257..263].copy_from_slice(b"ustar\0");
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        bytes[148..156].copy_from_slice(b"        ");
        let checksum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
        let home = Home::new();
        home.write("cifar-10-binary.tar.gz", &gzip(&bytes));
        let _ = home.load(Cifar10);
    }
}
