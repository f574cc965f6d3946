//! Panics as errors: `tch` panics where libtorch throws, out of memory above all, and a user wants one clear line.

use anyhow::{Error, Result, anyhow};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Runs `command`; a panic in it becomes an error with the first line of its message, read by `of_libtorch` where libtorch has
/// said it.
pub(crate) fn caught<T>(of_libtorch: fn(&str) -> Error, command: impl FnOnce() -> Result<T>) -> Result<T> {
    // A user who asks for a backtrace gets the whole of it; others get the error alone.
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") {
        set_hook(Box::new(|_| ()));
    }
    // Nothing that the command had in hand is used after a panic.
    let outcome = catch_unwind(AssertUnwindSafe(command));
    drop(take_hook());
    outcome.unwrap_or_else(|payload| Err(explained(&message(payload.as_ref()), of_libtorch)))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn explained(message: &str, of_libtorch: fn(&str) -> Error) -> Error {
    // `unwrap` shows the error in its debug form, where a new line is a backslash and an n.
    let inner = message.split_once("value: ").map_or(message, |(_, inner)| inner);
    let from_libtorch = inner.starts_with("Torch(");
    let inner = inner.trim_start_matches("Torch(").trim_start_matches('"');
    let line = inner.split("\\n").flat_map(str::lines).find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("no message").trim().trim_end_matches("\")");
    if from_libtorch {
        return of_libtorch(line);
    }
    anyhow!("internal error, please report it (RUST_BACKTRACE=1 shows where): {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libtorch_says_is_read_by_its_first_line() {
        let panic = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail] DefaultCPUAllocator: not enough \
                     memory: you tried to allocate 8 bytes.\\nException\")";
        let error = explained(panic, |line| anyhow!("libtorch says: {line}")).to_string();
        let first = "libtorch says: [enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.";
        assert_eq!(error, first);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let quoted = |line: &str| anyhow!("{line}");
        let error = caught::<()>(quoted, || panic!("index out of bounds\nmore")).unwrap_err().to_string();
        assert!(error.starts_with("internal error") && error.ends_with("index out of bounds"), "{error}");
        assert_eq!(caught(quoted, || Ok(3)).unwrap(), 3);
    }
}
