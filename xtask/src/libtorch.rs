//! What a libtorch folder is: its version, and whether it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::Result;

/// The version that tch 0.24 is made for; its build script refuses every other `build-version`.
pub(crate) const VERSION: &str = "2.11.0";
const SERIES: &str = "2.11.";
const MANIFEST: &str = "gaat-manifest";

/// What lies at `<repository>/libtorch`.
#[derive(Debug, PartialEq)]
pub(crate) enum State {
    Missing,
    /// Fetched by us, and every file has the size that the manifest says.
    Fetched,
    /// A link to the torch of a Python.
    Linked(PathBuf),
    /// A good folder that somebody else put there.
    Foreign,
    /// Ours and not usable, for this reason: may be made again.
    Damaged(String),
    /// Not ours and not usable: never touched.
    Unusable(String),
}

/// The first line of the manifest: changes with everything that changes the folder.
pub(crate) fn stamp(target: &str) -> String {
    format!("{VERSION}+cpu {target} layout 1")
}

/// Looks at `folder`, which need not exist. `target` is this platform in libtorch.py, where it has one.
pub(crate) fn inspect(folder: &Path, target: Option<&str>) -> State {
    if let Ok(link) = fs::read_link(folder) {
        return match check(folder) {
            Ok(_) => State::Linked(fs::canonicalize(folder).unwrap_or(link)),
            Err(reason) => State::Damaged(format!("it is a link to {}, which {reason}", link.display())),
        };
    }
    if !folder.exists() {
        return State::Missing;
    }
    match fs::read_to_string(folder.join(MANIFEST)) {
        Ok(manifest) => match compare(folder, &manifest, target) {
            Ok(()) => State::Fetched,
            Err(reason) => State::Damaged(reason),
        },
        Err(_) => match check(folder) {
            Ok(_) => State::Foreign,
            Err(reason) => State::Unusable(format!("it {reason}")),
        },
    }
}

/// The version of a libtorch folder that tch can be built against, or what is wrong with it.
pub(crate) fn check(folder: &Path) -> Result<String> {
    if !folder.is_dir() {
        return Err("is not a folder".into());
    }
    let library = if cfg!(target_os = "macos") { "libtorch_cpu.dylib" } else { "libtorch_cpu.so" };
    for part in [&format!("lib/{library}"), "include/torch/csrc/api/include/torch/torch.h"] {
        if !folder.join(part).is_file() {
            return Err(format!("has no {part}"));
        }
    }
    match version(folder) {
        Some(version) if version.starts_with(SERIES) => Ok(version),
        Some(version) => Err(format!("is torch {version}, and gaat needs {VERSION}")),
        None => Err("does not say its version".into()),
    }
}

/// Whether this is (a link to) the `torch` folder of a Python, whose libraries rely on their neighbours.
pub(crate) fn belongs_to_python(folder: &Path) -> bool {
    folder.join("__init__.py").is_file()
}

/// Whether it can use a GPU.
pub(crate) fn has_cuda(folder: &Path) -> bool {
    folder.join("lib/libtorch_cuda.so").is_file()
}

/// The version without what follows the `+`: from the file that archives of libtorch have, else from the headers.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return text.trim().split('+').next().map(str::to_owned);
    }
    let include = folder.join("include/torch");
    let places = [include.join("headeronly/version.h"), include.join("csrc/api/include/torch/version.h")];
    places.iter().find_map(|header| {
        let text = fs::read_to_string(header).ok()?;
        let part = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(&format!("#define TORCH_VERSION_{name} ")))?;
            line.trim().parse::<u32>().ok()
        };
        Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
    })
}

/// Compares a fetched folder with its manifest: what was made, then the size of each file.
fn compare(folder: &Path, manifest: &str, target: Option<&str>) -> Result<()> {
    let mut lines = manifest.lines();
    let made = lines.next().unwrap_or_default();
    if target.map(stamp).as_deref() != Some(made) {
        return Err(format!(
            "it was made as {made:?}, by another version of this command or for another machine"
        ));
    }
    let mut files = 0;
    for line in lines {
        let entry = line.split_once('\t').and_then(|(size, name)| Some((size.parse::<u64>().ok()?, name)));
        let Some((size, name)) = entry else {
            return Err(format!("its manifest has the line {line:?}"));
        };
        match fs::metadata(folder.join(name)) {
            Ok(found) if found.len() == size => files += 1,
            Ok(found) => return Err(format!("{name} has {} bytes instead of {size}", found.len())),
            Err(_) => return Err(format!("{name} is missing")),
        }
    }
    if files == 0 { Err("its manifest is empty".into()) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const TARGET: Option<&str> = Some("linux-x86_64");

    /// The files that `check` asks for, without a version.
    pub(crate) fn skeleton(scratch: &Scratch, folder: &str) {
        let library = if cfg!(target_os = "macos") { "dylib" } else { "so" };
        scratch.file(&format!("{folder}/lib/libtorch_cpu.{library}"), "machine code");
        scratch.file(&format!("{folder}/include/torch/csrc/api/include/torch/torch.h"), "#pragma once\n");
    }

    fn fetched(scratch: &Scratch) -> PathBuf {
        scratch.file("libtorch/lib/libc10.so", "0123456789");
        scratch.file("libtorch/gaat-manifest", &format!("{}\n10\tlib/libc10.so\n", stamp("linux-x86_64")));
        scratch.path().join("libtorch")
    }

    fn damage(folder: &Path) -> String {
        match inspect(folder, TARGET) {
            State::Damaged(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_folder_is_recognised() {
        let scratch = Scratch::new();
        assert_eq!(inspect(&scratch.path().join("libtorch"), TARGET), State::Missing);
        assert_eq!(inspect(&fetched(&scratch), TARGET), State::Fetched);
    }

    #[test]
    fn a_short_or_missing_library_is_noticed() {
        let scratch = Scratch::new();
        let folder = fetched(&scratch);
        scratch.file("libtorch/lib/libc10.so", "01234");
        assert_eq!(damage(&folder), "lib/libc10.so has 5 bytes instead of 10");
        fs::remove_file(folder.join("lib/libc10.so")).unwrap();
        assert_eq!(damage(&folder), "lib/libc10.so is missing");
    }

    #[test]
    fn a_damaged_or_foreign_manifest_is_noticed() {
        let scratch = Scratch::new();
        let folder = fetched(&scratch);
        assert!(matches!(inspect(&folder, Some("linux-aarch64")), State::Damaged(_)));
        let stamp = stamp("linux-x86_64");
        for (manifest, complaint) in [
            (String::new(), "it was made as \"\""),
            (format!("{stamp}\n"), "its manifest is empty"),
            (format!("{stamp}\n10 lib/libc10.so\n"), "its manifest has the line \"10 lib/libc10.so\""),
        ] {
            scratch.file("libtorch/gaat-manifest", &manifest);
            assert!(damage(&folder).starts_with(complaint), "{}", damage(&folder));
        }
    }

    #[test]
    fn a_folder_of_someone_else_is_used_or_left_alone() {
        let scratch = Scratch::new();
        let folder = scratch.path().join("libtorch");
        skeleton(&scratch, "libtorch");
        assert_eq!(inspect(&folder, TARGET), State::Unusable("it does not say its version".into()));
        scratch.file("libtorch/build-version", "2.9.1+cpu\n");
        let reason = "it is torch 2.9.1, and gaat needs 2.11.0";
        assert_eq!(inspect(&folder, TARGET), State::Unusable(reason.into()));
        scratch.file("libtorch/build-version", "2.11.0+cu130\n");
        assert_eq!(inspect(&folder, TARGET), State::Foreign);
    }

    #[test]
    fn the_version_is_read_from_the_headers_too() {
        let scratch = Scratch::new();
        skeleton(&scratch, "torch");
        let folder = scratch.path().join("torch");
        let header =
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
        scratch.file("torch/include/torch/headeronly/version.h", header);
        assert_eq!(check(&folder), Ok("2.11.0".into()));
    }

    #[test]
    fn a_dangling_link_is_ours_to_replace() {
        let scratch = Scratch::new();
        let folder = scratch.path().join("libtorch");
        std::os::unix::fs::symlink(scratch.path().join("gone"), &folder).unwrap();
        assert!(damage(&folder).contains("gone, which is not a folder"));
    }
}
