//! Perturbed images with 8 bits a channel, as image files hold them, judged again: rounding changes what an attack found.

use super::perturb::{PerturbedImages, Success};
use crate::attack::ball;
use crate::batch::to_unit;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::nn::{Classifier, Mode, answer};
use gaat_files::png;
use gaat_spec::{Norm, ThreatModel};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What in units of 1/255 is the rounding of 32-bit numbers and no part of a perturbation.
const NOISE: f64 = 1e-3;
/// Relative length beyond epsilon that is the rounding of 64-bit numbers.
const SLACK: f64 = 1e-9;
/// The listing beside the images.
const LISTING: &str = "images.csv";

/// Perturbed images of 8 bits a channel, and what the network says of them.
#[derive(Debug)]
pub struct EightBit {
    /// `[N, C, H, W]`, bytes in `0..=255`, on the CPU.
    bytes: Tensor,
    /// `[N]`, i64.
    pub predictions: Tensor,
}

impl PerturbedImages {
    /// The images rounded to 8 bits, each pixel towards its clean value, so that the perturbation only becomes shorter: ball
    /// and box hold. `classifier` judges them again, `batch_size` at once.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn eight_bit(
        &self,
        classifier: &dyn Classifier,
        threat: &ThreatModel,
        batch_size: usize,
    ) -> Result<EightBit> {
        let bytes = towards_clean(&self.clean, &self.perturbed, threat)?;
        let mut predictions = Vec::new();
        let store = classifier.store();
        for part in bytes.f_split(batch_size.max(1) as i64, 0)? {
            let pixels = to_unit(&part.f_to_device(store.device())?, store.kind())?;
            let logits = tch::no_grad(|| classifier.logits(&pixels, Mode::Eval))?;
            predictions.push(answer::verdicts(&logits)?.f_to_device(Device::Cpu)?);
        }
        Ok(EightBit { bytes, predictions: Tensor::f_cat(&predictions, 0)? })
    }

    /// These images in place of those in full precision, for the same questions.
    ///
    /// # Errors
    /// When libtorch fails.
    fn rounded(&self, eight: &EightBit) -> Result<Self> {
        Ok(Self {
            clean: self.clean.shallow_clone(),
            perturbed: to_unit(&eight.bytes, self.clean.kind())?,
            labels: self.labels.shallow_clone(),
            clean_predictions: self.clean_predictions.shallow_clone(),
            predictions: eight.predictions.shallow_clone(),
            places: self.places.clone(),
            subset: self.subset,
            passes: self.passes,
            seconds: self.seconds,
        })
    }
}

impl EightBit {
    /// Share of the images that is classified correctly, and how the attack fared, once rounded.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn verdict(&self, found: &PerturbedImages, norm: Norm) -> Result<(f64, Success)> {
        let rounded = found.rounded(self)?;
        Ok((rounded.accuracies()?.1, rounded.success(norm)?))
    }

    /// Writes each image as a PNG below `directory`, in a folder of its class, under its place in the test set; and a listing
    /// with the classes that the network takes it for. Returns the path of the listing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(
        &self,
        found: &PerturbedImages,
        class_names: &[String],
        directory: &Path,
    ) -> Result<PathBuf> {
        let size = self.bytes.size();
        let [_, channels, height, width] = size.as_slice() else {
            return Err(Error::Usage(format!("images of shape {size:?} are no pictures")));
        };
        let sizes = [channels, height, width].map(|side| *side as usize);
        let folders = folders(class_names);
        let numbers = |tensor: &Tensor| -> Result<Vec<i64>> { Ok(Vec::<i64>::try_from(tensor)?) };
        let labels = numbers(&found.labels)?;
        let answers = [&found.clean_predictions, &found.predictions, &self.predictions];
        let [clean, perturbed, rounded] = answers.map(numbers);
        let (clean, perturbed, rounded) = (clean?, perturbed?, rounded?);
        let name =
            |class: i64| class_names.get(class as usize).map_or_else(|| class.to_string(), Clone::clone);
        let digits = found.places.iter().max().map_or(1, |most| most.to_string().len());
        let mut listing =
            "file,index,class,prediction_clean,prediction_perturbed,prediction_8bit\n".to_owned();
        for (row, place) in found.places.iter().enumerate() {
            let image = Vec::<u8>::try_from(self.bytes.f_get(row as i64)?.f_flatten(0, -1)?)?;
            let folder = folders.get(labels[row] as usize).map_or("unknown", String::as_str);
            let file = format!("{folder}/{place:0digits$}.png");
            let png = png::of_planes(&image, sizes).map_err(Error::Usage)?;
            write_atomically(&directory.join(&file), &png)?;
            let cells = [
                file,
                place.to_string(),
                name(labels[row]),
                name(clean[row]),
                name(perturbed[row]),
                name(rounded[row]),
            ];
            listing.push_str(&cells.map(|cell| quoted(&cell)).join(","));
            listing.push('\n');
        }
        let path = directory.join(LISTING);
        write_atomically(&path, listing.as_bytes())?;
        Ok(path)
    }
}

/// `perturbed` as bytes, each towards `clean`; both `[N, C, H, W]` in `[0, 1]`, on the CPU.
fn towards_clean(clean: &Tensor, perturbed: &Tensor, threat: &ThreatModel) -> Result<Tensor> {
    let scaled =
        |pixels: &Tensor| -> Result<Tensor> { Ok(pixels.f_to_kind(Kind::Double)?.f_mul_scalar(255.0)?) };
    // What comes from bytes is whole.
    let clean = scaled(clean)?.f_round()?;
    let change = scaled(perturbed)? - &clean;
    let (cut, nearest) = (change.f_trunc()?, change.f_round()?);
    let is_whole = (&change - &nearest).f_abs()?.f_lt(NOISE)?;
    let near = nearest.f_where_self(&is_whole, &cut)?;
    // Taking noise for whole steps must not lead out of the ball.
    let lengths = ball::lengths(&(&near / 255.0), threat.norm());
    let is_inside = lengths.f_le(threat.epsilon() * (1.0 + SLACK))?.f_reshape([-1, 1, 1, 1])?;
    let change = near.f_where_self(&is_inside, &cut)?;
    Ok((clean + change).f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?.f_contiguous()?)
}

/// A folder name for each class: its own where that is one, else what is left of it with its number.
fn folders(class_names: &[String]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut folder = |(class, name): (usize, &String)| {
        let plain: String =
            name.chars()
                .map(|character| {
                    if character.is_control() || "/\\:*?\"<>|".contains(character) { '-' } else { character }
                })
                .collect();
        let is_plain = plain == *name && !name.starts_with('.') && !name.trim().is_empty();
        let folder = if is_plain { plain } else { format!("{class}-{}", plain.trim_start_matches('.')) };
        // File systems that do not tell cases apart would mix two classes.
        if taken.insert(folder.to_lowercase()) { folder } else { format!("{class}-{folder}") }
    };
    class_names.iter().enumerate().map(&mut folder).collect()
}

/// A cell of a table of comma-separated values (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(clean: &[f32], perturbed: &[f32], norm: Norm, epsilon: &str) -> Vec<u8> {
        let image = |values: &[f32]| Tensor::from_slice(values).reshape([1, 1, 1, values.len() as i64]);
        let threat = ThreatModel::new(norm, epsilon.parse().unwrap()).unwrap();
        let bytes = towards_clean(&image(clean), &image(perturbed), &threat).unwrap();
        Vec::<u8>::try_from(bytes.flatten(0, -1)).unwrap()
    }

    #[test]
    fn pixels_are_rounded_towards_the_clean_ones_and_whole_steps_stay() {
        let clean = [100.0 / 255.0; 5].map(|value: f64| value as f32);
        // 100 + 7.65, 100 - 7.65, a whole step with the noise of 32 bits, a step of 0.4, none.
        let perturbed = [107.65, 92.35, 107.0, 100.4, 100.0].map(|value: f64| (value / 255.0) as f32);
        assert_eq!(rounded(&clean, &perturbed, Norm::Linf, "0.03"), [107, 93, 107, 100, 100]);
        let whole = [108.0, 92.0, 108.0, 92.0, 100.0].map(|value: f64| (value / 255.0) as f32);
        assert_eq!(rounded(&clean, &whole, Norm::Linf, "8/255"), [108, 92, 108, 92, 100]);
        // Just short of a whole step that lies outside of the ball.
        let short = [107.9995, 100.0, 100.0, 100.0, 100.0].map(|value: f64| (value / 255.0) as f32);
        assert_eq!(rounded(&clean, &short, Norm::Linf, "7.9995/255")[0], 107);
        assert_eq!(rounded(&clean, &whole, Norm::L2, "16/255"), [108, 92, 108, 92, 100]);
    }

    #[test]
    fn classes_become_folders_that_can_be_told_apart() {
        let names = ["T-shirt/top", "Bag", "bag", ".", "cat"].map(str::to_owned);
        assert_eq!(folders(&names), ["0-T-shirt-top", "Bag", "2-bag", "3-", "cat"]);
        assert_eq!(
            (quoted("a,b"), quoted("a\"b"), quoted("ab")),
            ("\"a,b\"".into(), "\"a\"\"b\"".into(), "ab".into())
        );
    }
}
