//! What batch normalisation sees and remembers in each mode.

use super::{network, shape};
use gaat::nn::{Classifier, Mode};
use tch::{Kind, Tensor};

fn buffers(classifier: &dyn Classifier) -> Vec<Tensor> {
    classifier.store().buffers().iter().map(Tensor::copy).collect()
}

#[test]
fn only_training_moves_the_running_statistics() {
    for name in ["preact-resnet-18-w1", "resnet-18-w1", "wide-resnet-10-1"] {
        let classifier = network(name, shape(1, 8));
        let images = Tensor::arange(4 * 64, (Kind::Float, tch::Device::Cpu)).view([4, 1, 8, 8]).sin().abs();
        let before = buffers(classifier.as_ref());
        let evaluated = classifier.logits(&images, Mode::Eval).unwrap();
        let frozen = classifier.logits(&images, Mode::TrainFrozenStats).unwrap();
        assert_eq!(before, buffers(classifier.as_ref()), "{name}");
        let trained = classifier.logits(&images, Mode::Train).unwrap();
        assert_eq!(frozen, trained, "{name}: both see the statistics of the batch");
        assert_ne!(evaluated, trained, "{name}: evaluation sees the running ones");
        let after = buffers(classifier.as_ref());
        assert!(before.iter().zip(&after).all(|(old, new)| old != new), "{name}: training moves all of them");
        // The mode in use does not linger.
        assert_ne!(classifier.logits(&images, Mode::Eval).unwrap(), evaluated);
        assert_eq!(after, buffers(classifier.as_ref()));
    }
}
