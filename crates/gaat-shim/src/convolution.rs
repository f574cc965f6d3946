//! Gradients of convolutions on a CPU, computed round two faults of oneDNN.

use crate::{Result, check};
use libc::{c_char, c_int};

unsafe extern "C" {
    fn gaat_route_convolutions(on: c_int) -> *mut c_char;
}

/// Whether weight gradients of bfloat16 convolutions are routed round the faults of oneDNN that `docs/decisions/0018` describes,
/// as they are from the start. For those who look for such faults: without them, memory is corrupted.
///
/// # Errors
/// When libtorch refuses.
pub fn route_convolutions(on: bool) -> Result<()> {
    // SAFETY: a flag is set; nothing crosses.
    check(unsafe { gaat_route_convolutions(c_int::from(on)) })
}
