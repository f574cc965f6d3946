//! Tensors of a checkpoint: where their numbers lie, and the numbers.

use super::brief::brief;
use super::machine::Pickle;
use super::value::{Id, Scalar, Value, View};

/// Axes of a tensor in PyTorch.
const MOST_AXES: usize = 64;
/// Names of storages are numbers; longer ones would only fill the memory.
const MOST_KEY: usize = 300;
/// Tensors may share numbers, as tied weights do, but not so that a small file fills the memory: together they have at most
/// as many numbers as the file has bytes, and so many whatever its length.
const FREE_NUMBERS: usize = 1 << 12;

/// A tensor of a state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name, such as `layer1.0.conv1.weight`.
    pub name: String,
    /// Its sizes; empty for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, the last index running fastest.
    pub numbers: Numbers,
}

/// Numbers of a tensor: half precision as single, whole numbers and truth values as i64.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Single precision.
    Float(Vec<f32>),
    /// Double precision.
    Double(Vec<f64>),
    /// Whole.
    Whole(Vec<i64>),
}

/// A tensor whose numbers were not read yet.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Its sizes; empty for a single number.
    pub shape: Vec<usize>,
    /// Name of the storage.
    pub(super) key: String,
    scalar: Scalar,
    /// Numbers of the storage.
    count: usize,
    offset: usize,
    stride: Vec<usize>,
}

impl TensorInfo {
    /// Whether it holds floating-point numbers.
    pub fn is_float(&self) -> bool {
        self.scalar.is_float()
    }

    /// Whether another tensor is the same numbers of the file in the same places.
    pub fn is_same(&self, other: &Self) -> bool {
        let place = |info: &Self| (info.key.clone(), info.offset, info.shape.clone(), info.stride.clone());
        place(self) == place(other)
    }

    /// What `view` says, looked up.
    pub(super) fn resolve(pickle: &Pickle<'_>, name: &str, view: View) -> Result<Self, String> {
        let wrong = |what: String| format!("{} with {what}", brief(name));
        let Value::Storage(storage) = pickle.get(view.storage) else {
            return Err(wrong(pickle.describe(view.storage)));
        };
        let offset = match pickle.get(view.offset) {
            Value::Int(offset) => usize::try_from(*offset).ok(),
            _ => None,
        };
        let (shape, stride) = (sizes(pickle, view.shape), sizes(pickle, view.stride));
        let shape = shape.map_err(|reason| wrong(format!("a shape of {reason}")))?;
        let stride = stride.map_err(|reason| wrong(format!("strides of {reason}")))?;
        if shape.len() != stride.len() {
            return Err(wrong(format!("{} sizes and {} strides", shape.len(), stride.len())));
        }
        let key = pickle.text(storage.key).filter(|key| key.len() <= MOST_KEY);
        Ok(Self {
            name: name.to_owned(),
            key: key.ok_or_else(|| wrong("a storage of a very long name".to_owned()))?.to_owned(),
            scalar: storage.scalar,
            count: storage.count,
            offset: offset.ok_or_else(|| wrong(format!("an offset of {}", pickle.describe(view.offset))))?,
            shape,
            stride,
        })
    }
}

fn sizes(pickle: &Pickle<'_>, tuple: Id) -> Result<Vec<usize>, String> {
    let (Value::Tuple(items) | Value::List(items)) = pickle.get(tuple) else {
        return Err(pickle.describe(tuple));
    };
    if items.len() > MOST_AXES {
        return Err(format!("{} axes, where PyTorch has at most {MOST_AXES}", items.len()));
    }
    let size = |id: &Id| match pickle.get(*id) {
        Value::Int(size) => usize::try_from(*size).map_err(|_| format!("{size}")),
        _ => Err(pickle.describe(*id)),
    };
    items.iter().map(size).collect()
}

/// The numbers of all of `found`, out of a file of `length` bytes, by way of `storage`.
pub(super) fn copy_all<'a>(
    found: &[&TensorInfo],
    length: usize,
    storage: impl Fn(&TensorInfo) -> Result<&'a [u8], String>,
) -> Result<Vec<NamedTensor>, String> {
    let most = length.max(FREE_NUMBERS);
    let mut total = 0usize;
    for found in found {
        let numbers = found.shape.iter().fold(1usize, |count, size| count.saturating_mul(*size));
        total = total.saturating_add(numbers);
        if total > most {
            let name = brief(&found.name);
            return Err(format!(
                "{name}, with which tensors share {length} bytes as more than {most} numbers"
            ));
        }
    }
    found.iter().map(|found| copy(found, storage(found)?)).collect()
}

/// The numbers of `found`, which [`copy_all`] has found to be few enough, out of its storage.
fn copy(found: &TensorInfo, storage: &[u8]) -> Result<NamedTensor, String> {
    let TensorInfo { name, scalar, count, offset, shape, stride, .. } = found;
    let outside = || format!("{}, which reaches beyond its storage", brief(name));
    if count.checked_mul(scalar.width()) != Some(storage.len()) {
        let (name, bytes) = (brief(name), storage.len());
        return Err(format!("{name} with a storage of {count} numbers in {bytes} bytes"));
    }
    // Without numbers, offset and strides mean nothing.
    let is_empty = shape.contains(&0);
    if !is_empty {
        let last = shape.iter().zip(stride).try_fold(*offset, |place, (size, stride)| {
            (size - 1).checked_mul(*stride).and_then(|step| step.checked_add(place))
        });
        last.filter(|last| last < count).ok_or_else(outside)?;
    }
    let indices =
        Indices { shape, stride, steps: vec![0; shape.len()], next: (!is_empty).then_some(*offset) };
    Ok(NamedTensor {
        name: name.clone(),
        shape: shape.clone(),
        numbers: numbers(*scalar, storage, indices)
            .ok_or_else(|| format!("{}, which holds complex or quantised numbers", brief(name)))?,
    })
}

/// Places in a storage in the order of the tensor, the last axis running fastest.
struct Indices<'a> {
    shape: &'a [usize],
    stride: &'a [usize],
    /// Where the next place is on each axis.
    steps: Vec<usize>,
    next: Option<usize>,
}

impl Iterator for Indices<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let place = self.next?;
        let mut moved = place;
        for axis in (0..self.shape.len()).rev() {
            self.steps[axis] += 1;
            if self.steps[axis] < self.shape[axis] {
                self.next = Some(moved + self.stride[axis]);
                return Some(place);
            }
            // Back to the start of this axis, and one step on along the one before.
            self.steps[axis] = 0;
            moved -= (self.shape[axis] - 1) * self.stride[axis];
        }
        self.next = None;
        Some(place)
    }
}

/// `None` for numbers of a type that no network here has.
fn numbers(scalar: Scalar, storage: &[u8], indices: Indices<'_>) -> Option<Numbers> {
    Some(match scalar {
        Scalar::F64 => Numbers::Double(each(storage, indices, f64::from_le_bytes)),
        Scalar::F32 => Numbers::Float(each(storage, indices, f32::from_le_bytes)),
        Scalar::F16 => Numbers::Float(each(storage, indices, |bytes| from_half(u16::from_le_bytes(bytes)))),
        Scalar::BF16 => Numbers::Float(each(storage, indices, |bytes: [u8; 2]| {
            f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
        })),
        Scalar::I64 => Numbers::Whole(each(storage, indices, i64::from_le_bytes)),
        Scalar::I32 => Numbers::Whole(each(storage, indices, |bytes| i64::from(i32::from_le_bytes(bytes)))),
        Scalar::I16 => Numbers::Whole(each(storage, indices, |bytes| i64::from(i16::from_le_bytes(bytes)))),
        Scalar::I8 => Numbers::Whole(each(storage, indices, |bytes| i64::from(i8::from_le_bytes(bytes)))),
        Scalar::U8 | Scalar::Bool => {
            Numbers::Whole(each(storage, indices, |[byte]: [u8; 1]| i64::from(byte)))
        }
        Scalar::Other(_) => return None,
    })
}

/// The numbers at `indices`, all of them inside the storage.
fn each<const N: usize, T>(storage: &[u8], indices: Indices<'_>, read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (all, _) = storage.as_chunks::<N>();
    let mut numbers = Vec::with_capacity(indices.shape.iter().product());
    numbers.extend(indices.map(|index| read(all[index])));
    numbers
}

/// IEEE 754 half precision.
fn from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_as_the_standard_says() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(from_half(bits), value);
        }
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }

    fn tensor(shape: &[usize], stride: &[usize], offset: usize) -> Result<NamedTensor, String> {
        let found = TensorInfo {
            name: "w".to_owned(),
            key: "0".to_owned(),
            scalar: Scalar::U8,
            count: 3,
            offset,
            shape: shape.to_vec(),
            stride: stride.to_vec(),
        };
        copy_all(&[&found], 100, |_| Ok(&[5, 6, 7])).map(|mut tensors| tensors.remove(0))
    }

    #[test]
    fn expanded_and_empty_tensors_are_read() {
        let numbers = |shape, stride, offset| tensor(shape, stride, offset).unwrap().numbers;
        assert_eq!(numbers(&[2, 3], &[0, 1], 0), Numbers::Whole(vec![5, 6, 7, 5, 6, 7]));
        assert_eq!(numbers(&[2, 2], &[1, 1], 0), Numbers::Whole(vec![5, 6, 6, 7]));
        assert_eq!(numbers(&[3, 1, 1], &[1, 9, 9], 0), Numbers::Whole(vec![5, 6, 7]));
        assert_eq!(numbers(&[5], &[0], 2), Numbers::Whole(vec![7; 5]));
        assert_eq!(numbers(&[], &[], 1), Numbers::Whole(vec![6]));
        assert_eq!(numbers(&[4, 0], &[1, 1], 0), Numbers::Whole(Vec::new()));
        assert_eq!(numbers(&[0, usize::MAX], &[1, 1], 9), Numbers::Whole(Vec::new()));
        assert_eq!(tensor(&[4, 0], &[1, 1], 0).unwrap().shape, [4, 0]);
        for (shape, stride, offset) in [(&[2, 2][..], &[0, 3][..], 0), (&[2], &[1], 2), (&[], &[], 3)] {
            let found = tensor(shape, stride, offset).unwrap_err();
            assert!(found.contains("beyond its storage"), "{found}");
        }
        let found = tensor(&[usize::MAX, 2], &[0, 0], 0).unwrap_err();
        assert!(found.contains("share 100 bytes"), "{found}");
    }
}
