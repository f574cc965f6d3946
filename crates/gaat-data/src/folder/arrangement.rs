//! How the images of a folder are laid out: folders of classes, shards of WebDataset, or arrays of numpy; and which part is where.

use std::path::{Path, PathBuf};

use super::scan::is_hidden;

/// What images are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its usual name.
    pub(crate) fn name(self) -> &'static str {
        self.names()[0]
    }

    /// Every name that means it, the usual one first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Validation => &["val", "valid", "validation"],
            Self::Test => &["test"],
        }
    }

    /// The directory of the part in `root`, if it is there; the first of its names wins.
    pub(crate) fn directory(self, root: &Path) -> Option<PathBuf> {
        self.names().iter().map(|name| root.join(name)).find(|directory| directory.is_dir())
    }

    /// The file with the arrays of the part in `root`, if it is there.
    pub(crate) fn arrays(self, root: &Path) -> Option<PathBuf> {
        self.names().iter().map(|name| root.join(format!("{name}.npz"))).find(|file| file.is_file())
    }

    /// The shards of the part, by name: the `.tar` files in its directory, and those in `root` whose name says the part between
    /// dots, hyphens and underscores, such as `photos-train-000001.tar`.
    pub(crate) fn shards(self, root: &Path) -> Vec<PathBuf> {
        let says = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
            name.split(['.', '-', '_']).any(|word| self.names().contains(&word))
        };
        let mut shards: Vec<PathBuf> = tars(root).into_iter().filter(says).collect();
        shards.extend(self.directory(root).map(|directory| tars(&directory)).unwrap_or_default());
        shards.sort();
        shards
    }
}

/// How a folder holds its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// `train/CLASS/*.png`.
    Folders,
    /// `train-000000.tar`, or `train/000000.tar`.
    Shards,
    /// `train.npz`.
    Arrays,
}

impl Arrangement {
    /// The arrangement of `root`; `None` where there is no part of any.
    pub(crate) fn of(root: &Path) -> Option<Self> {
        let judged = [Part::Train, Part::Test];
        // A packed copy of the images may lie beside the folders of classes.
        let is_unpacked =
            |part: &Part| part.directory(root).is_some_and(|directory| tars(&directory).is_empty());
        if judged.iter().any(is_unpacked) {
            Some(Self::Folders)
        } else if judged.iter().any(|part| !part.shards(root).is_empty()) {
            Some(Self::Shards)
        } else if judged.iter().any(|part| part.arrays(root).is_some()) {
            Some(Self::Arrays)
        } else {
            None
        }
    }

    /// Whether `part` is in `root`.
    pub(crate) fn has(self, root: &Path, part: Part) -> bool {
        match self {
            Self::Folders => part.directory(root).is_some(),
            Self::Shards => !part.shards(root).is_empty(),
            Self::Arrays => part.arrays(root).is_some(),
        }
    }

    /// What `part` would be, for a message.
    pub(crate) fn wanted(self, part: Part) -> String {
        let name = part.name();
        match self {
            Self::Folders => format!("the folder {name}/"),
            Self::Shards => format!("the shards {name}-*.tar"),
            Self::Arrays => format!("the file {name}.npz"),
        }
    }
}

/// The `.tar` files of a directory.
fn tars(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(directory) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_tar = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
    let is_shown = |path: &PathBuf| path.file_name().is_some_and(|name| !is_hidden(name));
    paths.filter(|path| is_tar(path) && is_shown(path) && path.is_file()).collect()
}
