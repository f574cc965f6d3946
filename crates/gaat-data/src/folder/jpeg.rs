//! Whether a JPEG file is whole.
//!
//! The decoder fills up a file that was cut short with grey and calls it a success, which is right for a viewer and wrong
//! for training. Nothing is decoded here.
//!
//! Source: ITU-T T.81, annex B: segments of a marker and a length up to the start of scan; in the data after it 0xFF is
//! always followed by a stuffed 0, so that the end-of-image marker (0xFF 0xD9) cannot be part of it.

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Most scans of an image. A progressive one has about ten; each is a walk over all pixels, however short it is.
const MOST_SCANS: usize = 200;

/// Insists that a file is whole and has no more scans than an image can use.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    if !is_whole(bytes) {
        return Err("the JPEG data is cut short".to_owned());
    }
    let scans = bytes.windows(2).filter(|pair| *pair == [0xff, START_OF_SCAN]).count();
    if scans > MOST_SCANS {
        return Err(format!("a JPEG image of {scans} scans; at most {MOST_SCANS} are read"));
    }
    Ok(())
}

/// Whether the end-of-image marker follows the first start of scan.
fn is_whole(bytes: &[u8]) -> bool {
    scan_data(bytes).is_some_and(|data| data.windows(2).any(|pair| pair == [0xff, END_OF_IMAGE]))
}

/// What follows the header of the first scan. Thumbnails lie in the segments before it and are skipped.
fn scan_data(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match marker {
            // Padding before a marker.
            0xff => rest = &rest[1..],
            // Markers without a length.
            0x01 | 0xd0..=0xd7 => rest = after,
            _ => {
                let [high, low, ..] = after else { return None };
                let after = after.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
                if *marker == START_OF_SCAN {
                    return Some(after);
                }
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TINY: [u8; 18] =
        [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd9, 0xff, 0xff, 0xda, 0, 3, 1, 0x12, 0x34, 0xff, 0xd9];

    #[test]
    fn the_end_must_follow_the_scan() {
        assert!(is_whole(&TINY));
        assert!(is_whole(&[&TINY[..], &[0, 0]].concat()));
        for length in 0..TINY.len() {
            assert!(!is_whole(&TINY[..length]), "cut to {length}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_whole(&tail);
            let _ = is_whole(&[&[0xff, 0xd8, 0xff], tail.as_slice()].concat());
        }
    }
}
