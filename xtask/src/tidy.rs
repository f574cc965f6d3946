//! `cargo xtask tidy`: the rules of this repository that neither rustfmt nor clippy know.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::edges;
use crate::imports;
use crate::shell::Result;

/// Longer files hold more than one idea.
const MOST_CODE_LINES: usize = 400;

/// Checks the repository at `root` and lists everything that is wrong at once.
pub(crate) fn run(root: &Path) -> Result<()> {
    let (checked, complaints) = check(root)?;
    if complaints.is_empty() {
        println!("tidy: {checked} files are in order");
        return Ok(());
    }
    for complaint in &complaints {
        println!("tidy: {complaint}");
    }
    Err(format!("tidy: {} complaints in {checked} files (above)", complaints.len()))
}

fn check(root: &Path) -> Result<(usize, Vec<String>)> {
    let mut complaints = Vec::new();
    let mut sources = Vec::new();
    // reference/ and recipes/ may be empty, and git keeps no empty folders; a tree without the others is no checkout.
    for (folder, required) in [("crates", true), ("xtask", true), ("reference", false), ("recipes", false)] {
        if root.join(folder).is_dir() {
            walk(&root.join(folder), &mut sources)?;
        } else if required {
            complaints.push(format!("{folder}/ is missing"));
        }
    }
    let mut documents = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    for folder in ["docs", "results"] {
        if root.join(folder).is_dir() {
            walk(&root.join(folder), &mut documents)?;
        }
    }
    // Those at the top that are not always there.
    for name in ["CHANGELOG.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md"] {
        documents.extend(Some(root.join(name)).filter(|path| path.is_file()));
    }
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents[2..].sort();
    for path in &documents {
        let name = path.strip_prefix(root).unwrap_or(path).display();
        let folder = path.parent().unwrap_or(root);
        if let Ok(text) = fs::read_to_string(path) {
            let dead = links(&text).into_iter().filter(|link| !folder.join(link).exists());
            complaints.extend(dead.map(|link| format!("{name}: links to {link}, which does not exist")));
        } else {
            complaints.push(format!("{name} is missing or is not text"));
        }
    }
    sources.sort();
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let order = edges::order(&architecture);
    if order.is_none() && root.join("crates/gaat").is_dir() {
        complaints.push("ARCHITECTURE.md: the table of modules is missing".into());
    }
    let mut crates: BTreeMap<PathBuf, Vec<(PathBuf, String)>> = BTreeMap::new();
    for path in &sources {
        let name = path.strip_prefix(root).unwrap_or(path);
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let mut found = complaint(name, &text);
        if let (Some(order), true) = (&order, !is_test(name)) {
            let code = code_of(&text).into_iter().filter(|line| !line.trim_start().starts_with("//"));
            found.extend(edges::complaints(name, &code.collect::<Vec<_>>().join("\n"), order));
        }
        complaints.extend(found.into_iter().map(|what| format!("{}: {what}", name.display())));
        if let Some((src, inner)) = of_a_crate(name) {
            crates.entry(src).or_default().push((inner, text.into_owned()));
        }
    }
    for (src, files) in &crates {
        let found = imports::complaints(files);
        complaints
            .extend(found.into_iter().map(|(file, what)| format!("{}: {what}", src.join(file).display())));
    }
    Ok((sources.len() + documents.len(), complaints))
}

/// The folder of sources that a Rust file belongs to, and its path from there.
fn of_a_crate(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let src = path.ancestors().find(|folder| folder.ends_with("src"))?;
    let inner = path.strip_prefix(src).ok()?;
    inner.extension().is_some_and(|ending| ending == "rs").then(|| (src.to_owned(), inner.to_owned()))
}

/// Every file below `folder`, except links and what tools leave there.
pub(crate) fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !name.starts_with('.') && !["target", "__pycache__"].contains(&name.as_ref()) {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// What is wrong with one file, by its path in the repository and its text.
fn complaint(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    if path.starts_with("recipes") {
        if extension == "toml" && !text.starts_with('#') {
            found.push("a recipe starts with a comment: command, expected accuracy, time, hardware".into());
        }
        return found;
    }
    // A script may tell the system how to run it first.
    let body =
        if text.starts_with("#!/") { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text };
    match extension {
        "rs" if !body.starts_with("//!") => {
            found.push("the first line says what the file is (`//! ...`)".into());
        }
        "py" if !["\"\"\"", "r\"\"\"", "#"].iter().any(|start| body.starts_with(start)) => {
            found.push("the first line says what the file is (`\"\"\"...` or `# ...`)".into());
        }
        _ => {}
    }
    let counted = ["rs", "py", "cpp", "h"].contains(&extension) && path.iter().all(|part| part != "tests");
    if extension == "rs" && is_library(path) {
        found.extend(flags(text).into_iter().map(|flag| {
            format!("`{flag}` is a flag of the command line, which a library does not know: crates/gaat-engine/src/commands/advice.rs may add it")
        }));
    }
    let lines = code_lines(text, extension);
    if counted && lines > MOST_CODE_LINES {
        found.push(format!("{lines} lines of code, more than {MOST_CODE_LINES}: split it by idea"));
    }
    found
}

/// Whether `path` is the source of a library crate, whose messages name no flag. Pages of a report say which command adds to
/// them.
fn is_library(path: &Path) -> bool {
    let programs = [
        "crates/gaat-cli",
        "crates/gaat-engine",
        "crates/gaat-bench",
        "crates/gaat-kills",
        "crates/gaat-report/src/page",
    ];
    path.starts_with("crates")
        && path.iter().any(|part| part == "src")
        && !is_test(path)
        && !programs.iter().any(|program| path.starts_with(program))
}

/// Whether `path` is a file of unit tests, beside the code that it tests.
fn is_test(path: &Path) -> bool {
    ["tests.rs", "trial.rs", "scenarios.rs"].iter().any(|name| path.ends_with(name))
}

/// Flags in the code of `text`, up to its unit tests. Rust writes no `--` outside strings and comments.
fn flags(text: &str) -> Vec<String> {
    let code = code_of(text);
    let code = code.iter().filter(|line| !line.trim_start().starts_with("//"));
    let after = code.flat_map(|line| line.split("--").skip(1));
    let flags = after.filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_lowercase()));
    let word =
        |rest: &str| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().map(str::to_owned);
    flags.filter_map(word).map(|flag| format!("--{flag}")).collect()
}

/// The lines of `text` up to the unit tests at the end.
fn code_of(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
    lines.get(..tests.unwrap_or(lines.len())).unwrap_or_default().to_vec()
}

/// Lines that are neither blank nor comment, up to the unit tests at the end.
fn code_lines(text: &str, extension: &str) -> usize {
    let comment = if extension == "py" { "#" } else { "//" };
    code_of(text)
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with(comment))
        .count()
}

/// The relative targets of Markdown links and images outside code, without anchors.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        // Every second piece lies between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        found.extend(prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned));
        if let Some((_, target)) = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.push(target.to_owned());
        }
    }
    let relative = |target: &str| {
        // After a space comes a title; `<` and `>` may stand around the target.
        let target = target.split_whitespace().next()?.trim_matches(['<', '>']);
        let path = target.split('#').next()?;
        let elsewhere = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
        (!elsewhere).then(|| path.to_owned())
    };
    found.iter().filter_map(|target| relative(target)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn repository() -> Scratch {
        let scratch = Scratch::new();
        scratch.file("README.md", "See [the map](ARCHITECTURE.md#top).\n");
        scratch.file("ARCHITECTURE.md", "One [crate](crates/a/src/lib.rs \"title\").\n");
        scratch.file("crates/a/src/lib.rs", "//! A crate.\n");
        scratch.file("xtask/src/main.rs", "//! Tasks.\n");
        scratch
    }

    fn complaints(scratch: &Scratch) -> Vec<String> {
        check(scratch.path()).unwrap().1
    }

    #[test]
    fn a_tidy_repository_passes() {
        let scratch = repository();
        scratch.file("reference/golden.py", "#!/usr/bin/env python3\n\"\"\"Makes golden values.\"\"\"\n");
        scratch.file("recipes/digits.toml", "# gaat train --recipe digits\n");
        scratch.file("crates/a/target/debug/generated.rs", "fn main() {}\n");
        assert_eq!(complaints(&scratch), Vec::<String>::new());
        assert_eq!(run(scratch.path()), Ok(()));
    }

    #[test]
    fn files_that_do_not_say_what_they_are_are_named() {
        let scratch = repository();
        scratch.file("crates/a/build.rs", "fn main() {}\n");
        scratch.file("crates/a/tests/it.rs", "use a;\n");
        scratch.file("reference/golden.py", "#!/usr/bin/env python3\nimport torch\n");
        scratch.file("recipes/digits.toml", "epochs = 3\n");
        let found = complaints(&scratch);
        for name in [
            "crates/a/build.rs: ",
            "crates/a/tests/it.rs: ",
            "recipes/digits.toml: ",
            "reference/golden.py: ",
        ] {
            assert!(found.iter().any(|line| line.starts_with(name)), "{name} is not in {found:?}");
        }
        assert_eq!(found.len(), 4);
        assert!(run(scratch.path()).is_err());
    }

    #[test]
    fn long_files_are_named_unless_they_are_tests() {
        let scratch = repository();
        let head = "//! Long.\n";
        let full = "fn f() {}\n".repeat(MOST_CODE_LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{full}}}\n");
        scratch.file("crates/a/src/fits.rs", &format!("{head}{full}\n// A comment.\n{tests}"));
        scratch.file("crates/a/tests/long.rs", &format!("{head}{full}{full}"));
        assert_eq!(complaints(&scratch), Vec::<String>::new());
        scratch.file("crates/a/src/long.rs", &format!("{head}{full}fn g() {{}}\n"));
        let found = complaints(&scratch);
        assert_eq!(found, ["crates/a/src/long.rs: 401 lines of code, more than 400: split it by idea"]);
    }

    #[test]
    fn a_flag_in_a_message_of_a_library_is_named() {
        let text = "//! A crate; see --help.\nfn f() -> &'static str { \"use --data-dir or\\\n     --out\" }\n\
                    #[cfg(test)]\nmod tests {\n    const A: &str = \"--json\";\n}\n";
        assert_eq!(flags(text), ["--data-dir", "--out"]);
        let named = |path: &str| !complaint(Path::new(path), text).is_empty();
        assert!(named("crates/a/src/error.rs") && named("crates/gaat-report/src/compare.rs"));
        for program in [
            "crates/gaat-cli/src/a.rs",
            "crates/a/tests/it/a.rs",
            "crates/a/src/a/tests.rs",
            "xtask/src/a.rs",
        ] {
            assert!(!named(program), "{program}");
        }
        assert_eq!(flags("fn f() -> i32 { 1 - -2 } // ---- \n"), [""; 0]);
    }

    #[test]
    fn an_attribute_on_one_item_does_not_end_the_count() {
        assert_eq!(code_lines("#[cfg(test)]\nmod scratch;\nfn f() {}\n", "rs"), 3);
    }

    #[test]
    fn dead_links_are_named() {
        let scratch = repository();
        scratch.file("README.md", "[a](docs/a.md) ![b](b.png)\n[c]: <docs/c.md>\n");
        let found = complaints(&scratch);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "README.md: links to docs/a.md, which does not exist");
        scratch.file("docs/a.md", "[top](../README.md) [b](b.md)\n");
        let found = complaints(&scratch);
        assert!(found.contains(&"docs/a.md: links to b.md, which does not exist".to_owned()), "{found:?}");
        assert!(!found.iter().any(|line| line.contains("../README.md")), "{found:?}");
    }

    #[test]
    fn links_elsewhere_and_in_code_are_not_followed() {
        let text = "[a](https://example.org/a.md) [b](#b) [c](mailto:c@example.org) `[d](d.md)`\n\
                    ```text\n[e](e.md)\n```\n";
        assert_eq!(links(text), Vec::<String>::new());
    }

    #[test]
    fn missing_documents_and_folders_are_named() {
        let scratch = Scratch::new();
        let found = complaints(&scratch);
        for name in
            ["crates/ is missing", "xtask/ is missing", "README.md is missing", "ARCHITECTURE.md is missing"]
        {
            assert!(found.iter().any(|line| line.starts_with(name)), "{name}");
        }
    }
}
