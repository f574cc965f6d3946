//! Validation images of one's own.

use super::*;

#[test]
fn validation_images_of_their_own_are_read_and_stay_apart() {
    let fixture = Fixture::new();
    for (seed, path) in [(40, "val/b/1.png"), (41, "val/a/1.png")] {
        fixture.save(path, &colour(seed, 2, 3));
    }
    let blue = |set: &dyn ImageSource| -> Vec<u8> {
        (0..set.len()).map(|index| pixels(set, &[index])[12]).collect()
    };
    let found = fixture.load(None).unwrap();
    assert_eq!(found.warnings, [""; 0]);
    let validation = found.sets.validation.unwrap();
    assert_eq!((blue(&validation), validation.labels()), (vec![141, 140], &[0, 1][..]));
    assert_eq!(blue(&found.sets.train), [102, 101, 100]);
    // From the cache, and streamed from it.
    let again = fixture.load(None).unwrap();
    assert!(again.cached);
    assert_eq!(again.sets.validation.unwrap().digest(), validation.digest());
    let streamed = fixture.open(None, Residence::Streamed).unwrap();
    let parts = [Some(streamed.parts.train), streamed.parts.validation, Some(streamed.parts.test)];
    assert_eq!(
        parts.map(|part| blue(part.unwrap().as_ref())),
        [vec![102, 101, 100], vec![141, 140], vec![104, 103]]
    );

    fixture.save("val/z/1.png", &colour(0, 2, 3));
    let message = fixture.failure();
    assert!(
        message.contains("val/z: the val class \"z\" is not among the training classes: a, b"),
        "{message}"
    );
}
