//! Images as PNG: grey or RGB tensors out, three channels in.

use crate::error::{Error, Result};
use tch::{Kind, Tensor};

/// Images smaller than this are enlarged by a whole factor.
const LEAST_SIDE: i64 = 56;
/// White pixels round each image.
const MARGIN: i64 = 2;

/// `images` (`[N, C, H, W]`, floating point) with three channels: grey three times, of more than three the first three.
pub(crate) fn rgb(images: &Tensor) -> Result<Tensor> {
    let images = images.f_to_kind(Kind::Float)?;
    Ok(if images.size()[1] < 3 {
        images.f_narrow(1, 0, 1)?.f_expand([-1, 3, -1, -1], false)?
    } else {
        images.f_narrow(1, 0, 3)?
    })
}

/// The PNG file of one picture, `[3, H, W]`, cut to `[0, 1]`.
pub(crate) fn png(picture: &Tensor) -> Result<Vec<u8>> {
    let bytes = (picture.clamp(0.0, 1.0) * 255.0).round().f_to_kind(Kind::Uint8)?;
    let bytes = bytes.f_permute([1, 2, 0])?.f_contiguous()?;
    let size = bytes.size();
    let bytes = Vec::<u8>::try_from(bytes.f_flatten(0, -1)?)?;
    gaat_files::png::of_rgb(&bytes, size[1] as u32, size[0] as u32).map_err(Error::Usage)
}

/// Images `[N, C, H, W]` side by side, `[3, H', N W']`.
pub(crate) fn strip(images: &Tensor) -> Result<Tensor> {
    let size = images.size();
    let scale = LEAST_SIDE.div_euclid(size[2]).max(1);
    let images = rgb(images)?.f_repeat_interleave_self_int(scale, 2, None)?;
    let images = images.f_repeat_interleave_self_int(scale, 3, None)?;
    // Padding is black; on the negative it is white.
    let negative = images.f_ones_like()? - images;
    let padded = negative.f_constant_pad_nd([MARGIN, MARGIN, MARGIN, MARGIN])?;
    let framed = padded.f_ones_like()? - padded;
    Ok(Tensor::f_cat(&framed.f_unbind(0)?, 2)?)
}
