//! Tests of the library from outside; one binary, because linking libtorch is the slow part.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod nn;
