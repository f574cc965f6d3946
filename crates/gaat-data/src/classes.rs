//! Names of classes: no blanks around them, none empty, none twice, so that a reader can tell the classes apart.

use std::collections::HashSet;

use gaat_spec::visible;

/// `names` without the blanks around each.
///
/// # Errors
/// When one is empty then, or comes twice; the error says which.
pub fn class_names(names: impl IntoIterator<Item = String>) -> Result<Vec<String>, String> {
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
    check(&names)?;
    Ok(names)
}

/// Refuses names of which one is empty or comes twice.
pub(crate) fn check(names: &[String]) -> Result<(), String> {
    let mut known = HashSet::new();
    for (class, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("the name of class {class} is empty"));
        }
        if !known.insert(name) {
            return Err(format!("the class name `{}` comes twice", visible(name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_go_and_what_is_alike_then_is_refused() {
        let named = |names: &[&str]| class_names(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(named(&["a", " b c\t", "\u{a0}d"]).unwrap(), ["a", "b c", "d"]);
        assert_eq!(named(&["a", "b", " a"]).unwrap_err(), "the class name `a` comes twice");
        assert_eq!(named(&["a", " "]).unwrap_err(), "the name of class 1 is empty");
    }
}
