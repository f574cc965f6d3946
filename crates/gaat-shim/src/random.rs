//! Random numbers that leave libtorch's own generators alone, and these lent for a while.

use crate::{Handle, LibtorchError, Result, check, handle};
use libc::c_char;
use tch::{Device, Kind, Tensor};

unsafe extern "C" {
    fn gaat_draw_uniform(tensor: Handle, low: f64, high: f64, seed: i64) -> *mut c_char;
    fn gaat_draw_normal(tensor: Handle, mean: f64, deviation: f64, seed: i64) -> *mut c_char;
    fn gaat_draw_whole(tensor: Handle, low: i64, high: i64, seed: i64) -> *mut c_char;
    fn gaat_lend_generator(there: Handle, seed: i64, state: *mut Handle) -> *mut c_char;
    fn gaat_return_generator(there: Handle, state: Handle) -> *mut c_char;
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// In `[low, high)`.
    Uniform {
        /// The least number.
        low: f64,
        /// Just over the largest.
        high: f64,
    },
    /// The bell curve.
    Normal {
        /// Its middle.
        mean: f64,
        /// Its standard deviation.
        deviation: f64,
    },
    /// Whole numbers in `low..high`.
    Whole {
        /// The least number.
        low: i64,
        /// Just over the largest.
        high: i64,
    },
}

/// Fills `tensor` with the numbers that libtorch's own generator would give after `seed`; that generator stays as it is.
///
/// # Errors
/// When the range is empty for libtorch, or the dtype does not hold such numbers.
pub fn draw(tensor: &Tensor, distribution: Distribution, seed: i64) -> Result<()> {
    let tensor = handle(tensor);
    // SAFETY: the tensor is live for the call, which writes into it through libtorch's own checks.
    check(unsafe {
        match distribution {
            Distribution::Uniform { low, high } => gaat_draw_uniform(tensor, low, high, seed),
            Distribution::Normal { mean, deviation } => gaat_draw_normal(tensor, mean, deviation, seed),
            Distribution::Whole { low, high } => gaat_draw_whole(tensor, low, high, seed),
        }
    })
}

/// libtorch's own generator of a device, seeded for what draws from it, a network with dropout for example. Dropped, the generator
/// continues as if nothing had been drawn meanwhile.
#[derive(Debug)]
pub struct LentGenerator {
    /// Names the device.
    there: Tensor,
    state: Tensor,
}

impl LentGenerator {
    /// Seeds the generator of `device`.
    ///
    /// # Errors
    /// When libtorch has no generator there.
    pub fn seeded(device: Device, seed: i64) -> Result<Self> {
        let there = Tensor::f_empty([0i64], (Kind::Float, device))
            .map_err(|error| LibtorchError(error.to_string()))?;
        let mut state: Handle = std::ptr::null_mut();
        // SAFETY: the tensor is live, and on success the state is a new tensor.
        check(unsafe { gaat_lend_generator(handle(&there), seed, &raw mut state) })?;
        Ok(Self { there, state: unsafe { Tensor::from_ptr(state.cast()) } })
    }
}

impl Drop for LentGenerator {
    fn drop(&mut self) {
        // SAFETY: both tensors are live. A state that was just read can be set.
        let _ = check(unsafe { gaat_return_generator(handle(&self.there), handle(&self.state)) });
    }
}
