//! What libtorch says when it refuses something, as errors of this library: the one place where its words are read.

use crate::error::{Error, Result};

/// Signs of memory that is not available, in lower case.
const MEMORY: [&str; 5] = [
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "std::bad_alloc",
    // Sizes beyond what any machine has.
    "overflow",
];
/// Signs of a graphics card that fails, or of its driver.
const CARD: [&str; 5] = ["CUDA error", "cuDNN error", "CUBLAS", "CUSOLVER", "NVRTC"];

impl Error {
    /// The error for what libtorch has said, of which one line is meant for people.
    pub fn of_libtorch(text: &str) -> Self {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown error");
        let line = ["Internal torch error: ", "libtorch: "]
            .iter()
            .fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line));
        let lower = line.to_lowercase();
        if MEMORY.iter().any(|sign| lower.contains(sign)) {
            return Self::OutOfMemory { wanted: wanted(line) };
        }
        if CARD.iter().any(|sign| line.contains(sign)) {
            return Self::Device(format!(
                "the graphics card has failed ({line}); its driver may be too old, or another program may use the card: `nvidia-smi` \
                 tells, and the device cpu needs none"
            ));
        }
        Self::Libtorch(line.to_owned())
    }

    /// With `what` was being done where libtorch failed, which says nothing of that; other errors say so by themselves.
    pub(crate) fn while_doing(self, what: impl FnOnce() -> String) -> Self {
        match self {
            Self::Libtorch(_) | Self::OutOfMemory { .. } => {
                Self::While { doing: what(), error: Box::new(self) }
            }
            other => other,
        }
    }
}

/// The bytes that an allocation was to have, as libtorch writes them: `14745600 bytes`, `2.00 GiB`.
fn wanted(line: &str) -> Option<String> {
    let mut words = line.split_once("to allocate ")?.1.split_whitespace();
    let (number, unit) = (words.next()?, words.next()?.trim_end_matches(['.', ',']));
    number.parse::<f64>().ok()?;
    Some(format!("{number} {unit}"))
}

/// Results that can say what was being done where libtorch failed.
pub(crate) trait Doing {
    /// [`Error::while_doing`] of the error.
    fn doing(self, what: impl FnOnce() -> String) -> Self;
}

impl<T> Doing for Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Self {
        self.map_err(|error| error.while_doing(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn what_libtorch_says_becomes_a_sentence_with_what_was_done() {
        let told = |text: &str| {
            Err::<(), _>(Error::of_libtorch(text)).doing(|| "judging".to_owned()).unwrap_err().to_string()
        };
        let cpu = "Internal torch error: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you \
                   tried to allocate 14745600 bytes. Error code 12 (Cannot allocate memory)\nException raised from";
        let needs = "a smaller batch or network needs less";
        assert_eq!(
            told(cpu),
            format!("judging: memory is short: 14745600 bytes more were not available; {needs}")
        );
        let cuda = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7 GiB";
        assert_eq!(
            told(cuda),
            format!("judging: memory is short: 2.00 GiB more were not available; {needs}")
        );
        assert_eq!(told("std::bad_alloc"), format!("judging: memory is short; {needs}"));
        let card = told("CUDA error: no kernel image is available for execution on the device\nmore");
        assert!(
            card.contains("nvidia-smi") && card.contains("no kernel image") && !card.contains("more"),
            "{card}"
        );
        let other =
            told("\nmat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\nException raised from meta");
        assert!(other.starts_with("judging: libtorch refused a computation: mat1 and mat2"), "{other}");
        assert!(other.contains("report") && !other.contains("Exception"), "{other}");
        // Who says what was done keeps to that.
        let kept = Err::<(), _>(Error::Usage("no".to_owned())).doing(|| "judging".to_owned());
        assert_eq!(kept.unwrap_err().to_string(), "no");
    }

    #[test]
    fn refusals_of_this_libtorch_are_understood() {
        let huge = Error::from(Tensor::f_zeros([1 << 50], (Kind::Float, tch::Device::Cpu)).unwrap_err());
        assert!(matches!(&huge, Error::OutOfMemory { wanted: Some(_) }), "{huge}");
        let beyond =
            Error::from(Tensor::f_zeros([1 << 62, 1 << 62], (Kind::Float, tch::Device::Cpu)).unwrap_err());
        assert!(matches!(&beyond, Error::OutOfMemory { .. }), "{beyond}");
        let (one, other) = (Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[1.0, 2.0, 3.0]));
        let odd = Error::from(one.f_add(&other).unwrap_err());
        assert!(matches!(&odd, Error::Libtorch(line) if line.starts_with("The size of tensor")), "{odd}");
    }
}
