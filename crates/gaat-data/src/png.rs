//! Pictures out: RGB bytes as a PNG file.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// The PNG file of `pixels`, rows of RGB bytes.
///
/// # Errors
/// When there are not `3 * width * height` bytes; the text says so.
pub fn png(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let wanted = (width as usize).checked_mul(height as usize).and_then(|area| area.checked_mul(3));
    if wanted != Some(pixels.len()) || pixels.is_empty() {
        return Err(format!("{} bytes for a picture of {width} x {height} pixels", pixels.len()));
    }
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(pixels, width, height, ExtendedColorType::Rgb8).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_and_wrong_sizes_are_refused() {
        let pixels: Vec<u8> = (0..18).collect();
        let read = image::load_from_memory(&png(&pixels, 3, 2).unwrap()).unwrap().into_rgb8();
        assert_eq!((read.dimensions(), read.as_raw()), ((3, 2), &pixels));
        assert!(png(&pixels, 2, 2).unwrap_err().contains("2 x 2"));
    }
}
