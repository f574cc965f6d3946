//! Whole data sets: what is there is left alone, and what is published nowhere is said.

use crate::server::{Server, status};
use gaat_data::DatasetName;
use gaat_fetch::{Error, Fetched, Patience, Result, fetch};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

fn fetched(dataset: DatasetName, root: &Path, server: &Server) -> Result<Fetched> {
    let patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
    fetch(dataset, root, Some(server.base()), &patience, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_mirror_is_asked_in_place_of_the_official_sources() {
    let (server, root) = (Server::new(vec![status("404 Not Found")]), tempfile::tempdir().unwrap());
    for (dataset, first) in [
        (DatasetName::FashionMnist, "/train-images-idx3-ubyte.gz"),
        (DatasetName::Cifar100, "/cifar-100-binary.tar.gz"),
    ] {
        let error = fetched(dataset, root.path(), &server).unwrap_err();
        let directory = root.path().join(dataset.as_str());
        assert!(error.to_string().contains(&directory.display().to_string()), "{error}");
        assert_eq!(server.requests().pop().unwrap(), first);
        assert_eq!(fs_err::read_dir(directory).unwrap().count(), 0);
    }
}

#[test]
fn what_nobody_publishes_is_not_asked_for() {
    let (server, root) = (Server::new(vec![status("404 Not Found")]), tempfile::tempdir().unwrap());
    for (dataset, word) in [(DatasetName::Digits, "part of the program"), (DatasetName::Folder, "data-dir")] {
        let error = fetched(dataset, root.path(), &server).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn data_that_would_be_read_in_place_of_the_official_is_named() {
    let (server, root) = (Server::new(vec![status("404 Not Found")]), tempfile::tempdir().unwrap());
    let directory = root.path().join("cifar100/cifar-100-binary");
    fs_err::create_dir_all(&directory).unwrap();
    for file in ["train.bin", "test.bin"] {
        fs_err::write(directory.join(file), [0; 3074]).unwrap();
    }
    let error = fetched(DatasetName::Cifar100, root.path(), &server).unwrap_err();
    assert!(matches!(&error, Error::Occupied { location, .. } if *location == directory), "{error}");
}

#[test]
fn the_official_data_is_not_fetched_again() {
    let Some(mnist) = gaat_testkit::data("mnist") else { return };
    let root = mnist.parent().unwrap();
    let server = Server::new(vec![status("404 Not Found")]);
    let fetched = fetched(DatasetName::Mnist, root, &server).unwrap();
    assert_eq!(fetched, Fetched { location: mnist.clone(), downloaded: Vec::new() });
    assert_eq!(server.requests(), Vec::<String>::new());
}
