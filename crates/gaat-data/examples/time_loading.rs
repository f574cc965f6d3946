//! Times the loading of a data set: `cargo run --release -p gaat-data --example time_loading -- mnist [DIRECTORY]`.
#![allow(clippy::print_stdout, reason = "an example talks")]

use std::time::Instant;

use gaat_data::{Source, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dataset = arguments.next().unwrap_or_else(|| "digits".to_owned()).parse()?;
    let source = Source { dataset, data_dir: arguments.next().map(Into::into), resize: None };
    for round in 1..=3 {
        let start = Instant::now();
        let loaded = load(&source)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("round {round}: {seconds:.3} s, {:?} and {:?}", loaded.train, loaded.test);
        for warning in &loaded.warnings {
            println!("  {warning}");
        }
        let start = Instant::now();
        println!("  digest {} in {:.3} s", loaded.train.digest(), start.elapsed().as_secs_f64());
    }
    Ok(())
}
