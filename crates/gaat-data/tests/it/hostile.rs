//! Files that ask for more than there is, or are no files: refused in words, at once, without the memory that they ask for.

use crate::fixtures::{Home, gzip, mnist_files, source};
use gaat_data::{DatasetName, Source, load_with};
use std::io::Write;

/// A grey PNG that says it is so large, with so many rows of zeros in it.
fn grey_png(width: u32, height: u32, rows: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut checksum = flate2::Crc::new();
        checksum.update(kind);
        checksum.update(data);
        [&(data.len() as u32).to_be_bytes(), &kind[..], data, &checksum.sum().to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..rows {
        packed.write_all(&vec![0; 1 + width as usize]).unwrap();
    }
    let data = packed.finish().unwrap();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &data), &chunk(b"IEND", b"")]
        .concat()
}

fn folder() -> Home {
    let home = Home::new();
    for image in ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"] {
        home.write(image, &grey_png(4, 4, 4));
    }
    home
}

/// What loading the folder says, resized to `side` x `side` where that is given.
fn said(home: &Home, side: Option<usize>) -> String {
    let resize = side.map(|side| (side, side));
    let source = Source { resize, ..source(DatasetName::Folder) };
    load_with(&source, &home.places()).unwrap_err().to_string()
}

#[test]
fn images_are_bounded_before_they_are_decoded() {
    let bounded = "at most 16384 along a side and 67108864 in all are read";
    for (width, height) in [(400_000_000, 1), (1, 400_000_000), (16_385, 1), (8193, 8192)] {
        let home = folder();
        home.write("train/a/2.png", &grey_png(width, height, 0));
        let said = said(&home, Some(16));
        assert!(said.contains(&format!("{height} x {width} pixels")) && said.contains(bounded), "{said}");
    }
    let home = folder();
    home.write("train/a/2.png", &grey_png(16_384, 2, 2));
    assert!(
        load_with(&Source { resize: Some((4, 4)), ..source(DatasetName::Folder) }, &home.places()).is_ok()
    );
}

#[test]
fn a_file_of_a_terabyte_without_a_byte_is_not_read() {
    let home = folder();
    fs_err::File::create(home.path("train/a/2.png")).unwrap().set_len(1 << 40).unwrap();
    let said = said(&home, None);
    assert!(
        said.contains("2.png: holds 1.1 TB, more than any image file that is read here (268.4 MB)"),
        "{said}"
    );
}

#[test]
fn a_size_that_memory_does_not_hold_is_refused_with_both_numbers() {
    let home = folder();
    let png = fs_err::read(home.path("train/a/1.png")).unwrap();
    for index in 0..2_000 {
        let path = home.path(&format!("train/a/{index}.png"));
        // Links are quicker to make than files.
        fs_err::hard_link(home.path("train/b/1.png"), &path).or_else(|_| fs_err::write(&path, &png)).ok();
    }
    let said = said(&home, Some(8192));
    assert!(said.contains("images of 3 x 8192 x 8192: needs 403.3 GB of memory, and "), "{said}");

    let home = Home::new();
    for (name, bytes) in mnist_files() {
        home.write(name, &bytes);
    }
    let many = vec![0; 70_000];
    let images =
        [&[0, 0, 8, 3][..], &70_000_u32.to_be_bytes(), &1_u32.to_be_bytes(), &1_u32.to_be_bytes(), &many]
            .concat();
    home.write("train-images-idx3-ubyte", &images);
    home.write("train-labels-idx1-ubyte", &[&[0, 0, 8, 1][..], &70_000_u32.to_be_bytes(), &many].concat());
    home.write("t10k-images-idx3-ubyte", &images);
    home.write("t10k-labels-idx1-ubyte", &[&[0, 0, 8, 1][..], &70_000_u32.to_be_bytes(), &many].concat());
    let source = Source { resize: Some((5000, 5000)), ..source(DatasetName::Mnist) };
    let said = load_with(&source, &home.places()).unwrap_err().to_string();
    assert!(said.contains("mnist: 70000 images of 1 x 5000 x 5000: needs 1.8 TB of memory, and "), "{said}");
}

#[test]
fn an_archive_of_many_members_is_not_walked_through() {
    let home = Home::new();
    let mut archive = tar::Builder::new(Vec::new());
    for index in 0..2_000 {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        archive.append_data(&mut header, format!("{index}"), &[][..]).unwrap();
    }
    home.write("cifar-10-binary.tar.gz", &gzip(&archive.into_inner().unwrap()));
    let said = home.failure(DatasetName::Cifar10);
    assert!(said.contains("expected at most 1000 members"), "{said}");
}

#[cfg(unix)]
#[test]
fn packed_labels_have_an_end() {
    let home = Home::new();
    for (name, bytes) in mnist_files() {
        if !name.starts_with("t10k-labels") {
            home.write(name, &bytes);
        }
    }
    let count: u32 = (1 << 26) + 1;
    let labels = [&[0, 0, 8, 1], &count.to_be_bytes()[..], &vec![0; count as usize]].concat();
    home.write("t10k-labels-idx1-ubyte.gz", &gzip(&labels));
    for dataset in [DatasetName::Mnist, DatasetName::FashionMnist] {
        let said = home.failure(dataset);
        assert!(said.contains("t10k-labels-idx1-ubyte.gz: ") && said.contains("more than 67.1 MB"), "{said}");
    }
}

#[test]
fn pipes_and_devices_are_not_read() {
    use rustix::fs::{CWD, Mode};
    let pipe = |home: &Home, place: &str| rustix::fs::mkfifoat(CWD, home.path(place), Mode::RWXU).unwrap();
    let link = |home: &Home, place: &str, to: &str| std::os::unix::fs::symlink(to, home.path(place)).unwrap();

    let home = folder();
    pipe(&home, "train/a/2.png");
    assert!(
        said(&home, None).ends_with("a/2.png: expected a regular file, found a pipe"),
        "{}",
        said(&home, None)
    );
    let home = folder();
    link(&home, "train/a/2.png", "/dev/zero");
    assert!(said(&home, None).ends_with("found a device"), "{}", said(&home, None));
    let home = folder();
    fs_err::create_dir(home.path("train/a/2.png")).unwrap();
    assert!(said(&home, None).ends_with("found a directory"), "{}", said(&home, None));
    let home = folder();
    link(&home, "train/a/2.png", "2.png");
    assert!(said(&home, None).contains("a/2.png"), "{}", said(&home, None));
    let home = folder();
    link(&home, "train/a/2.png", "1.png");
    assert_eq!(home.load(DatasetName::Folder).unwrap().train.len(), 3);

    for (file, dataset) in [
        ("train-images-idx3-ubyte", DatasetName::Mnist),
        ("t10k-labels-idx1-ubyte.gz", DatasetName::FashionMnist),
        ("cifar-10-binary.tar.gz", DatasetName::Cifar10),
        ("data_batch_3.bin", DatasetName::Cifar10),
        ("batches.meta.txt", DatasetName::Cifar10),
    ] {
        let home = Home::new();
        for (name, bytes) in mnist_files() {
            if !file.starts_with(name) {
                home.write(name, &bytes);
            }
        }
        if dataset == DatasetName::Cifar10 && !file.contains("tar") {
            home.write("data_batch_1.bin", &[0; 3073]);
        }
        pipe(&home, file);
        let said = home.failure(dataset);
        assert!(said.ends_with(&format!("{file}: expected a regular file, found a pipe")), "{said}");
    }
}
