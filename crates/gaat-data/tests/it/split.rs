//! Splits: nothing twice, nothing lost, classes in proportion, the same for the same seed.

use std::collections::BTreeSet;

use std::sync::Arc;

use gaat_data::{ImageSet, ImageShape, ImageSource, Parts, SplitOptions, Splits, split};

/// Every image carries its own number in its two pixels; two of three are of class 0.
fn numbered(count: u16, first: u16) -> ImageSet {
    let numbers = first..first + count;
    let pixels = numbers.clone().flat_map(u16::to_be_bytes).collect();
    let labels = numbers.map(|number| u16::from(number % 3 == 0)).collect();
    let shape = ImageShape { channels: 1, height: 1, width: 2 };
    ImageSet::new(pixels, shape, labels, vec!["a".into(), "b".into()], "numbered".into()).unwrap()
}

fn parts(train: ImageSet, test: ImageSet) -> gaat_data::Result<Parts> {
    Parts::of(Arc::new(train), Arc::new(test))
}

fn numbers(set: &dyn ImageSource) -> BTreeSet<u16> {
    let set = ImageSet::of(set, &(0..set.len()).collect::<Vec<_>>()).unwrap();
    let numbers: Vec<u16> =
        set.pixels().as_chunks().0.iter().map(|bytes| u16::from_be_bytes(*bytes)).collect();
    for (number, label) in numbers.iter().zip(set.labels()) {
        assert_eq!(i64::from(number % 3 == 0), *label, "a label left its image");
    }
    let distinct: BTreeSet<u16> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "an image came twice");
    distinct
}

fn split_numbered(options: &SplitOptions) -> Splits {
    split(parts(numbered(600, 0), numbered(300, 1000 - 1)).unwrap(), options).unwrap()
}

#[test]
fn parts_are_disjoint_complete_and_in_proportion() {
    let splits = split_numbered(&SplitOptions::default());
    let (train, validation) = (numbers(splits.train.images()), numbers(splits.validation.images()));
    assert_eq!((train.len(), validation.len()), (540, 60));
    assert!(train.is_disjoint(&validation));
    assert_eq!(train.union(&validation).copied().collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
    assert_eq!(splits.validation.images().images_per_class(), [40, 20]);
    assert_eq!(numbers(splits.test.images()).len(), 300);
}

#[test]
fn the_seed_decides_the_validation_set_and_never_the_test_set() {
    let at = |seed| {
        let limits =
            SplitOptions { seed, limit_train: Some(90), limit_test: Some(30), ..SplitOptions::default() };
        let splits = split_numbered(&limits);
        let [train, validation, test] =
            [splits.train.images(), splits.validation.images(), splits.test.images()].map(numbers);
        (train, validation, test)
    };
    assert_eq!(at(1), at(1));
    let ((train, validation, test), (other_train, other_validation, other_test)) = (at(1), at(2));
    assert_ne!(train, other_train);
    assert_ne!(validation, other_validation);
    assert_eq!(test, other_test);
}

#[test]
fn limits_come_before_the_validation_set_and_keep_the_shares() {
    let options =
        SplitOptions { limit_train: Some(90), limit_test: Some(30), seed: 3, ..SplitOptions::default() };
    let splits = split_numbered(&options);
    assert_eq!(splits.train.images().images_per_class(), [54, 27]);
    assert_eq!(splits.validation.images().images_per_class(), [6, 3]);
    assert_eq!(splits.test.images().images_per_class(), [20, 10]);
    let beyond = SplitOptions { limit_train: Some(9999), ..SplitOptions::default() };
    assert_eq!(split_numbered(&beyond).train.images().len(), 540);
}

#[test]
fn a_fraction_of_nothing_leaves_the_training_set_whole() {
    let splits = split_numbered(&SplitOptions { validation_fraction: 0.0, ..SplitOptions::default() });
    assert!(splits.validation.images().is_empty());
    assert_eq!(splits.train.images().digest().unwrap(), numbered(600, 0).digest());
}

#[test]
fn options_out_of_range_are_refused() {
    let loaded = || parts(numbered(3, 0), numbered(3, 0)).unwrap();
    let options = SplitOptions::default();
    let cases = [
        SplitOptions { validation_fraction: 1.0, ..options.clone() },
        SplitOptions { validation_fraction: -0.1, ..options.clone() },
        SplitOptions { validation_fraction: f64::NAN, ..options.clone() },
        SplitOptions { limit_train: Some(0), ..options.clone() },
        SplitOptions { limit_test: Some(0), ..options.clone() },
        SplitOptions { limit_train: Some(1), ..options.clone() },
        SplitOptions { validation_fraction: 0.99, ..options.clone() },
    ];
    for case in cases {
        assert!(split(loaded(), &case).is_err(), "{case:?}");
    }
    assert_eq!(split(loaded(), &options).unwrap().validation.images().len(), 1);
}

#[test]
fn parts_of_two_data_sets_do_not_go_together() {
    let shape = ImageShape { channels: 1, height: 2, width: 1 };
    let turned =
        ImageSet::new(vec![0; 2], shape, vec![0], vec!["a".into(), "b".into()], "turned".into()).unwrap();
    let message = parts(numbered(3, 0), turned).unwrap_err().to_string();
    assert!(message.contains("turned") && message.contains("1 x 2 x 1"), "{message}");
}
