//! PNG files of grey or RGB bytes.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// The PNG file of `pixels`, rows of RGB bytes.
///
/// # Errors
/// When there are not `3 * width * height` bytes; the text says so.
pub fn of_rgb(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let wanted = (width as usize).checked_mul(height as usize).and_then(|area| area.checked_mul(3));
    if wanted != Some(pixels.len()) || pixels.is_empty() {
        return Err(format!("{} bytes for a picture of {width} x {height} pixels", pixels.len()));
    }
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(pixels, width, height, ExtendedColorType::Rgb8).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The PNG file of `planes`, `[C, H, W]` with 1 channel (grey) or 3 (red, green, blue), byte for byte.
///
/// # Errors
/// When there are other channels, or not as many bytes as the sizes say; the text says so.
pub fn of_planes(planes: &[u8], [channels, height, width]: [usize; 3]) -> Result<Vec<u8>, String> {
    let area = height * width;
    if ![1, 3].contains(&channels) || planes.len() != channels * area || planes.is_empty() {
        return Err(format!(
            "{} bytes for an image of {channels} x {height} x {width}; a picture has 1 or 3 channels",
            planes.len()
        ));
    }
    let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let interleaved: Vec<u8> = (0..area)
        .flat_map(|pixel| (0..channels).map(move |channel| planes[channel * area + pixel]))
        .collect();
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder
        .write_image(&interleaved, width as u32, height as u32, colour)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_back_in_their_places() {
        let shape = [3, 1, 2];
        let read = image::load_from_memory(&of_planes(&[1, 2, 3, 4, 5, 6], shape).unwrap()).unwrap();
        assert_eq!(read.into_rgb8().as_raw(), &[1, 3, 5, 2, 4, 6]);
        let read = image::load_from_memory(&of_planes(&[7, 9], [1, 1, 2]).unwrap()).unwrap();
        assert_eq!((read.color(), read.into_luma8().as_raw()), (image::ColorType::L8, &vec![7, 9]));
        assert!(of_planes(&[0; 4], [2, 1, 2]).unwrap_err().contains("1 or 3"));
    }

    #[test]
    fn pictures_come_back_and_wrong_sizes_are_refused() {
        let pixels: Vec<u8> = (0..18).collect();
        let read = image::load_from_memory(&of_rgb(&pixels, 3, 2).unwrap()).unwrap().into_rgb8();
        assert_eq!((read.dimensions(), read.as_raw()), ((3, 2), &pixels));
        assert!(of_rgb(&pixels, 2, 2).unwrap_err().contains("2 x 2"));
    }
}
