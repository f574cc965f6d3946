//! A training put together from parts, without a run directory.

use crate::support::{options, recipe};
use gaat::nn::{
    Architecture, Body, Builder, Catalogue, Classifier, Flow, Initial, InputShape, Linear, Mode,
    ParameterStore, Rng, Role,
};
use gaat::run::{Checkpoint, open_of, open_with};
use gaat::spec::{ComputePrecision, Event, Recipe, Status};
use gaat::train::{Control, GivenWeights, Head, KeptRun, Nothing, Quiet, Start, Training, train, train_of};
use tch::{Device, Kind, Tensor};

const SHORT: &str =
    "model = \"mlp\"\nmethod = \"natural\"\nlimit = 120\nbatch-size = 30\nepochs = 2\nvalidation-steps = 1\n";

#[test]
fn a_run_that_keeps_nothing_is_the_run_of_a_directory_and_a_closure_can_stop_it() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let checked = recipe(SHORT);
    let kept = train(&checked, &options(&folder.path().join("run"), false), &mut Quiet).unwrap();
    let mut steps = 0;
    let mut count = |event: &Event| {
        steps += usize::from(matches!(event, Event::Step { .. }));
        Control::Continue
    };
    let record =
        Training::of(&checked, &Catalogue::standard()).unwrap().run(&mut Nothing, &mut count).unwrap();
    assert_eq!(record.timeless().epochs, kept.timeless().epochs);
    assert_eq!((record.passes, record.status, record.start), (kept.passes, Status::Done, None));
    assert_eq!(steps, 2 * (record.images as usize / 2).div_ceil(30));

    let mut stop = |_: &Event| Control::Stop;
    let record =
        Training::of(&checked, &Catalogue::standard()).unwrap().run(&mut Nothing, &mut stop).unwrap();
    assert_eq!((record.status, record.epochs.len()), (Status::Interrupted, 0));
}

#[test]
fn given_weights_are_begun_with_recorded_and_refused_where_they_do_not_fit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let long = recipe(&SHORT.replace("epochs = 2", "epochs = 12"));
    let before = train(&long, &options(&first, false), &mut Quiet).unwrap();
    let weights = first.join("checkpoints/last.safetensors");
    let given = |head| Start::From { weights: GivenWeights::open(&weights).unwrap(), head };
    let once = recipe(&SHORT.replace("epochs = 2", "epochs = 1"));
    let started = |head| {
        Training::starting(&once, &Catalogue::standard(), given(head))
            .unwrap()
            .run(&mut Nothing, &mut Quiet)
            .unwrap()
    };
    let fresh = Training::of(&once, &Catalogue::standard()).unwrap().run(&mut Nothing, &mut Quiet).unwrap();
    let (kept, reheaded) = (started(Head::Keep), started(Head::Fresh));
    let loss = |record: &gaat::spec::RunRecord| record.epochs[0].loss;
    println!("{} fresh, {} kept, {} with a fresh head", loss(&fresh), loss(&kept), loss(&reheaded));
    assert!(loss(&kept) < before.epochs[5].loss && loss(&kept) < 0.1 * loss(&fresh));
    assert!(loss(&reheaded) > 2.0 * loss(&kept) && loss(&reheaded) < loss(&fresh));
    let said = kept.start.unwrap();
    assert_eq!(said.digest, gaat_files::digest_of_file(&weights).unwrap());
    assert!(!said.fresh_head && reheaded.start.unwrap().fresh_head);

    // Weights mean nothing under another normalisation.
    let scaled = recipe(&format!("{SHORT}normalization = \"dataset\"\n"));
    let other =
        Training { start: given(Head::Keep), ..Training::of(&scaled, &Catalogue::standard()).unwrap() };
    let error = other.run(&mut Nothing, &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("normalisation"), "{error}");
    // Nor in another network.
    let convnet = recipe(&SHORT.replace("\"mlp\"", "\"convnet\""));
    let error = Training::starting(&convnet, &Catalogue::standard(), given(Head::Keep))
        .unwrap()
        .run(&mut Nothing, &mut Quiet)
        .unwrap_err();
    assert!(
        error.to_string().contains("is missing") && error.to_string().contains("last.safetensors"),
        "{error}"
    );
}

/// Logits linear in the pixels of digits; the four methods that a network needs.
struct PlainNet {
    weight: Tensor,
    store: ParameterStore,
}

impl PlainNet {
    fn new() -> Box<Self> {
        let mut store = ParameterStore::new(Device::Cpu, Kind::Float);
        let drawn =
            Rng::new(1).seeded("weight", 0).normal(&[64, 10], 0.0, 0.1, Kind::Float, Device::Cpu).unwrap();
        let weight = store.add("weight", &drawn, Role::Weight).unwrap();
        Box::new(Self { weight, store })
    }
}

impl Classifier for PlainNet {
    fn logits(&self, pixels: &Tensor, _mode: Mode) -> gaat::Result<Tensor> {
        Ok(pixels.f_flatten(1, -1)?.f_matmul(&self.weight)?)
    }

    fn input_shape(&self) -> InputShape {
        InputShape { channels: 1, height: 8, width: 8 }
    }

    fn class_count(&self) -> i64 {
        10
    }

    fn store(&self) -> &ParameterStore {
        &self.store
    }
}

/// The tensors of a [`PlainNet`], computed with by another program.
struct OtherProgram(Box<PlainNet>);

impl Classifier for OtherProgram {
    fn logits(&self, pixels: &Tensor, mode: Mode) -> gaat::Result<Tensor> {
        self.0.logits(pixels, mode)
    }

    fn input_shape(&self) -> InputShape {
        self.0.input_shape()
    }

    fn class_count(&self) -> i64 {
        self.0.class_count()
    }

    fn store(&self) -> &ParameterStore {
        self.0.store()
    }

    fn variant(&self) -> &'static str {
        "graph-1"
    }
}

#[test]
fn a_network_that_no_catalogue_knows_trains_resumes_and_opens() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let text = SHORT.replace("epochs = 2", "epochs = 4").replace("\"natural\"", "\"gaat\"");
    let checked = recipe(&text);
    let training =
        || Training { network: PlainNet::new(), ..Training::of(&checked, &Catalogue::standard()).unwrap() };
    let whole = training().run(&mut Nothing, &mut Quiet).unwrap();
    assert_eq!((whole.model.name.as_str(), whole.model.parameters), ("plain-net", 640));
    assert!(whole.epochs[3].loss < whole.epochs[0].loss, "{:?}", whole.epochs);

    let place = folder.path().join("run");
    let mut kept = KeptRun::open(&checked, &options(&place, false)).unwrap();
    let mut stop = |event: &Event| match event {
        Event::Step { step: 6, .. } => Control::Stop,
        _ => Control::Continue,
    };
    assert_eq!(training().run(&mut kept, &mut stop).unwrap().status, Status::Interrupted);
    drop(kept);
    let mut kept = KeptRun::open(&checked, &options(&place, true)).unwrap();
    let resumed = training().run(&mut kept, &mut Quiet).unwrap();
    drop(kept);
    assert_eq!(resumed.timeless().epochs, whole.timeless().epochs);

    let fresh = PlainNet::new();
    let before = fresh.weight.copy();
    let opened = open_with(fresh, &place, Checkpoint::Last).unwrap();
    let store = opened.classifier.store();
    assert!(store.named()[0].tensor != before && opened.description.model.to_string() == "plain-net");
    let error = open_of(&Catalogue::standard(), &place, Checkpoint::Last, None, ComputePrecision::Fp32).err();
    let error = error.unwrap().to_string();
    assert!(error.contains("last.safetensors: holds a network of somebody's own, `plain-net`"), "{error}");
    let error = open_with(Box::new(OtherProgram(PlainNet::new())), &place, Checkpoint::Last).err();
    assert!(error.unwrap().to_string().contains("this network is the variant `graph-1`"));

    // A network without variants takes the weights of any program with its tensors: a module in Python, of its program of torch.export.
    let place = folder.path().join("program");
    let mut kept = KeptRun::open(&checked, &options(&place, false)).unwrap();
    let network = Box::new(OtherProgram(PlainNet::new()));
    let trained = network.0.weight.shallow_clone();
    let training = Training { network, ..Training::of(&checked, &Catalogue::standard()).unwrap() };
    training.run(&mut kept, &mut Quiet).unwrap();
    drop(kept);
    let opened = open_with(PlainNet::new(), &place, Checkpoint::Last).unwrap();
    assert_eq!(opened.classifier.store().named()[0].tensor, trained);

    // What a network does not have is an error where it is needed, and no fallback.
    let averaged = recipe(&format!("{text}weight-averaging = 0.9\n"));
    let training =
        Training { network: PlainNet::new(), ..Training::of(&averaged, &Catalogue::standard()).unwrap() };
    let error = training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("Classifier::twin"), "{error}");
    let photos = recipe(&text.replace("limit", "resize = 16\nlimit"));
    let training =
        Training { network: PlainNet::new(), ..Training::of(&photos, &Catalogue::standard()).unwrap() };
    let error = training.run(&mut Nothing, &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("1x16x16") && error.contains("1x8x8"), "{error}");
}

/// Two linear layers, said to a flow.
struct TwoLinear(Linear);

impl Body for TwoLinear {
    fn features<F: Flow>(&self, flow: &F, input: F::Value) -> gaat::Result<F::Value> {
        flow.linear(&self.0, &flow.flatten(&input)?)
    }
}

struct Nets;

impl Architecture for Nets {
    fn claims(&self, name: &str) -> bool {
        name.starts_with("two-linear")
    }

    fn build(&self, mut builder: Builder) -> gaat::Result<Box<dyn Classifier>> {
        let first = builder.linear("first", builder.input().size(), 20, Initial::Default)?;
        let head = builder.linear("head", 20, builder.classes(), Initial::Default)?;
        builder.network(TwoLinear(first), head, false)
    }
}

#[test]
fn a_registered_network_is_averaged_saved_opened_traced_and_named_in_errors() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let text = format!("dataset = \"digits\"\nprecision = \"fp32\"\nweight-averaging = 0.5\n{SHORT}");
    let written = Recipe::from_toml(&text.replace("\"mlp\"", "\"two-linear-20\"")).unwrap();
    let error = written.check().unwrap_err().to_string();
    assert!(error.contains("two-linear-20") && error.contains("known: convnet"), "{error}");
    let catalogue = Catalogue::standard().with(Nets);
    let checked = catalogue.check(&written).unwrap();
    let place = folder.path().join("run");
    let record = train_of(&catalogue, &checked, &options(&place, false), &mut Quiet).unwrap();
    assert_eq!(record.model.name, "two-linear-20");
    let again = gaat::run::record(&place).unwrap();
    assert_eq!(again.recipe.model.unwrap().to_string(), "two-linear-20");
    let opened = open_of(&catalogue, &place, Checkpoint::Best, None, ComputePrecision::Fp32).unwrap();
    assert_eq!((opened.classifier.head(), opened.classifier.trace().unwrap().steps.len()), (Some("head"), 3));
    // A published name stays with the published network, even if another network claims it.
    let misspelt = catalogue.check(&Recipe::from_toml("model = \"vgg16\"").unwrap()).unwrap_err().to_string();
    assert!(misspelt.contains("did you mean `vgg-16`"), "{misspelt}");
}
