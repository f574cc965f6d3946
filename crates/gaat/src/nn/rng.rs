//! Random tensors: each draw is a pure function of root seed, stream, step and place in the stream.
//!
//! The only place that seeds libtorch or samples from it. libtorch's generator is one per process, so every draw
//! reseeds it under a lock; no draw can disturb another, from whatever thread, and nothing has to be saved to
//! resume.

use crate::{Error, Result};
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

static GENERATOR: Mutex<()> = Mutex::new(());

/// The root of all randomness of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    root: u64,
}

impl Rng {
    /// Randomness from a root seed.
    pub fn new(root: u64) -> Self {
        Self { root }
    }

    /// The root seed.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The draws of one step of one stream, from the first on.
    pub fn seeded(&self, stream: &str, step: u64) -> Draws {
        let seed = mix(mix(mix(self.root) ^ fnv1a(stream)) ^ step);
        Draws { seed, drawn: Cell::new(0) }
    }
}

/// Successive draws of one step of one stream.
#[derive(Debug)]
#[must_use = "draws nothing by itself"]
pub struct Draws {
    seed: u64,
    drawn: Cell<u64>,
}

impl Draws {
    /// Draws of their own for a part of the step: what either draws does not change the other.
    pub fn branch(&self, name: &str) -> Self {
        Self { seed: mix(self.seed ^ fnv1a(name)), drawn: Cell::new(0) }
    }

    /// Uniform numbers in `[low, high)`.
    ///
    /// # Errors
    /// When the range is empty or not finite, or libtorch cannot allocate.
    pub fn uniform(&self, shape: &[i64], low: f64, high: f64, kind: Kind, device: Device) -> Result<Tensor> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::Usage(format!("uniform numbers from {low} to {high}: not a range")));
        }
        self.draw(|| Tensor::f_empty(shape, (kind, device))?.f_uniform_(low, high))
    }

    /// Normal numbers.
    ///
    /// # Errors
    /// When the deviation is negative or not finite, or libtorch cannot allocate.
    pub fn normal(
        &self,
        shape: &[i64],
        mean: f64,
        deviation: f64,
        kind: Kind,
        device: Device,
    ) -> Result<Tensor> {
        if !(mean.is_finite() && deviation.is_finite() && deviation >= 0.0) {
            return Err(Error::Usage(format!("normal numbers of mean {mean}, deviation {deviation}")));
        }
        self.draw(|| Tensor::f_empty(shape, (kind, device))?.f_normal_(mean, deviation))
    }

    /// Whole numbers in `low..high`, as i64.
    ///
    /// # Errors
    /// When the range is empty, or libtorch cannot allocate.
    pub fn randint(&self, shape: &[i64], low: i64, high: i64, device: Device) -> Result<Tensor> {
        if low >= high {
            return Err(Error::Usage(format!("whole numbers from {low} to below {high}: an empty range")));
        }
        self.draw(|| Tensor::f_randint_low(low, high, shape, (Kind::Int64, device)))
    }

    /// What `work` gives, whose operators draw from libtorch's own generator: it is seeded by the next draw of these, and no other
    /// draw comes between.
    pub(super) fn seeding<T>(&self, work: impl FnOnce() -> T) -> T {
        let seed = self.next_seed();
        let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(seed as i64);
        work()
    }

    fn next_seed(&self) -> u64 {
        mix(self.seed ^ self.drawn.replace(self.drawn.get() + 1))
    }

    fn draw(&self, sample: impl FnOnce() -> std::result::Result<Tensor, tch::TchError>) -> Result<Tensor> {
        let seed = self.next_seed();
        // A panic elsewhere leaves nothing half done: every draw starts by seeding.
        let _guard = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(seed as i64);
        Ok(tch::no_grad(sample)?)
    }
}

/// One step of splitmix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64-bit FNV-1a, because the standard library's hashes may change between releases.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_do_not_change_between_releases() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(fnv1a("a"), 0xAF63_DC4C_8601_EC8C);
    }
}
