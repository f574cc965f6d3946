//! Writes the seeds of every target to `FOLDER/TARGET/N`: `cargo run --package gaat-fuzz --example corpus -- fuzz/corpus`.
#![allow(clippy::unwrap_used, reason = "a tool for developers may end with a panic")]

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "fuzz/corpus".into()));
    for target in gaat_fuzz::TARGETS {
        let folder = folder.join(target.name);
        fs_err::create_dir_all(&folder).unwrap();
        for (index, seed) in (target.seeds)().iter().enumerate() {
            fs_err::write(folder.join(index.to_string()), seed).unwrap();
        }
    }
}
