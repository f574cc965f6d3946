//! Which module of `gaat` may use which: the table of modules in ARCHITECTURE.md, held against the sources.
//!
//! Modules stand in the table in an order in which each uses only those before it, so that no circle can arise.

use std::collections::BTreeMap;
use std::path::Path;

/// The line of ARCHITECTURE.md that the table follows.
const TITLE: &str = "each module uses only those above it";
/// Where the modules lie.
const SOURCES: &str = "crates/gaat/src";
/// The crate itself, and what it shows to its users: they name every module.
const FACES: [&str; 3] = ["lib", "prelude", "guide"];

/// The modules of the table in ARCHITECTURE.md, in order; `None` where there is no such table.
pub(crate) fn order(architecture: &str) -> Option<Vec<String>> {
    let mut lines = architecture.lines().skip_while(|line| !line.contains(TITLE));
    lines.next()?;
    let rows = lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    // The first column of each row names modules in backticks.
    let names = rows.filter_map(|row| row.split('|').nth(1));
    Some(names.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect())
}

/// What is wrong with the source `path` (from the root of the repository) of the code `code`, under this `order` of modules.
pub(crate) fn complaints(path: &Path, code: &str, order: &[String]) -> Vec<String> {
    let Some(module) = module_of(path) else { return Vec::new() };
    if FACES.contains(&module.as_str()) {
        return Vec::new();
    }
    let places: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let Some(own) = places.get(module.as_str()) else {
        return vec![format!("the module `{module}` is not in the table of modules of ARCHITECTURE.md")];
    };
    let mut found: Vec<String> = used(code)
        .into_iter()
        .filter(|name| places.get(name.as_str()).is_some_and(|place| place > own))
        .map(|name| {
            format!("uses `{name}`, which stands below `{module}` in the table of modules of ARCHITECTURE.md")
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The module of `gaat` that a source belongs to.
fn module_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix(SOURCES).ok()?;
    let first = inner.iter().next()?.to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first).to_owned())
}

/// What follows `crate::` in `code`, also in braces.
fn used(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let word = |text: &str| -> String {
            text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        match rest.strip_prefix('{') {
            None => names.push(word(rest)),
            Some(list) => {
                let (mut depth, mut starts) = (0, true);
                for (place, letter) in list.char_indices() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => starts = true,
                        _ if starts && !letter.is_whitespace() => {
                            names.push(word(&list[place..]));
                            starts = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Inside `gaat`, each module uses only those above it:\n\n| module | types |\n|---|---|\n\
                         | `files`, `nn` | `Classifier` |\n| `attack` | `Pgd` |\n\nNext `run`.\n";

    #[test]
    fn the_table_gives_the_order() {
        assert_eq!(order(TABLE).unwrap(), ["files", "nn", "attack"]);
        assert_eq!(order("no table"), None);
    }

    #[test]
    fn what_uses_a_module_below_it_is_named() {
        let order = order(TABLE).unwrap();
        let check = |path: &str, code: &str| complaints(Path::new(path), code, &order);
        assert!(
            check("crates/gaat/src/attack/pgd.rs", "use crate::nn::{A, B};\nuse crate::{Result, files};")
                .is_empty()
        );
        let found = check(
            "crates/gaat/src/nn/mod.rs",
            "use crate::{\n    Error, files::{a, b},\n    attack::Pgd,\n};",
        );
        assert_eq!(
            found,
            ["uses `attack`, which stands below `nn` in the table of modules of ARCHITECTURE.md"]
        );
        assert_eq!(check("crates/gaat/src/files.rs", "let a = crate::nn::x();").len(), 1);
        assert!(check("crates/gaat/src/new.rs", "")[0].contains("`new` is not in the table"));
        assert!(check("crates/gaat/src/prelude.rs", "pub use crate::attack::Pgd;").is_empty());
        assert!(check("crates/gaat-data/src/idx.rs", "use crate::run;").is_empty());
    }
}
