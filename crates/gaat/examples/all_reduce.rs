//! What adding up the gradients of a network costs: seconds of an all-reduce over all processes, for networks of two sizes.
//!
//! ```sh
//! export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500
//! RANK=1 cargo run --release --example all_reduce &
//! RANK=0 cargo run --release --example all_reduce
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it has found")]

use gaat::nn::{BuildOptions, ComputePrecision, InputShape, Normalization, build};
use gaat::world::{Group, Place, World};
use std::error::Error;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    gaat::device::prepare_process(Some(1))?;
    let place = Place::of_environment()?.ok_or("start several processes, with RANK and WORLD_SIZE")?;
    let group = Group::meet(&place)?;
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed: 0,
        normalization: Normalization::identity(3),
    };
    let input = InputShape { channels: 3, height: 32, width: 32 };
    for model in ["wide-resnet-28-4", "wide-resnet-28-10"] {
        let network = build(&model.parse()?, input, 10, &options)?;
        let gradients: Vec<Tensor> = network.store().trainable().iter().map(Tensor::zeros_like).collect();
        let bytes = 4 * network.store().parameter_count();
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            // All begin together.
            group.sum(&[Tensor::from(0.0)])?;
            let begun = Instant::now();
            group.sum(&gradients)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        if group.rank() == 0 {
            println!(
                "{model}: {bytes} bytes in {} tensors, {} processes: median {:.1} ms, least {:.1} ms, most {:.1} ms",
                gradients.len(),
                group.size(),
                times[ROUNDS / 2],
                times[0],
                times[ROUNDS - 1]
            );
        }
    }
    group.part(None);
    Ok(())
}
