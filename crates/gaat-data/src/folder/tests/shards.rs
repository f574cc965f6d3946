//! Shards of WebDataset, on tiny archives.

use super::*;

/// A tar archive with these members; `classes` are those of the images `0.png`, `1.png` and so on, blue as their class says.
fn shard(path: &Path, classes: &[u16], more: &[(&str, &[u8])]) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content).unwrap();
    };
    for (index, class) in classes.iter().enumerate() {
        let mut png = std::io::Cursor::new(Vec::new());
        colour(*class as u8, 2, 3).write_to(&mut png, image::ImageFormat::Png).unwrap();
        add(&format!("photos/{index}.png"), png.get_ref());
        add(&format!("photos/{index}.cls"), class.to_string().as_bytes());
        add(&format!("photos/{index}.json"), b"{}");
    }
    for (name, content) in more {
        add(name, content);
    }
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, archive.into_inner().unwrap()).unwrap();
}

struct Shards(Fixture);

impl Shards {
    fn new() -> Self {
        let fixture = Fixture { home: tempfile::tempdir().unwrap() };
        shard(&fixture.path("photos-train-000001.tar"), &[2], &[]);
        shard(&fixture.path("photos-train-000000.tar"), &[1, 0], &[]);
        shard(&fixture.path("val/0.tar"), &[0], &[]);
        shard(&fixture.path("photos-test-0.tar"), &[2, 1], &[]);
        Self(fixture)
    }
}

#[test]
fn shards_are_read_in_order_resident_and_streamed_alike() {
    let Shards(fixture) = Shards::new();
    let found = fixture.load(None).unwrap();
    assert_eq!(found.sets.train.labels(), [1, 0, 2]);
    assert_eq!(found.sets.train.class_names(), ["0", "1", "2"]);
    assert_eq!(
        (found.sets.test.labels(), found.sets.validation.as_ref().unwrap().labels()),
        (&[2, 1][..], &[0][..])
    );
    for (place, class) in [(0, 1), (1, 0), (2, 2)] {
        assert_eq!(found.sets.train.image(place)[12], 100 + class);
    }
    assert!(fixture.load(None).unwrap().cached);
    let streamed = fixture.open(None, Residence::Streamed).unwrap();
    assert_eq!(streamed.parts.train.digest().unwrap(), found.sets.train.digest());
    // Decoded on the way, where there is no cache.
    fs_err::remove_dir_all(fixture.cache()).unwrap();
    fs_err::write(fixture.cache(), "a file where the directory should be").unwrap();
    let streamed = fixture.open(None, Residence::Streamed).unwrap();
    assert_eq!(streamed.parts.test.digest().unwrap(), found.sets.test.digest());

    fs_err::write(fixture.path("classnames.txt"), "cat\ndog\nemu\n").unwrap();
    assert_eq!(fixture.load(None).unwrap().sets.train.class_names(), ["cat", "dog", "emu"]);
    fs_err::write(fixture.path("classnames.txt"), "cat\ndog\ncat\n").unwrap();
    assert!(fixture.failure().contains("classnames.txt: expected a name of its own in each line"));
}

#[test]
fn what_is_wrong_with_a_shard_is_named() {
    let Shards(fixture) = Shards::new();
    let path = fixture.path("photos-train-000001.tar");
    for (classes, more, expected) in [
        (&[2][..], &[("photos/9.png", &b"x"[..])][..], "photos/9: expected the number of its class"),
        (&[2], &[("photos/9.cls", b"1")], "photos/9: expected an image, .png, .jpg or .jpeg"),
        (
            &[2],
            &[("photos/9.cls", b"cat"), ("photos/9.png", b"x")],
            "photos/9.cls: expected the number of a class",
        ),
        (&[2], &[("photos/0.cls", b"1")], "one class for an image"),
        (&[2], &[("photos/0.jpg", b"1")], "one image of a name"),
        (
            &[2],
            &[("photos/9.cls", b"1"), ("photos/9.png", b"no image")],
            "photos/9.png: not a readable image",
        ),
    ] {
        shard(&path, classes, more);
        let message = fixture.failure();
        assert!(message.contains(expected), "{expected}: {message}");
    }
    shard(&path, &[2, 2], &[]);
    let whole = fs_err::read(&path).unwrap();
    for length in (1..whole.len()).step_by(509) {
        fs_err::write(&path, &whole[..length]).unwrap();
        let message = fixture.failure();
        assert!(message.contains("photos-train-000001.tar"), "{length}: {message}");
    }
    fs_err::write(&path, &whole).unwrap();
    shard(&fixture.path("photos-test-0.tar"), &[3], &[]);
    assert!(
        fixture.failure().contains("0.png: expected a class below 3, as in the training shards, found 3")
    );
    fs_err::remove_file(fixture.path("photos-test-0.tar")).unwrap();
    let message = find(&[fixture.path("")]).unwrap_err().to_string();
    assert!(message.contains("the shards test-*.tar missing"), "{message}");
}
