//! Weights of PyTorch: what fits is read, what does not is refused, and a published number is met.

use gaat::batch::Images;
use gaat::evaluate::{Control, EvaluateOptions, evaluate};
use gaat::exchange::{ImportOptions, Imported, import};
use gaat::nn::Mode;
use gaat_data::{DatasetName, Source, load};
use gaat_spec::{AttackName, AttackSpec, Norm};
use gaat_testkit::data;
use std::path::Path;
use tch::Device;

fn options(model: &str) -> ImportOptions {
    ImportOptions::new(model.parse().unwrap())
}

#[test]
fn weights_of_another_network_are_refused_with_the_names() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gaat-files/tests/golden/zip.pth");
    let class_names = Some((0..10).map(|class| class.to_string()).collect());
    let options = ImportOptions { class_names, ..options("convnet") };
    let error = import(&golden, &options).err().unwrap().to_string();
    for part in ["zip.pth", "holds no `7.bias`", "convnet", "6 tensors such as `0.weight`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_published_mnist_network_has_its_published_accuracy() {
    tch::set_num_threads(1);
    let (Some(reference), Some(mnist)) = (data("reference"), data("mnist")) else { return };
    let file = reference.join("mnist-convnet-fgsm.pth");
    let Imported { classifier, description, .. } = import(&file, &options("convnet")).unwrap();
    assert_eq!((description.input, description.class_names.len()), ((1, 28, 28), 10));
    let data_dir = Some(mnist);
    let test = load(&Source { dataset: DatasetName::Mnist, data_dir, resize: None }).unwrap().test;
    let images = Images::upload(&test, Device::Cpu).unwrap();
    let batch = images.range(0, test.len(), classifier.store().kind()).unwrap();
    let answers = classifier.logits(&batch.pixels, Mode::Eval).unwrap().argmax(-1, false);
    let right = answers.eq_tensor(&batch.labels).sum(tch::Kind::Int64).int64_value(&[]);
    assert_eq!(right, 9850, "98.50 % clean");

    // torchattacks leaves 0.854 of the first 500 under Auto-PGD on the cross-entropy, whatever the random start
    // within some tenths of a point.
    let first = test.select(&(0..500).collect::<Vec<_>>());
    let threat = crate::support::threat(Norm::Linf, 0.3);
    let attacks = vec![AttackSpec::customary(AttackName::ApgdCe, &threat).unwrap()];
    let options = EvaluateOptions::new(threat, attacks, 500);
    let verdict = evaluate(classifier.as_ref(), &first, &options, &mut |_| Control::Continue).unwrap();
    println!("apgd-ce leaves {}", verdict.robust_accuracy);
    assert!((verdict.robust_accuracy - 0.854).abs() < 0.012, "{}", verdict.robust_accuracy);
}
