//! Downloads from a server on this machine that does everything a server can do wrong.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod download;
mod server;
mod whole_sets;
