//! What is fuzzed of gaat: every reader of bytes that others wrote, as functions from bytes to a verdict.
//!
//! The tests of this crate feed each of them mutated seeds for a moment; `fuzz/` hands them to libFuzzer, for as long as one likes.
#![allow(
    clippy::unwrap_used,
    reason = "a scratch folder that cannot be written ends the fuzzing, as it should"
)]

mod data;
mod exported;
mod layouts;
mod mutate;
mod records;
#[cfg(feature = "torch")]
mod signed;
#[cfg(feature = "torch")]
mod state;
#[cfg(feature = "torch")]
mod tensors;

pub use mutate::{Rng, mutate};

use std::path::Path;

/// The most characters of a message: twenty damaged images are named at once.
const LONGEST_MESSAGE: usize = 20_000;

/// A reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its binary in `fuzz/`.
    pub name: &'static str,
    /// Valid files of its format, small ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads `bytes` by way of a file in a scratch folder; the error is the message that a user sees.
    read: fn(&[u8], &Path) -> Result<(), String>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "pickle", seeds: data::pickle_seeds, read: data::pickle },
    Target { name: "zip", seeds: data::zip_seeds, read: data::pickle },
    Target { name: "idx", seeds: data::idx_seeds, read: data::idx },
    Target { name: "cifar", seeds: data::cifar_seeds, read: data::cifar },
    Target { name: "cifar_tar", seeds: data::tar_seeds, read: data::cifar },
    Target { name: "folder", seeds: data::folder_seeds, read: data::folder },
    Target { name: "shards", seeds: layouts::shards_seeds, read: layouts::shards },
    Target { name: "arrays", seeds: layouts::arrays_seeds, read: layouts::arrays },
    Target { name: "cache", seeds: data::cache_seeds, read: data::cache },
    Target { name: "recipe", seeds: records::recipe_seeds, read: records::recipe },
    Target { name: "record", seeds: records::record_seeds, read: records::record },
    Target { name: "compare", seeds: records::compare_seeds, read: records::compare },
    Target { name: "pt2", seeds: exported::seeds, read: exported::pt2 },
    #[cfg(feature = "torch")]
    Target { name: "exported", seeds: exported::seeds, read: exported::exported },
    #[cfg(feature = "torch")]
    Target { name: "training_state", seeds: state::seeds, read: state::training_state },
    #[cfg(feature = "torch")]
    Target { name: "safetensors", seeds: tensors::safetensors_seeds, read: tensors::safetensors },
    #[cfg(feature = "torch")]
    Target { name: "run_directory", seeds: tensors::run_directory_seeds, read: tensors::run_directory },
    #[cfg(feature = "torch")]
    Target {
        name: "evaluation_state",
        seeds: tensors::evaluation_state_seeds,
        read: tensors::evaluation_state,
    },
];

impl Target {
    /// Reads `bytes` in the folder `scratch`, and insists that a refusal is fit to be shown.
    ///
    /// # Errors
    /// When the reader refuses them; that is no fault of the reader.
    ///
    /// # Panics
    /// When the message of a refusal would steer a terminal, or fill it.
    pub fn run(&self, bytes: &[u8], scratch: &Path) -> Result<(), String> {
        let verdict = (self.read)(bytes, scratch);
        if let Err(message) = &verdict {
            assert!(
                !message.is_empty() && message.len() < LONGEST_MESSAGE,
                "{} bytes of message",
                message.len()
            );
            assert_eq!(gaat_spec::visible_lines(message), *message, "{}", self.name);
        }
        verdict
    }
}

/// Runs the target of that name in a folder that this process keeps: what `fuzz/` calls.
///
/// # Panics
/// When there is no such target, and as [`Target::run`].
pub fn run(name: &str, bytes: &[u8]) {
    thread_local! {
        static SCRATCH: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let _ = SCRATCH.with(|scratch| target.run(bytes, scratch.path()));
}

/// Writes `bytes` to `name` below `scratch`.
fn put(scratch: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = scratch.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, bytes).unwrap();
    path
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}
