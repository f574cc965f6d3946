//! Programs of torch.export that were given other weights, back in PyTorch: `reference/exported_back.py` is the other side.

use crate::exchange::{is_there, python};
use crate::nn::exported::open;
use crate::nn::golden::uniform;
use gaat::exchange::{Config, export_program, export_safetensors};
use gaat::exported::ExportedFile;
use gaat::nn::{Classifier, ComputePrecision, Mode, Normalization, Rng};
use gaat::run::settled;
use gaat::train::{Nothing, Quiet, Training};
use gaat::weights::Description;
use gaat_spec::{DatasetName, ModelChoice, Recipe, RunRecord};
use std::path::Path;
use tch::{Kind, Tensor};

/// What gaat computes, for the other side to compare with; hands back the pixels and what they are taken for in evaluation.
fn save_expected(path: &Path, network: &dyn Classifier) -> (Tensor, Tensor) {
    let pixels = uniform("images", &[3, 3, 32, 32]).to_kind(Kind::Float);
    let logits = |mode| tch::no_grad(|| network.logits(&pixels, mode).unwrap());
    // First: the other pass follows the statistics of its batch.
    let eval = logits(Mode::Eval);
    network.begin_step(Rng::new(0), 0);
    let train = logits(Mode::Train);
    Tensor::write_safetensors(&[("pixels", &pixels), ("eval", &eval), ("train", &train)], path).unwrap();
    (pixels, eval)
}

#[test]
fn exported_programs_go_back_to_pytorch() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    for name in ["hand", "tied", "resnet18", "timm_resnet18", "noisy-pair"] {
        let network = open(name).unwrap();
        for mut tensor in network.store().trainable() {
            let _ = tch::no_grad(|| tensor.g_mul_scalar_(1.25));
        }
        let folder = folder.path().join(name);
        fs_err::create_dir(&folder).unwrap();
        let description = Description::with_numbered_classes(&network).unwrap();
        let config = Config::new(&description, None);
        let beside = export_program(&folder.join("model.pt2"), &network, &config).unwrap();
        assert_eq!(beside, folder.join("config.json"));
        export_safetensors(&folder.join("model.safetensors"), &network, &description, &config).unwrap();
        let (pixels, eval) = save_expected(&folder.join("expected.safetensors"), &network);
        // gaat reads its own, and computes the same.
        let file = ExportedFile::read(&folder.join("model.pt2")).unwrap();
        let identity = Normalization::identity(3);
        let again = file.open(identity, None, ComputePrecision::Fp32).unwrap();
        assert_eq!(again.logits(&pixels, Mode::Eval).unwrap(), eval, "{name}");
    }
    if is_there(&python("exported_back.py", &["packages"])) {
        let output = python("exported_back.py", &["check", folder.path().to_str().unwrap()]);
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_network_that_was_no_program_is_not_written_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let network = crate::toy::smooth();
    let config = Config::new(&Description::with_numbered_classes(&network).unwrap(), None);
    let error = export_program(&folder.path().join("x.pt2"), &network, &config).unwrap_err().to_string();
    assert!(error.contains("did not come from torch.export"), "{error}");
}

/// A training of `grey` on some digits that begins with the weights at `from`.
fn begun_with(from: &Path) -> gaat::Result<RunRecord> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exported/grey.pt2");
    let recipe = Recipe {
        dataset: Some(DatasetName::Digits),
        model: Some(ModelChoice::File(file)),
        method: Some("natural".parse()?),
        from: Some(from.to_owned()),
        limit: Some(200),
        epochs: Some(1),
        threads: Some(1),
        ..Recipe::default()
    };
    let (recipe, catalogue) = settled(recipe, None)?;
    Training::of(&catalogue.check(&recipe)?, &catalogue)?.run(&mut Nothing, &mut Quiet)
}

#[test]
fn a_state_dict_of_pytorch_begins_the_training_of_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exported/grey.pt2");
    let network = ExportedFile::read(&file).unwrap();
    let network = network.open(Normalization::identity(1), None, ComputePrecision::Fp32).unwrap();
    // As DataParallel names them.
    let state: Vec<(String, Tensor)> = network.store().state().unwrap();
    let named = |prefix: &str| -> Vec<(String, Tensor)> {
        state.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())).collect()
    };
    Tensor::write_safetensors(&named("module."), &path).unwrap();
    let record = begun_with(&path).unwrap();
    assert_eq!(record.start.unwrap().digest, gaat_files::digest_of_file(&path).unwrap());
    Tensor::write_safetensors(&named("other_"), &path).unwrap();
    let error = begun_with(&path).unwrap_err().to_string();
    for part in ["weights.safetensors", "`conv.weight` is missing", "`other_fc.bias`"] {
        assert!(error.contains(part), "{error}");
    }
}
