//! What logits answer: a class, or none where one of an image's logits is not a finite number.

use crate::error::{Error, Result};
use tch::{Kind, Tensor};

/// In place of a class where there is none.
const NONE: i64 = -1;

/// The class of each row of `logits` (`[N, classes]`), `[N]`, i64; -1, which is no class, where a logit is not finite.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn classes(logits: &Tensor) -> Result<Tensor> {
    let classes = logits.f_argmax(-1, false)?;
    Ok(classes.f_where_self(&has_class(logits)?, &classes.f_full_like(NONE)?)?)
}

/// Which rows of `logits` answer with their label (`[N]`, i64), `[N]`, bool.
///
/// # Errors
/// When the lengths differ.
pub(crate) fn right(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(classes(logits)?.f_eq_tensor(labels)?)
}

/// Which rows of `logits` answer with another class than their label, `[N]`, bool. No answer is no other class.
///
/// # Errors
/// When the lengths differ.
pub(crate) fn fooled(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_argmax(-1, false)?.f_ne_tensor(labels)?.f_logical_and(&has_class(logits)?)?)
}

/// The class of each row of `logits`, `[N]`, i64: for verdicts, which need one of every image.
///
/// # Errors
/// [`Error::NotFinite`] where a row has none.
pub(crate) fn verdicts(logits: &Tensor) -> Result<Tensor> {
    const SHOWN: usize = 10;
    let has_none = has_class(logits)?.f_logical_not()?;
    let count = has_none.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    if count == 0 {
        return Ok(logits.f_argmax(-1, false)?);
    }
    let first = has_none.f_nonzero()?.f_squeeze_dim(1)?.f_int64_value(&[0])?;
    let row = Vec::<f64>::try_from(logits.f_select(0, first)?.f_to_kind(Kind::Double)?)?;
    let numbers: Vec<String> = row.iter().take(SHOWN).map(|logit| format!("{logit:.3e}")).collect();
    let more = if row.len() > SHOWN { ", ..." } else { "" };
    Err(Error::NotFinite(format!(
        "the network answers {count} of {} images with logits that are not finite, the first with [{}{more}]: such an answer \
         is no class. Its weights are finite, so sums inside the network overflow; take other weights",
        logits.size()[0],
        numbers.join(", ")
    )))
}

fn has_class(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.f_isfinite()?.f_all_dim(-1, false)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_that_are_not_finite_are_no_class() {
        let rows = [
            [0.0, 2.0, 1.0],
            [2.0, 0.0, 1.0],
            [f64::NAN; 3],
            [0.0, f64::NAN, 1.0],
            [0.0, f64::INFINITY, 1.0],
            [3.0, f64::NEG_INFINITY, 1.0],
        ];
        let logits = Tensor::from_slice(&rows.concat()).view([6, 3]);
        let labels = Tensor::from_slice(&[1i64, 1, 0, 1, 1, 0]);
        let flags = |mask: Tensor| Vec::<bool>::try_from(mask).unwrap();
        assert_eq!(Vec::<i64>::try_from(classes(&logits).unwrap()).unwrap(), [1, 0, -1, -1, -1, -1]);
        assert_eq!(flags(right(&logits, &labels).unwrap()), [true, false, false, false, false, false]);
        assert_eq!(flags(fooled(&logits, &labels).unwrap()), [false, true, false, false, false, false]);
        let text = verdicts(&logits).unwrap_err().to_string();
        assert!(text.contains("4 of 6 images") && text.contains("[NaN, NaN, NaN]"), "{text}");
        let sound = verdicts(&logits.narrow(0, 0, 2)).unwrap();
        assert_eq!(Vec::<i64>::try_from(sound).unwrap(), [1, 0]);
    }
}
