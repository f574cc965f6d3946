//! Weights files: what is saved comes back, and what is not whole or not ours is named.

use crate::support::{noise, recipe, trained};
use gaat::nn::{BuildOptions, Classifier, ComputePrecision, InputShape, Mode, Normalization, Role, build};
use gaat::run::{Checkpoint, open};
use gaat::weights::{self, Description};
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A network with running statistics of its own.
fn used(model: &str, seed: u64) -> Box<dyn Classifier> {
    let options = BuildOptions {
        device: Device::Cpu,
        precision: ComputePrecision::Fp32,
        kind: Kind::Float,
        seed,
        normalization: Normalization { mean: vec![0.3], std: vec![0.7] },
    };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    let classifier = build(&model.parse().unwrap(), input, 10, &options).unwrap();
    let _logits = classifier.logits(&noise(4, Kind::Float).0, Mode::Train).unwrap();
    classifier
}

fn save(path: &Path, classifier: &dyn Classifier) -> Description {
    let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    let description = Description::new(classifier, &names, 7).unwrap();
    weights::save(path, classifier, &description).unwrap();
    description
}

fn logits(classifier: &dyn Classifier) -> Tensor {
    tch::no_grad(|| classifier.logits(&noise(3, Kind::Float).0, Mode::Eval).unwrap())
}

#[test]
fn what_is_saved_comes_back() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for model in ["mlp", "convnet", "wide-resnet-10-1", "preact-resnet-18-w1"] {
        let classifier = used(model, 3);
        let description = save(&path, classifier.as_ref());
        let run = open(&path, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap();
        assert!(run.record.is_none());
        assert_eq!(run.description, description, "{model}");
        assert_eq!((run.description.epoch, run.description.class_names[9].as_str()), (7, "class 9"));
        assert_eq!(run.classifier.normalization(), classifier.normalization(), "{model}");
        assert_eq!(
            (run.classifier.name(), run.classifier.variant()),
            (classifier.name(), classifier.variant())
        );
        assert_eq!(logits(run.classifier.as_ref()), logits(classifier.as_ref()), "{model}");
        assert_ne!(
            logits(run.classifier.as_ref()),
            logits(used(model, 4).as_ref()),
            "{model}: the case shows nothing"
        );
        // Overwriting leaves one file, and no temporary one beside it.
        save(&path, used(model, 4).as_ref());
        let run = open(&path, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
        assert_eq!(logits(run.classifier.as_ref()), logits(used(model, 4).as_ref()), "{model}");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// The message with which `bytes` are refused, which must name the file.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    fs_err::write(&path, bytes).unwrap();
    let error = open(&path, Checkpoint::Best, None, ComputePrecision::Fp32).err().unwrap();
    let message = error.to_string();
    assert!(message.contains("odd.safetensors: "), "{message}");
    message
}

/// The file with its description and its tensors changed, in the layout before checksums: with one, any change is damage.
fn rewritten(
    bytes: &[u8],
    describe: impl Fn(&str) -> Option<String>,
    keep: impl Fn(&str) -> Option<String>,
) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let text = &header.metadata().as_ref().unwrap()["gaat"];
    let text = text.replace("gaat-weights-2", "gaat-weights-1");
    let metadata = describe(&text).map(|text| HashMap::from([("gaat".to_owned(), text)]));
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter().filter_map(|(name, view)| Some((keep(&name)?, view)));
    safetensors::serialize(tensors.collect::<Vec<_>>(), metadata).unwrap()
}

#[test]
fn a_file_that_does_not_fit_is_named_with_the_reason() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.safetensors");
    save(&path, used("preact-resnet-18-w1", 0).as_ref());
    let whole = fs_err::read(&path).unwrap();
    let same = |text: &str| Some(text.to_owned());
    let described = |from: &str, to: &str| {
        let change = |text: &str| {
            assert!(text.contains(from), "{text}");
            Some(text.replace(from, to))
        };
        refusal(&rewritten(&whole, change, same))
    };
    let needs = |message: &str, parts: &[&str]| {
        assert!(parts.iter().all(|part| message.contains(part)), "{message} lacks one of {parts:?}");
    };

    let preact = used("preact-resnet-18-w1", 0);
    let variant = preact.variant();
    let message = described(variant, "normalised-shortcut");
    needs(&message, &["normalised-shortcut", variant, "preact-resnet-18"]);
    needs(&described("gaat-weights-1", "gaat-weights-9"), &["gaat-weights-9", "gaat-weights-1"]);
    needs(&described("\"epoch\":7", "\"epoch\":\"seven\""), &["description cannot be read", "seven"]);
    needs(&described("preact-resnet-18-w1", "preact-resnet-18-w2"), &["has shape"]);
    needs(&described("preact-resnet-18-w1", "preact-resnet-17"), &["preact-resnet-17", "did you mean"]);
    needs(&described("\"class 9\"", "\"class 9\",\"class 10\""), &["has shape [10]"]);
    needs(&described("\"mean\":[0.3]", "\"mean\":[0.3,0.3]"), &["normalisation"]);
    needs(&described("\"input\":[1,8,8]", "\"input\":[1,0,8]"), &["1x0x8"]);

    let missing = rewritten(&whole, same, |name| (name != "conv1.weight").then(|| name.to_owned()));
    needs(&refusal(&missing), &["`conv1.weight` is missing"]);
    let renamed = rewritten(&whole, same, |name| Some(name.replace("linear.bias", "fc.bias")));
    needs(&refusal(&renamed), &["`linear.bias` is missing", "`fc.bias` is unexpected"]);
    let foreign = rewritten(&whole, |_| None, same);
    needs(&refusal(&foreign), &["does not say which network", "weights saved by gaat"]);

    for length in [0, 1, 7, 8, 9, 200, whole.len() / 2, whole.len() - 1] {
        needs(&refusal(&whole[..length]), &["not a whole safetensors file"]);
    }
    needs(&refusal(&[whole.as_slice(), &[0]].concat()), &["not a whole safetensors file"]);
    // A length that no memory could hold is not believed.
    needs(&refusal(&[&u64::MAX.to_le_bytes(), &whole[8..]].concat()), &["not a whole safetensors file"]);
    needs(&refusal(b"PK\x03\x04 a zip archive, such as torch.save writes"), &["import the file first"]);

    let absent = folder.path().join("absent.safetensors");
    let error = open(&absent, Checkpoint::Best, None, ComputePrecision::Fp32).err().unwrap().to_string();
    needs(&error, &["absent.safetensors"]);
    let error =
        open(folder.path(), Checkpoint::Best, None, ComputePrecision::Fp32).err().unwrap().to_string();
    needs(&error, &["run.json"]);
}

#[test]
fn a_run_directory_opens_at_either_checkpoint() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let text = "method = \"natural\"\nmodel = \"mlp\"\nlimit = 100\nepochs = 3\nvalidation-steps = 1\n\
        normalization = \"dataset\"";
    let record = trained(&recipe(text), &run_dir);
    let last = open(&run_dir, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
    assert_eq!((last.description.epoch, last.record.as_ref()), (3, Some(&record)));
    let best = open(&run_dir, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap();
    assert_eq!(Some(best.description.epoch), record.best_epoch);
    assert!(!last.classifier.normalization().is_identity());
    // The file alone is enough.
    let file = run_dir.join("checkpoints/last.safetensors");
    let alone = open(&file, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap();
    assert_eq!(logits(alone.classifier.as_ref()), logits(last.classifier.as_ref()));
    let (_, state) = weights::load(&file).unwrap();
    let names: Vec<_> = last.classifier.store().named().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(state.len(), names.len());
    assert!(last.classifier.store().named().iter().any(|entry| entry.role == Role::Weight));
    assert!(
        state.iter().all(|(name, _)| names.contains(&name.as_str()) && !name.contains("__")),
        "{names:?}"
    );

    fs_err::remove_file(run_dir.join("checkpoints/best.safetensors")).unwrap();
    let error = open(&run_dir, Checkpoint::Best, None, ComputePrecision::Fp32).err().unwrap().to_string();
    assert!(error.contains("best.safetensors") && error.contains("resume"), "{error}");
    fs_err::write(run_dir.join("run.json"), "{\"schema\": ").unwrap();
    let error = open(&run_dir, Checkpoint::Last, None, ComputePrecision::Fp32).err().unwrap().to_string();
    assert!(error.contains("run.json: cannot be read"), "{error}");
}
