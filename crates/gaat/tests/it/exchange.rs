//! Networks that go out to PyTorch and ONNX Runtime and come back: `reference/exchange.py` is the other side.
//!
//! Where Python lacks the packages, the digests of the graphs that ONNX Runtime agreed with still bind.

use crate::nn::golden::{Case, golden, uniform};
use gaat::exchange::{
    BatchNorms, Config, ImportOptions, Imported, OnnxOptions, export_onnx, export_safetensors, import,
};
use gaat::nn::{Classifier, ComputePrecision, InputShape, Mode, Normalization};
use gaat::weights::Description;
use gaat_files::onnx::messages::Model;
use gaat_testkit::skip;
use prost::Message;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tch::Kind;

/// Their narrower kin say the same in a tenth of the time.
const TOO_WIDE: [&str; 2] = ["preact-resnet-18", "wide-resnet-28-4"];

/// Digests of the graph with its batch normalisations and with those folded, by network.
type Digests = BTreeMap<String, [String; 2]>;

fn cases() -> Vec<Case> {
    golden().cases.into_iter().filter(|case| !TOO_WIDE.contains(&case.model.as_str())).collect()
}

fn title(case: &Case) -> String {
    let [channels, height, width] = case.input;
    format!("{}-{channels}x{height}x{width}", case.model)
}

/// What gaat computes, for the other side to compare with.
fn save_expected(path: &Path, classifier: &dyn Classifier) {
    let InputShape { channels, height, width } = classifier.input_shape();
    let pixels = uniform("images", &[3, channels, height, width]).to_kind(Kind::Float);
    let logits = tch::no_grad(|| classifier.logits(&pixels, Mode::Eval).unwrap());
    let stored = [("pixels", pixels), ("logits", logits)].map(|(name, tensor)| {
        let numbers = Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        (name, tensor.size().iter().map(|side| *side as usize).collect::<Vec<_>>(), bytes)
    });
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    fs_err::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn digest(path: &Path) -> String {
    let model = Model::decode(fs_err::read(path).unwrap().as_slice()).unwrap();
    let mut text = String::new();
    for byte in Sha256::digest(model.graph.unwrap().encode_to_vec()) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Exports every network below `root`, a folder each.
fn export_all(root: &Path) -> Digests {
    let mut digests = Digests::new();
    for case in cases() {
        let classifier = case.network(Kind::Float, ComputePrecision::Fp32);
        let folder = root.join(title(&case));
        fs_err::create_dir(&folder).unwrap();
        let names: Vec<String> = (0..case.classes).map(|class| format!("class {class}")).collect();
        let description = Description::new(classifier.as_ref(), &names, 7).unwrap();
        let config = Config::new(&description, None);
        let beside =
            export_safetensors(&folder.join("model.safetensors"), classifier.as_ref(), &description, &config);
        assert_eq!(beside.unwrap(), folder.join("config.json"));
        let graphs = [("model.onnx", BatchNorms::Kept), ("folded.onnx", BatchNorms::Folded)];
        let found = graphs.map(|(name, norms)| {
            let options = OnnxOptions { norms, operators: None };
            export_onnx(&folder.join(name), classifier.as_ref(), &config, options).unwrap();
            digest(&folder.join(name))
        });
        save_expected(&folder.join("expected.safetensors"), classifier.as_ref());
        digests.insert(title(&case), found);
    }
    digests
}

fn script(arguments: &[&str]) -> Output {
    python("exchange.py", arguments)
}

pub(crate) fn python(script: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference").join(script);
    Command::new(gaat_testkit::python()).arg(script).args(arguments).output().unwrap()
}

/// Asks other versions of ONNX Runtime, where `GAAT_TEST_RUNTIMES` names folders with them, separated as paths are.
fn ask_other_runtimes(root: &Path) {
    let Some(folders) = std::env::var_os("GAAT_TEST_RUNTIMES") else {
        skip("no other versions of ONNX Runtime; GAAT_TEST_RUNTIMES names folders with them");
        return;
    };
    for folder in std::env::split_paths(&folders) {
        let output = python("runtimes.py", &[folder.to_str().unwrap(), root.to_str().unwrap()]);
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Whether the other side can be asked; else says plainly that it is not.
fn has_packages() -> bool {
    is_there(&script(&["packages"]))
}

pub(crate) fn is_there(output: &Output) -> bool {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        println!("against {}", out.trim());
    } else {
        let reason = error.lines().last().unwrap_or_default();
        skip(&format!("python3 lacks a package ({reason}); set GAAT_TEST_PYTHON to one that has them"));
    }
    output.status.success()
}

fn asked(arguments: &[&str]) {
    let output = script(arguments);
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn exports_are_those_that_pytorch_and_onnx_runtime_agree_with() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let found = export_all(folder.path());
    for case in cases() {
        check_round_trip(&case, &folder.path().join(title(&case)).join("model.safetensors"));
    }
    let is_checked = has_packages();
    if is_checked {
        asked(&["check", folder.path().to_str().unwrap()]);
        ask_other_runtimes(folder.path());
    }
    let agreed: Digests = serde_json::from_str(include_str!("../golden/onnx.json")).unwrap();
    let verdict = if is_checked { "ONNX Runtime agrees with them" } else { "not checked here" };
    assert_eq!(
        found,
        agreed,
        "the graphs are others than before; {verdict}: {}",
        serde_json::to_string_pretty(&found).unwrap()
    );
}

fn options(case: &Case) -> ImportOptions {
    let [channels, height, width] = case.input;
    let normalization = Normalization { mean: case.mean.clone(), std: case.std.clone() };
    ImportOptions {
        input: Some(InputShape { channels, height, width }),
        normalization: Some(normalization),
        ..ImportOptions::new(case.model.parse().unwrap())
    }
}

/// What is imported is the network bit for bit.
fn check_round_trip(case: &Case, path: &Path) {
    let Imported { classifier: imported, description, .. } = import(path, &options(case)).unwrap();
    let expected = case.network(Kind::Float, ComputePrecision::Fp32);
    assert_eq!(description.class_names.len() as i64, case.classes, "{}", path.display());
    let (found, expected) = (imported.store().state().unwrap(), expected.store().state().unwrap());
    assert_eq!(found.len(), expected.len());
    for ((name, found), (key, expected)) in found.iter().zip(&expected) {
        assert_eq!((name, found), (key, expected), "{}", path.display());
    }
}

#[test]
fn state_dicts_of_pytorch_come_in_every_layout() {
    tch::set_num_threads(1);
    if !has_packages() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    asked(&["write", folder.path().to_str().unwrap()]);
    for (index, case) in golden().cases.iter().enumerate() {
        let folder = folder.path().join(index.to_string());
        assert_eq!(fs_err::read_to_string(folder.join("model")).unwrap(), case.model);
        for name in ["zip.pt", "legacy.pth", "wrapped.pth", "parallel.pth", "parallel.safetensors"] {
            check_round_trip(case, &folder.join(name));
        }
        fs_err::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn safetensors_of_another_network_are_refused_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("other.safetensors");
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    fs_err::write(&path, safetensors::serialize([("fc.weight", view)], None).unwrap()).unwrap();
    let (case, error) =
        (cases().remove(0), |case: &Case| import(&path, &options(case)).err().unwrap().to_string());
    let message = error(&case);
    for part in ["other.safetensors", "`7.bias`", "convnet", "`fc.weight`", "another model"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_network_of_ones_own_says_that_it_cannot_be_exported() {
    let classifier = crate::toy::smooth();
    let error = classifier.trace().unwrap_err().to_string();
    assert!(error.contains("Classifier::trace"), "{error}");
}
