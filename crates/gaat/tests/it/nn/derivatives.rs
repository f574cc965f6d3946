//! Second derivatives in the pixels, which curvatures ask for, against differences of first ones.

use super::golden::{fill, uniform};
use super::{options, shape};
use gaat::nn::{BuildOptions, Classifier, Mode, build};
use gaat_shim::{Graph, gradients};
use tch::{Kind, Reduction, Tensor};

/// The gradient of the summed loss at `pixels`, which require one.
fn gradient(classifier: &dyn Classifier, pixels: &Tensor, graph: Graph) -> Tensor {
    let logits = classifier.logits(pixels, Mode::Eval).unwrap();
    let labels = Tensor::from_slice(&[3_i64, 5]);
    let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
    gradients(&[&loss], None, &[pixels], graph).unwrap().remove(0).unwrap()
}

#[test]
fn smooth_networks_have_the_second_derivatives_of_their_first() {
    const STEP: f64 = 1e-4;
    tch::set_num_threads(1);
    for name in ["efficientnet-b0", "vit-tiny"] {
        let options = BuildOptions { kind: Kind::Double, ..options(3) };
        let classifier = build(&name.parse().unwrap(), shape(3, 16), 10, &options).unwrap();
        fill(classifier.as_ref());
        let images = uniform("images", &[2, 3, 16, 16]);
        let direction = uniform("direction", &[2, 3, 16, 16]) - 0.5;
        let pixels = images.copy().set_requires_grad(true);
        let slope = gradient(classifier.as_ref(), &pixels, Graph::Record);
        let product =
            gradients(&[&slope], Some(&[&direction]), &[&pixels], Graph::Free).unwrap().remove(0).unwrap();
        let at = |distance: f64| {
            let moved = (&images + &direction * distance).set_requires_grad(true);
            gradient(classifier.as_ref(), &moved, Graph::Free)
        };
        let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let size = expected.norm().double_value(&[]);
        let off = (product - &expected).norm().double_value(&[]) / size;
        assert!(size > 1e-6 && off < 1e-6, "{name}: off by {off:.1e} of {size:.1e}");
    }
}

#[test]
fn what_requires_no_gradient_is_an_error_and_no_crash() {
    let still = Tensor::from_slice(&[1.0]);
    let moving = Tensor::from_slice(&[2.0]).set_requires_grad(true);
    let error = gradients(&[&still], None, &[&moving], Graph::Free).unwrap_err().to_string();
    assert!(error.contains("output 0"), "{error}");
    let error = gradients(&[&(&moving * 2.0)], None, &[&still], Graph::Free).unwrap_err().to_string();
    assert!(error.contains("input 0"), "{error}");
}
