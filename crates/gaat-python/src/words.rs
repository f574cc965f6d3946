//! What callers write, as values of the library: lengths, norms, attacks, recipes.

use crate::failed::refused;
use gaat::spec::{
    AttackName, AttackSpec, Budget, CheckedRecipe, Norm, PixelLength, Recipe, ThreatModel, nearest,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;
use serde_json::Value;

/// A length in pixel units: a number, or a text such as `"8/255"`.
pub(crate) fn length(value: &Bound<'_, PyAny>) -> PyResult<PixelLength> {
    // Python converts True to the number 1; a length that is True is a mistake of the caller.
    let is_bool = value.is_instance_of::<PyBool>();
    if let Ok(text) = value.extract::<String>() {
        return text.parse().map_err(refused);
    }
    match value.extract::<f64>() {
        Ok(number) if !is_bool => PixelLength::new(number).map_err(refused),
        _ => Err(PyTypeError::new_err(format!(
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
    let odd = |error: &dyn std::fmt::Display| PyValueError::new_err(format!("{name}: {error}"));
    let given: serde_json::Map<String, Value> = serde_json::from_str(numbers).map_err(|error| odd(&error))?;
    if let Some(unknown) = given.keys().find(|key| !Budget::NAMES.contains(&key.as_str())) {
        let hint = match nearest(unknown, &Budget::NAMES) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("attacks have {}", Budget::NAMES.join(", ")),
        };
        return Err(odd(&format!("no attack has a number {unknown}: {hint}")));
    }
    let budget: Budget = serde_json::from_value(given.into()).map_err(|error| odd(&error))?;
    budget.check_used(&[name]).map_err(refused)?;
    budget.attack(name, threat).map_err(refused)
}

/// A recipe of keys and values, as JSON, for networks of any name.
pub(crate) fn recipe(keys: &str) -> PyResult<CheckedRecipe> {
    let odd = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let keys: serde_json::Map<String, Value> = serde_json::from_str(keys).map_err(|error| odd(&error))?;
    let document = |keys: &serde_json::Map<String, Value>| {
        let text = toml::to_string(keys).map_err(|error| odd(&error))?;
        Recipe::from_toml(&text).map_err(refused)
    };
    for (key, value) in &keys {
        let alone = serde_json::Map::from_iter([(key.clone(), value.clone())]);
        // A document of one line: what is wrong with the value stands in the last line of the error.
        document(&alone).map_err(|error| match error.to_string().lines().last() {
            Some(last) if error.to_string().contains('\n') => {
                PyValueError::new_err(format!("{} = {value}: {last}", key.replace('-', "_")))
            }
            _ => error,
        })?;
    }
    document(&keys)?.check_with(&|_| true).map_err(refused)
}

/// Refuses keys and values (JSON) that no run has, before there is anything to run.
#[pyfunction]
pub(crate) fn check_recipe(keys: &str) -> PyResult<()> {
    recipe(keys).map(drop)
}

/// All keys of a recipe, as Python writes them.
#[pyfunction]
pub(crate) fn recipe_keys() -> Vec<String> {
    Recipe::keys().iter().map(|key| key.replace('-', "_")).collect()
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
