//! `cargo xtask install`: `gaat` on the PATH, with libtorch beside it instead of in the repository.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::libtorch;
use crate::setup::Setup;
use crate::shell::{Result, cargo, run};

/// Builds and installs below `root`, or where cargo installs by default, and proves that the result starts.
pub(crate) fn run_install(setup: &Setup, root: Option<PathBuf>) -> Result<()> {
    let torch = setup.ensure()?;
    let root = destination(root)?;
    println!("building and installing into {} (the first time about 3 minutes on 2 cores)", root.display());
    for package in ["crates/gaat-engine", "crates/gaat-cli"] {
        run(cargo(["install", "--path", package, "--locked", "--root"]).arg(&root))?;
    }
    let home = root.join("lib/gaat");
    if libtorch::belongs_to_python(&torch) || libtorch::has_cuda(&torch) {
        // The binary looks into lib/gaat first: what an earlier installation left there would win.
        remove(&home).map_err(|error| format!("cannot remove {}: {error}", home.display()))?;
        println!("gaat uses libtorch where it is and stops working without it: {}", torch.display());
    } else {
        let (files, bytes) = place(&torch.join("lib"), &home)
            .map_err(|error| format!("cannot fill {}: {error}", home.display()))?;
        println!("placed {files} libraries ({} MB) in {}", bytes / 1_000_000, home.display());
    }
    // The first answers without libtorch, the second only with it.
    prove(&root.join("bin/gaat"))?;
    prove(&root.join("bin/gaat-engine"))?;
    advise(&root.join("bin"));
    Ok(())
}

/// Cargo's own order; the file that can also name a root is left out, so the folder is always said aloud.
fn destination(root: Option<PathBuf>) -> Result<PathBuf> {
    let root = root
        .or_else(|| env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from))
        .or_else(|| env::var_os("CARGO_HOME").map(PathBuf::from))
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .ok_or("there is no home folder: name one with --root")?;
    std::path::absolute(&root).map_err(|error| format!("{}: {error}", root.display()))
}

/// Fills `home` with the shared libraries of `lib`; returns how many, and their bytes.
fn place(lib: &Path, home: &Path) -> io::Result<(usize, u64)> {
    // Filled aside and renamed, so that a broken installation is never found beside a working binary.
    let draft = home.with_extension("part");
    remove(&draft)?;
    fs::create_dir_all(&draft)?;
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(lib)? {
        let path = entry?.path();
        let (Some(name), false) = (path.file_name(), path.is_symlink()) else { continue };
        if is_library(&path)? {
            let to = draft.join(name);
            // A hard link costs no disk and outlives the repository; another file system needs a copy.
            if fs::hard_link(&path, &to).is_err() {
                fs::copy(&path, &to)?;
            }
            files += 1;
            bytes += fs::metadata(&to)?.len();
        }
    }
    remove(home)?;
    fs::rename(&draft, home)?;
    Ok((files, bytes))
}

/// Whether the system's loader could load it: by name, and no linker script, which is text under such a name.
fn is_library(path: &Path) -> io::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let named = name.contains(".so.") || name.ends_with(".so") || name.ends_with(".dylib");
    if !named || !path.is_file() {
        return Ok(false);
    }
    let mut magic = [0; 4];
    match io::Read::read_exact(&mut fs::File::open(path)?, &mut magic) {
        // ELF, and Mach-O for one or for several architectures.
        Ok(()) => Ok([*b"\x7fELF", *b"\xcf\xfa\xed\xfe", *b"\xca\xfe\xba\xbe"].contains(&magic)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Starts the installed binary as a shell would, without the library paths that cargo adds for us.
fn prove(gaat: &Path) -> Result<()> {
    let mut version = Command::new(gaat);
    for key in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LIBTORCH"] {
        version.env_remove(key);
    }
    run(version.arg("--version").current_dir("/"))
}

fn advise(bin: &Path) {
    let listed = env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder == bin));
    if listed {
        println!("{} is on your PATH: try `gaat --help`", bin.display());
    } else {
        println!("{0} is not on your PATH: add it (export PATH=\"{0}:$PATH\")", bin.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_real_libraries_are_placed() {
        let scratch = Scratch::new();
        scratch.file("lib/libtorch_cpu.so", "\x7fELF and more");
        scratch.file("lib/libgomp.so.1", "\x7fELF too");
        scratch.file("lib/libtorch.so", "INPUT(libtorch_cpu.so libc10.so)");
        scratch.file("lib/libempty.so", "");
        scratch.file("lib/notes.txt", "\x7fELF by accident");
        std::os::unix::fs::symlink("libgomp.so.1", scratch.path().join("lib/libgomp.so")).unwrap();
        scratch.file("root/lib/gaat/libstale.so", "from last year");
        let home = scratch.path().join("root/lib/gaat");
        assert_eq!(place(&scratch.path().join("lib"), &home).unwrap(), (2, 21));
        let mut names: Vec<_> =
            fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["libgomp.so.1", "libtorch_cpu.so"]);
        assert!(!scratch.path().join("root/lib/gaat.part").exists());
    }

    #[test]
    fn a_given_root_becomes_absolute() {
        let root = destination(Some("somewhere".into())).unwrap();
        assert!(root.is_absolute() && root.ends_with("somewhere"));
    }

    #[test]
    fn a_binary_that_does_not_start_is_an_error() {
        let scratch = Scratch::new();
        assert!(prove(&scratch.program("gaat", "exit 127")).is_err());
        assert_eq!(prove(&scratch.program("gaat", "[ -z \"$LD_LIBRARY_PATH$LIBTORCH\" ]")), Ok(()));
    }
}
