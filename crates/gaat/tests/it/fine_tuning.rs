//! Training that begins with given weights: what they must fit, what is kept of them, and layers that stay as they are.

use crate::support::{options, recipe};
use gaat::nn::{Catalogue, Classifier};
use gaat::run::{Checkpoint, open};
use gaat::spec::{CheckedRecipe, ComputePrecision, Event, Recipe, RunRecord, Status};
use gaat::train::{Control, Head, KeptRun, Quiet, Start, Training, train, with_given_model};
use std::path::{Path, PathBuf};
use tch::Tensor;

const NATURAL: &str = "model = \"wide-resnet-10-1\"\nmethod = \"natural\"\nlimit = 300\nbatch-size = 30\nepochs = 6\nvalidation-steps = 1\n\
    normalization = \"dataset\"\nlearning-rate = 0.05\n";
const ROBUST: &str = "model = \"wide-resnet-10-1\"\nmethod = \"gaat\"\nlimit = 300\nbatch-size = 30\nepochs = 2\nvalidation-steps = 1\n\
    normalization = \"none\"\nepsilon = 0.05\nlearning-rate = 0.01\n";

fn natural(folder: &Path) -> PathBuf {
    let run = folder.join("natural");
    train(&recipe(NATURAL), &options(&run, false), &mut Quiet).unwrap();
    run
}

fn from(path: &Path, more: &str) -> CheckedRecipe {
    recipe(&format!("{ROBUST}from = {path:?}\n{more}"))
}

fn network(run: &Path) -> Box<dyn Classifier> {
    open(run, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap().classifier
}

fn tensors(classifier: &dyn Classifier) -> Vec<(String, Tensor)> {
    classifier.store().state().unwrap()
}

fn first_loss(record: &RunRecord) -> f64 {
    record.epochs[0].loss
}

fn refusal(recipe: &CheckedRecipe, place: &Path) -> String {
    train(recipe, &options(place, false), &mut Quiet).unwrap_err().to_string()
}

#[test]
fn a_run_begins_with_the_weights_of_another_and_insists_on_them_when_it_goes_on() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = natural(folder.path());
    let best = run.join("checkpoints/best.safetensors");
    let place = folder.path().join("robust");
    let mut stop = |event: &Event| match event {
        Event::Step { step: 13, .. } => Control::Stop,
        _ => Control::Continue,
    };
    let stopped = train(&from(&run, ""), &options(&place, false), &mut stop).unwrap();
    assert_eq!(stopped.status, Status::Interrupted);
    let scratch =
        train(&recipe(ROBUST), &options(&folder.path().join("scratch"), false), &mut Quiet).unwrap();
    println!(
        "first epoch: {} from the natural network, {} from scratch",
        first_loss(&stopped),
        first_loss(&scratch)
    );
    assert!(first_loss(&stopped) < 0.7 * first_loss(&scratch));
    let digest = gaat_files::digest_of_file(&best).unwrap();
    let start = stopped.start.clone().unwrap();
    assert_eq!((start.digest, start.fresh_head), (digest, false));

    // Another file is refused; the same one under another name is the same.
    let last = run.join("checkpoints/last.safetensors");
    let other = folder.path().join("other.safetensors");
    fs_err::copy(&last, &other).unwrap();
    if fs_err::read(&last).unwrap() == fs_err::read(&best).unwrap() {
        let elsewhere = folder.path().join("elsewhere");
        train(&recipe(&NATURAL.replace("epochs = 6", "epochs = 1")), &options(&elsewhere, false), &mut Quiet)
            .unwrap();
        fs_err::copy(elsewhere.join("checkpoints/last.safetensors"), &other).unwrap();
    }
    let error = train(&from(&other, ""), &options(&place, true), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("began with other weights"), "{error}");
    let error = train(&recipe(ROBUST), &options(&place, true), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("began with other weights"), "{error}");
    let moved = folder.path().join("moved.safetensors");
    fs_err::copy(&best, &moved).unwrap();
    let resumed = train(&from(&moved, ""), &options(&place, true), &mut Quiet).unwrap();
    assert_eq!((resumed.status, resumed.start), (Status::Done, stopped.start));
    // The recipe says `none`; the weights mean nothing under it.
    let kept = network(&place);
    assert_eq!(kept.normalization(), network(&run).normalization());
    assert!(!kept.normalization().is_identity());
}

#[test]
fn weights_that_do_not_fit_are_refused_with_every_name_and_what_to_do() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = natural(folder.path());
    let place = folder.path().join("refused");
    let wide = recipe(&format!("{}from = {run:?}\n", ROBUST.replace("10-1", "10-2")));
    let error = refusal(&wide, &place);
    let names =
        ["best.safetensors", "wide-resnet-10-2", "block1.layer.0.conv1.weight", "block3", "fc.weight"];
    assert!(names.iter().all(|name| error.contains(name)), "{error}");
    let error = refusal(&from(&folder.path().join("absent.pth"), ""), &place);
    assert!(error.contains("absent.pth") && error.contains("nothing there"), "{error}");
    let error = refusal(&from(folder.path(), ""), &place);
    assert!(error.contains("holds no checkpoints/best.safetensors"), "{error}");
    let text = folder.path().join("text.pth");
    fs_err::write(&text, "no weights").unwrap();
    assert!(refusal(&from(&text, ""), &place).contains("text.pth"));
    assert!(!place.exists(), "nothing is left of what was refused");
    let error = Recipe::from_toml("from-head = \"fresh\"").unwrap().check().unwrap_err().to_string();
    assert!(error.contains("from-head") && error.contains("(from)"), "{error}");
}

/// The digits, told apart by whether they are even.
fn even_or_odd() -> gaat::dataset::Dataset {
    let found = gaat_data::load(&gaat_data::Source {
        dataset: gaat_data::DatasetName::Digits,
        data_dir: None,
        resize: None,
    });
    let found = found.unwrap();
    let halve = |set: &gaat_data::ImageSet| {
        let labels = set.labels().iter().map(|label| (label % 2) as u16).collect();
        let names = vec!["even".to_owned(), "odd".to_owned()];
        gaat_data::ImageSet::new(set.pixels().to_vec(), set.shape(), labels, names, "halves".to_owned())
            .unwrap()
    };
    let split = gaat_data::SplitOptions { limit_train: Some(300), ..gaat_data::SplitOptions::default() };
    let (train, test) = (halve(&found.train), halve(&found.test));
    gaat::dataset::Dataset::of(std::sync::Arc::new(train), std::sync::Arc::new(test), &split).unwrap()
}

#[test]
fn other_classes_need_a_fresh_head() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = natural(folder.path());
    let trained = |more: &str, place: &str| {
        let checked = from(&run, more);
        let start = Start::of(&checked, network(&run).input_shape()).unwrap();
        let training = Training::on(even_or_odd(), &checked, &Catalogue::standard(), start).unwrap();
        let mut kept = KeptRun::open(&checked, &options(&folder.path().join(place), false)).unwrap();
        training.run(&mut kept, &mut Quiet)
    };
    let error = trained("", "kept").unwrap_err().to_string();
    assert!(error.contains("fc.weight") && error.contains("from-head = fresh"), "{error}");
    let record = trained("from-head = \"fresh\"\n", "fresh").unwrap();
    assert!(record.start.unwrap().fresh_head && record.status == Status::Done);
}

#[test]
fn frozen_layers_and_their_statistics_stay_bit_for_bit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = natural(folder.path());
    let given = open(&run, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap().classifier;
    for (name, more) in [
        ("plain", ""),
        ("averaged", "weight-averaging = 0.9\n"),
        ("awp", "awp-gamma = 0.01\nawp-warmup = 0\n"),
    ] {
        let more = format!("{more}freeze = [\"conv1\", \"block1\", \"block2.layer.0.bn1\"]\n");
        let mut checked = from(&run, &more);
        if name == "awp" {
            let resolved =
                Recipe { method: Some("awp+gaat".parse().unwrap()), on_collapse: None, ..checked.resolved };
            checked = resolved.check().unwrap();
        }
        let place = folder.path().join(name);
        let record = train(&checked, &options(&place, false), &mut Quiet).unwrap();
        let trained = network(&place);
        let mut moved = 0;
        for ((tensor, before), (_, after)) in tensors(given.as_ref()).iter().zip(tensors(trained.as_ref())) {
            let is_frozen =
                ["conv1", "block1", "block2.layer.0.bn1"].iter().any(|start| tensor.starts_with(start));
            if is_frozen {
                assert_eq!(*before, after, "{name}: {tensor} has moved");
            } else {
                moved += usize::from(*before != after);
            }
        }
        assert!(moved > 10, "{name}: {moved} tensors have moved");
        assert_eq!(record.model.parameters, given.store().parameter_count() as u64);
        // A stop in between changes nothing.
        if name == "plain" {
            let stopped = folder.path().join("stopped");
            let mut stop = |event: &Event| match event {
                Event::Step { step: 12, .. } => Control::Stop,
                _ => Control::Continue,
            };
            train(&checked, &options(&stopped, false), &mut stop).unwrap();
            train(&checked, &options(&stopped, true), &mut Quiet).unwrap();
            let bytes = |run: &Path| fs_err::read(run.join("checkpoints/last.safetensors")).unwrap();
            assert_eq!(bytes(&stopped), bytes(&place));
        }
    }
    let error = refusal(&from(&run, "freeze = [\"layer1\"]\n"), &folder.path().join("unknown"));
    assert!(error.contains("`layer1`") && error.contains("block1, block2"), "{error}");
    let error = refusal(&from(&run, "freeze = [\"conv1\", \"b\", \"fc\"]\n"), &folder.path().join("all"));
    assert!(error.contains("nothing would be left to train"), "{error}");
}

#[test]
fn a_state_dict_from_elsewhere_is_begun_with_and_the_model_comes_from_own_weights() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let run = natural(folder.path());
    let given = open(&run, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap().classifier;
    let foreign = folder.path().join("foreign.safetensors");
    let bytes: Vec<(String, Vec<i64>, Vec<u8>)> = tensors(given.as_ref())
        .into_iter()
        .map(|(name, tensor)| {
            let numbers = Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
            (name, tensor.size(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, size, bytes)| {
        let size = size.iter().map(|side| *side as usize).collect();
        (name.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, size, bytes).unwrap())
    });
    fs_err::write(&foreign, safetensors::serialize(views, None).unwrap()).unwrap();
    let place = folder.path().join("robust");
    let mut warnings = Vec::new();
    let mut hear = |event: &Event| {
        if let Event::Started { warnings: told, .. } = event {
            warnings.clone_from(told);
        }
        Control::Continue
    };
    // The file says nothing of its normalisation: that of the recipe holds.
    let checked = from(&foreign, "").resolved;
    let checked =
        Recipe { normalization: Some(gaat::spec::NormalizationChoice::Dataset), ..checked }.check().unwrap();
    let record = train(&checked, &options(&place, false), &mut hear).unwrap();
    assert_eq!(record.start.clone().unwrap().digest, gaat_files::digest_of_file(&foreign).unwrap());
    assert!(
        warnings.iter().any(|text| text.contains("does not say how pixels were normalised")),
        "{warnings:?}"
    );
    let own = train(&from(&run, ""), &options(&folder.path().join("own"), false), &mut Quiet).unwrap();
    assert_eq!(first_loss(&record), first_loss(&own), "the same weights, the same normalisation");

    let unnamed = Recipe { from: Some(run.clone()), ..Recipe::default() };
    let named = with_given_model(unnamed).unwrap();
    assert_eq!(named.model.unwrap().to_string(), "wide-resnet-10-1");
    let other = Recipe { from: Some(foreign), ..Recipe::default() };
    assert_eq!(with_given_model(other).unwrap().model, None);
    assert_eq!(Head::Keep.as_str(), "keep");
}
