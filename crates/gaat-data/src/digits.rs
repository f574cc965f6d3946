//! The embedded handwritten digits: 1,797 images of 8 x 8 pixels.
//!
//! Source: "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI (1998), CC BY 4.0; see
//! `assets/ATTRIBUTION.md`. The table has no test part of its own that would be embedded, so the last fifth of each class,
//! in the order of the file, is the test set: fixed, the same for every seed.

use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::{Error, Result};
use crate::gzip::read_up_to;
use crate::image_set::{ImageSet, ImageShape};

/// The embedded table, gzipped CSV.
pub(crate) const TABLE: &[u8] = include_bytes!("../assets/optdigits.csv.gz");

const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };
const CLASSES: u16 = 10;
const DARKEST: u16 = 16;
/// Several times the size of the real table.
const LONGEST_TABLE: usize = 1 << 20;

/// Reads the embedded table into (train, test).
pub(crate) fn load() -> Result<(ImageSet, ImageSet)> {
    let path = Path::new("embedded digits");
    let bytes = read_up_to(&mut GzDecoder::new(TABLE), LONGEST_TABLE)
        .map_err(|error| Error::reading(path, "a gzipped table", error))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| Error::malformed(path, "text", format!("other bytes ({error})")))?;
    Ok(hold_out(&parse(text, path)?))
}

fn parse(text: &str, path: &Path) -> Result<ImageSet> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for (line_index, line) in text.lines().enumerate() {
        let before = pixels.len();
        let mut values = line.split(',').map(|field| field.parse::<u16>().ok());
        let label = values.next_back().flatten().filter(|&label| label < CLASSES);
        pixels.extend(values.map_while(|value| value.filter(|&value| value <= DARKEST)).map(scaled));
        match label {
            Some(label) if pixels.len() - before == SHAPE.bytes() => labels.push(label),
            _ => {
                let found = format!("line {}: {line:?}", line_index + 1);
                return Err(Error::malformed(path, "64 values from 0 to 16 and a digit", found));
            }
        }
    }
    let class_names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    ImageSet::new(pixels, SHAPE, labels, class_names, "digits".to_owned())
}

/// 0..=16 to 0..=255, rounded to the nearest.
fn scaled(value: u16) -> u8 {
    ((value * 255 + DARKEST / 2) / DARKEST) as u8
}

/// The last fifth of each class, rounded to the nearest, is for testing.
fn hold_out(all: &ImageSet) -> (ImageSet, ImageSet) {
    let mut left: Vec<usize> = all.images_per_class();
    let held: Vec<usize> = left.iter().map(|count| (count + 2) / 5).collect();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (index, &label) in all.labels().iter().enumerate() {
        let class = label as usize;
        if left[class] <= held[class] {
            test.push(index);
        } else {
            train.push(index);
        }
        left[class] -= 1;
    }
    (all.select(&train), all.select(&test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_is_read_as_it_stands() {
        let (train, test) = load().unwrap();
        assert_eq!(train.len() + test.len(), 1797);
        assert_eq!(test.len(), 359);
        assert!(test.images_per_class().iter().all(|&count| (35..=37).contains(&count)));
        // The first line of the table, first and last row: 0,0,5,13,9,1,0,0 and 0,0,6,13,10,0,0,0, label 0.
        assert_eq!(train.labels()[0], 0);
        assert_eq!(train.image(0)[..8], [0, 0, 80, 207, 143, 16, 0, 0]);
        assert_eq!(train.image(0)[56..], [0, 0, 96, 207, 159, 0, 0, 0]);
        assert_eq!(train.class_names()[7], "7");
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let good = format!("{}3", "16,".repeat(64));
        let path = Path::new("table");
        assert_eq!(parse(&good, path).unwrap().pixels(), [255; 64]);
        for wrong in [good.replace(",3", ",10"), good.replacen("16", "17", 1), good.replacen("16,", "", 1)] {
            let message = parse(&format!("{good}\n{wrong}"), path).unwrap_err().to_string();
            assert!(message.contains("line 2"), "{message}");
        }
    }
}
