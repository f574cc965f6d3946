//! ONNX files: the messages that they consist of, and a writer of graphs.
//!
//! Written by hand after `onnx.proto3`, because only this part of it is needed and no protobuf compiler with it.

mod graph;
pub mod messages;

pub use graph::{Attribute, Error, Graph, Port, Result};
