//! Numbers that must be finite: which tensor holds one that is not.

use crate::error::{Error, Result};
use tch::{Kind, Tensor};

/// What is wrong with `tensor`, such as `3 of its 10 numbers are not finite, the first NaN at [2]`; `None` where all of its
/// numbers are finite. Reads one number from the device, and more where there is a fault.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn fault(tensor: &Tensor) -> Result<Option<String>> {
    let tensor = tensor.f_detach()?;
    let finite = tensor.f_isfinite()?;
    if finite.f_all()?.f_int64_value(&[])? != 0 {
        return Ok(None);
    }
    let places = finite.f_logical_not()?.f_nonzero()?;
    let place = Vec::<i64>::try_from(places.f_select(0, 0)?)?;
    let value = tensor.f_to_kind(Kind::Double)?.f_double_value(&place)?;
    let (count, total) = (places.size()[0], tensor.numel());
    let first = if place.is_empty() { String::new() } else { format!(" at {place:?}") };
    Ok(Some(format!("{count} of its {total} numbers are not finite, the first {value}{first}")))
}

/// Refuses `tensors` of which one holds a number that is not finite. `what` opens the message: `the weights`.
///
/// # Errors
/// [`Error::NotFinite`], which names the first three such tensors.
pub(crate) fn check<'t>(what: &str, tensors: impl IntoIterator<Item = (&'t str, &'t Tensor)>) -> Result<()> {
    const SHOWN: usize = 3;
    let mut faults = Vec::new();
    for (name, tensor) in tensors {
        if let Some(fault) = fault(tensor)? {
            faults.push(format!("`{name}`: {fault}"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let more = faults.len().saturating_sub(SHOWN);
    faults.truncate(SHOWN);
    let rest = if more > 0 { format!("; and {more} tensors more") } else { String::new() };
    Err(Error::NotFinite(format!("{what} hold numbers that are not finite ({}{rest})", faults.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensor_the_place_and_the_number_are_named() {
        let good = Tensor::from_slice(&[1.0f32, -3e38]);
        let bad = Tensor::from_slice(&[0.0f32, 1.0, f32::NEG_INFINITY, f32::NAN]).view([2, 2]);
        let scalar = Tensor::from(f32::NAN);
        assert_eq!(fault(&good).unwrap(), None);
        assert_eq!(fault(&Tensor::from_slice::<f32>(&[])).unwrap(), None);
        assert_eq!(fault(&Tensor::from_slice(&[7i64])).unwrap(), None);
        let text = check("the weights", [("a", &good), ("b", &bad), ("c", &scalar)]).unwrap_err().to_string();
        assert!(text.contains("`b`: 2 of its 4 numbers are not finite, the first -inf at [1, 0]"), "{text}");
        assert!(text.contains("`c`: 1 of its 1 numbers are not finite, the first NaN"), "{text}");
        assert!(!text.contains("`a`"), "{text}");
        check("the weights", [("a", &good)]).unwrap();
    }
}
