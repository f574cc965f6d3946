//! State dicts that PyTorch wrote, and files that must be refused.

use super::*;
use proptest::prelude::*;

const ZIP: &[u8] = include_bytes!("../../tests/golden/zip.pth");
const LEGACY: &[u8] = include_bytes!("../../tests/golden/legacy.pth");
const WRAPPED: &[u8] = include_bytes!("../../tests/golden/wrapped.pth");
const BESIDE: &[u8] = include_bytes!("../../tests/golden/beside.pth");
const PARAMETERS: &[u8] = include_bytes!("../../tests/golden/parameters.pth");
const MODULE: &[u8] = include_bytes!("../../tests/golden/module.pth");
const NO_TENSORS: &[u8] = include_bytes!("../../tests/golden/no-tensors.pth");

/// The numbers of `reference/state_dicts.py`.
fn expected() -> Vec<NamedTensor> {
    let tensor = |name: &str, shape: &[usize], numbers| NamedTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        numbers,
    };
    let eighth = |index: u8| f32::from(index) / 8.0 - 0.5;
    vec![
        tensor("0.weight", &[2, 3], Numbers::Float([0, 1, 2, 4, 5, 6].map(eighth).to_vec())),
        tensor("0.bias", &[3], Numbers::Float([1, 5, 9].map(eighth).to_vec())),
        tensor("1.half", &[2], Numbers::Float(vec![1.5, -0.25])),
        tensor("1.brain", &[2, 1], Numbers::Float(vec![2.5, -3.0])),
        tensor("1.double", &[1], Numbers::Double(vec![1.0 / 3.0])),
        tensor("1.num_batches_tracked", &[], Numbers::Whole(vec![7])),
    ]
}

/// The largest dictionary of tensors, less the prefix of parallel training.
fn state_dict(bytes: &[u8]) -> std::result::Result<Vec<NamedTensor>, String> {
    let file = CheckpointFile { path: PathBuf::from("weights.pth"), bytes: bytes.to_vec() };
    let read = || {
        let checkpoint = file.parse()?;
        let dicts = checkpoint.state_dicts(&|_| true)?;
        let largest = dicts.iter().max_by_key(|dict| dict.tensors.len());
        let largest = largest.ok_or_else(|| checkpoint.without_tensors())?;
        let places: Vec<usize> = (0..largest.tensors.len()).collect();
        checkpoint.tensors(largest, &places)
    };
    let mut tensors = read().map_err(|error: Error| error.to_string())?;
    for tensor in &mut tensors {
        tensor.name = tensor.name.trim_start_matches("module.").to_owned();
    }
    Ok(tensors)
}

#[test]
fn both_layouts_wrappers_and_prefixes_give_the_same_tensors() {
    for (name, bytes) in [("zip", ZIP), ("legacy", LEGACY), ("wrapped", WRAPPED), ("beside", BESIDE)] {
        assert_eq!(state_dict(bytes).unwrap(), expected(), "{name}");
    }
    let parameters = state_dict(PARAMETERS).unwrap();
    assert_eq!(parameters[0], expected()[0]);
    assert_eq!(parameters.len(), 6);
}

#[test]
fn what_is_no_state_dict_is_refused_by_name() {
    let module = state_dict(MODULE).unwrap_err();
    assert!(
        module.contains("torch.nn.modules.linear.Linear") && module.contains("model.state_dict()"),
        "{module}"
    );
    let empty = state_dict(NO_TENSORS).unwrap_err();
    assert!(empty.contains("without tensors") && empty.contains("\"epoch\""), "{empty}");
    for bytes in [&b""[..], b"not a state dict", b"\x80\x02K\x01.", b"PK\x03\x04"] {
        assert!(state_dict(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn calls_of_unknown_code_stay_closed_and_are_told_by_name() {
    // os.system("true") as every protocol would run it: nothing is run, and nothing of it is a state dict.
    for pickle in [
        &b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."[..],
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x02cos\nsystem\n)\x81.",
    ] {
        let read = machine::read(pickle).unwrap();
        assert!(
            search::without_tensors(&read).starts_with("an object of os.system, which is code"),
            "{pickle:?}"
        );
        assert_eq!(search::closed(&read), ["os.system"]);
    }
}

#[test]
fn what_no_state_dict_needs_is_refused_with_name_and_position() {
    let refused = |pickle: &[u8]| machine::read(pickle).err().unwrap();
    for (pickle, name) in
        [(&b"\x80\x02\x82\x01."[..], "EXT1 (0x82)"), (b"\x80\x02\xff.", "0xff, which is no opcode")]
    {
        let found = refused(pickle);
        assert!(found.contains(name) && found.contains("at byte"), "{found}");
    }
    for pickle in [&b"."[..], b"t.", b"(.", b"\x80", b"h\x00.", b")R.", b"}K\x01a.", b"NQ."] {
        refused(pickle);
    }
}

#[test]
fn the_opcodes_of_all_protocols_build_the_same_data() {
    // {"a": [1, 2.5, True, None, "x"], "b": (-3,)} as Python's pickle.dumps writes it in protocols 0, 1, 2 and 4.
    let pickles: [&[u8]; 4] = [
        b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\naI01\naNaVx\np3\nasVb\np4\n(I-3\ntp5\ns.",
        b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00I01\nNX\x01\x00\x00\x00xq\x03eX\x01\x00\x00\x00bq\x04(J\xfd\xff\xff\xfftq\x05u.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00\x88NX\x01\x00\x00\x00xq\x03eX\x01\x00\x00\x00bq\x04J\xfd\xff\xff\xff\x85q\x05u.",
        b"\x80\x04\x95&\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00\x88N\x8c\x01x\x94e\x8c\x01b\x94J\xfd\xff\xff\xff\x85\x94u.",
    ];
    for pickle in pickles {
        let read = machine::read(pickle).unwrap();
        let Value::Dict(items) = read.get(read.root) else { unreachable!() };
        let [(a, list), (b, tuple)] = items[..] else { unreachable!() };
        assert_eq!((read.text(a), read.text(b)), (Some("a"), Some("b")));
        let Value::List(list) = read.get(list) else { unreachable!() };
        let list: Vec<_> = list.iter().map(|id| read.get(*id).clone()).collect();
        let text = Value::Text("x".into());
        assert_eq!(list, [Value::Int(1), Value::Float(2.5), Value::Bool(true), Value::None, text]);
        let Value::Tuple(tuple) = read.get(tuple) else { unreachable!() };
        assert_eq!(tuple.iter().map(|id| read.get(*id).clone()).collect::<Vec<_>>(), [Value::Int(-3)]);
    }
}

#[test]
fn what_people_take_for_a_checkpoint_is_told() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, word) in [
        (tar.as_slice(), "until 2017"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "page of HTML"),
    ] {
        let found = state_dict(bytes).unwrap_err();
        assert!(found.contains(word), "{found}");
    }
}

#[test]
fn tensors_that_reach_beyond_their_storage_are_refused() {
    // The shape of the first tensor, 2 by 3, comes as `K\x02K\x03\x86`.
    let place = LEGACY.windows(5).position(|window| window == b"K\x02K\x03\x86").unwrap();
    for size in [4, 200] {
        let mut bytes = LEGACY.to_vec();
        bytes[place + 1] = size;
        let found = state_dict(&bytes).unwrap_err();
        assert!(found.contains("\"0.weight\"") && found.contains("beyond its storage"), "{found}");
    }
    for cut in [LEGACY.len() - 1, LEGACY.len() - 9, 20, 200] {
        assert!(state_dict(&LEGACY[..cut]).is_err(), "{cut}");
    }
    for cut in (0..ZIP.len()).step_by(7) {
        assert!(state_dict(&ZIP[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_flipped_bit_in_a_zip_archive_is_found_by_its_checksum() {
    // -0.5 and -0.375, with which the first storage begins.
    let numbers = [0, 0, 0, 0xbf, 0, 0, 0xc0, 0xbe];
    let place = ZIP.windows(8).position(|window| window == numbers).unwrap();
    let mut bytes = ZIP.to_vec();
    bytes[place + 2] ^= 1;
    let found = state_dict(&bytes).unwrap_err();
    assert!(found.contains("\"zip/data/0\"") && found.contains("CRC-32"), "{found}");
    // Without checksums, as torch.save writes where it is told to, the numbers count as they are.
    let entries: Vec<usize> =
        (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
    for entry in &entries {
        bytes[entry + 16..entry + 20].fill(0);
    }
    assert!(entries.len() > 3 && state_dict(&bytes).is_ok());
}

#[test]
fn errors_show_little_of_what_is_large_and_nothing_that_moves_the_cursor() {
    let long = "x".repeat(1 << 20);
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    // A list of a long text, as a persistent id, and attributes for it; a class of that name; a key that is no text.
    let list = [b"\x80\x02", &text(&long)[..]].concat();
    let pickles = [
        [&list[..], b"Q."].concat(),
        [&list[..], b"\x85Q."].concat(),
        [&list[..], b"Nb."].concat(),
        [&list[..], b"Na."].concat(),
        [b"\x80\x02c\x1b[2J\n", long.as_bytes(), b"\nNs."].concat(),
    ];
    for pickle in pickles {
        let found = machine::read(&pickle).err().unwrap();
        assert!(found.len() < 400 && !found.contains('\u{1b}'), "{found}");
    }
    // A dictionary with a long key in front of what is no tensor.
    let pickle = [b"\x80\x02}", &text(&format!("\u{1b}{long}"))[..], b"Ns."].concat();
    let found = search::without_tensors(&machine::read(&pickle).unwrap());
    assert!(found.len() < 500 && !found.contains('\u{1b}'), "{found}");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(place in 0usize..4000, byte: u8, layout in 0usize..3) {
        let mut bytes = [ZIP, LEGACY, WRAPPED][layout].to_vec();
        let place = place % bytes.len();
        bytes[place] = byte;
        let _ = state_dict(&bytes);
    }

    #[test]
    fn noise_never_panics(bytes: Vec<u8>) {
        let _ = machine::read(&bytes);
        let _ = state_dict(&bytes);
    }
}
