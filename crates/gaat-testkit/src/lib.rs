//! What the tests of several crates share: where real data and a Python lie, arrays of numpy, free ports, and skips that are counted.
//!
//! A test that lacks something says so by [`skip`] and returns. `cargo xtask test` prints at its end how many did and why, so
//! that no reader takes them for tests that passed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that are tried, below those that a system gives to sockets without one (from 32768 on Linux): none of those can take a port
/// between the moment when a test finds it free and the moment when a server binds it.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A port of the loopback interface at which nothing listens. Processes that ask at once begin at different ports.
///
/// # Panics
/// When every port is taken.
pub fn free_port() -> u16 {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 200) as u16 * 100;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let count = PORTS.end - PORTS.start;
    let mut tried = (0..count).map(|_| {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % count;
        PORTS.start + (own + turn) % count
    });
    match tried.find(is_free) {
        Some(port) => port,
        None => panic!("every port from {} to {} is taken", PORTS.start, PORTS.end - 1),
    }
}

/// Names the file that [`skip`] appends to; `cargo xtask test` sets it.
pub const SKIPS: &str = "GAAT_TEST_SKIPS";

/// Names the folder of real data.
pub const DATA: &str = "GAAT_TEST_DATA";

/// Names the Python that has the packages of the other side.
pub const PYTHON: &str = "GAAT_TEST_PYTHON";

/// Says that the running test is skipped, and notes the fact where [`SKIPS`] names a file.
///
/// # Panics
/// When the note cannot be written: a skip that is not counted is what this function is there to prevent.
#[expect(clippy::print_stdout, reason = "read beside the test's name")]
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
    if let Some(path) = std::env::var_os(SKIPS) {
        let thread = std::thread::current();
        let line = format!("{}: {}\n", thread.name().unwrap_or("a test"), reason.replace('\n', " "));
        // One write of a whole line: tests of several processes append to the file.
        let noted = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = noted {
            panic!("cannot note a skipped test in {}: {error}", path.display());
        }
    }
}

/// The folder `name` of the real data; `None`, and the test counts as skipped, where [`DATA`] names no folder that has one.
pub fn data(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os(DATA).map(PathBuf::from) else {
        skip(&format!("no {name}: {DATA} names no folder of real data"));
        return None;
    };
    let found = Some(root.join(name)).filter(|folder| folder.is_dir());
    if found.is_none() {
        skip(&format!("no {name} in {}, the folder that {DATA} names", root.display()));
    }
    found
}

/// The Python to ask: the one that [`PYTHON`] names, else `python3`.
pub fn python() -> OsString {
    std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into())
}

/// The tensors of the safetensors file at `path`: bytes by name.
///
/// # Panics
/// When the file cannot be read, or is damaged.
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub fn file_tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs_err::read(path).unwrap();
    let document = gaat_files::tensors::parse(path, &bytes).unwrap();
    document.file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

/// An array as numpy writes it (`numpy/lib/format.py`, version 1.0): `kind` and `shape` as in the header, such as `<i8` and `(3,)`.
pub fn npy(kind: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    [b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes().as_slice(), header.as_bytes(), content]
        .concat()
}
