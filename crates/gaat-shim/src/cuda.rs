//! libtorch's half for NVIDIA GPUs: loading it, kernels recorded as CUDA graphs, and points in time on the device.

use super::{LibtorchError, Result, check};
use libc::{c_char, c_int, c_ulonglong, c_void};

unsafe extern "C" {
    fn gaat_load_cuda(found: *mut c_int) -> *mut c_char;
    fn gaat_graph_pool(first: *mut c_ulonglong, second: *mut c_ulonglong) -> *mut c_char;
    fn gaat_graph_begin(
        device: c_int,
        first: c_ulonglong,
        second: c_ulonglong,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn gaat_graph_end(recording: *mut c_void) -> *mut c_char;
    fn gaat_graph_replay(recording: *mut c_void) -> *mut c_char;
    fn gaat_graph_free(recording: *mut c_void);
    fn gaat_event_record(device: c_int, out: *mut *mut c_void) -> *mut c_char;
    fn gaat_event_wait(event: *mut c_void) -> *mut c_char;
    fn gaat_event_elapsed(first: *mut c_void, second: *mut c_void, found: *mut f64) -> *mut c_char;
    fn gaat_event_free(event: *mut c_void);
    fn gaat_cuda_has_bf16(found: *mut c_int) -> *mut c_char;
    fn gaat_cuda_peak(device: c_int, bytes: *mut f64) -> *mut c_char;
}

/// Loads `libtorch_cuda.so` where it lies beside `libtorch_cpu.so`, so that one binary serves machines with and without a GPU;
/// tells whether it does. To be called before the first tensor: libtorch looks for it once.
///
/// # Errors
/// When it is there and cannot be loaded.
pub fn load_cuda() -> Result<bool> {
    let mut found = 0;
    // SAFETY: the pointer is valid for a write.
    check(unsafe { gaat_load_cuda(&raw mut found) })?;
    Ok(found != 0)
}

/// Whether the GPUs have bfloat16 arithmetic, as those from compute capability 8 on; `false` without libtorch's half for them.
///
/// # Errors
/// When libtorch refuses.
pub fn cuda_has_bf16() -> Result<bool> {
    let mut found = 0;
    // SAFETY: the pointer is valid for a write.
    check(unsafe { gaat_cuda_has_bf16(&raw mut found) })?;
    Ok(found != 0)
}

/// Most bytes that libtorch has held so far of the memory of the GPU numbered `device`.
///
/// # Errors
/// When there is no such GPU.
pub fn cuda_peak(device: usize) -> Result<u64> {
    let mut bytes = 0.0;
    // SAFETY: the pointer is valid for a write.
    check(unsafe { gaat_cuda_peak(c_int::try_from(device).unwrap_or(c_int::MAX), &raw mut bytes) })?;
    Ok(bytes as u64)
}

/// Device memory that recordings share: what one frees on its way another uses. Their results are apart.
#[derive(Debug, Clone, Copy)]
pub struct GraphPool(c_ulonglong, c_ulonglong);

impl GraphPool {
    /// A pool without memory yet.
    ///
    /// # Errors
    /// When libtorch's half for GPUs is not loaded.
    pub fn new() -> Result<Self> {
        let (mut first, mut second) = (0, 0);
        // SAFETY: both pointers are valid for a write.
        check(unsafe { gaat_graph_pool(&raw mut first, &raw mut second) })?;
        Ok(Self(first, second))
    }
}

/// Kernels in the order of their launch, to be launched again as one. They read and write the very memory that they did when
/// they were recorded: the caller keeps those tensors alive and copies into and out of them.
#[derive(Debug)]
pub struct CudaGraph(*mut c_void);

// SAFETY: libtorch guards its pools and CUDA its graphs; a graph belongs to a device and to no thread.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Records what `work` launches on the GPU numbered `device`; it does not run. `work` must not look at a number on the
    /// device, copy from the host, or draw random numbers, and must have run before, so that nothing is set up in it. Its
    /// tensors live in `pool`.
    ///
    /// # Errors
    /// That of `work`, or when it does what cannot be recorded.
    pub fn record<T, E: From<LibtorchError>>(
        device: usize,
        pool: GraphPool,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(Self, T), E> {
        let mut raw = std::ptr::null_mut();
        let device = c_int::try_from(device).unwrap_or(c_int::MAX);
        // SAFETY: the pointer is valid for a write; on success it holds a recording that is ours.
        check(unsafe { gaat_graph_begin(device, pool.0, pool.1, &raw mut raw) })?;
        let open = Open { graph: Self(raw) };
        let done = work();
        let graph = open.close();
        // What went wrong first says more than that the recording is spoilt.
        let done = done?;
        Ok((graph?, done))
    }

    /// Launches all of it. Does not wait.
    ///
    /// # Errors
    /// When the device fails.
    pub fn replay(&self) -> Result<()> {
        // SAFETY: the recording is whole and alive.
        check(unsafe { gaat_graph_replay(self.0) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the recording.
        unsafe { gaat_graph_free(self.0) }
    }
}

/// A recording that continues; it ends with this, also in a panic, or no kernel of the process would run again.
struct Open {
    graph: CudaGraph,
}

impl Open {
    fn close(self) -> Result<CudaGraph> {
        let open = std::mem::ManuallyDrop::new(self);
        // SAFETY: `open` is never dropped, so that the graph is moved out once.
        let graph = unsafe { std::ptr::read(&raw const open.graph) };
        // SAFETY: the recording is alive.
        check(unsafe { gaat_graph_end(graph.0) })?;
        Ok(graph)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the recording is alive. A message about a spoilt recording would not help in a panic.
        drop(check(unsafe { gaat_graph_end(self.graph.0) }));
    }
}

/// The point in time at which a GPU has done what it was told so far.
#[derive(Debug)]
pub struct CudaEvent(*mut c_void);

// SAFETY: an event may be asked from any thread; CUDA guards it.
unsafe impl Send for CudaEvent {}

impl CudaEvent {
    /// Now, in the order of what the GPU numbered `device` was told.
    ///
    /// # Errors
    /// When there is no such GPU.
    pub fn record(device: usize) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is valid for a write; on success it holds an event that is ours.
        check(unsafe { gaat_event_record(c_int::try_from(device).unwrap_or(c_int::MAX), &raw mut raw) })?;
        Ok(Self(raw))
    }

    /// Waits until the device is there.
    ///
    /// # Errors
    /// When the device has failed by then.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the event is alive.
        check(unsafe { gaat_event_wait(self.0) })
    }

    /// Seconds from here to `later`, for which it waits.
    ///
    /// # Errors
    /// When the device has failed by then.
    pub fn seconds_to(&self, later: &Self) -> Result<f64> {
        later.wait()?;
        let mut milliseconds = 0.0;
        // SAFETY: both events are alive and past, and the pointer is valid for a write.
        check(unsafe { gaat_event_elapsed(self.0, later.0, &raw mut milliseconds) })?;
        Ok(milliseconds / 1e3)
    }
}

impl Drop for CudaEvent {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the event.
        unsafe { gaat_event_free(self.0) }
    }
}
