//! Images in arrays of numpy: `train.npz` and `test.npz`, perhaps `val.npz`, each with `image` and `label`.
//!
//! Formats: PKWARE APPNOTE.TXT 6.3; numpy's `lib/format.py`. `image` is u8, `[N, H, W, C]` with 1 or 3 channels, or `[N, H, W]`, as
//! the extra data of robust training is published (Rebuffi et al. 2021; Wang et al. 2023); `label` are whole numbers from 0, `[N]`.

use std::io::{BufReader, Read};
use std::path::Path;

use fs_err::File;
use npyz::{DType, NpyFile, Order, TypeChar};
use zip::ZipArchive;

use crate::error::{Error, Result};
use crate::folder::{Divided, Part};
use crate::image_set::{ImageSet, ImageShape};
use crate::room;
use gaat_spec::visible_path;

const EXPECTED: &str = "a whole archive of numpy (np.savez)";
const IMAGES: &str = "image: u8, [N, H, W, C] with 1 or 3 channels, or [N, H, W]";
const LABELS: &str = "label: whole numbers from 0 to 65534, [N]";

/// The images of the files in `root`.
///
/// # Errors
/// When a file is no archive of numpy, lacks an array, or an array has another type or shape.
pub(crate) fn load(root: &Path) -> Result<Divided<ImageSet>> {
    let read =
        |part: Part| part.arrays(root).map(|path| read(&path).map(|arrays| (path, arrays))).transpose();
    let (train, validation, test) = (read(Part::Train)?, read(Part::Validation)?, read(Part::Test)?);
    let (Some((path, train)), Some(test)) = (train, test) else {
        return Err(Error::malformed(root, "train.npz and test.npz", "not both"));
    };
    let classes = train.labels.iter().map(|label| usize::from(*label) + 1).max().unwrap_or(0);
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let name =
        root.file_name().map_or_else(|| "arrays".to_owned(), |name| name.to_string_lossy().into_owned());
    let set = |path: &Path, arrays: Arrays| {
        if let Some(label) = arrays.labels.iter().find(|label| usize::from(**label) >= classes) {
            let expected = format!("labels below {classes}, as in the training images");
            return Err(Error::malformed(path, expected, format!("label {label}")));
        }
        ImageSet::new(arrays.pixels, arrays.shape, arrays.labels, names.clone(), name.clone())
    };
    Ok(Divided {
        train: set(&path, train)?,
        validation: validation.map(|(path, arrays)| set(&path, arrays)).transpose()?,
        test: set(&test.0, test.1)?,
    })
}

/// The images of one file as a set of the classes `names`, for training beside other images.
///
/// # Errors
/// When the file is no archive of numpy, lacks an array, an array has another type or shape, there is no image, or a label has no
/// class.
pub fn load_extra(path: &Path, names: &[String]) -> Result<ImageSet> {
    let Arrays { pixels, shape, labels } = read(path)?;
    let wrong = |expected: String, found: String| Err(Error::malformed(path, expected, found));
    if labels.is_empty() {
        return wrong("at least one image".to_owned(), "none".to_owned());
    }
    if let Some(label) = labels.iter().find(|label| usize::from(**label) >= names.len()) {
        return wrong(
            format!("labels below {}, the classes of the training images", names.len()),
            format!("label {label}"),
        );
    }
    ImageSet::new(pixels, shape, labels, names.to_vec(), visible_path(path))
}

/// The arrays of one file, pixels `[N, C, H, W]`.
struct Arrays {
    pixels: Vec<u8>,
    shape: ImageShape,
    labels: Vec<u16>,
}

fn read(path: &Path) -> Result<Arrays> {
    let file = BufReader::new(gaat_files::open(path)?);
    let mut archive =
        ZipArchive::new(file).map_err(|error| Error::malformed(path, EXPECTED, error.to_string()))?;
    let labels = labels(path, &mut archive)?;
    let (pixels, shape) = images(path, &mut archive, labels.len())?;
    Ok(Arrays { pixels, shape, labels })
}

type Archive = ZipArchive<BufReader<File>>;

/// The array `name`, its header read.
fn array<'a>(
    path: &Path,
    archive: &'a mut Archive,
    name: &str,
    expected: &str,
) -> Result<NpyFile<impl Read + 'a>> {
    let member = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|error| Error::malformed(path, expected, error.to_string()))?;
    NpyFile::new(member).map_err(|error| Error::malformed(path, expected, error.to_string()))
}

fn labels(path: &Path, archive: &mut Archive) -> Result<Vec<u16>> {
    let wrong = |found: String| Error::malformed(path, LABELS, found);
    let array = array(path, archive, "label", LABELS)?;
    let [count] = *array.shape() else { return Err(wrong(format!("the shape {:?}", array.shape()))) };
    insist(path, count.saturating_mul(8))?;
    let DType::Plain(kind) = array.dtype() else { return Err(wrong("records".to_owned())) };
    let failed = |error: std::io::Error| Error::reading(path, EXPECTED, error);
    let narrow = |label: Option<u16>| label.filter(|label| *label < u16::MAX);
    let labels: Vec<Option<u16>> = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Int, 1) => collect(array.data::<i8>(), |label| u16::try_from(label).ok(), failed)?,
        (TypeChar::Int, 2) => collect(array.data::<i16>(), |label| u16::try_from(label).ok(), failed)?,
        (TypeChar::Int, 4) => collect(array.data::<i32>(), |label| u16::try_from(label).ok(), failed)?,
        (TypeChar::Int, 8) => collect(array.data::<i64>(), |label| u16::try_from(label).ok(), failed)?,
        (TypeChar::Uint, 1) => collect(array.data::<u8>(), |label| Some(u16::from(label)), failed)?,
        (TypeChar::Uint, 2) => collect(array.data::<u16>(), Some, failed)?,
        (TypeChar::Uint, 4) => collect(array.data::<u32>(), |label| u16::try_from(label).ok(), failed)?,
        (TypeChar::Uint, 8) => collect(array.data::<u64>(), |label| u16::try_from(label).ok(), failed)?,
        _ => return Err(wrong(format!("the type {kind}"))),
    };
    let labels: Option<Vec<u16>> = labels.into_iter().map(narrow).collect();
    labels.ok_or_else(|| wrong("a label outside of them".to_owned()))
}

/// The numbers of an array, each as `narrow` makes it.
fn collect<T, D: Iterator<Item = std::io::Result<T>>>(
    data: std::result::Result<D, npyz::DTypeError>,
    narrow: impl Fn(T) -> Option<u16>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<Option<u16>>> {
    let data = data.map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    data.map(|number| number.map(&narrow).map_err(&failed)).collect()
}

fn images(path: &Path, archive: &mut Archive, count: usize) -> Result<(Vec<u8>, ImageShape)> {
    let wrong = |found: String| Error::malformed(path, IMAGES, found);
    let array = array(path, archive, "image", IMAGES)?;
    let is_bytes = matches!(array.dtype(), DType::Plain(kind) if kind.type_char() == TypeChar::Uint && kind.size_field() == 1);
    if !is_bytes || array.order() != Order::C {
        return Err(wrong(format!("the type {} in {:?} order", array.dtype().descr(), array.order())));
    }
    let side = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
    let (images, height, width, channels) = match *array.shape() {
        [images, height, width] => (images, height, width, 1),
        [images, height, width, channels @ (1 | 3)] => (images, height, width, channels),
        ref other => return Err(wrong(format!("the shape {other:?}"))),
    };
    if images != count as u64 {
        return Err(wrong(format!("{images} images and {count} labels")));
    }
    let shape = ImageShape { channels: side(channels), height: side(height), width: side(width) };
    let total = images.saturating_mul(shape.bytes() as u64);
    insist(path, total.saturating_mul(2))?;
    let mut bytes = Vec::new();
    // The header may promise what the member does not hold; no more is kept than comes.
    let mut data = array.into_inner().take(total.saturating_add(1));
    data.read_to_end(&mut bytes).map_err(|error| Error::reading(path, EXPECTED, error))?;
    if bytes.len() as u64 != total {
        return Err(wrong(format!(
            "{} bytes of pixels where {total} belong: the file is cut short",
            bytes.len()
        )));
    }
    Ok((planar(bytes, shape), shape))
}

/// `[N, H, W, C]` to `[N, C, H, W]`.
fn planar(bytes: Vec<u8>, shape: ImageShape) -> Vec<u8> {
    if shape.channels == 1 || shape.bytes() == 0 {
        return bytes;
    }
    let mut planes = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact(shape.bytes()) {
        for channel in 0..shape.channels {
            planes.extend(image.iter().skip(channel).step_by(shape.channels));
        }
    }
    planes
}

/// Insists that `needed` bytes are free.
fn insist(path: &Path, needed: u64) -> Result<()> {
    room::insist(|| visible_path(path), needed)
}
