//! What a network takes and what it refuses, with the reason.

use super::{network, options, shape};
use gaat::nn::{
    BuildOptions, ComputePrecision, InputShape, Mode, Normalization, PrecisionRequest, build, has_bf16,
};
use tch::{Device, Kind, Tensor};

fn refusal(name: &str, input: InputShape, classes: i64, options: &BuildOptions) -> String {
    build(&name.parse().unwrap(), input, classes, options).err().unwrap().to_string()
}

#[test]
fn small_images_are_taken_or_refused_with_a_way_out() {
    for name in [
        "convnet",
        "mlp",
        "preact-resnet-18-w4",
        "resnet-18-w4",
        "wide-resnet-10-1",
        "wide-resnet-16-2",
        "vit-tiny",
    ] {
        for channels in [1, 3] {
            let classifier = network(name, shape(channels, 8));
            assert_eq!(classifier.name(), name);
            let images = Tensor::ones([2, channels, 8, 8], (Kind::Float, Device::Cpu));
            assert_eq!(classifier.logits(&images, Mode::Eval).unwrap().size(), [2, 10]);
        }
    }
    let odd = InputShape { channels: 2, height: 13, width: 19 };
    let images = Tensor::ones([1, 2, 13, 19], (Kind::Float, Device::Cpu));
    let narrow = InputShape { channels: 1, height: 16, width: 19 };
    let narrow_images = Tensor::ones([1, 1, 16, 19], (Kind::Float, Device::Cpu));
    let efficient = network("efficientnet-b0", narrow);
    assert_eq!(efficient.logits(&narrow_images, Mode::Eval).unwrap().size(), [1, 10]);
    for name in ["convnet", "mlp", "preact-resnet-18-w4", "resnet-18-w4", "wide-resnet-10-1"] {
        assert_eq!(network(name, odd).logits(&images, Mode::Eval).unwrap().size(), [1, 10]);
    }
    let message = refusal("vgg-16", shape(1, 28), 10, &options(1));
    assert!(message.contains("32x32") && message.contains("wide-resnet"), "{message}");
    assert!(refusal("convnet", shape(1, 3), 10, &options(1)).contains("mlp"));
    assert!(refusal("preact-resnet-18", shape(1, 7), 10, &options(1)).contains("8x8"));
    assert!(refusal("resnet-18-s2", shape(1, 15), 10, &options(1)).contains("16x16"));
    assert!(refusal("efficientnet-b0", shape(1, 15), 10, &options(1)).contains("16x16"));
    assert!(refusal("vit-tiny", shape(1, 30), 10, &options(1)).contains("4x4"));
    assert!(refusal("wide-resnet-10-1", shape(1, 4), 10, &options(1)).contains("8x8"));
    assert!(network("preact-resnet-18-w1", shape(1, 8)).variant().contains("raw-shortcut"));
}

#[test]
fn contradictory_options_are_refused() {
    assert!(refusal("mlp", shape(1, 8), 1, &options(1)).contains("classes"));
    assert!(refusal("mlp", shape(0, 8), 10, &options(0)).contains("empty"));
    assert!(refusal("mlp", shape(3, 8), 10, &options(1)).contains("3 means"));
    let flat = Normalization { mean: vec![0.5], std: vec![0.0] };
    assert!(
        refusal("mlp", shape(1, 8), 10, &BuildOptions { normalization: flat, ..options(1) }).contains("std")
    );
    let double = BuildOptions { kind: Kind::Double, precision: ComputePrecision::Bf16, ..options(1) };
    assert!(refusal("mlp", shape(1, 8), 10, &double).contains("bf16"));
    assert!("half".parse::<PrecisionRequest>().is_err());
    for text in ["auto", "fp32", "bf16"] {
        assert_eq!(text.parse::<PrecisionRequest>().unwrap().to_string(), text);
    }
    // A network of products alone has no use for it, wherever it runs, nor has the small one with convolutions on small images.
    let small =
        |model: &str, input| PrecisionRequest::Auto.resolve_for(&model.parse().unwrap(), input, Device::Cpu);
    assert_eq!(small("mlp", shape(1, 28)).unwrap(), ComputePrecision::Fp32);
    assert_eq!(small("convnet", shape(1, 8)).unwrap(), ComputePrecision::Fp32);
    let automatic = PrecisionRequest::Auto.resolve(Device::Cpu).unwrap();
    let by_name = PrecisionRequest::Bf16.resolve(Device::Cpu);
    assert_eq!(by_name.is_ok(), has_bf16(Device::Cpu), "never emulated");
    assert!(by_name.is_ok() || automatic == ComputePrecision::Fp32);
    assert_eq!(small("convnet", shape(1, 28)).unwrap(), automatic);
    assert_eq!(small("wide-resnet-10-1", shape(3, 32)).unwrap(), automatic);
    let absent = PrecisionRequest::Bf16.resolve(Device::Mps).unwrap_err().to_string();
    assert!(absent.contains("precision fp32"), "{absent}");
    assert_eq!(PrecisionRequest::Auto.resolve(Device::Mps).unwrap(), ComputePrecision::Fp32);
}

#[test]
fn pixels_of_another_shape_or_dtype_are_refused() {
    let classifier = network("convnet", shape(1, 8));
    for (size, kind) in [
        (vec![2, 3, 8, 8], Kind::Float),
        (vec![2, 1, 8, 9], Kind::Float),
        (vec![1, 8, 8], Kind::Float),
        (vec![0, 1, 8, 8], Kind::Float),
        (vec![2, 1, 8, 8], Kind::Double),
        (vec![2, 1, 8, 8], Kind::Uint8),
    ] {
        let pixels = Tensor::zeros(size.as_slice(), (kind, Device::Cpu));
        let message = classifier.logits(&pixels, Mode::Eval).unwrap_err().to_string();
        let found = format!("found {size:?} of {kind:?}");
        assert!(message.contains("[N >= 1, 1, 8, 8] of Float") && message.contains(&found), "{message}");
    }
}
