//! Imports from the defining file: inside a crate no `use` goes through what an enclosing module merely imports or re-exports.
//! Re-exports are for the outside; arrows between the files of a room point at the file that is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names from the root of a crate.
type Place = Vec<String>;

/// A name that a `use` brings in.
#[derive(Debug, PartialEq)]
struct Import {
    path: Vec<String>,
    /// Under which name.
    name: String,
    is_public: bool,
    /// Modules within the file that stand round the `use`: 1 in `mod tests { .. }`.
    level: usize,
}

/// What is wrong with the sources of one crate, by file: paths from its `src` with their texts.
pub(crate) fn complaints(sources: &[(PathBuf, String)]) -> Vec<(PathBuf, String)> {
    // Where there is a library too, the program of the same crate is outside.
    let has_library = sources.iter().any(|(path, _)| path == Path::new("lib.rs"));
    let inside = sources.iter().filter(|(path, _)| !(has_library && path == Path::new("main.rs")));
    let modules: BTreeMap<Place, (&PathBuf, Vec<Import>)> =
        inside.map(|(path, text)| (place(path), (path, imports(text)))).collect();
    let places: BTreeSet<&Place> = modules.keys().collect();
    let mut found = Vec::new();
    for (here, (file, imports)) in modules.iter().filter(|(here, _)| !here.is_empty()) {
        for import in imports.iter().filter(|import| !import.is_public) {
            let Some(target) = target(here, import, &places) else { continue };
            let Some((name, through)) = target.split_last() else { continue };
            if !here.starts_with(through) || through == here.as_slice() || places.contains(&target) {
                continue;
            }
            let Some((_, above)) = modules.get(through) else { continue };
            let origin = above.iter().find(|import| import.level == 0 && import.name == *name);
            if let Some(origin) = origin {
                let from = origin.path.join("::");
                found.push((
                    (*file).clone(),
                    format!(
                        "imports `{}` through a module that imports it itself, from `{from}`",
                        import.path.join("::")
                    ),
                ));
            }
        }
    }
    found
}

/// The module of a source file.
fn place(path: &Path) -> Place {
    let mut place: Place =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if place.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        place.pop();
    }
    place
}

/// What `import` of the module `here` names, from the root of the crate; `None` for what is of another crate.
fn target(here: &Place, import: &Import, places: &BTreeSet<&Place>) -> Option<Place> {
    let mut rest = import.path.as_slice();
    let mut base = here.clone();
    match rest.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" if import.level == 0 => rest = &rest[1..],
        "super" => {
            let up = rest.iter().take_while(|part| *part == "super").count();
            rest = &rest[up..];
            base.truncate((base.len() + import.level).checked_sub(up)?);
        }
        first => {
            let mut child = here.clone();
            child.push(first.to_owned());
            if import.level > 0 || !places.contains(&child) {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// Everything that the `use` lines of `text` bring in, but for globs.
fn imports(text: &str) -> Vec<Import> {
    let (mut found, mut level) = (Vec::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("mod ") && line.ends_with('{') {
            level = 1;
        } else if line == "}" {
            level = 0;
        }
        let Some((is_public, begun)) = begun(line) else { continue };
        let mut statement = begun.to_owned();
        while !statement.contains(';') {
            let Some(next) = lines.next() else { break };
            statement.push_str(next.split("//").next().unwrap_or_default().trim());
        }
        let tree = statement.split(';').next().unwrap_or_default();
        let mut paths = Vec::new();
        leaves(tree, &[], &mut paths);
        found.extend(paths.into_iter().map(|(path, name)| Import { path, name, is_public, level }));
    }
    found
}

/// Whether the `use` that `line` begins is public, and what follows the word.
fn begun(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    let Some(rest) = line.strip_prefix("pub") else { return Some((false, line.strip_prefix("use ")?)) };
    let rest =
        rest.strip_prefix('(').and_then(|inner| inner.split_once(')')).map_or(rest, |(_, after)| after);
    Some((true, rest.trim_start().strip_prefix("use ")?))
}

/// The names of a tree such as `a::{b, c::{self, D as E}}` below `prefix`.
fn leaves(tree: &str, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let parts = |text: &str| -> Vec<String> {
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    if let Some((head, inner)) = tree.split_once('{') {
        let prefix = [prefix, &parts(head)].concat();
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    leaves(&inner[start..at], &prefix, found);
                    start = (at + 1).min(inner.len());
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let mut path = [prefix, &parts(path)].concat();
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let Some(last) = path.last().filter(|last| *last != "*") else { return };
    let name = alias.map_or_else(|| last.clone(), |alias| alias.trim().to_owned());
    found.push((path, name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<(PathBuf, String)> =
            sources.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        complaints(&sources).into_iter().map(|(file, what)| format!("{}: {what}", file.display())).collect()
    }

    #[test]
    fn trees_come_apart() {
        let found = imports("pub(crate) use a::{self, b::{C as D,\n    e}, f::*};\nuse g;\n");
        let told: Vec<String> =
            found.iter().map(|import| format!("{} {}", import.path.join("::"), import.name)).collect();
        assert_eq!(told, ["a a", "a::b::C D", "a::b::e e", "g g"]);
        assert!(found[0].is_public && !found[3].is_public);
        assert_eq!(imports("pub fn f() { let used = 1; }\n"), []);
    }

    #[test]
    fn an_import_through_an_enclosing_module_is_named() {
        let found = check(&[
            ("lib.rs", "mod error;\nmod room;\npub use error::Error;\n"),
            ("error.rs", "pub struct Error;\n"),
            ("room/mod.rs", "mod a;\nmod b;\npub use a::A;\nuse std::fmt;\n"),
            ("room/a.rs", "use crate::{Error, room};\npub struct A;\n"),
            (
                "room/b.rs",
                "use super::{A, fmt};\n#[cfg(test)]\nmod tests {\n    use super::super::A;\n    use super::C;\n}\n",
            ),
        ]);
        assert_eq!(
            found,
            [
                "room/a.rs: imports `crate::Error` through a module that imports it itself, from `error::Error`",
                "room/b.rs: imports `super::A` through a module that imports it itself, from `a::A`",
                "room/b.rs: imports `super::fmt` through a module that imports it itself, from `std::fmt`",
                "room/b.rs: imports `super::super::A` through a module that imports it itself, from `a::A`",
            ]
        );
    }

    #[test]
    fn the_face_of_another_module_and_modules_themselves_are_used() {
        let found = check(&[
            ("main.rs", "mod one;\nmod two;\nuse one::run;\n"),
            ("one/mod.rs", "mod run;\npub use run::run;\npub use run::Run;\n"),
            ("one/run.rs", "pub fn run() {}\npub struct Run;\n"),
            ("one/other.rs", "use super::run;\nuse crate::two;\nuse std::fmt;\n"),
            ("two.rs", "use crate::one::{Run, run};\n"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }
}
