//! Checkpoints as repositories publish them: `reference/checkpoints.py` wrote the files and says what is to be found.

use gaat::Error;
use gaat::exchange::{ImportOptions, Imported, import};
use gaat::nn::{InputShape, Normalization};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// What the script says of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    key: Option<String>,
    others: Vec<String>,
    /// Keys among which one must choose.
    asked: Vec<String>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
    /// Classes that must be told of, and that stay closed.
    closed: Vec<String>,
    /// A part of the message.
    refused: Option<String>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints")
}

/// The file `name`, unpacked below `folder`.
fn unpacked(folder: &Path, name: &str) -> PathBuf {
    let packed = fs_err::File::open(golden().join(format!("{name}.pth.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let path = folder.join(format!("{name}.pth"));
    fs_err::write(&path, bytes).unwrap();
    path
}

fn options() -> ImportOptions {
    let input = Some(InputShape { channels: 1, height: 8, width: 8 });
    ImportOptions { input, ..ImportOptions::new("convnet".parse().unwrap()) }
}

fn state(imported: &Imported) -> Vec<(String, Tensor)> {
    imported.classifier.store().state().unwrap()
}

#[test]
fn the_network_is_found_in_every_wrapping() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let text = fs_err::read_to_string(golden().join("expected.json")).unwrap();
    let all: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert!(all.len() > 30, "{} files", all.len());
    let plain = state(&import(&unpacked(folder.path(), "plain"), &options()).unwrap());
    for (name, expected) in &all {
        let path = unpacked(folder.path(), name);
        let found = import(&path, &options());
        if let Some(part) = &expected.refused {
            let error = found.err().unwrap().to_string();
            assert!(error.contains(part) && error.contains(name), "{name}: {error}");
            continue;
        }
        if !expected.asked.is_empty() {
            let Some(Error::Choice { keys, .. }) = found.err() else { panic!("{name}: nothing was asked") };
            assert_eq!(keys, expected.asked, "{name}");
            let both = expected.asked.iter().map(|key| {
                let options = ImportOptions { key: Some(key.clone()), ..options() };
                state(&import(&path, &options).unwrap())
            });
            let both: Vec<_> = both.collect();
            assert_eq!(both[0], plain, "{name}");
            assert_ne!(both[1], plain, "{name}");
            continue;
        }
        let imported = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(state(&imported), plain, "{name}");
        assert_eq!(imported.others, expected.others, "{name}");
        let notes = imported.notes.join("\n");
        if let Some(key) = &expected.key {
            assert!(notes.contains(&format!("the weights are those of `{key}`")), "{name}: {notes}");
            let options = ImportOptions { key: Some(key.clone()), ..options() };
            assert_eq!(state(&import(&path, &options).unwrap()), plain, "{name}");
        }
        for other in &expected.others {
            let options = ImportOptions { key: Some(other.clone()), ..options() };
            import(&path, &options).unwrap_or_else(|error| panic!("{name}, {other}: {error}"));
        }
        let is_wrapped =
            ["data-parallel", "averaged-model", "compiled", "mixed-module", "normalise-sequential"];
        assert_eq!(notes.contains("taken off"), is_wrapped.contains(&name.as_str()), "{name}: {notes}");
        for class in &expected.closed {
            assert!(notes.contains(class), "{name}: {notes}");
        }
        let identity = Normalization::identity(1);
        let (mean, std) =
            (expected.mean.clone().unwrap_or(identity.mean), expected.std.clone().unwrap_or(identity.std));
        let found = imported.classifier.normalization();
        let is_close =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-7);
        assert!(is_close(&found.mean, &mean) && is_close(&found.std, &std), "{name}: {found}");
        assert_eq!(notes.contains("pixels are normalised"), expected.mean.is_some(), "{name}: {notes}");
        assert_eq!(notes.contains("divided by 255"), name == "normalise-bytes", "{name}: {notes}");
    }
}

#[test]
fn what_does_not_fit_is_told_by_name_and_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpacked(folder.path(), "averaged-beside");
    let input = Some(InputShape { channels: 1, height: 28, width: 28 });
    let error = import(&path, &ImportOptions { input, ..options() }).err().unwrap().to_string();
    for part in [
        "averaged-beside.pth",
        "does not fit convnet with 3 classes",
        "`state_dict`",
        "images of 1x28x28",
        "`5.weight` has shape [100, 128] instead of [100, 1568]",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn an_unknown_key_is_told_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpacked(folder.path(), "last-best");
    let options = ImportOptions { key: Some("first".to_owned()), ..options() };
    let error = import(&path, &options).err().unwrap().to_string();
    assert!(error.contains("`first`") && error.contains("`last`, `best`"), "{error}");
}

#[test]
fn a_name_that_comes_twice_and_numbers_for_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpacked(folder.path(), "plain");
    let named = |names: &[&str]| {
        let class_names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        import(&path, &ImportOptions { class_names, ..options() })
    };
    let error = named(&["cat", "dog", "cat"]).err().unwrap().to_string();
    assert!(error.contains("`cat` comes twice"), "{error}");
    let error = named(&["cat", "dog", " cat"]).err().unwrap().to_string();
    assert!(error.contains("`cat` comes twice"), "{error}");
    assert_eq!(
        named(&[" cat", "dog", "red fox "]).unwrap().description.class_names,
        ["cat", "dog", "red fox"]
    );
    let others: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let (numbered, known) = (import(&path, &options()).unwrap(), named(&["x", "y", "z"]).unwrap());
    assert!(numbered.description.takes_classes(&others), "the names are placeholders");
    assert!(!numbered.description.takes_classes(&others[..2]), "as many classes all the same");
    assert!(
        !known.description.takes_classes(&others)
            && known.description.takes_classes(&["x", "y", "z"].map(str::to_owned))
    );
    // The file says so too, and a network of as many classes is imported from it again.
    let saved = folder.path().join("saved.safetensors");
    gaat::weights::save(&saved, numbered.classifier.as_ref(), &numbered.description).unwrap();
    assert!(import(&saved, &options()).unwrap().description.takes_classes(&others));
    assert!(gaat::weights::load(&saved).unwrap().0.takes_classes(&others));
}

#[test]
fn a_small_file_that_describes_a_large_network_builds_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let described = |model: &str, input: &str, classes: usize| {
        let names: Vec<String> = (0..classes).map(|class| format!("\"{class}\"")).collect();
        let text = format!(
            "{{\"schema\":\"gaat-weights-1\",\"model\":\"{model}\",\"variant\":\"\",\"input\":{input},\"class_names\":[{}],\
             \"mean\":[0.0],\"std\":[1.0],\"epoch\":1}}",
            names.join(",")
        );
        let metadata = std::collections::HashMap::from([("gaat".to_owned(), text)]);
        let none: Vec<(String, safetensors::tensor::TensorView<'_>)> = Vec::new();
        fs_err::write(&path, safetensors::serialize(none, Some(metadata)).unwrap()).unwrap();
        let start = std::time::Instant::now();
        let error = gaat::weights::load(&path).err().unwrap().to_string();
        assert!(start.elapsed().as_secs_f64() < 5.0, "{model}: {:?}", start.elapsed());
        error
    };
    // 64 GB of weights, were they built.
    for (model, input) in [
        ("wide-resnet-1000-64", "[3,32,32]"),
        ("dm-wide-resnet-1000-64-swish", "[3,32,32]"),
        ("mlp", "[1,60000,60000]"),
        ("convnet", "[4096,65536,65536]"),
        ("vit-tiny", "[3,65536,65536]"),
    ] {
        let error = described(model, input, 10);
        assert!(error.contains("small.safetensors") && error.contains("is missing"), "{model}: {error}");
    }
    for input in ["[1,1099511627776,1099511627776]", "[1,20000000,1]", "[9223372036854775807,9,9]"] {
        let error = described("mlp", input, 10);
        assert!(error.contains("too large"), "{input}: {error}");
    }
    assert!(described("mlp", "[-1,8,8]", 10).contains("empty"));
    assert!(described("mlp", "[1,8,8]", 0).contains("at least 2"));
}
