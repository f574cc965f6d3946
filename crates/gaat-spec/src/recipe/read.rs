//! Values of a recipe with the check that each kind needs.

use crate::bounds::Bound;
use crate::error::{Error, Result};

pub(super) fn need<T>(value: Option<T>, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::value(key, "absent", "has no default here; set it"))
}

/// A count within its bounds.
pub(super) fn count(value: Option<usize>, bound: Bound) -> Result<usize> {
    bound.check(need(value, bound.key)?)
}

pub(super) fn within(value: Option<f64>, key: &str, low: f64, high: f64) -> Result<f64> {
    let value = need(value, key)?;
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(Error::value(key, value, format!("needs a number from {low} to {high}")))
    }
}

/// `None` for 0, which switches the feature off.
pub(super) fn positive(value: Option<f64>, key: &str) -> Result<Option<f64>> {
    let value = need(value, key)?;
    if value.is_finite() && value >= 0.0 {
        Ok((value > 0.0).then_some(value))
    } else {
        Err(Error::value(key, value, "needs a number over 0, or 0 for off"))
    }
}
