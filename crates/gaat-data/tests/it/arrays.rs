//! Images in arrays of numpy.

use gaat_data::{
    Condition, DatasetName, Directories, Source, SplitOptions, info_with, load_extra, load_with, open_with,
    split,
};
use gaat_spec::Residence;
use gaat_testkit::npy;
use std::io::{Cursor, Write as _};
use std::path::Path;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

fn npz(path: &Path, method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        archive
            .start_file(format!("{name}.npy"), SimpleFileOptions::default().compression_method(method))
            .unwrap();
        archive.write_all(array).unwrap();
    }
    fs_err::write(path, archive.finish().unwrap().into_inner()).unwrap();
}

/// Images of 2 x 3 pixels; byte `place` of image `i` is `20 i + place`.
fn images(count: u8) -> Vec<u8> {
    (0..count).flat_map(|image| (0..18).map(move |place| 20 * image + place)).collect()
}

fn nowhere() -> Directories {
    Directories { data_roots: Vec::new(), cache: None }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let labels: Vec<u8> = [0i64, 2, 1].iter().flat_map(|label| label.to_le_bytes()).collect();
        let arrays =
            [("image", npy("|u1", "(3, 2, 3, 3)", &images(3))), ("label", npy("<i8", "(3,)", &labels))];
        npz(&home.path("train.npz"), CompressionMethod::Stored, &arrays);
        let arrays =
            [("label", npy("|u1", "(2,)", &[2, 0])), ("image", npy("|u1", "(2, 2, 3, 3)", &images(2)))];
        npz(&home.path("test.npz"), CompressionMethod::Deflated, &arrays);
        home
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn source(&self) -> Source {
        Source { dataset: DatasetName::Folder, data_dir: Some(self.0.path().to_path_buf()), resize: None }
    }

    fn failure(&self) -> String {
        load_with(&self.source(), &nowhere()).unwrap_err().to_string()
    }
}

#[test]
fn arrays_stored_and_packed_are_read_with_channels_first() {
    let home = Home::new();
    let loaded = load_with(&home.source(), &nowhere()).unwrap();
    assert_eq!((loaded.train.labels(), loaded.test.labels()), (&[0, 2, 1][..], &[2, 0][..]));
    assert_eq!(loaded.train.class_names(), ["0", "1", "2"]);
    assert_eq!(loaded.train.image(1)[..7], [20, 23, 26, 29, 32, 35, 21]);
    assert!(loaded.validation.is_none());
    let report = info_with(&home.source(), &nowhere());
    assert!(matches!(report.condition, Condition::Readable), "{:?}", report.condition);
    assert_eq!(report.contents.unwrap().train(), 3);
    let message = open_with(&home.source(), Residence::Streamed, &nowhere()).unwrap_err().to_string();
    assert!(message.contains("images must be auto or resident"), "{message}");
}

#[test]
fn validation_arrays_are_taken_in_place_of_a_share_of_the_training_images() {
    let home = Home::new();
    let arrays =
        [("image", npy("|u1", "(1, 2, 3, 3)", &images(1))), ("label", npy("<u4", "(1,)", &[1, 0, 0, 0]))];
    npz(&home.path("val.npz"), CompressionMethod::Stored, &arrays);
    let opened = open_with(&home.source(), Residence::Auto, &nowhere()).unwrap();
    let alone = opened.parts.train().digest().unwrap();
    assert_ne!(
        opened.parts.digest().unwrap(),
        alone,
        "validation images belong to what a run was trained on"
    );
    let splits = split(opened.parts.clone(), &SplitOptions::default()).unwrap();
    assert_eq!((splits.train.images().len(), splits.validation.images().labels()), (3, &[1][..]));
    let none = SplitOptions { validation_fraction: 0.0, ..SplitOptions::default() };
    let splits = split(opened.parts, &none).unwrap();
    assert_eq!((splits.train.images().len(), splits.validation.images().len()), (3, 0));
}

#[test]
fn what_is_wrong_with_an_array_is_named() {
    let home = Home::new();
    let path = home.path("train.npz");
    let label = |count: usize| npy("|u1", &format!("({count},)"), &vec![0; count]);
    for (arrays, expected) in [
        (vec![("image", npy("|u1", "(3, 2, 3, 3)", &images(3)))], "expected label: whole numbers"),
        (vec![("label", label(3))], "expected image: u8"),
        (
            vec![("label", label(2)), ("image", npy("|u1", "(3, 2, 3, 3)", &images(3)))],
            "found 3 images and 2 labels",
        ),
        (vec![("label", label(3)), ("image", npy("<f4", "(3, 2, 3, 3)", &images(3)))], "the type"),
        (
            vec![("label", label(3)), ("image", npy("|u1", "(3, 3, 2, 3, 1)", &images(3)))],
            "the shape [3, 3, 2, 3, 1]",
        ),
        (
            vec![("label", label(3)), ("image", npy("|u1", "(3, 2, 3, 3)", &images(2)))],
            "36 bytes of pixels where 54 belong",
        ),
        (
            vec![
                ("label", npy("<i2", "(3,)", &[0, 0, 255, 255, 1, 0])),
                ("image", npy("|u1", "(3, 2, 3, 3)", &images(3))),
            ],
            "a label outside",
        ),
        (
            vec![("label", npy("<f8", "(3,)", &[0; 24])), ("image", npy("|u1", "(3, 2, 3, 3)", &images(3)))],
            "the type",
        ),
        // Nothing is reserved on the word of a header.
        (
            vec![
                ("label", npy("|u1", "(4000000000000,)", &[0])),
                ("image", npy("|u1", "(3, 2, 3, 3)", &images(3))),
            ],
            "of memory",
        ),
        (
            vec![("label", label(3)), ("image", npy("|u1", "(3, 9000000, 9000000, 3)", &images(3)))],
            "of memory",
        ),
    ] {
        npz(&path, CompressionMethod::Stored, &arrays);
        let message = home.failure();
        assert!(message.contains("train.npz") && message.contains(expected), "{expected}: {message}");
    }
    let whole = fs_err::read(home.path("test.npz")).unwrap();
    for length in (0..whole.len()).step_by(13) {
        fs_err::write(&path, &whole[..length]).unwrap();
        assert!(home.failure().contains("train.npz: expected a whole archive of numpy"), "{length}");
    }
    fs_err::remove_file(&path).unwrap();
    assert!(home.failure().contains("the file train.npz missing"), "{}", home.failure());
}

#[test]
fn extra_images_take_the_classes_of_the_training_images_and_misfits_are_named() {
    let home = Home::new();
    let names = ["0", "1", "2"].map(str::to_owned);
    let extra = load_extra(&home.path("train.npz"), &names).unwrap();
    let loaded = load_with(&home.source(), &nowhere()).unwrap();
    assert_eq!((extra.pixels(), extra.labels()), (loaded.train.pixels(), loaded.train.labels()));
    assert_eq!(extra.digest(), loaded.train.digest());
    let few = load_extra(&home.path("train.npz"), &names[..2]).unwrap_err().to_string();
    assert!(few.contains("train.npz") && few.contains("labels below 2") && few.contains("label 2"), "{few}");
    npz(
        &home.path("none.npz"),
        CompressionMethod::Stored,
        &[("image", npy("|u1", "(0, 2, 3, 3)", &[])), ("label", npy("|u1", "(0,)", &[]))],
    );
    let none = load_extra(&home.path("none.npz"), &names).unwrap_err().to_string();
    assert!(none.contains("none.npz") && none.contains("at least one image"), "{none}");
    let missing = load_extra(&home.path("nowhere.npz"), &names).unwrap_err().to_string();
    assert!(missing.contains("nowhere.npz"), "{missing}");
}
