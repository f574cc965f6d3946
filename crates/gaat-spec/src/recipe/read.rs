//! Values of a recipe with the check that each kind needs.

use crate::{Error, Result};

pub(super) fn need<T>(value: Option<T>, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::value(key, "absent", "has no default here; set it"))
}

pub(super) fn at_least(value: Option<usize>, key: &str, least: usize) -> Result<usize> {
    let value = need(value, key)?;
    if value < least { Err(Error::value(key, value, format!("needs at least {least}"))) } else { Ok(value) }
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
