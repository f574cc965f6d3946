//! The readers, splits and reports, through the public interface.
//!
//! One binary for all; the image folder and its cache have their tests beside their code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

mod arrays;
mod cifar;
mod fixtures;
mod hostile;
mod idx;
mod inspect;
mod missing;
mod real_data;
mod split;
mod torchvision;
