//! Equal runs leave equal bytes in every file, measured times apart.

use crate::success;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::tempdir;

/// Keys of measured times, and of what is computed from them.
const TIMES: [&str; 3] = ["seconds", "seconds_over_natural", "wall_time"];

/// All that the commands leave: a run with what was judged, explained and analysed of it, its exports, and a comparison.
fn made() -> BTreeMap<String, Vec<u8>> {
    let home = tempdir().unwrap();
    let here = home.path();
    let common = "--dataset digits --limit 200 --epochs 2 --precision fp32 --threads 1";
    for line in [
        &format!("train {common} --model convnet --method gaat --weight-averaging 0.9 --out run"),
        "evaluate run --attack fgsm,square --queries 20 --limit 20 --threads 1 --epsilons 0.1 --svg curve.svg --state state.json",
        "attack run --attack pgd --steps 2 --limit 20 --threads 1 --out a.npz --png a.png --images images",
        "analyze run --limit 10 --epsilons 0.1 --threads 1",
        "explain run --limit 10 --threads 1",
        "export run --format onnx --out e.onnx",
        "export run --format safetensors --out e.safetensors",
        "import e.safetensors --model convnet --out i.safetensors",
        "report run",
        &format!(
            "compare {common} --model mlp --methods natural,gaat --judge fgsm,pgd --judge-limit 20 --judge-steps 2 --judge-restarts 1 \
             --out compared"
        ),
    ] {
        success(here, line);
    }
    let mut files = BTreeMap::new();
    read(here, here, &mut files);
    files
}

fn read(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, fs_err::read(&path).unwrap());
        }
    }
}

/// The bytes of a file without times, and whether any were taken out. What is drawn over seconds has nothing else.
fn timeless(name: &str, bytes: &[u8]) -> (Vec<u8>, bool) {
    let text = || String::from_utf8(bytes.to_vec()).unwrap();
    let left = match name.rsplit('.').next().unwrap() {
        _ if name.ends_with("-over-seconds.svg") => Vec::new(),
        "json" | "jsonl" => document(&text()).into_bytes(),
        "gaat" => curves(bytes),
        _ if name.ends_with("state.safetensors") => state(bytes),
        "html" => page(&text()).into_bytes(),
        "md" => numbers_gone(&text()).into_bytes(),
        _ => return (bytes.to_vec(), false),
    };
    (left, true)
}

/// A JSON text without the values of times, numbers or flat objects; all else, the order of keys too, stays as it is. In the metadata
/// of a state the quotes are escaped.
fn document(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((end, key)) = TIMES
        .iter()
        .flat_map(|key| ["\"", "\\\""].map(|quote| (rest.find(&format!("{key}{quote}")), key)))
        .filter_map(|(at, key)| Some((at?, key)))
        .min()
    {
        let (before, after) = rest.split_at(end + key.len());
        kept += before;
        let value = after.trim_start_matches(['\\', '"', ':', ' ']);
        let end = if value.starts_with('{') { value.find('}') } else { value.find([',', '}', '\n']) };
        rest = &value[end.unwrap()..];
    }
    kept + rest
}

/// The header without times and padding, and the tensors.
fn state(bytes: &[u8]) -> Vec<u8> {
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
    [document(std::str::from_utf8(header).unwrap()).trim_end().as_bytes(), tensors].concat()
}

/// Records without the times they were written at, and without scalars of seconds; of the rest every byte but the checksums.
fn curves(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some(length) = rest.first_chunk::<8>() {
        let end = 12 + u64::from_le_bytes(*length) as usize;
        let record = &rest[12 + 9..end];
        rest = &rest[end + 4..];
        let seconds = record.windows(12).any(|window| window == b"cost/seconds");
        kept.extend_from_slice(if seconds { b"seconds" } else { record });
    }
    kept
}

/// An HTML report without the figures that have seconds on an axis, and without the digits of lines that give seconds.
fn page(text: &str) -> String {
    let mut kept = String::new();
    for (index, part) in text.split("<figure").enumerate() {
        let (figure, after) = part.split_once("</figure>").unwrap_or(("", part));
        let over_seconds = index > 0 && figure.lines().next().unwrap().contains("-over-seconds");
        kept += if over_seconds { "" } else { figure };
        kept += after;
    }
    numbers_gone(&kept)
}

/// Lines that give seconds, or costs measured in seconds, without digits.
fn numbers_gone(text: &str) -> String {
    let is_timed = |line: &str| {
        line.contains(" s<")
            || line.contains(" s,")
            || line.contains("| natural")
            || line.contains("| gaat")
            || line.contains("<td")
    };
    let line = |line: &str| {
        if is_timed(line) { line.chars().filter(|c| !c.is_ascii_digit()).collect() } else { line.to_owned() }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn equal_runs_leave_equal_bytes_in_every_file_times_apart() {
    let (ours, theirs) = (made(), made());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for name in
        ["run/checkpoints/best.safetensors", "e.onnx", "a.npz", "images/images.csv", "compared/compare.json"]
    {
        assert!(ours.contains_key(name), "{name}: {:?}", ours.keys());
    }
    for (name, bytes) in &ours {
        let (ours, theirs) = (timeless(name, bytes).0, timeless(name, &theirs[name]).0);
        let place = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
        let place = place.unwrap_or(ours.len().min(theirs.len()));
        let around = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[place.saturating_sub(100)..bytes.len().min(place + 100)])
                .into_owned()
        };
        assert!(ours == theirs, "{name}, byte {place}:\n{}\n{}", around(&ours), around(&theirs));
    }
    let whole = ours.iter().filter(|(name, bytes)| !timeless(name, bytes).1).count();
    assert!(whole > 30, "only {whole} of {} files were compared as they are", ours.len());
}
