//! What reading a damaged or malicious state dict may cost: never a panic, and memory in proportion to the file.
//!
//! A binary of its own, because it counts what its process allocates.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use gaat_data::read_state_dict;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
/// One reading at a time, or they would count each other's memory.
static READING: Mutex<()> = Mutex::new(());

const FILES: [&[u8]; 4] = [
    include_bytes!("golden/zip.pth"),
    include_bytes!("golden/legacy.pth"),
    include_bytes!("golden/wrapped.pth"),
    include_bytes!("golden/parameters.pth"),
];
/// Bytes of memory a byte of the file: a value of one byte is an enum in an arena, on a stack and in a memo.
const MOST: usize = 400;
const BESIDE: usize = 1 << 20;

/// Reads `bytes` and checks what it took.
fn read(bytes: &[u8]) -> Result<usize, String> {
    let _alone = READING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    std::fs::write(&path, bytes).unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let found = read_state_dict(&path).map(|tensors| tensors.len()).map_err(|error| error.to_string());
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= MOST * bytes.len() + BESIDE, "{taken} bytes of memory for a file of {}", bytes.len());
    found
}

/// A file of the older layout round the pickle `object`.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02";
    [&magic[..], system, object].concat()
}

/// A pickle of a dictionary whose `times` entries are the same name, `length` bytes long, and the same value.
fn one_name_often(length: usize, value: &[u8], times: usize) -> Vec<u8> {
    let mut pickle = b"}X".to_vec();
    pickle.extend((length as u32).to_le_bytes());
    pickle.extend(vec![b'a'; length]);
    pickle.extend(b"q\x00");
    pickle.extend(value);
    pickle.extend(b"q\x01s(");
    pickle.extend(b"h\x00h\x01".repeat(times));
    pickle.extend(b"u.");
    pickle
}

#[test]
fn a_long_name_that_comes_often_is_held_once() {
    let error = read(&legacy(&one_name_often(100_000, b"N", 20_000))).unwrap_err();
    assert!(error.contains("comes twice"), "{}", &error[..200]);
}

#[test]
fn a_call_with_a_million_arguments_is_not_spelt_out() {
    let mut pickle = b"ccollections\nOrderedDict\n(X".to_vec();
    pickle.extend(1000u32.to_le_bytes());
    pickle.extend(vec![b'a'; 1000]);
    pickle.extend(b"q\x00");
    pickle.extend(b"h\x00".repeat(99_999));
    pickle.extend(b"tR.");
    let error = read(&legacy(&pickle)).unwrap_err();
    assert!(error.contains("OrderedDict of 100000 values"), "{}", &error[..200.min(error.len())]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_archives_are_read_or_refused(
        file in 0usize..FILES.len(),
        writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        copied in any::<(prop::sample::Index, prop::sample::Index)>(),
        length in 0usize..200,
        times in 0usize..40,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = FILES[file].to_vec();
        for (place, byte) in writes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let (from, to) = (copied.0.index(bytes.len()), copied.1.index(bytes.len()));
        let block = bytes[from..(from + length).min(bytes.len())].repeat(times);
        bytes.splice(to..to, block);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(&bytes);
    }
}
