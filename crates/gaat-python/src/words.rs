//! What callers write, as values of the library: lengths, norms, attacks, recipes.

use crate::failed::refused;
use gaat::spec::{AttackName, AttackSpec, Budget, CheckedRecipe, Norm, PixelLength, Recipe, ThreatModel};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A length in pixel units: a number, or a text such as `"8/255"`.
pub(crate) fn length(value: &Bound<'_, PyAny>) -> PyResult<PixelLength> {
    if let Ok(text) = value.extract::<String>() {
        return text.parse().map_err(refused);
    }
    match value.extract::<f64>() {
        Ok(number) => PixelLength::new(number).map_err(refused),
        Err(_) => Err(PyTypeError::new_err(format!(
            "a length is a number or a text such as \"8/255\", found {}",
            value.get_type()
        ))),
    }
}

/// `norm` and `eps` as a threat model.
pub(crate) fn threat(norm: &str, eps: &Bound<'_, PyAny>) -> PyResult<ThreatModel> {
    let norm = match norm.to_ascii_lowercase().as_str() {
        "linf" => Norm::Linf,
        "l2" => Norm::L2,
        other => return Err(PyValueError::new_err(format!("norm = {other}: there are \"Linf\" and \"L2\""))),
    };
    ThreatModel::new(norm, length(eps)?).map_err(refused)
}

/// The numbers of an attack, `{"steps": 10, ...}` as JSON.
pub(crate) fn attack(name: &str, numbers: &str, threat: &ThreatModel) -> PyResult<AttackSpec> {
    let name: AttackName = name.parse().map_err(refused)?;
    let budget: Budget =
        serde_json::from_str(numbers).map_err(|error| PyValueError::new_err(format!("{name}: {error}")))?;
    budget.check_used(&[name]).map_err(refused)?;
    budget.attack(name, threat).map_err(refused)
}

/// A recipe of keys and values, as JSON, for networks of any name.
pub(crate) fn recipe(keys: &str) -> PyResult<CheckedRecipe> {
    let odd = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let keys: serde_json::Value = serde_json::from_str(keys).map_err(|error| odd(&error))?;
    let text = toml::to_string(&keys).map_err(|error| odd(&error))?;
    Recipe::from_toml(&text).and_then(|recipe| recipe.check_with(&|_| true)).map_err(refused)
}

/// The attacks that an ensemble consists of against a network of `classes` classes: names, and numbers as JSON.
#[pyfunction]
#[pyo3(signature = (name, norm, eps: "float | str", classes))]
pub(crate) fn parts(
    name: &str,
    norm: &str,
    eps: &Bound<'_, PyAny>,
    classes: usize,
) -> PyResult<Vec<(String, String)>> {
    let whole = attack(name, "{}", &threat(norm, eps)?)?;
    let parts = whole.parts(classes).map_err(refused)?;
    let part = |part: &AttackSpec| {
        let numbers = serde_json::to_string(part.budget());
        let numbers = numbers.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok((part.name().to_string(), numbers))
    };
    parts.iter().map(part).collect()
}
