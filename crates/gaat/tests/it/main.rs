//! Tests of the library from outside; one binary, because linking libtorch is the slow part.
// Debug formatting of a path is a string of TOML; networks of tests are made as trainings take them.
#![allow(clippy::unnecessary_debug_formatting, clippy::unnecessary_box_returns)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and prints what it measured"
)]

mod accumulate;
mod agreement;
mod analysis;
mod approximate;
mod checkpoints;
mod contract;
mod crew;
mod crops;
mod cuda;
mod curvatures;
mod evaluation;
mod exchange;
mod explanations;
mod exported_back;
mod extra;
mod fine_tuning;
mod finite;
mod imported;
mod literal_gaat;
mod methods;
mod nn;
mod own_data;
mod parts;
mod streaming;
mod stub;
mod support;
mod suspicion;
mod taylor;
mod tensorboard;
mod toy;
mod training;
mod weights;
mod world;
