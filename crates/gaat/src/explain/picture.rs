//! Saliency as colour: dark where a pixel does not matter, bright where it does.

use super::saliency;
use super::study::Maps;
use crate::error::Result;
use crate::files::write_atomically;
use crate::pictures::{png, strip};
use std::path::Path;
use tch::{Kind, Tensor};

/// Saliencies above this share of an image's pixels are shown as one, as few would otherwise darken all others (Smilkov
/// et al. 2017, section 3.1).
const CAP: f64 = 0.99;

/// From nothing to everything: black, violet, red, orange, pale yellow, after matplotlib's magma; bytes.
const COLOURS: [[u8; 3]; 5] = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

/// An attribution (`[N, C, H, W]`) as RGB pictures `[N, 3, H, W]` in `[0, 1]`, each image on its own scale.
pub(crate) fn coloured(attribution: &Tensor) -> Result<Tensor> {
    let map = saliency(attribution)?.f_to_kind(Kind::Float)?;
    let most = map.f_flatten(1, 2)?.f_quantile_scalar(CAP, 1, true, "linear")?.f_unsqueeze(-1)?;
    let share = (map / most.f_clamp_min(1e-12)?).f_clamp(0.0, 1.0)?.f_unsqueeze(1)?;
    let column = |colour: [u8; 3]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&colour.map(|byte| f32::from(byte) / 255.0))?
            .f_view([1, 3, 1, 1])?
            .f_to_device(share.device())?)
    };
    let mut picture = &share * 0.0 + column(COLOURS[0])?;
    for (index, pair) in COLOURS.windows(2).enumerate() {
        let way = (&share * (COLOURS.len() - 1) as f64 - index as f64).f_clamp(0.0, 1.0)?;
        picture += way * (column(pair[1])? - column(pair[0])?);
    }
    Ok(picture)
}

impl Maps {
    /// Writes a PNG: a column an image, in the first row as it is, below by each method.
    ///
    /// # Errors
    /// When there is no image, or the file cannot be written.
    pub fn save_grid(&self, path: &Path) -> Result<()> {
        let mut rows = vec![strip(&self.images)?];
        for (_, attribution) in &self.attributions {
            rows.push(strip(&coloured(attribution)?)?);
        }
        write_atomically(path, &png(&Tensor::f_cat(&rows, 1)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_dark_and_the_most_is_bright() {
        let attribution = Tensor::from_slice(&[0f32, -1.0, 0.5, 1.0]).view([1, 1, 2, 2]);
        let picture = coloured(&attribution).unwrap();
        assert_eq!(picture.size(), [1, 3, 2, 2]);
        let pixel = |place: i64| -> Vec<f32> {
            let found = picture.view([3, 4]).select(1, place) * 255.0;
            Vec::<f32>::try_from(found.round()).unwrap()
        };
        assert_eq!((pixel(0), pixel(1)), (vec![0.0, 0.0, 4.0], vec![252.0, 253.0, 191.0]));
        // The sign does not show.
        assert_eq!(pixel(1), pixel(3));
        assert_eq!(pixel(2), [183.0, 55.0, 121.0]);
    }
}
