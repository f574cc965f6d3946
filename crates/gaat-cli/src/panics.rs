//! Panics as errors: `tch` panics where libtorch throws, out of memory above all, and a user wants one clear line.

use anyhow::{Error, Result, anyhow};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

const OUT_OF_MEMORY: &str = "out of memory; a smaller --batch-size or --model needs less";

/// Runs `command`; a panic in it becomes an error with the first line of its message.
pub(crate) fn caught<T>(command: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whoever asks for a backtrace gets the whole of it; others get the error alone.
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") {
        set_hook(Box::new(|_| ()));
    }
    // Nothing that the command had in hand is used after a panic.
    let outcome = catch_unwind(AssertUnwindSafe(command));
    drop(take_hook());
    match outcome {
        Ok(Err(error)) if is_out_of_memory(&error.to_string()) => Err(error.context(OUT_OF_MEMORY)),
        Ok(outcome) => outcome,
        Err(payload) => Err(explained(&message(payload.as_ref()))),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn explained(message: &str) -> Error {
    // `unwrap` shows the error in its debug form, where a new line is a backslash and an n.
    let inner = message.split_once("value: ").map_or(message, |(_, inner)| inner);
    let from_libtorch = inner.starts_with("Torch(");
    let inner = inner.trim_start_matches("Torch(").trim_start_matches('"');
    let line = inner.split("\\n").flat_map(str::lines).find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("no message").trim().trim_end_matches("\")");
    if !from_libtorch {
        return anyhow!("internal error, please report it (RUST_BACKTRACE=1 shows where): {line}");
    }
    let error = anyhow!("libtorch: {line}");
    if is_out_of_memory(line) { error.context(OUT_OF_MEMORY) } else { error }
}

fn is_out_of_memory(text: &str) -> bool {
    let text = text.to_lowercase();
    ["out of memory", "not enough memory", "can't allocate memory"].iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_is_quoted_by_its_first_line() {
        let panic = "called `Result::unwrap()` on an `Err` value: Torch(\"mat1 and mat2 do not fit\\nException raised\")";
        assert_eq!(explained(panic).to_string(), "libtorch: mat1 and mat2 do not fit");
    }

    #[test]
    fn running_out_of_memory_says_what_to_do() {
        let panic = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail] DefaultCPUAllocator: not enough \
                     memory: you tried to allocate 8 bytes.\\nException\")";
        let error = explained(panic);
        assert!(error.to_string().contains("--batch-size"), "{error}");
        let cause = error.root_cause().to_string();
        assert!(cause.starts_with("libtorch: [enforce fail") && !cause.contains("Exception"), "{cause}");
        let error = caught::<()>(|| Err(anyhow!("libtorch: CUDA out of memory."))).unwrap_err();
        assert!(error.to_string().contains("--batch-size"), "{error}");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let error = caught::<()>(|| panic!("index out of bounds\nmore")).unwrap_err().to_string();
        assert!(error.starts_with("internal error") && error.ends_with("index out of bounds"), "{error}");
        assert_eq!(caught(|| Ok(3)).unwrap(), 3);
    }
}
