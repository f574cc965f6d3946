//! Parameters by name: strict loading, snapshots, copies.

use super::{network, shape};
use gaat::nn::{Classifier, Mode, ParameterStore, Role};
use tch::{Device, Kind, Tensor};

#[test]
fn a_name_can_be_used_once() {
    let mut store = ParameterStore::new(Device::Cpu, Kind::Float);
    let tensor = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    let handle = store.add("a", &tensor, Role::Weight).unwrap();
    assert!(handle.requires_grad() && handle.kind() == Kind::Float);
    assert!(!store.add("b", &tensor, Role::Buffer).unwrap().requires_grad());
    assert!(store.add("a", &tensor, Role::Bias).unwrap_err().to_string().contains("`a`"));
    assert_eq!((store.named().len(), store.trainable().len(), store.buffers().len()), (2, 1, 1));
    assert_eq!(store.parameter_count(), 2);
}

#[test]
fn loading_is_strict_and_changes_nothing_on_error() {
    let classifier = network("wide-resnet-10-1", shape(1, 8));
    let store = classifier.store();
    let before = store.state().unwrap();
    let filled = |value: f64| -> Vec<(String, Tensor)> {
        before.iter().map(|(name, tensor)| (name.clone(), tensor.full_like(value))).collect()
    };
    let mut wrong = filled(2.0);
    wrong[0].1 = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    wrong[1].0 = "stranger".to_owned();
    wrong.push((wrong[2].0.clone(), wrong[2].1.copy()));
    let message = store.load(&wrong).unwrap_err().to_string();
    for part in ["`conv1.weight` has shape [1]", "`stranger` is unexpected", "comes twice", "is missing"] {
        assert!(message.contains(part), "{message}");
    }
    let whole = [("conv1.weight".to_owned(), Tensor::from_slice(&[1_i64]))];
    assert!(store.load(&whole).unwrap_err().to_string().contains("more"), "long lists are cut");
    assert_eq!(store.state().unwrap(), before);

    let mut right = filled(0.5);
    right.push(("bn1.num_batches_tracked".to_owned(), Tensor::from_slice(&[3_i64])));
    right.reverse();
    store.load(&right).unwrap();
    assert!(store.state().unwrap().iter().all(|(_, tensor)| *tensor == tensor.full_like(0.5)));
    assert!(store.trainable().iter().all(|tensor| tensor.requires_grad() && tensor.is_leaf()));
}

#[test]
fn a_snapshot_stays_and_a_copy_follows() {
    let (first, second) = (network("mlp", shape(1, 8)), network("mlp", shape(1, 8)));
    let images = Tensor::ones([1, 1, 8, 8], (Kind::Float, Device::Cpu));
    let logits = |network: &dyn gaat::nn::Classifier| network.logits(&images, Mode::Eval).unwrap().detach();
    let before = logits(first.as_ref());
    let snapshot = first.store().state().unwrap();
    tch::no_grad(|| first.store().trainable().iter_mut().for_each(|tensor| drop(tensor.g_mul_scalar_(2.0))));
    assert_ne!(logits(first.as_ref()), before, "handles are the network's own");
    second.store().copy_from(first.store()).unwrap();
    assert_eq!(logits(second.as_ref()), logits(first.as_ref()));
    first.store().load(&snapshot).unwrap();
    assert_eq!(logits(first.as_ref()), before);
    assert_ne!(logits(second.as_ref()), before, "a copy has its own memory");
    assert!(second.store().copy_from(network("mlp", shape(1, 10)).store()).is_err());
}

#[test]
fn a_replica_shares_weights_and_statistics_and_keeps_its_gradients() {
    for model in ["convnet", "preact-resnet-18-w8-s2", "vit-tiny"] {
        let network = network(model, shape(3, 32));
        let replica = network.replica().unwrap().unwrap();
        let pixels = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        let logits = |network: &dyn Classifier| network.logits(&pixels, Mode::Eval).unwrap();
        assert_eq!(logits(network.as_ref()), logits(replica.as_ref()), "{model}");
        let before = logits(replica.as_ref());
        tch::no_grad(|| {
            for entry in network.store().named() {
                let _ = entry.tensor.shallow_clone().g_mul_scalar_(1.5);
            }
        });
        assert_ne!(logits(replica.as_ref()), before, "{model}");
        assert_eq!(logits(network.as_ref()), logits(replica.as_ref()), "{model}");
        logits(replica.as_ref()).sum(Kind::Float).backward();
        assert!(network.store().trainable().iter().all(|weight| !weight.grad().defined()), "{model}");
        assert!(replica.store().trainable().iter().all(|weight| weight.grad().defined()), "{model}");
    }
}
