//! What differs between two finished run directories, bit for bit, times aside.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Keys of times, which no two runs share.
const TIMES: [&str; 2] = ["seconds", "wall_time"];
/// The files whose bytes are compared as they are.
const PLAIN: [&str; 3] = ["recipe.toml", "checkpoints/best.safetensors", "checkpoints/last.safetensors"];
const STATE: &str = "checkpoints/state.safetensors";
/// Where the state keeps its numbers.
const POSITION: &str = "gaat-training-state";

/// The names of the files that differ between `whole` and `other`, those that only one has among them.
pub(crate) fn between(whole: &Path, other: &Path) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let (ours, theirs) = (files(whole, Path::new(""))?, files(other, Path::new(""))?);
    found.extend(ours.symmetric_difference(&theirs).map(|name| format!("{name}: only one has it")));
    let mut check = |name: &str, same: Result<bool>| match same {
        Ok(true) => {}
        Ok(false) => found.push(name.to_owned()),
        Err(error) => found.push(format!("{name}: {error:#}")),
    };
    let read = |name: &str| {
        Ok::<_, anyhow::Error>((fs_err::read(whole.join(name))?, fs_err::read(other.join(name))?))
    };
    for name in PLAIN {
        check(name, read(name).map(|(ours, theirs)| ours == theirs));
    }
    check(STATE, read(STATE).and_then(|(ours, theirs)| Ok(state(&ours)? == state(&theirs)?)));
    check("run.json", read("run.json").and_then(|(ours, theirs)| Ok(document(&ours)? == document(&theirs)?)));
    check(
        "events.jsonl",
        read("events.jsonl").and_then(|(ours, theirs)| Ok(lines(&ours)? == lines(&theirs)?)),
    );
    let curves = "events.out.tfevents.gaat";
    check(curves, read(curves).and_then(|(ours, theirs)| Ok(records(&ours)? == records(&theirs)?)));
    Ok(found)
}

/// Every file below `root`, relative.
fn files(root: &Path, below: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs_err::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(files(root, &name)?);
        } else {
            found.insert(name.display().to_string());
        }
    }
    Ok(found)
}

fn document(bytes: &[u8]) -> Result<Value> {
    let mut document = serde_json::from_slice(bytes)?;
    drop_times(&mut document);
    Ok(document)
}

fn drop_times(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|key, _| !TIMES.contains(&key.as_str()));
            table.values_mut().for_each(drop_times);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_times),
        _ => {}
    }
}

/// The events of a run; how often it was started and stopped is its own.
fn lines(bytes: &[u8]) -> Result<Vec<Value>> {
    ensure!(bytes.ends_with(b"\n"), "half a line at the end");
    let events = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(document);
    let mut events = events.collect::<Result<Vec<Value>>>()?;
    events.retain(|event| event["event"] != "started" && event["event"] != "ended");
    Ok(events)
}

/// Header and tensors of a state.
fn state(bytes: &[u8]) -> Result<(Value, Vec<u8>)> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("no header")?;
    let (header, tensors) =
        rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("half a header")?;
    let mut header: Value = serde_json::from_slice(header)?;
    let Some(metadata) = header["__metadata__"].as_object_mut() else { bail!("no metadata") };
    let position = metadata.remove(POSITION).context("no position")?;
    let position = document(position.as_str().context("no text")?.as_bytes())?;
    header[POSITION] = position;
    Ok((header, tensors.to_vec()))
}

/// The records of an event file of TensorBoard without their times: the wall time, which comes first in a record, and
/// scalars of seconds.
fn records(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    const WALL_TIME: usize = 9;
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = rest.first_chunk::<8>().context("half a record")?;
        let length = u64::from_le_bytes(*length) as usize;
        let record = rest.get(12..12 + length).context("half a record")?;
        rest = rest.get(12 + length + 4..).context("half a record")?;
        found.push(without_seconds(record.get(WALL_TIME..).context("no time")?));
    }
    Ok(found)
}

/// The value of a scalar follows its tag: a byte that says so, and four of the value.
fn without_seconds(record: &[u8]) -> Vec<u8> {
    const TAG: &[u8] = b"cost/seconds";
    let mut record = record.to_vec();
    let starts: Vec<usize> = (0..record.len()).filter(|at| record[*at..].starts_with(TAG)).collect();
    for start in starts {
        let name = record[start..].iter().position(|byte| *byte == 0x15).unwrap_or_default();
        for byte in record.iter_mut().skip(start + name).take(5) {
            *byte = 0;
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_alone_make_no_difference() {
        let (one, other) =
            (br#"{"loss":0.5,"seconds":{"total":1.0}}"#, br#"{"loss":0.5,"seconds":{"total":2.0}}"#);
        assert_eq!(document(one).unwrap(), document(other).unwrap());
        assert_ne!(document(one).unwrap(), document(br#"{"loss":0.25}"#).unwrap());
        assert!(lines(b"{\"event\":\"step\"}\n{\"ev").is_err());
        let record = |time: f64, seconds: f32, loss: f32| {
            let mut data = vec![0x09];
            data.extend(time.to_le_bytes());
            for (tag, value) in [("cost/seconds_attack", seconds), ("step/loss", loss)] {
                data.push(0x0a);
                data.extend(tag.as_bytes());
                data.push(0x15);
                data.extend(value.to_le_bytes());
            }
            [&(data.len() as u64).to_le_bytes()[..], &[0; 4], &data, &[0; 4]].concat()
        };
        assert_eq!(records(&record(1.0, 2.0, 3.0)).unwrap(), records(&record(4.0, 5.0, 3.0)).unwrap());
        assert_ne!(records(&record(1.0, 2.0, 3.0)).unwrap(), records(&record(1.0, 2.0, 3.5)).unwrap());
        assert!(records(&record(1.0, 2.0, 3.0)[..30]).is_err());
    }
}
