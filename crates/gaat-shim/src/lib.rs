//! What tch 0.24 leaves out of libtorch, through C++ files linked to the same library.
//!
//! Every call returns a [`Result`]: the C++ side catches its exceptions and hands over their first message, so
//! nothing unwinds through Rust. What is passed is checked there first, so that no call of a safe function can do harm.
#![allow(unsafe_code, reason = "this crate is where the project calls C++, and the only one with `unsafe`")]

mod convolution;
mod cuda;
mod dispatch;
mod group;
mod memory;
mod random;

pub use convolution::route_convolutions;
pub use cuda::{CudaEvent, CudaGraph, GraphPool, cuda_has_bf16, cuda_peak, load_cuda};
pub use dispatch::{
    AllocationBound, Argument, Autocast, Operator, Parameter, TensorList, Value, plain_attention,
};
pub use group::{Group, Joining, Store};
pub use memory::{KeptMemory, keep_freed_memory};
pub use random::{Distribution, LentGenerator, draw};

use libc::{c_char, c_int};
use std::ffi::CStr;
use tch::{Device, Kind, TchError, Tensor};

type Handle = *mut torch_sys::C_tensor;

unsafe extern "C" {
    fn gaat_gradients(
        outputs: *const Handle,
        output_gradients: *const Handle,
        output_count: c_int,
        inputs: *const Handle,
        input_count: c_int,
        keep_graph: c_int,
        create_graph: c_int,
        results: *mut Handle,
    ) -> *mut c_char;
    fn gaat_running_norm(
        input: Handle,
        scale: Handle,
        shift: Handle,
        mean: Handle,
        variance: Handle,
        epsilon: f64,
        result: *mut Handle,
    ) -> *mut c_char;
    fn gaat_halving_conv(
        input: Handle,
        weight: Handle,
        bias: Handle,
        order: Handle,
        result: *mut Handle,
    ) -> *mut c_char;
    fn gaat_pixel_blocks(image: Handle, result: *mut Handle) -> *mut c_char;
    fn gaat_ordered_relu(input: Handle, result: *mut Handle) -> *mut c_char;
    fn gaat_channels_last(tensor: Handle, result: *mut Handle) -> *mut c_char;
    fn gaat_in_order_of(parameter: Handle, gradient: Handle, result: *mut Handle) -> *mut c_char;
    fn gaat_are_finite(tensors: *const Handle, count: c_int, result: *mut Handle) -> *mut c_char;
    fn gaat_fused_sgd(
        parameters: *const Handle,
        gradients: *const Handle,
        momenta: *const Handle,
        count: c_int,
        momentum_count: c_int,
        weight_decay: f64,
        momentum: f64,
        learning_rate: f64,
        nesterov: c_int,
        is_first_step: c_int,
        is_void: Handle,
    ) -> *mut c_char;
    fn gaat_fused_adam(
        parameters: *const Handle,
        gradients: *const Handle,
        first: *const Handle,
        second: *const Handle,
        steps: *const Handle,
        count: c_int,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        decoupled: c_int,
        is_void: Handle,
    ) -> *mut c_char;
    fn gaat_about_libtorch(path: *mut *mut c_char, settings: *mut *mut c_char) -> *mut c_char;
    fn gaat_set_flush_denormal(on: c_int) -> *mut c_char;
    fn gaat_allow_tf32(on: c_int) -> *mut c_char;
    fn gaat_allows_tf32(found: *mut c_int) -> *mut c_char;
}

/// A message from libtorch, without its C++ backtrace.
#[derive(Debug, Clone, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct LibtorchError(String);

/// What every call here returns.
pub type Result<T> = std::result::Result<T, LibtorchError>;

fn check(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null answer is a string from strdup that nothing else holds.
    Err(LibtorchError(unsafe { taken(message) }))
}

/// The text of a NUL-terminated string, which is freed.
///
/// # Safety
/// It comes from malloc and nothing else holds it.
unsafe fn taken(text: *mut c_char) -> String {
    // SAFETY: as the caller promises.
    let owned = unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned();
    // SAFETY: it comes from malloc, and this is the last look at it.
    unsafe { libc::free(text.cast()) };
    owned
}

/// The libtorch that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its shared library.
    pub path: std::path::PathBuf,
    /// How it was built and what it uses of the processor, as `torch.__config__.show()` says it.
    pub settings: String,
}

/// Which libtorch was loaded.
///
/// # Errors
/// When the loader does not say.
pub fn about_libtorch() -> Result<About> {
    let (mut path, mut settings) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both pointers are valid for a write, and on success hold strings from strdup that are ours.
    check(unsafe { gaat_about_libtorch(&raw mut path, &raw mut settings) })?;
    let (path, settings) = unsafe { (taken(path), taken(settings)) };
    Ok(About { path: path.into(), settings })
}

fn handle(tensor: &Tensor) -> Handle {
    tensor.as_ptr().cast_mut().cast()
}

fn handles(tensors: &[&Tensor]) -> Vec<Handle> {
    tensors.iter().map(|tensor| handle(tensor)).collect()
}

/// Whether the graph of a backward pass stays usable afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graph {
    /// Free it: the usual case.
    Free,
    /// Keep it for another backward pass.
    Keep,
    /// Keep it and record this backward pass too, so that its results can be differentiated.
    Record,
}

/// Gradients of `outputs` with respect to `inputs`, as `torch.autograd.grad` with `allow_unused=True`.
///
/// `output_gradients` weighs the outputs (same shapes); `None` means ones. An input that no output depends on
/// gives `None`. Parameter `.grad` fields are not touched.
///
/// # Errors
/// When an output or input does not require a gradient, shapes differ, or the graph is gone.
pub fn gradients(
    outputs: &[&Tensor],
    output_gradients: Option<&[&Tensor]>,
    inputs: &[&Tensor],
    graph: Graph,
) -> Result<Vec<Option<Tensor>>> {
    if output_gradients.is_some_and(|seeds| seeds.len() != outputs.len()) {
        return Err(LibtorchError("one output gradient is needed per output".to_owned()));
    }
    let (output_count, input_count) = (count(outputs)?, count(inputs)?);
    let seeds = output_gradients.map(handles);
    let mut results: Vec<Handle> = vec![std::ptr::null_mut(); inputs.len()];
    // SAFETY: all pointers belong to live tensors and arrays of the lengths given.
    check(unsafe {
        gaat_gradients(
            handles(outputs).as_ptr(),
            seeds.as_ref().map_or(std::ptr::null(), Vec::as_ptr),
            output_count,
            handles(inputs).as_ptr(),
            input_count,
            c_int::from(graph != Graph::Free),
            c_int::from(graph == Graph::Record),
            results.as_mut_ptr(),
        )
    })?;
    // SAFETY: each non-null result is a new tensor that this call owns.
    Ok(results.into_iter().map(|t| (!t.is_null()).then(|| unsafe { Tensor::from_ptr(t.cast()) })).collect())
}

/// A 4-dimensional tensor in channels-last (NHWC) memory order; the shape stays `[N, C, H, W]`.
///
/// # Errors
/// When the tensor is not 4-dimensional.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: both pointers are valid for the call; on success the result is a new tensor.
    check(unsafe { gaat_channels_last(handle(tensor), &raw mut result) })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// What batch normalisation by running statistics needs, each `[C]` and of one dtype.
#[derive(Debug, Clone, Copy)]
pub struct RunningNorm<'a> {
    /// Multiplies the normalised numbers.
    pub scale: &'a Tensor,
    /// Is added to them.
    pub shift: &'a Tensor,
    /// Running mean.
    pub mean: &'a Tensor,
    /// Running variance.
    pub variance: &'a Tensor,
    /// Is added to the variance.
    pub epsilon: f64,
}

/// `input`, `[N, C, ...]`, normalised by running statistics: the numbers of libtorch's own batch normalisation, with a
/// backward pass to the input that is one product. Differentiable twice, in input, scale and shift.
///
/// # Errors
/// When the shapes or dtypes do not fit.
pub fn running_norm(input: &Tensor, norm: RunningNorm<'_>) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call; on success the result is a new tensor.
    check(unsafe {
        gaat_running_norm(
            handle(input),
            handle(norm.scale),
            handle(norm.shift),
            handle(norm.mean),
            handle(norm.variance),
            norm.epsilon,
            &raw mut result,
        )
    })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// The order in which [`halving_conv`] wants the numbers of a weight of shape `[outputs, channels, 4, 4]`: `[16 * outputs *
/// channels]`, i64.
///
/// # Errors
/// When libtorch has no room.
pub fn halving_order(outputs: i64, channels: i64) -> std::result::Result<Tensor, TchError> {
    let count = outputs.checked_mul(channels).and_then(|count| count.checked_mul(16));
    let count = count.filter(|count| outputs > 0 && channels > 0 && *count > 0);
    let count = count.ok_or_else(|| TchError::Shape(format!("a weight of [{outputs}, {channels}, 4, 4]")))?;
    let places = Tensor::f_arange(count, (Kind::Int64, Device::Cpu))?;
    // Row 2a + p and column 2b + q of the kernel: phase (p, q) at the places a, b, backwards as in every gradient.
    let places = places.f_view([outputs, channels, 2, 2, 2, 2])?.f_flip([2, 4])?;
    places.f_permute([3, 5, 1, 0, 2, 4])?.f_reshape([-1])
}

/// The convolution of `input`, `[N, channels, H, W]` with even sides, by `weight`, `[outputs, channels, 4, 4]`, with stride 2
/// and padding 1, plus `bias`, `[outputs]`: the numbers of libtorch's own. Its gradient in the input is computed by a convolution
/// of stride 1, with `order` from [`halving_order`]. Differentiable twice.
///
/// # Errors
/// When the shapes or dtypes do not fit.
pub fn halving_conv(input: &Tensor, weight: &Tensor, bias: &Tensor, order: &Tensor) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call; on success the result is a new tensor.
    check(unsafe {
        gaat_halving_conv(handle(input), handle(weight), handle(bias), handle(order), &raw mut result)
    })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// The 2x2 blocks of `image`, `[N, C, H, W]` with even sides and zeros around it, as channels: `[N, 4 * C, H / 2 + 1, W / 2 + 1]` in
/// channels-last memory. Channel `4 * c + 2 * i + j` holds row i and column j of the blocks of channel c. Differentiable twice.
///
/// # Errors
/// When the shape or the dtype does not fit.
pub fn pixel_blocks(image: &Tensor) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: both pointers are valid for the call; on success the result is a new tensor.
    check(unsafe { gaat_pixel_blocks(handle(image), &raw mut result) })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// `max(input, 0)` in place, with a backward pass that is fast whatever memory order the gradient comes in. Differentiable twice.
///
/// # Errors
/// When libtorch refuses.
pub fn ordered_relu(input: &Tensor) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: both pointers are valid for the call; on success the result is a new handle of the same tensor.
    check(unsafe { gaat_ordered_relu(handle(input), &raw mut result) })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// `gradient` in the memory order of `parameter`, where it has another one as a copy. The fused steps do so themselves.
///
/// # Errors
/// When the shapes differ.
pub fn in_order_of(parameter: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call; on success the result is a new handle.
    check(unsafe { gaat_in_order_of(handle(parameter), handle(gradient), &raw mut result) })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// Settings of one fused SGD step.
#[derive(Debug, Clone, Copy)]
pub struct SgdStep {
    /// Step length.
    pub learning_rate: f64,
    /// Momentum factor; no dampening.
    pub momentum: f64,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Nesterov momentum.
    pub nesterov: bool,
    /// On the first step the momentum buffers are set to the gradient instead of read.
    pub is_first_step: bool,
}

/// Whether all numbers of each of `tensors` are finite, `[tensors]`, bool, on their device: nothing is waited for.
///
/// # Errors
/// When there is no tensor, one is empty, or they differ in dtype or device.
pub fn are_finite(tensors: &[&Tensor]) -> Result<Tensor> {
    let mut result: Handle = std::ptr::null_mut();
    // SAFETY: the array has `tensors.len()` live tensors; on success the result is a new tensor.
    check(unsafe { gaat_are_finite(handles(tensors).as_ptr(), count(tensors)?, &raw mut result) })?;
    Ok(unsafe { Tensor::from_ptr(result.cast()) })
}

/// One SGD step in place over all `parameters`, reading `gradients` and updating `momenta`, of which there are none
/// where the momentum is 0. Where `is_void`, one f32 on the device of the parameters, is 1 nothing changes: a step that came to
/// nothing need not be waited for.
///
/// # Errors
/// When the lists differ in length, shape, dtype or device, or there are momenta without a momentum.
pub fn fused_sgd(
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    momenta: &[&Tensor],
    step: SgdStep,
    is_void: &Tensor,
) -> Result<()> {
    let momentum_count = if step.momentum == 0.0 { 0 } else { parameters.len() };
    same_length(&[parameters.len(), gradients.len()])?;
    same_length(&[momentum_count, momenta.len()])?;
    if parameters.is_empty() {
        return Ok(());
    }
    // SAFETY: the arrays have `parameters.len()` live tensors each, the momenta `momentum_count`.
    check(unsafe {
        gaat_fused_sgd(
            handles(parameters).as_ptr(),
            handles(gradients).as_ptr(),
            handles(momenta).as_ptr(),
            count(parameters)?,
            count(momenta)?,
            step.weight_decay,
            step.momentum,
            step.learning_rate,
            c_int::from(step.nesterov),
            c_int::from(step.is_first_step),
            handle(is_void),
        )
    })
}

/// Settings of one fused Adam step.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// Step length.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// L2 penalty added to the gradient; where `is_decoupled`, the share of the step length by which the weights shrink.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// `AdamW` (Loshchilov and Hutter 2019): the decay does not pass through the moments.
    pub is_decoupled: bool,
}

/// One Adam step in place. `steps` holds one f32 scalar tensor a parameter: the number of this step, from 1; `is_void`
/// as for [`fused_sgd`].
///
/// # Errors
/// When the lists differ in length, shape, dtype or device.
pub fn fused_adam(
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    first_moments: &[&Tensor],
    second_moments: &[&Tensor],
    steps: &[&Tensor],
    step: AdamStep,
    is_void: &Tensor,
) -> Result<()> {
    same_length(&[
        parameters.len(),
        gradients.len(),
        first_moments.len(),
        second_moments.len(),
        steps.len(),
    ])?;
    if parameters.is_empty() {
        return Ok(());
    }
    // SAFETY: the arrays have `parameters.len()` live tensors each.
    check(unsafe {
        gaat_fused_adam(
            handles(parameters).as_ptr(),
            handles(gradients).as_ptr(),
            handles(first_moments).as_ptr(),
            handles(second_moments).as_ptr(),
            handles(steps).as_ptr(),
            count(parameters)?,
            step.learning_rate,
            step.beta1,
            step.beta2,
            step.weight_decay,
            step.epsilon,
            c_int::from(step.is_decoupled),
            handle(is_void),
        )
    })
}

/// The length of a list, as C++ counts it.
fn count(list: &[&Tensor]) -> Result<c_int> {
    c_int::try_from(list.len()).map_err(|_| LibtorchError(format!("a list of {} tensors", list.len())))
}

fn same_length(lengths: &[usize]) -> Result<()> {
    if lengths.windows(2).all(|pair| pair[0] == pair[1]) {
        Ok(())
    } else {
        Err(LibtorchError(format!("lists of different lengths: {lengths:?}")))
    }
}

/// Treats denormal floats as zero on this thread's processor: gradients near zero are slow otherwise.
///
/// # Errors
/// When libtorch does.
pub fn set_flush_denormal(on: bool) -> Result<()> {
    check(unsafe { gaat_set_flush_denormal(c_int::from(on)) })
}

/// Whether f32 convolutions and matrix products on CUDA may be computed in TF32, whose products have 10 bits: libtorch's own
/// setting is that convolutions may.
///
/// # Errors
/// When libtorch does.
pub fn allow_tf32(on: bool) -> Result<()> {
    check(unsafe { gaat_allow_tf32(c_int::from(on)) })
}

/// Whether any of them may.
///
/// # Errors
/// When libtorch does.
pub fn allows_tf32() -> Result<bool> {
    let mut found = 0;
    // SAFETY: the pointer is valid for a write.
    check(unsafe { gaat_allows_tf32(&raw mut found) })?;
    Ok(found != 0)
}
