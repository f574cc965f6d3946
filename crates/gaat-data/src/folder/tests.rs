//! The image folder with its cache, on tiny files.

use std::time::SystemTime;

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;
use crate::image_set::ImageShape;

mod shards;
mod validation;

/// Red counts columns, green counts rows, blue tells the image: no transpose and no channel swap goes unseen.
fn colour(seed: u8, height: u32, width: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |column, row| Rgb([10 + column as u8, 50 + row as u8, 100 + seed]))
}

struct Fixture {
    home: tempfile::TempDir,
}

impl Fixture {
    /// Two classes, three training images and two test images of 2 x 3 pixels.
    fn new() -> Self {
        let fixture = Self { home: tempfile::tempdir().unwrap() };
        for (seed, path) in
            ["train/b/1.png", "train/a/2.png", "train/a/1.png", "test/b/1.png", "test/a/1.png"]
                .iter()
                .enumerate()
        {
            fixture.save(path, &colour(seed as u8, 2, 3));
        }
        fixture
    }

    fn save(&self, path: &str, image: &RgbImage) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(path).unwrap();
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join("images").join(below)
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    fn load(&self, resize: Option<(usize, usize)>) -> Result<FolderSets> {
        load(&self.path(""), resize, Some(&self.cache()))
    }

    fn cache_file(&self, resize: Option<(usize, usize)>) -> PathBuf {
        let root = fs_err::canonicalize(self.path("")).unwrap();
        Cache::new(&self.cache(), &scan(&root).unwrap(), resize).file().to_path_buf()
    }

    /// The message of the error that loading ends with.
    fn failure(&self) -> String {
        self.load(None).unwrap_err().to_string()
    }
}

#[test]
fn pixels_labels_and_order_are_right() {
    let FolderSets { sets: Divided { train, test, .. }, warnings, cached } =
        Fixture::new().load(None).unwrap();
    assert_eq!(train.shape(), ImageShape { channels: 3, height: 2, width: 3 });
    assert_eq!((train.labels(), test.labels()), (&[0, 0, 1][..], &[0, 1][..]));
    assert_eq!(train.class_names(), ["a", "b"]);
    let blue = |set: &ImageSet| (0..set.len()).map(|index| set.image(index)[12]).collect::<Vec<_>>();
    assert_eq!((blue(&train), blue(&test)), (vec![102, 101, 100], vec![104, 103]));
    assert_eq!(train.image(0)[..12], [10, 11, 12, 10, 11, 12, 50, 50, 50, 51, 51, 51]);
    assert!(!cached);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn blanks_around_a_class_are_no_part_of_its_name() {
    let fixture = Fixture::new();
    for part in ["train", "test"] {
        fs_err::rename(fixture.path(part).join("b"), fixture.path(part).join(" b ")).unwrap();
    }
    let FolderSets { sets: Divided { train, test, .. }, .. } = fixture.load(None).unwrap();
    assert_eq!(train.class_names(), ["b", "a"], "in the order of the folders");
    assert_eq!((train.labels(), test.labels()), (&[0, 1, 1][..], &[0, 1][..]));
    fixture.save("train/b/1.png", &colour(9, 2, 3));
    let message = fixture.failure();
    assert!(message.contains("/train: expected") && message.contains("`b` comes twice"), "{message}");
}

#[test]
fn the_second_time_comes_from_the_cache_and_is_equal() {
    let fixture = Fixture::new();
    let first = fixture.load(None).unwrap();
    let second = fixture.load(None).unwrap();
    assert!(!first.cached && second.cached);
    assert_eq!(
        (first.sets.train.digest(), first.sets.test.digest()),
        (second.sets.train.digest(), second.sets.test.digest())
    );
}

#[cfg(unix)]
#[test]
fn the_umask_says_who_may_read_the_cache() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.load(None).unwrap();
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode();
    // The images were written as any program writes a file.
    assert_eq!(mode(&fixture.cache_file(None)), mode(&fixture.path("train/a/1.png")));
}

#[test]
fn a_change_to_any_file_is_seen() {
    let fixture = Fixture::new();
    fixture.load(None).unwrap();
    // The same size and, below, the same time of modification.
    let path = fixture.path("train/a/1.png");
    let before: SystemTime = fs_err::metadata(&path).unwrap().modified().unwrap();
    let length = fs_err::metadata(&path).unwrap().len();
    fixture.save("train/a/1.png", &colour(9, 2, 3));
    assert_eq!(fs_err::metadata(&path).unwrap().len(), length, "the fixture should not change the size");
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    let changed = fixture.load(None).unwrap();
    if cfg!(unix) {
        assert!(!changed.cached);
        assert_eq!(changed.sets.train.image(0)[12], 109);
    }
    fixture.save("test/a/2.png", &colour(7, 2, 3));
    assert_eq!(fixture.load(None).unwrap().sets.test.len(), 3);
    fs_err::remove_file(fixture.path("test/a/2.png")).unwrap();
    assert_eq!(fixture.load(None).unwrap().sets.test.len(), 2);
    assert_eq!(fs_err::read_dir(fixture.cache()).unwrap().count(), 1, "replaced, not added");
}

#[test]
fn two_changes_in_quick_succession_are_both_seen() {
    let fixture = Fixture::new();
    for seed in 20..26 {
        fixture.save("train/a/1.png", &colour(seed, 2, 3));
        assert_eq!(fixture.load(None).unwrap().sets.train.image(0)[12], 100 + seed);
    }
}

#[test]
fn a_damaged_cache_is_rebuilt_with_a_warning() {
    let fixture = Fixture::new();
    let good = fixture.load(None).unwrap();
    let path = fixture.cache_file(None);
    let whole = fs_err::read(&path).unwrap();
    let mut cases: Vec<Vec<u8>> = [0, 45, HEADER, whole.len() - 1]
        .iter()
        .map(|&at| whole.iter().enumerate().map(|(index, byte)| byte ^ u8::from(index == at)).collect())
        .collect();
    cases.extend([
        vec![],
        whole[..60].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
    ]);
    for case in cases {
        fs_err::write(&path, &case).unwrap();
        let again = fixture.load(None).unwrap();
        assert!(!again.cached);
        assert_eq!(again.warnings.len(), 1, "{:?}", again.warnings);
        assert!(again.warnings[0].contains("decoded again"), "{:?}", again.warnings);
        assert_eq!(again.sets.train.digest(), good.sets.train.digest());
        assert!(fixture.load(None).unwrap().cached);
    }
}

/// The first pixel in a cache file.
const HEADER: usize = 80;

#[test]
fn another_size_is_another_entry() {
    let fixture = Fixture::new();
    fixture.load(None).unwrap();
    assert_ne!(fixture.cache_file(None), fixture.cache_file(Some((4, 6))));
    assert_ne!(fixture.cache_file(Some((4, 7))), fixture.cache_file(Some((4, 6))));
    assert_ne!(fixture.cache_file(Some((5, 6))), fixture.cache_file(Some((4, 6))));
    let large = fixture.load(Some((4, 6))).unwrap();
    assert!(!large.cached);
    assert_eq!(large.sets.train.shape(), ImageShape { channels: 3, height: 4, width: 6 });
    assert!(fixture.load(None).unwrap().cached && fixture.load(Some((4, 6))).unwrap().cached);
}

#[test]
fn no_cache_is_no_failure() {
    let fixture = Fixture::new();
    fs_err::write(fixture.cache(), "a file where the directory should be").unwrap();
    let loaded = fixture.load(None).unwrap();
    assert_eq!(loaded.sets.train.len(), 3);
    assert!(
        loaded.warnings.iter().any(|warning| warning.contains("could not be kept")),
        "{:?}",
        loaded.warnings
    );
    let loaded = load(&fixture.path(""), None, None).unwrap();
    assert!(loaded.warnings[0].contains("GAAT_CACHE"), "{:?}", loaded.warnings);
}

#[test]
fn grey_stays_one_channel_until_there_is_one_colour_image() {
    let fixture = Fixture::new();
    let entries = ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"];
    for (seed, entry) in (100..).step_by(20).zip(entries) {
        let grey = GrayImage::from_fn(3, 2, |column, row| Luma([seed + 10 * row as u8 + column as u8]));
        grey.save(fixture.path(entry)).unwrap();
    }
    let grey = fixture.load(None).unwrap();
    assert_eq!(grey.sets.train.shape().channels, 1);
    assert_eq!(grey.sets.train.image(1), [120, 121, 122, 130, 131, 132]);
    assert_eq!(grey.sets.train.image(2), [140, 141, 142, 150, 151, 152]);
    fixture.save("test/b/2.png", &colour(3, 2, 3));
    let mixed = fixture.load(None).unwrap();
    assert_eq!(mixed.sets.train.image(0), [100, 101, 102, 110, 111, 112].repeat(3));
    assert_eq!(mixed.sets.test.image(2)[12], 103);
}

#[test]
fn what_is_wrong_is_named() {
    let fixture = Fixture::new();
    fixture.save("test/a/1.png", &colour(0, 3, 2));
    let message = fixture.failure();
    assert!(message.contains("test/a/1.png") && message.contains("found 3 x 2"), "{message}");
    assert!(fixture.load(Some((2, 2))).is_ok());

    fs_err::write(fixture.path("test/a/1.png"), "no image").unwrap();
    assert!(fixture.failure().contains("test/a/1.png"));
    let whole = fs_err::read(fixture.path("test/b/1.png")).unwrap();
    fs_err::write(fixture.path("test/a/1.png"), &whole[..whole.len() - 20]).unwrap();
    assert!(fixture.failure().contains("test/a/1.png"));

    fixture.save("test/a/1.png", &colour(0, 2, 3));
    fixture.save("test/c/1.png", &colour(0, 2, 3));
    let message = fixture.failure();
    assert!(message.contains("\"c\" is not among the training classes: a, b"), "{message}");
    fs_err::remove_dir_all(fixture.path("test/c")).unwrap();
    fs_err::create_dir(fixture.path("train/c")).unwrap();
    assert!(fixture.failure().contains("train/c"));
}

#[test]
fn all_that_cannot_be_read_is_named_at_once() {
    let fixture = Fixture::new();
    // The very first file, which sets the size where it can be read, and one of each part.
    for below in ["train/a/1.png", "train/b/1.png", "test/b/1.png"] {
        fs_err::write(fixture.path(below), "no image").unwrap();
    }
    let message = fixture.failure();
    for part in ["cannot be read: 3\n", "train/a/1.png", "train/b/1.png", "test/b/1.png"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("more"), "{message}");
    // Of those of another size one is named, with the remedy.
    for below in ["test/a/1.png", "test/a/2.png"] {
        fixture.save(below, &colour(0, 3, 2));
    }
    let message = fixture.failure();
    assert!(message.contains("cannot be read: 3\n") && message.matches("(resize)").count() == 1, "{message}");

    for number in 10..40 {
        fs_err::write(fixture.path(&format!("train/b/{number}.png")), "no image").unwrap();
    }
    let message = fixture.load(Some((2, 2))).unwrap_err().to_string();
    assert_eq!(message.matches("not a readable image").count(), 20, "{message}");
    assert!(message.contains("cannot be read: 33\n") && message.contains("and 13 more"), "{message}");

    for below in ["train/a/2.png", "test/a/1.png", "test/a/2.png"] {
        fs_err::write(fixture.path(below), "no image").unwrap();
    }
    assert!(fixture.failure().contains("cannot be read: 36\n"), "where none can be read");
}

#[test]
fn a_jpeg_that_is_cut_short_is_named() {
    let fixture = Fixture::new();
    fixture.save("train/a/3.jpeg", &colour(4, 2, 3));
    assert_eq!(fixture.load(None).unwrap().sets.train.len(), 4);
    let whole = fs_err::read(fixture.path("train/a/3.jpeg")).unwrap();
    for length in [whole.len() - 2, whole.len() - 4, 40, 0] {
        fs_err::write(fixture.path("train/a/3.jpeg"), &whole[..length]).unwrap();
        assert!(fixture.failure().contains("train/a/3.jpeg"), "cut to {length}");
    }
}

#[test]
fn other_files_are_ignored_aloud_and_hidden_ones_in_silence() {
    let fixture = Fixture::new();
    fs_err::write(fixture.path("train/a/notes.txt"), "").unwrap();
    fs_err::write(fixture.path("train/a/.hidden.png"), "").unwrap();
    fs_err::write(fixture.path("test/readme"), "").unwrap();
    fs_err::create_dir_all(fixture.path("eval/z")).unwrap();
    let warnings = fixture.load(None).unwrap().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings[1].contains("eval is not read"), "{warnings:?}");
    assert!(warnings[0].contains("2 entries") && warnings[0].contains("test/readme"), "{warnings:?}");
}

#[test]
fn classes_without_a_test_image_are_named() {
    let fixture = Fixture::new();
    fixture.save("train/c/1.png", &colour(0, 2, 3));
    fs_err::remove_file(fixture.path("test/a/1.png")).unwrap();
    let loaded = fixture.load(None).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("2 of the 3 training classes: a, c;"), "{:?}", loaded.warnings);
    assert!(fixture.load(None).unwrap().cached, "a warning is no reason to decode again");
    for class in 'd'..'p' {
        fixture.save(&format!("train/{class}/1.png"), &colour(0, 2, 3));
    }
    let warning = fixture.load(None).unwrap().warnings.remove(0);
    assert!(warning.contains("14 of the 15") && warning.contains("k and 4 more"), "{warning}");
}

#[test]
fn an_archive_is_to_be_unpacked() {
    let home = tempfile::tempdir().unwrap();
    let archive = home.path().join("images.tar.xz");
    fs_err::write(&archive, "").unwrap();
    for root in [home.path().to_path_buf(), archive] {
        let message = find(&[root]).unwrap_err().to_string();
        assert!(message.contains("images.tar.xz") && message.contains("unpack it first"), "{message}");
    }
    fs_err::create_dir(home.path().join("train")).unwrap();
    assert!(find(&[home.path().to_path_buf()]).unwrap_err().to_string().contains("test/ missing"));
}

impl Fixture {
    fn open(&self, resize: Option<(usize, usize)>, residence: Residence) -> Result<OpenFolder> {
        open(&self.path(""), resize, Some(&self.cache()), residence)
    }
}

fn pixels(images: &dyn ImageSource, indices: &[usize]) -> Vec<u8> {
    ImageSet::of(images, indices).unwrap().pixels().to_vec()
}

#[test]
fn streamed_images_are_those_in_memory_byte_for_byte_and_share_their_cache() {
    let fixture = Fixture::new();
    for resize in [None, Some((4, 3))] {
        let streamed = fixture.open(resize, Residence::Streamed).unwrap();
        assert_eq!(streamed.warnings, [""; 0]);
        assert!(!streamed.parts.train.is_resident() && !streamed.parts.test.is_resident());
        let written = fs_err::read(fixture.cache_file(resize)).unwrap();
        let found = fixture.load(resize).unwrap();
        assert!(found.cached, "the cache that streaming has made is that of memory");
        fs_err::remove_file(fixture.cache_file(resize)).unwrap();
        fixture.load(resize).unwrap();
        assert_eq!(fs_err::read(fixture.cache_file(resize)).unwrap(), written);
        for (part, resident) in
            [(&streamed.parts.train, &found.sets.train), (&streamed.parts.test, &found.sets.test)]
        {
            assert_eq!((part.shape(), part.labels()), (resident.shape(), resident.labels()));
            assert_eq!(part.digest().unwrap(), resident.digest());
            let count = part.len();
            for indices in [vec![0], vec![1, 0], (0..count).collect(), (0..count).rev().collect()] {
                assert_eq!(pixels(part, &indices), resident.select(&indices).pixels(), "{indices:?}");
            }
        }
    }
}

#[test]
fn without_a_cache_images_are_decoded_when_they_are_asked_for() {
    let fixture = Fixture::new();
    fs_err::write(fixture.cache(), "a file where the directory should be").unwrap();
    let streamed = fixture.open(None, Residence::Streamed).unwrap();
    assert!(
        streamed.warnings.iter().any(|text| text.contains("could not be kept")),
        "{:?}",
        streamed.warnings
    );
    assert!(streamed.warnings.iter().any(|text| text.contains("in every epoch")), "{:?}", streamed.warnings);
    let found = fixture.load(None).unwrap();
    assert_eq!(streamed.parts.train.digest().unwrap(), found.sets.train.digest());
    assert_eq!(pixels(&streamed.parts.test, &[1, 0]), found.sets.test.select(&[1, 0]).pixels());
    // What goes missing later is named.
    fs_err::remove_file(fixture.path("train/a/2.png")).unwrap();
    let error = streamed.parts.train.read(&[1], &mut [0; 18]).unwrap_err().to_string();
    assert!(error.contains("train/a/2.png"), "{error}");
}

#[test]
fn grey_images_are_streamed_in_one_channel_and_faults_are_named_all_at_once() {
    let fixture = Fixture::new();
    let entries = ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"];
    for (seed, entry) in (100..).step_by(20).zip(entries) {
        GrayImage::from_fn(3, 2, |column, row| Luma([seed + 10 * row as u8 + column as u8]))
            .save(fixture.path(entry))
            .unwrap();
    }
    let streamed = fixture.open(None, Residence::Streamed).unwrap();
    assert_eq!(streamed.parts.train.shape().channels, 1);
    assert_eq!(pixels(&streamed.parts.train, &[1]), [120, 121, 122, 130, 131, 132]);

    for below in ["train/a/1.png", "test/b/1.png"] {
        fs_err::write(fixture.path(below), "no image").unwrap();
    }
    let message = fixture.open(None, Residence::Streamed).unwrap_err().to_string();
    for part in ["cannot be read: 2\n", "train/a/1.png", "test/b/1.png"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(fs_err::read_dir(fixture.cache()).unwrap().count(), 1, "no half of a cache is left");
}

#[test]
fn a_damaged_cache_is_not_streamed_but_made_anew() {
    let fixture = Fixture::new();
    let good = fixture.open(None, Residence::Streamed).unwrap().parts.train.digest().unwrap();
    let path = fixture.cache_file(None);
    let mut whole = fs_err::read(&path).unwrap();
    whole[HEADER + 3] ^= 1;
    fs_err::write(&path, &whole).unwrap();
    let again = fixture.open(None, Residence::Streamed).unwrap();
    assert!(again.warnings.len() == 1 && again.warnings[0].contains("decoded again"), "{:?}", again.warnings);
    assert_eq!(again.parts.train.digest().unwrap(), good);
    // Cut short while it is in use.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(HEADER as u64).unwrap();
    let error = again.parts.train.read(&[0], &mut [0; 18]).unwrap_err().to_string();
    assert!(error.contains(".pixels") && error.contains("were there when"), "{error}");
}

#[test]
fn auto_takes_what_fits_into_memory() {
    let fixture = Fixture::new();
    assert!(fixture.open(None, Residence::Auto).unwrap().parts.train.is_resident());
}
