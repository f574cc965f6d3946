//! Data as torchvision keeps it on disk; what lies there and is not read; and images that are in both parts.

use gaat_data::{Condition, DatasetName, Source, load_with, verify_with};

use crate::fixtures::{Home, gzip, mnist_files, source};

fn from(home: &Home, dataset: DatasetName, below: &str) -> gaat_data::Result<gaat_data::Loaded> {
    load_with(&Source { data_dir: Some(home.path(below)), ..source(dataset) }, &home.places())
}

/// Files of these names with a byte in each.
fn with(names: &[&str]) -> Home {
    let home = Home::new();
    for name in names {
        home.write(name, b"?");
    }
    home
}

#[test]
fn the_root_of_torchvision_and_each_folder_below_it_will_do() {
    for (dataset, folder) in [(DatasetName::Mnist, "MNIST"), (DatasetName::FashionMnist, "FashionMNIST")] {
        for packed in [false, true] {
            let home = Home::new();
            for (name, bytes) in mnist_files() {
                if packed {
                    home.write(&format!("{folder}/raw/{name}.gz"), &gzip(&bytes));
                } else {
                    home.write(&format!("{folder}/raw/{name}"), &bytes);
                }
            }
            for place in ["", folder, &format!("{folder}/raw")] {
                let loaded = from(&home, dataset, place).unwrap();
                assert_eq!((loaded.train.len(), loaded.test.len()), (3, 2), "{dataset} in {place:?}");
            }
        }
    }
}

#[test]
fn what_is_there_and_not_read_is_named_with_what_to_do() {
    let cases: [(&[&str], DatasetName, &str, &str); 9] = [
        (
            &["train_32x32.mat", "test_32x32.mat"],
            DatasetName::Cifar10,
            "train_32x32.mat: SVHN",
            "train/CLASS/",
        ),
        (&["stl10_binary/train_X.bin"], DatasetName::Cifar10, "stl10_binary: STL10", "train/CLASS/"),
        (
            &["EMNIST/raw/emnist-letters-train-images-idx3-ubyte"],
            DatasetName::Mnist,
            "EMNIST: EMNIST",
            "train/CLASS/",
        ),
        (
            &["QMNIST/raw/qmnist-train-images-idx3-ubyte"],
            DatasetName::Mnist,
            "QMNIST: QMNIST",
            "train/CLASS/",
        ),
        (&["KMNIST/raw/train-images-idx3-ubyte"], DatasetName::Mnist, "KMNIST: KMNIST", "train/CLASS/"),
        (&["MNIST/processed/training.pt"], DatasetName::Cifar10, "MNIST: mnist", "reads it under that name"),
        (&["mnist.npz"], DatasetName::Mnist, "mnist.npz: arrays of numpy", "train.npz"),
        (&["cat/1.png", "dog/2.jpg"], DatasetName::Folder, "2 folders of images", "train/"),
        (&["cifar-10-batches-mat/data_batch_1.mat"], DatasetName::Cifar10, "for Matlab", "Python version"),
    ];
    for (files, dataset, found, advice) in cases {
        let home = with(files);
        let text = from(&home, dataset, "").unwrap_err().to_string();
        assert!(text.contains("Found there instead:") && text.contains(found), "{files:?}: {text}");
        assert!(text.contains(advice), "{files:?}: {text}");
    }
    // Both files of SVHN are one find; an empty place holds none.
    let svhn = from(&with(&["train_32x32.mat", "test_32x32.mat"]), DatasetName::Mnist, "").unwrap_err();
    assert_eq!(svhn.to_string().matches("SVHN").count(), 1, "{svhn}");
    assert!(!from(&Home::new(), DatasetName::Mnist, "").unwrap_err().to_string().contains("Found there"));
}

#[test]
fn files_of_another_set_under_the_names_of_mnist_are_refused_from_any_folder() {
    let home = Home::new();
    for (name, bytes) in mnist_files() {
        home.write(&format!("KMNIST/raw/{name}"), &bytes);
    }
    for place in ["KMNIST", "KMNIST/raw"] {
        for dataset in [DatasetName::Mnist, DatasetName::FashionMnist] {
            let text = from(&home, dataset, place).unwrap_err().to_string();
            assert!(text.contains("files of KMNIST") && text.contains("does not read KMNIST"), "{text}");
        }
    }
}

fn picture(shade: u8) -> Vec<u8> {
    gaat_files::png::of_rgb(&[shade; 3 * 4 * 4], 4, 4).unwrap()
}

#[test]
fn a_validation_folder_is_named_where_the_test_folder_is_missing_and_read_beside_it() {
    let home = Home::new();
    home.write("train/cat/1.png", &picture(1));
    home.write("val/cat/1.png", &picture(2));
    let text = home.failure(DatasetName::Folder);
    assert!(text.contains("the folder test/ (val/ is there: name it test/"), "{text}");
    home.write("test/cat/1.png", &picture(3));
    home.write("dev/cat/1.png", &picture(4));
    let loaded = home.load(DatasetName::Folder).unwrap();
    assert_eq!(loaded.validation.unwrap().len(), 1);
    assert!(
        loaded.warnings.iter().any(|warning| warning.contains("dev is not read")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn images_in_both_parts_are_found_by_their_pixels() {
    let home = Home::new();
    for shade in 0..6 {
        home.write(&format!("train/{}/{shade}.png", if shade < 3 { "cat" } else { "dog" }), &picture(shade));
    }
    home.write("test/cat/a.png", &picture(4));
    home.write("test/cat/b.png", &picture(200));
    home.write("test/dog/c.png", &picture(5));
    let report = verify_with(&source(DatasetName::Folder), &home.places());
    let found = report.duplicates.as_ref().unwrap();
    assert_eq!((found.images, found.of_another_class), (2, 1), "{report:?}");
    let note = report.notes.iter().find(|note| note.contains("training images too")).unwrap();
    assert!(note.starts_with("2 of 3 test images"), "{note}");
    assert!(note.contains("test/cat/a.png = train/dog/4.png, test/dog/c.png = train/dog/5.png"), "{note}");

    // The fixture of MNIST has none; with a training image among the test images it has one.
    let home = Home::new();
    for (name, bytes) in mnist_files() {
        home.write(&format!("mnist/{name}"), &bytes);
    }
    let report = verify_with(&source(DatasetName::Mnist), &home.places());
    assert_eq!(report.duplicates.map(|found| found.images), Some(0), "{:?}", report.notes);
    let test: Vec<u8> =
        [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3].into_iter().chain(100..106).chain(6..12).collect();
    home.write("mnist/t10k-images-idx3-ubyte", &test);
    let report = verify_with(&source(DatasetName::Mnist), &home.places());
    assert!(
        report.notes.iter().any(|note| note.contains("test image 1 = train image 1")),
        "{:?}",
        report.notes
    );
    assert!(!matches!(report.condition, Condition::Unusable { .. }));
}

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/cifar/{name}.pickle", env!("CARGO_MANIFEST_DIR"));
    fs_err::read(path).unwrap()
}

/// CIFAR-10's Python version below `folder`, every batch as `name`.
fn write_python(home: &Home, folder: &str, name: &str) {
    for file in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        home.write(&format!("{folder}/{file}"), &golden(name));
    }
}

#[test]
fn pickled_batches_are_read_whoever_wrote_them() {
    let names = ["python2", "bytes-2", "bytes-3", "bytes-4", "bytes-5", "array-labels"];
    for name in names {
        let home = Home::new();
        write_python(&home, "cifar-10-batches-py", name);
        for place in ["", "cifar-10-batches-py"] {
            let loaded = from(&home, DatasetName::Cifar10, place).unwrap();
            assert_eq!((loaded.train.len(), loaded.test.len()), (10, 2), "{name}");
            assert_eq!(loaded.test.labels(), [3, 9], "{name}");
            for image in 0..2 {
                let right =
                    |index: usize| loaded.test.image(image)[index] == ((7 * index + 31 * image) % 256) as u8;
                assert!((0..3072).all(right), "{name}, image {image}");
            }
            assert_eq!(loaded.test.class_names()[3], "cat");
        }
    }
    // The names of its own file go first.
    let home = Home::new();
    write_python(&home, "cifar-10-batches-py", "python2");
    home.write("cifar-10-batches-py/batches.meta", &golden("meta"));
    assert_eq!(home.load(DatasetName::Cifar10).unwrap().test.class_names()[3], "class 3");
    // Packed files will do.
    let home = Home::new();
    for file in ["train", "test"] {
        home.write(&format!("cifar-100-python/{file}.gz"), &gzip(&golden("array-labels")));
    }
    for place in ["", "cifar-100-python"] {
        assert_eq!(from(&home, DatasetName::Cifar100, place).unwrap().test.labels(), [3, 99], "{place}");
    }
}

#[test]
fn pickles_that_are_no_batch_say_what_they_are() {
    let cases: [(&[u8], &str); 4] = [
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "not a dictionary"),
        (b"\x80\x02}.", "a dictionary without data"),
        (b"\x80\x02}X\x04\x00\x00\x00data]s.", "a list as data, not an array of numpy"),
        (b"nonsense", "data_batch_1"),
    ];
    for (bytes, wanted) in cases {
        let home = Home::new();
        write_python(&home, "cifar-10-batches-py", "python2");
        home.write("cifar-10-batches-py/data_batch_1", bytes);
        let text = home.failure(DatasetName::Cifar10);
        assert!(text.contains(wanted) && text.contains("data_batch_1"), "{text}");
    }
}
