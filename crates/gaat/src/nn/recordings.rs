//! Passes of one shape, kept as CUDA graphs: launched as one instead of operation by operation.
//!
//! A network of moderate size leaves a fast GPU waiting: launching the hundreds of kernels of a forward and a backward pass
//! takes a processor longer than computing them takes the GPU. What a pass launches depends on shapes alone, so that it is
//! recorded once and replayed from then on.

use super::classifier::Mode;
use super::joined::is_joined;
use crate::error::Result;
use gaat_shim::{CudaGraph, GraphPool};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tch::{Device, Kind, Tensor};

/// Passes of a kind before it is recorded. They let libtorch choose its kernels, which must not happen in a recording, and a
/// shape that comes a few times only is not worth one.
const EAGER: u32 = 8;
/// Recordings at once; the one unused for longest makes room. Each holds its results and a share of the pool.
const MOST: usize = 12;

/// What a pass does beside running the network, as far as its inputs do not say it.
pub(crate) type PassName = &'static str;

/// The recordings of one network on one GPU.
#[derive(Debug)]
pub struct Recordings {
    device: usize,
    pool: GraphPool,
    passes: RefCell<HashMap<Key, Pass>>,
    /// Passes so far, to tell which recording was unused for longest.
    clock: Cell<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: PassName,
    mode: Mode,
    inputs: Vec<(Vec<i64>, Kind)>,
}

#[derive(Debug)]
enum Pass {
    Seen(u32),
    Recorded(Recording),
}

impl Pass {
    /// When it was recorded or replayed last.
    fn used(&self) -> u64 {
        match self {
            Self::Seen(_) => 0,
            Self::Recorded(recording) => recording.used,
        }
    }
}

#[derive(Debug)]
struct Recording {
    graph: CudaGraph,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    used: u64,
}

impl Recordings {
    /// None yet, of a network on `device`; `None` where there is nothing to gain.
    pub(super) fn of(device: Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let pool = GraphPool::new()?;
        Ok(Some(Self { device, pool, passes: RefCell::default(), clock: Cell::default() }))
    }

    fn run(&self, key: Key, inputs: &[&Tensor], work: Work<'_>) -> Result<Vec<Tensor>> {
        let mut passes = self.passes.borrow_mut();
        let now = self.clock.replace(self.clock.get() + 1);
        let pass = passes.entry(key).or_insert(Pass::Seen(0));
        match pass {
            Pass::Seen(count) if *count < EAGER => {
                *count += 1;
                work(inputs)
            }
            Pass::Seen(_) => {
                let recording = self.recorded(inputs, work, now)?;
                recording.graph.replay()?;
                let outputs = shallow(&recording.outputs);
                *pass = Pass::Recorded(recording);
                make_room(&mut passes);
                Ok(outputs)
            }
            Pass::Recorded(recording) => {
                recording.used = now;
                for (place, input) in recording.inputs.iter_mut().zip(inputs) {
                    place.f_copy_(input)?;
                }
                recording.graph.replay()?;
                Ok(shallow(&recording.outputs))
            }
        }
    }

    fn recorded(&self, inputs: &[&Tensor], work: Work<'_>, used: u64) -> Result<Recording> {
        // Outside the pool, and never written by anything else.
        let inputs: Vec<Tensor> =
            inputs.iter().map(|input| Ok(input.f_detach()?.f_alias_copy()?)).collect::<Result<_>>()?;
        let borrowed: Vec<&Tensor> = inputs.iter().collect();
        let (graph, outputs) = CudaGraph::record(self.device, self.pool, || work(&borrowed))?;
        Ok(Recording { graph, inputs, outputs, used })
    }
}

/// Drops the recording that was unused for longest where there are too many.
fn make_room(passes: &mut HashMap<Key, Pass>) {
    let recorded = passes.values_mut().filter(|pass| matches!(pass, Pass::Recorded(_)));
    let mut recorded: Vec<&mut Pass> = recorded.collect();
    if recorded.len() > MOST {
        recorded.sort_by_key(|pass| pass.used());
        *recorded.swap_remove(0) = Pass::Seen(0);
    }
}

/// Lets libtorch try out its convolutions on a GPU and keep the fastest for each shape: worth it where a shape comes again and
/// again, as in training; not where images leave an attack one by one and nearly every batch has a size of its own. Holds
/// for the process until it is called again, and does nothing on a CPU.
pub(crate) fn try_algorithms(on: bool) {
    tch::Cuda::cudnn_set_benchmark(on);
}

/// Hands back tensors without a graph of autograd.
type Work<'w> = &'w dyn Fn(&[&Tensor]) -> Result<Vec<Tensor>>;

fn shallow(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(Tensor::shallow_clone).collect()
}

/// `work` on `inputs`, or what was recorded of it under this name, mode and shapes. `work` must depend on nothing but its
/// inputs and the network's tensors. The results may be overwritten by the next pass of the same kind.
///
/// # Errors
/// Those of `work`, or of the recording.
pub(crate) fn recorded(
    recordings: Option<&Recordings>,
    (name, mode): (PassName, Mode),
    inputs: &[&Tensor],
    work: Work<'_>,
) -> Result<Vec<Tensor>> {
    match recordings.filter(|_| !is_joined()) {
        None => work(inputs),
        Some(recordings) => {
            let shapes = inputs.iter().map(|input| (input.size(), input.kind())).collect();
            recordings.run(Key { name, mode, inputs: shapes }, inputs, work)
        }
    }
}
