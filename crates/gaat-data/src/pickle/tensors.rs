//! The tensors of a pickled dictionary, by name, and their numbers out of the storages.

use super::brief::brief;
use super::machine::Pickle;
use super::value::{Id, Scalar, Value, View};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::rc::Rc;

/// Names under which training scripts wrap the state dict of the network.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "model_state", "params"];
/// What `torch.nn.DataParallel` puts before every name.
const PARALLEL: &str = "module.";
/// Wrappers may be nested, but not without end.
const MOST_WRAPPERS: usize = 4;

/// Tensors may share storages, as tied weights do, but not so that a small file fills the memory.
const MOST_NUMBERS_A_BYTE: usize = 4;

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

/// A tensor whose numbers were not looked up yet.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) view: View,
}

/// The tensors of the state dict in `pickle`.
pub(super) fn find(pickle: &Pickle) -> Result<Vec<Found>, String> {
    let mut place = pickle.root;
    for _ in 0..MOST_WRAPPERS {
        let items = dictionary(pickle, place)?;
        let mut found = Vec::new();
        let mut others = Vec::new();
        for (key, value) in items {
            match &pickle.values[value] {
                Value::Tensor(view) => found.push(Found { name: key.to_string(), view: view.clone() }),
                _ => others.push((key, value)),
            }
        }
        // Beside the state dict there may be counts and rates as tensors.
        let inner = wrapped(&others).filter(|inner| matches!(pickle.values[*inner], Value::Dict(_)));
        match inner {
            Some(inner) => place = inner,
            None if found.is_empty() => return Err(without_tensors(&others)),
            None => return unprefixed(found, &others),
        }
    }
    Err(format!("dictionaries more than {MOST_WRAPPERS} deep"))
}

fn dictionary(pickle: &Pickle, place: Id) -> Result<Vec<(Rc<str>, Id)>, String> {
    let Value::Dict(items) = &pickle.values[place] else {
        return Err("an object that is no dictionary; save the state dict, model.state_dict()".to_owned());
    };
    let mut known = HashSet::new();
    let named = items.iter().map(|(key, value)| match &pickle.values[*key] {
        Value::Text(name) if !known.insert(name) => Err(format!("{}, which comes twice", brief(name))),
        Value::Text(name) => Ok((name.clone(), *value)),
        other => Err(format!("an entry without a name: {}", brief(other))),
    });
    named.collect()
}

/// The value of the first known wrapper.
fn wrapped(others: &[(Rc<str>, Id)]) -> Option<Id> {
    let named = |wrapper: &str| others.iter().find(|(key, _)| **key == *wrapper);
    WRAPPERS.iter().find_map(|wrapper| named(wrapper)).map(|(_, value)| *value)
}

fn without_tensors(others: &[(Rc<str>, Id)]) -> String {
    let mut keys = String::new();
    for (key, _) in others.iter().take(8) {
        let _ = write!(keys, " {}", brief(key));
    }
    format!("a dictionary without tensors, with the keys{keys}")
}

fn unprefixed(mut found: Vec<Found>, others: &[(Rc<str>, Id)]) -> Result<Vec<Found>, String> {
    if let Some((key, _)) = others.first() {
        return Err(format!("{}, which is no tensor, among tensors", brief(key)));
    }
    strip_parallel_prefix(found.iter_mut().map(|found| &mut found.name).collect());
    Ok(found)
}

/// Takes `module.`, which `torch.nn.DataParallel` puts before every name, off them; where a name lacks it, off none.
pub fn strip_parallel_prefix(names: Vec<&mut String>) {
    if names.iter().all(|name| name.starts_with(PARALLEL)) {
        for name in names {
            name.drain(..PARALLEL.len());
        }
    }
}

/// The numbers of all of `found`, out of a file of `length` bytes, by way of `storage`.
pub(super) fn copy_all<'a>(
    found: &[Found],
    length: usize,
    storage: impl Fn(&Found) -> Result<&'a [u8], String>,
) -> Result<Vec<NamedTensor>, String> {
    let most = length.saturating_mul(MOST_NUMBERS_A_BYTE);
    let mut total = 0usize;
    let mut tensors = Vec::with_capacity(found.len());
    for found in found {
        let numbers = found.view.shape.iter().fold(1usize, |count, size| count.saturating_mul(*size));
        total = total.saturating_add(numbers);
        if total > most {
            let name = brief(&found.name);
            return Err(format!(
                "{name}, with which tensors share {length} bytes as more than {most} numbers"
            ));
        }
        tensors.push(copy(found, storage(found)?)?);
    }
    Ok(tensors)
}

/// The numbers of `found`, which [`copy_all`] has found to be few enough, out of its storage.
fn copy(found: &Found, storage: &[u8]) -> Result<NamedTensor, String> {
    let Found { name, view } = found;
    let scalar = view.storage.scalar;
    let outside = || format!("{}, which reaches beyond its storage", brief(name));
    let stored = view.storage.count.checked_mul(scalar.width());
    if stored != Some(storage.len()) {
        let (count, bytes) = (view.storage.count, storage.len());
        let name = brief(name);
        return Err(format!("{name} with a storage of {count} numbers in {bytes} bytes"));
    }
    // Without numbers, offset and strides mean nothing.
    let mut indices = if view.shape.contains(&0) { Vec::new() } else { vec![view.offset] };
    // One axis after the other: an image of the last axis for every index of those before.
    for (size, stride) in view.shape.iter().zip(&view.stride) {
        // An axis of stride 0 repeats numbers: there may be more of them than are stored.
        let mut longer = Vec::with_capacity(indices.len().saturating_mul(*size));
        for start in &indices {
            for step in 0..*size {
                let index = step.checked_mul(*stride).and_then(|step| step.checked_add(*start));
                longer.push(index.filter(|index| *index < view.storage.count).ok_or_else(outside)?);
            }
        }
        indices = longer;
    }
    if indices.iter().any(|index| *index >= view.storage.count) {
        return Err(outside());
    }
    Ok(NamedTensor {
        name: name.clone(),
        shape: view.shape.clone(),
        numbers: numbers(scalar, storage, &indices),
    })
}

fn numbers(scalar: Scalar, storage: &[u8], indices: &[usize]) -> Numbers {
    match scalar {
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
    }
}

/// The numbers at `indices`, all of them inside the storage.
fn each<const N: usize, T>(storage: &[u8], indices: &[usize], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (all, _) = storage.as_chunks::<N>();
    indices.iter().map(|index| read(all[*index])).collect()
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
    use super::super::value::Storage;
    use super::*;

    #[test]
    fn half_precision_is_read_as_the_standard_says() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(from_half(bits), value);
        }
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }

    fn tensor(shape: &[usize], stride: &[usize], offset: usize) -> Result<NamedTensor, String> {
        let storage = Storage { key: "0".into(), scalar: Scalar::U8, count: 3 };
        let view = View { storage, offset, shape: shape.to_vec(), stride: stride.to_vec() };
        let found = Found { name: "w".to_owned(), view };
        copy_all(&[found], 100, |_| Ok(&[5, 6, 7])).map(|mut tensors| tensors.remove(0))
    }

    #[test]
    fn expanded_and_empty_tensors_are_read() {
        let numbers = |shape, stride, offset| tensor(shape, stride, offset).unwrap().numbers;
        assert_eq!(numbers(&[2, 3], &[0, 1], 0), Numbers::Whole(vec![5, 6, 7, 5, 6, 7]));
        assert_eq!(numbers(&[5], &[0], 2), Numbers::Whole(vec![7; 5]));
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
