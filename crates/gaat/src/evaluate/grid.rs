//! A picture of an attack: a column an image, with the clean one, the perturbed one and their difference.

use super::PerturbedImages;
use crate::files::write_atomically;
use crate::{Error, Result};
use std::path::Path;
use tch::{Kind, Tensor};

/// Images shown.
const MOST: i64 = 16;
/// Images smaller than this are enlarged by a whole factor.
const LEAST_SIDE: i64 = 56;
/// White pixels round each image.
const MARGIN: i64 = 2;

impl PerturbedImages {
    /// Writes the first images as a PNG. The difference is amplified, for all images alike, until its largest pixel
    /// is black or white; grey is no change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_grid(&self, path: &Path) -> Result<()> {
        let (pixels, width, height) = self.grid()?;
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let bytes = gaat_data::png(&pixels, width, height).map_err(failed)?;
        write_atomically(path, &bytes)
    }

    fn grid(&self) -> Result<(Vec<u8>, u32, u32)> {
        let count = self.clean.size()[0].min(MOST);
        let (clean, perturbed) = (self.clean.f_narrow(0, 0, count)?, self.perturbed.f_narrow(0, 0, count)?);
        let difference = &perturbed - &clean;
        let most = difference.abs().max().clamp_min(1e-12);
        let rows = [clean, perturbed, difference / (most * 2.0) + 0.5].map(|images| row(&images));
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        let picture = (Tensor::f_cat(&rows, 1)?.clamp(0.0, 1.0) * 255.0).round().f_to_kind(Kind::Uint8)?;
        let picture = picture.f_permute([1, 2, 0])?.f_contiguous()?;
        let size = picture.size();
        Ok((Vec::<u8>::try_from(picture.f_flatten(0, -1)?)?, size[1] as u32, size[0] as u32))
    }
}

/// Images `[N, C, H, W]` side by side, `[3, H', N W']`.
fn row(images: &Tensor) -> Result<Tensor> {
    let size = images.size();
    let scale = LEAST_SIDE.div_euclid(size[2]).max(1);
    let images = images.f_to_kind(Kind::Float)?.f_repeat_interleave_self_int(scale, 2, None)?;
    let images = images.f_repeat_interleave_self_int(scale, 3, None)?;
    // Grey is shown in three equal channels; of other counts the first three.
    let images = if size[1] < 3 {
        images.f_narrow(1, 0, 1)?.f_expand([-1, 3, -1, -1], false)?
    } else {
        images.f_narrow(1, 0, 3)?
    };
    // Padding is black; on the negative it is white.
    let negative = images.f_ones_like()? - images;
    let padded = negative.f_constant_pad_nd([MARGIN, MARGIN, MARGIN, MARGIN])?;
    let framed = padded.f_ones_like()? - padded;
    Ok(Tensor::f_cat(&framed.f_unbind(0)?, 2)?)
}
