//! Images of a program's own: an `ImageSource` that no reader knows trains, resumes and is judged.

use crate::support::{options, recipe};
use gaat::dataset::Dataset;
use gaat::evaluate::{EvaluateOptions, evaluate};
use gaat::nn::Catalogue;
use gaat::run::{Checkpoint, open};
use gaat::spec::{AttackSpec, ComputePrecision, Event, RunRecord, Status};
use gaat::train::{Control, KeptRun, Nothing, Quiet, Training};
use gaat_data::{ImageSet, ImageShape, ImageSource, Loaded, SplitOptions, load};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The digits, handed out by a source of this test, which counts what is read.
struct Own {
    images: ImageSet,
    read: AtomicUsize,
}

impl ImageSource for Own {
    fn shape(&self) -> ImageShape {
        self.images.shape()
    }

    fn labels(&self) -> &[i64] {
        self.images.labels()
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn name(&self) -> &'static str {
        "own"
    }

    fn read(&self, indices: &[usize], pixels: &mut [u8]) -> gaat_data::Result<()> {
        self.read.fetch_add(indices.len(), Ordering::Relaxed);
        for (index, target) in indices.iter().zip(pixels.chunks_exact_mut(self.shape().bytes())) {
            target.copy_from_slice(self.images.image(*index));
        }
        Ok(())
    }
}

fn digits() -> Loaded {
    load(&gaat_data::Source { dataset: gaat_data::DatasetName::Digits, data_dir: None, resize: None })
        .unwrap()
}

fn own(images: ImageSet) -> Arc<Own> {
    Arc::new(Own { images, read: AtomicUsize::new(0) })
}

/// As the recipe below splits them.
const SPLIT: SplitOptions =
    SplitOptions { validation_fraction: 0.1, seed: 0, limit_train: Some(200), limit_test: None, crop: None };

const TEXT: &str = "model = \"convnet\"\nmethod = \"fgsm-mep\"\nlimit = 200\nbatch-size = 30\nepochs = 2\nvalidation-steps = 1\n\
    validation-fraction = 0.1\ncrop-padding = 1\n";

fn training(data: Dataset) -> Training {
    Training { data, ..Training::of(&recipe(TEXT), &Catalogue::standard()).unwrap() }
}

fn outcome(record: &RunRecord) -> (Vec<(f64, Option<f64>)>, String) {
    let epochs = record.epochs.iter().map(|epoch| (epoch.loss, epoch.validation_robust));
    (epochs.collect(), record.data_digest.clone())
}

fn bytes(run: &Path) -> Vec<u8> {
    fs_err::read(run.join("checkpoints/last.safetensors")).unwrap()
}

#[test]
fn a_source_of_ones_own_trains_resumes_and_is_judged_as_the_images_in_memory_are() {
    tch::set_num_threads(1);
    let found = digits();
    let (train, test) = (own(found.train), own(found.test));
    let data = || Dataset::of(train.clone(), test.clone(), &SPLIT).unwrap();
    let known = Training::of(&recipe(TEXT), &Catalogue::standard()).unwrap().run(&mut Nothing, &mut Quiet);
    let known = known.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let checked = recipe(TEXT);
    let whole = options(&folder.path().join("whole"), false);
    let record = training(data()).run(&mut KeptRun::open(&checked, &whole).unwrap(), &mut Quiet).unwrap();
    assert_eq!(record.status, Status::Done);
    assert_eq!(outcome(&record), outcome(&known), "the same images from both sources");

    let place = folder.path().join("stopped");
    let mut stop = |event: &Event| match event {
        Event::Step { step: 8, .. } => Control::Stop,
        _ => Control::Continue,
    };
    let stopped =
        training(data()).run(&mut KeptRun::open(&checked, &options(&place, false)).unwrap(), &mut stop);
    assert_eq!(stopped.unwrap().status, Status::Interrupted);
    let resumed =
        training(data()).run(&mut KeptRun::open(&checked, &options(&place, true)).unwrap(), &mut Quiet);
    assert_eq!(outcome(&resumed.unwrap()), outcome(&record));
    assert_eq!(bytes(&place), bytes(&folder.path().join("whole")), "the stop has changed the weights");

    let opened = open(&place, Checkpoint::Last, None, ComputePrecision::Fp32).unwrap();
    let threat = checked.plan.threat();
    let judging = EvaluateOptions {
        limit: Some(60),
        ..EvaluateOptions::new(threat, vec![AttackSpec::pgd(&threat, 2, 1, None).unwrap()], 50)
    };
    let verdict = |images: &dyn ImageSource| {
        evaluate(opened.classifier.as_ref(), images, &judging, &mut |_| Control::Continue).unwrap()
    };
    let (own, known) = (verdict(test.as_ref()), verdict(&test.images));
    assert_eq!((own.clean_accuracy, own.robust_accuracy), (known.clean_accuracy, known.robust_accuracy));
    assert_eq!(own.subset.unwrap().images, 60);
}

#[test]
fn a_split_reads_and_copies_no_pixel() {
    let found = digits();
    let (train, test) = (own(found.train), own(found.test));
    let parts = gaat_data::Parts::of(train.clone(), test.clone()).unwrap();
    let splits = gaat_data::split(parts, &SplitOptions { limit_test: Some(50), ..SPLIT }).unwrap();
    let counts =
        [splits.train.images(), splits.validation.images(), splits.test.images()].map(ImageSource::len);
    assert_eq!(counts, [180, 20, 50]);
    assert_eq!((train.read.load(Ordering::Relaxed), test.read.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_source_that_breaks_its_promises_is_named() {
    struct Wrong(ImageSet);
    impl ImageSource for Wrong {
        fn shape(&self) -> ImageShape {
            self.0.shape()
        }
        fn labels(&self) -> &[i64] {
            &[10]
        }
        fn class_names(&self) -> &[String] {
            self.0.class_names()
        }
        fn name(&self) -> &'static str {
            "mislabelled"
        }
        fn read(&self, _indices: &[usize], _pixels: &mut [u8]) -> gaat_data::Result<()> {
            Ok(())
        }
    }
    let found = digits();
    let text =
        Dataset::of(Arc::new(Wrong(found.train)), Arc::new(found.test), &SPLIT).unwrap_err().to_string();
    assert!(text.contains("mislabelled") && text.contains("label 10"), "{text}");
}
