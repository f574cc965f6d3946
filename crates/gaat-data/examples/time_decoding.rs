//! Times how fast the images of a folder are decoded for training, with nothing kept between two epochs:
//! `cargo run --release -p gaat-data --example time_decoding -- DIRECTORY [WIDTHxHEIGHT]`.
#![allow(clippy::print_stdout, reason = "an example talks")]

use std::time::Instant;

use gaat_data::{Directories, Source, epoch_order, open_with};
use gaat_spec::{DatasetName, Residence};

/// Images that are asked for at once, as a training does.
const BATCH: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let data_dir = arguments.next().ok_or("usage: time_decoding DIRECTORY [WIDTHxHEIGHT]")?.into();
    let resize = match arguments.next() {
        Some(size) => {
            let (width, height) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
            Some((height.parse()?, width.parse()?))
        }
        None => None,
    };
    let source = Source { dataset: DatasetName::Folder, data_dir: Some(data_dir), resize };
    let nothing_kept = Directories { data_roots: Vec::new(), cache: None };
    let opened = open_with(&source, Residence::Streamed, &nothing_kept)?;
    let images = opened.parts.train();
    let mut pixels = vec![0; BATCH * images.shape().bytes()];
    let order = epoch_order(0, 0, images.len());
    let start = Instant::now();
    for batch in order.chunks(BATCH) {
        images.read(batch, &mut pixels[..batch.len() * images.shape().bytes()])?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let thousands = images.len() as f64 / 1000.0;
    println!("{} images of {}: {:.4} s a thousand", images.len(), images.shape(), seconds / thousands);
    Ok(())
}
