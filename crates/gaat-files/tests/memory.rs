//! What reading a damaged or malicious state dict may cost: never a panic, and memory in proportion to the file.
//!
//! A binary of its own, because it counts what its process allocates.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use gaat_files::pickle::CheckpointFile;
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
    let whole = || {
        let file = CheckpointFile::open(&path)?;
        let checkpoint = file.parse()?;
        let dicts = checkpoint.state_dicts(&|_| true)?;
        if dicts.is_empty() {
            return Err(checkpoint.without_tensors());
        }
        checkpoint.closed();
        let mut count = 0;
        for dict in &dicts {
            let places: Vec<usize> = (0..dict.tensors.len()).collect();
            count += checkpoint.tensors(dict, &places)?.len();
        }
        Ok(count)
    };
    let found = whole().map_err(|error: gaat_files::Error| error.to_string());
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= MOST * bytes.len() + BESIDE, "{taken} bytes of memory for a file of {}", bytes.len());
    found
}

/// A file of the older layout round the pickle `object`.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02";
    [&magic[..], system, object, b"\x80\x02]."].concat()
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
    assert!(error.contains("without tensors") && error.len() < 4000, "{}", error.len());
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
    assert!(error.contains("OrderedDict of 100000 values") && error.len() < 600, "{}", error.len());
}

/// Text of a pickle.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A storage of one number whose key is `key`.
fn storage(key: &str) -> Vec<u8> {
    [b"(", &text("storage")[..], b"ctorch\nFloatStorage\n", &text(key), &text("cpu"), b"K\x01tQ"].concat()
}

const REBUILD: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n";

/// A name and a tensor of these sizes and strides out of a storage of one number.
fn tensor(name: &str, sizes: &[u32], strides: &[u32]) -> Vec<u8> {
    let whole = |numbers: &[u32]| {
        numbers.iter().flat_map(|n| [b"J", &n.to_le_bytes()[..]].concat()).collect::<Vec<_>>()
    };
    let (sizes, strides) = (whole(sizes), whole(strides));
    [&text(name)[..], REBUILD, b"(", &storage("0"), b"K\x00(", &sizes, b"t(", &strides, b"ttR"].concat()
}

/// Pickles that are small for what they ask for.
#[allow(clippy::too_many_lines, reason = "a table of bytes")]
fn pickle_bombs() -> Vec<(&'static str, Vec<u8>)> {
    let often = |piece: &[u8], times: usize| piece.repeat(times);
    let pieces = |pieces: &[&[u8]]| pieces.concat();
    let ones = pieces(&[b"(", &often(b"K\x01", 64), b"t"]);
    let entries: Vec<u8> = (0..20_000).flat_map(|i| [&text(&format!("k{i}"))[..], b"N"].concat()).collect();
    let pairs: Vec<u8> =
        (0..20_000).flat_map(|i| [b"]", &text(&format!("k{i}"))[..], b"aNa"].concat()).collect();
    let long = "x".repeat(1 << 20);
    let doubling: Vec<u8> =
        (0u8..100).flat_map(|i| [b"](h", &[i][..], b"h", &[i], b"eq", &[i + 1]].concat()).collect();
    let many: Vec<u8> = (0..4000).flat_map(|i| tensor(&format!("w{i}"), &[1; 64], &[1; 64])).collect();
    vec![
        (
            "calls of one long tuple",
            pieces(&[
                REBUILD,
                b"q\x00(",
                &storage("0"),
                b"K\x00))",
                &often(b"N", 100_000),
                b"tq\x01",
                &often(b"h\x00h\x01R", 40_000),
                b".",
            ]),
        ),
        (
            "views of one shape",
            pieces(&[
                REBUILD,
                b"q\x00(",
                &storage("0"),
                b"K\x00",
                &ones,
                &ones,
                b"tq\x01",
                &often(b"h\x00h\x01R", 100_000),
                b".",
            ]),
        ),
        (
            "dictionaries of one list",
            pieces(&[
                b"(](",
                &pairs,
                b"eq\x00\x85q\x01ccollections\nOrderedDict\nq\x02",
                &often(b"h\x02h\x01R", 50_000),
                b"t.",
            ]),
        ),
        (
            "one dictionary under many names",
            pieces(&[
                b"}q\x00(",
                &entries,
                b"u0}(",
                &(0..20_000)
                    .flat_map(|i| [&text(&format!("d{i}"))[..], b"h\x00"].concat())
                    .collect::<Vec<u8>>(),
                b"u.",
            ]),
        ),
        ("lists that double", pieces(&[b"]q\x00", &doubling, b"."])),
        ("tuples in tuples", pieces(&[b")", &often(b"\x85", 300_000), b"."])),
        ("lists in lists", pieces(&[&often(b"]", 200_000), &often(b"a", 199_999), b"."])),
        ("marks alone", pieces(&[&often(b"(", 500_000), b"."])),
        ("one value again and again", pieces(&[b"Nq\x00", &often(b"h\x00", 500_000), b"."])),
        ("one value doubled", pieces(&[b"N", &often(b"2", 500_000), b"."])),
        ("values", pieces(&[&often(b"N", 500_000), b"."])),
        (
            "classes of one long name",
            pieces(&[
                &text(&long),
                b"q\x00",
                &text(&long),
                b"q\x01",
                &often(b"h\x00h\x01\x93", 100_000),
                b".",
            ]),
        ),
        (
            "objects of one long class",
            pieces(&[&text(&long), b"q\x00q\x01\x93q\x02", &often(b"h\x02)R", 100_000), b"."]),
        ),
        (
            "tensors of one long storage",
            pieces(&[
                &storage(&long),
                b"q\x00}(",
                &(0..2000)
                    .flat_map(|i| [&text(&format!("w{i}"))[..], REBUILD, b"(h\x00K\x00))tR"].concat())
                    .collect::<Vec<u8>>(),
                b"u.",
            ]),
        ),
        ("tensors of 64 axes", pieces(&[b"}(", &many, b"u."])),
        ("a list that holds itself", b"]q\x00h\x00a.".to_vec()),
        ("a dictionary that holds itself", pieces(&[b"}q\x00(", &text("state_dict"), b"h\x00u."])),
        ("a text of 4 GiB", b"X\xff\xff\xff\xffa".to_vec()),
        ("a text of 16 EiB", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa".to_vec()),
        ("bytes of 16 EiB", b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffa".to_vec()),
        ("an expanded tensor", pieces(&[b"}(", &tensor("w", &[4000, 4000], &[0, 0]), b"u."])),
        (
            "a tensor beyond all numbers",
            pieces(&[b"}(", &tensor("w", &[0x7fff_ffff; 5], &[0x7fff_ffff; 5]), b"u."]),
        ),
        (
            "a tensor of no numbers and a large side",
            pieces(&[b"}(", &tensor("w", &[0, 0x7fff_ffff], &[1, 1]), b"u."]),
        ),
    ]
}

/// A zip archive of `members`, stored.
fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut body, mut central) = (Vec::new(), Vec::new());
    let word = |number: usize| (number as u32).to_le_bytes();
    for (name, content) in members {
        let at = body.len();
        let sizes =
            [&word(0)[..], &word(content.len()), &word(content.len()), &(name.len() as u16).to_le_bytes()]
                .concat();
        body.extend(
            [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &sizes[..], b"\0\0", name.as_bytes(), content].concat(),
        );
        let entry =
            [b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0", &sizes[..], &[0; 12], &word(at), name.as_bytes()]
                .concat();
        central.extend(entry);
    }
    let count = (members.len() as u16).to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &word(central.len()), &word(body.len()), b"\0\0"]
        .concat();
    [body, central, end].concat()
}

#[test]
fn small_pickles_that_ask_for_much_are_refused_or_read_in_time_and_memory_of_their_size() {
    for (name, pickle) in pickle_bombs() {
        let zipped =
            archive(&[("a/data.pkl".to_owned(), pickle.clone()), ("a/data/0".to_owned(), vec![0; 4])]);
        for bytes in [zipped, legacy(&pickle)] {
            let start = std::time::Instant::now();
            let found = read(&bytes);
            let seconds = start.elapsed().as_secs_f64();
            println!("{name}: {} bytes, {seconds:.2} s, {found:?}", bytes.len());
            assert!(seconds < 5.0, "{name}: {seconds} s");
            assert!(found.map_or_else(|error| error.len() < 6000, |_| true), "{name}: a long message");
        }
    }
}

#[test]
fn archives_of_many_members_are_read_in_time_of_their_size() {
    let tensors: Vec<u8> = (0..30_000)
        .flat_map(|i| {
            let key = format!("{i:05}");
            [&text(&format!("w{key}"))[..], REBUILD, b"(", &storage(&key), b"K\x00))tR"].concat()
        })
        .collect();
    let pickle = [b"}(", &tensors[..], b"u."].concat();
    let mut members = vec![("a/data.pkl".to_owned(), pickle)];
    members.extend((0..30_000).map(|i| (format!("a/data/{i:05}"), vec![0; 4])));
    let start = std::time::Instant::now();
    assert_eq!(read(&archive(&members)), Ok(30_000));
    assert!(start.elapsed().as_secs_f64() < 10.0, "{:?}", start.elapsed());
    members.push(("a/data/00007".to_owned(), vec![0; 4]));
    assert!(read(&archive(&members)).unwrap_err().contains("\"a/data/00007\" of a zip archive twice"));
}

#[test]
fn members_that_overlap_are_refused() {
    let one = archive(&[("a/data.pkl".to_owned(), vec![0; 100_000])]);
    let entry = one.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let central = one[entry..one.len() - 22].repeat(1000);
    let end = [
        b"PK\x05\x06\0\0\0\0\xe8\x03\xe8\x03",
        &(central.len() as u32).to_le_bytes()[..],
        &(entry as u32).to_le_bytes(),
        b"\0\0",
    ];
    let error = read(&[&one[..entry], &central, &end.concat()].concat()).unwrap_err();
    assert!(error.contains("twice") || error.contains("overlap"), "{error}");
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
