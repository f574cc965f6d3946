//! File formats of gaat: bytes and names in, bytes and names out. Knows no tensor of libtorch, no network and no data set.
//!
//! | module | format |
//! |---|---|
//! | the crate itself | [regular files](read) and nothing else are read; [whole files](write_whole) or none are written; SHA-256 |
//! | [`pickle`] | checkpoints of `torch.save`, and other pickles, of which nothing is run |
//! | [`tensors`] | safetensors files with a checksum |
//! | [`npz`] | arrays for numpy |
//! | [`onnx`] | messages and a writer of ONNX graphs |
//! | [`png`] | pictures |
//! | [`tfevents`] | event files of TensorBoard |
//!
//! Files come from anywhere: nothing is allocated on the word of a header, and what a file says is made harmless before it is
//! part of a message.

mod digest;
mod error;
mod memory;
pub mod npz;
pub mod onnx;
pub mod pickle;
pub mod png;
mod regular;
mod temporary;
pub mod tensors;
pub mod tfevents;
mod whole;

pub use digest::{digest_of, digest_of_file, digest_of_reader, hexadecimal};
pub use error::{Error, Result};
pub use memory::{free_memory, in_words};
pub use regular::{append, is_at, open, read, read_at_most, read_text, regular, rewrite};
pub use temporary::{abandon_writes, sweep};
pub use whole::{write_whole, write_with};
