//! The target `arrays` of gaat-fuzz under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gaat_fuzz::run("arrays", bytes));
