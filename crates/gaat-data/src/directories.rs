//! Where data is looked for and where decoded images are kept.
//!
//! Written by hand after the XDG base directory specification and Apple's file system guide; a dozen lines did not ask
//! for a dependency. Nothing here touches the disk.

use std::ffi::OsString;
use std::path::PathBuf;

/// The directories that readers may look into and write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// Where data sets are looked for, in order, unless a directory is named explicitly.
    pub data_roots: Vec<PathBuf>,
    /// Where decoded image folders are kept; `None` turns the cache off.
    pub cache: Option<PathBuf>,
}

impl Directories {
    /// The places of this user: `$GAAT_DATA`, then the platform's data directory; `$GAAT_CACHE`, else the platform's cache
    /// directory.
    pub fn from_environment() -> Self {
        Self::resolve(|name| std::env::var_os(name), cfg!(target_os = "macos"))
    }

    fn resolve(variable: impl Fn(&str) -> Option<OsString>, apple: bool) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The specification says that relative paths in these variables are to be ignored.
        let base = |name: &str| given(name).filter(|path| path.is_absolute());
        let home = |below: &str| base("HOME").map(|home| home.join(below));
        let (data, cache) = if apple {
            (home("Library/Application Support"), home("Library/Caches"))
        } else {
            (
                base("XDG_DATA_HOME").or_else(|| home(".local/share")),
                base("XDG_CACHE_HOME").or_else(|| home(".cache")),
            )
        };
        let platform_data = data.map(|path| path.join("gaat"));
        Self {
            data_roots: given("GAAT_DATA").into_iter().chain(platform_data).collect(),
            cache: given("GAAT_CACHE").or_else(|| cache.map(|path| path.join("gaat"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(variables: &[(&str, &str)], apple: bool) -> Directories {
        Directories::resolve(
            |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()),
            apple,
        )
    }

    #[test]
    fn linux_follows_xdg() {
        let places = resolve(&[("HOME", "/home/a")], false);
        assert_eq!(places.data_roots, [PathBuf::from("/home/a/.local/share/gaat")]);
        assert_eq!(places.cache, Some("/home/a/.cache/gaat".into()));
        let places =
            resolve(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_CACHE_HOME", "relative")], false);
        assert_eq!(places.data_roots, [PathBuf::from("/d/gaat")]);
        assert_eq!(places.cache, Some("/h/.cache/gaat".into()));
    }

    #[test]
    fn macos_uses_the_library_folder() {
        let places = resolve(&[("HOME", "/Users/a"), ("XDG_DATA_HOME", "/d")], true);
        assert_eq!(places.data_roots, [PathBuf::from("/Users/a/Library/Application Support/gaat")]);
        assert_eq!(places.cache, Some("/Users/a/Library/Caches/gaat".into()));
    }

    #[test]
    fn our_own_variables_come_first_and_empty_ones_do_not_count() {
        let places = resolve(&[("GAAT_DATA", "/mine"), ("GAAT_CACHE", "/fast"), ("HOME", "/h")], false);
        assert_eq!(places.data_roots, [PathBuf::from("/mine"), "/h/.local/share/gaat".into()]);
        assert_eq!(places.cache, Some("/fast".into()));
        assert_eq!(resolve(&[("GAAT_DATA", "")], false), Directories { data_roots: vec![], cache: None });
    }
}
