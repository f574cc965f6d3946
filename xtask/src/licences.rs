//! The licences of what an archive carries: those of libtorch and of the crates that the binaries are made of.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Result, cargo};

/// How files with the terms of a licence begin, in lower case.
const TERMS: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// Fills `folder` with `libtorch/`, the texts that lie in `torch`; `rust/NAME-VERSION/`, the texts of every crate from elsewhere;
/// and `rust/INDEX`, one line a crate with its licence, those included that come without a text.
///
/// # Errors
/// When cargo does not answer, when libtorch comes without a text, or when a file cannot be copied.
pub(crate) fn gather(torch: &Path, folder: &Path) -> Result<()> {
    if copy_terms(torch, &folder.join("libtorch"))? == 0 {
        return Err(format!("{}: no licence of libtorch; remove the folder and run setup", torch.display()));
    }
    let rust = folder.join("rust");
    fs::create_dir_all(&rust).map_err(|error| format!("{}: {error}", rust.display()))?;
    let sources = sources(&answer(&["metadata", "--format-version", "1", "--locked"])?);
    let mut index = String::new();
    for (name, licence) in parts(&answer(&[
        "tree",
        "--locked",
        "--package",
        "gaat-cli",
        "--package",
        "gaat-engine",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}\t{l}",
    ])?) {
        let source = sources
            .iter()
            .find(|source| source.file_name().is_some_and(|last| last.to_string_lossy() == name));
        let texts = source.map_or(Ok(0), |source| copy_terms(source, &rust.join(&name)))?;
        let note = if texts == 0 { " (the crate carries no text)" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(index, "{name}: {licence}{note}");
    }
    let path = rust.join("INDEX");
    fs::write(&path, index).map_err(|error| format!("{}: {error}", path.display()))
}

/// What cargo prints for `arguments`.
fn answer(arguments: &[&str]) -> Result<String> {
    let what = arguments[0];
    let output = cargo(arguments).output().map_err(|error| format!("cannot run `cargo {what}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo {what}` failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folders of all crates that `metadata` names. The one field that counts is cut out of the JSON: this program has no parser.
fn sources(metadata: &str) -> BTreeSet<PathBuf> {
    let paths = metadata.split("\"manifest_path\":\"").skip(1);
    let paths = paths.filter_map(|rest| rest.split('"').next());
    paths.filter_map(|path| Path::new(path).parent().map(Path::to_path_buf)).collect()
}

/// `NAME-VERSION` and licence of every crate of a `tree` that comes from elsewhere; those of this repository show a path.
fn parts(tree: &str) -> BTreeSet<(String, String)> {
    let mut parts = BTreeSet::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.trim_end_matches(" (*)").split_once('\t') else { continue };
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        if package.contains('/') {
            continue;
        }
        parts.insert((format!("{name}-{}", version.trim_start_matches('v')), licence.to_owned()));
    }
    parts
}

/// Copies the texts of licences from `from` into `to`, which is made where there is one; returns how many.
fn copy_terms(from: &Path, to: &Path) -> Result<usize> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut count = 0;
    for entry in fs::read_dir(from).map_err(|error| failed(from, error))? {
        let path = entry.map_err(|error| failed(from, error))?.path();
        let Some(name) = path.file_name() else { continue };
        let lower = name.to_string_lossy().to_lowercase();
        if path.is_file() && TERMS.iter().any(|term| lower.starts_with(term)) {
            fs::create_dir_all(to).map_err(|error| failed(to, error))?;
            fs::copy(&path, to.join(name)).map_err(|error| failed(&path, error))?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn crates_from_elsewhere_are_listed_once() {
        let tree = "gaat-cli v0.1.0 (/home/me/gaat/crates/gaat-cli)\tMIT\nserde v1.0.228\tMIT OR Apache-2.0\n\
                    serde v1.0.228\tMIT OR Apache-2.0 (*)\nproc v2.0.0 (proc-macro)\tMIT\n\n";
        let expected = [("proc-2.0.0", "MIT"), ("serde-1.0.228", "MIT OR Apache-2.0")];
        assert_eq!(parts(tree), expected.map(|(name, licence)| (name.to_owned(), licence.to_owned())).into());
    }

    #[test]
    fn folders_of_crates_are_cut_out_of_the_metadata() {
        let metadata = r#"{"packages":[{"manifest_path":"/c/serde-1/Cargo.toml","x":1},{"manifest_path":"/c/zip-2/Cargo.toml"}]}"#;
        assert_eq!(sources(metadata), ["/c/serde-1", "/c/zip-2"].map(PathBuf::from).into());
    }

    #[test]
    fn texts_of_licences_are_copied_and_nothing_else() {
        let scratch = Scratch::new();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        for name in ["LICENSE-MIT", "Notice.txt", "lib.rs", "COPYING"] {
            fs::write(from.join(name), name).unwrap();
        }
        assert_eq!(copy_terms(&from, &to).unwrap(), 3);
        assert_eq!(fs::read_to_string(to.join("COPYING")).unwrap(), "COPYING");
        assert!(!to.join("lib.rs").exists());
    }
}
