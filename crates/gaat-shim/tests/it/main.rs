//! Every function of the shim is misused: each answer is an error in words, never a crash.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use gaat_shim::*;
use tch::{Device, Kind, Tensor};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

fn ones(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, FLOAT)
}

fn wide(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Double, Device::Cpu))
}

fn whole(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Int64, Device::Cpu))
}

/// Undefined, sparse, and quantized tensors of `shape`.
fn strange(shape: &[i64]) -> Vec<Tensor> {
    vec![
        Tensor::new(),
        ones(shape).to_sparse(None, None::<i64>, None),
        ones(shape).quantize_per_tensor(0.1, 0, Kind::QUInt8),
    ]
}

/// Insists that an answer is an error that names `what`.
fn refused<T>(answer: Result<T>, what: &str) {
    let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.starts_with("libtorch: ") && error.contains(what), "{what}: {error:?}");
}

#[test]
fn gradients_of_what_has_none_are_refused() {
    let leaf = ones(&[2, 3]).set_requires_grad(true);
    let output = (&leaf * &leaf).sum(Kind::Float);
    let of = |outputs: &[&Tensor], seeds: Option<&[&Tensor]>, inputs: &[&Tensor]| {
        gradients(outputs, seeds, inputs, Graph::Keep)
    };
    refused(of(&[], None, &[&leaf]), "at least one output");
    refused(of(&[&output], None, &[]), "at least one output");
    refused(of(&[&ones(&[1])], None, &[&leaf]), "output 0 does not require a gradient");
    refused(of(&[&output], None, &[&ones(&[1])]), "input 0 does not require a gradient");
    refused(of(&[&output], Some(&[]), &[&leaf]), "one output gradient is needed per output");
    for seed in [ones(&[7]), wide(&[]), whole(&[])] {
        refused(of(&[&output], Some(&[&seed]), &[&leaf]), "output gradient");
    }
    for bad in strange(&[2, 3]) {
        refused(of(&[&bad], None, &[&leaf]), "output");
        refused(of(&[&output], Some(&[&bad]), &[&leaf]), "output gradient");
        refused(of(&[&output], None, &[&bad]), "input");
    }
    assert!(!leaf.grad().defined(), "nothing was added to the leaf");
    assert_eq!(of(&[&output], None, &[&leaf]).unwrap()[0].as_ref().unwrap(), &(ones(&[2, 3]) * 2.0));
    let _ = gradients(&[&output], None, &[&leaf], Graph::Free).unwrap();
    refused(of(&[&output], None, &[&leaf]), "second time");
}

#[test]
fn memory_orders_are_for_four_dimensions() {
    for shape in [&[][..], &[3], &[2, 3], &[1, 2, 3, 4, 5]] {
        refused(channels_last(&ones(shape)), "expected [N, C, H, W]");
    }
    for bad in strange(&[1, 2, 3, 4]) {
        refused(channels_last(&bad), "tensor");
        refused(in_order_of(&bad, &ones(&[1, 2, 3, 4])), "parameter");
        refused(in_order_of(&ones(&[1, 2, 3, 4]), &bad), "gradient");
    }
    let parameter = ones(&[2, 3]);
    for bad in [ones(&[3, 2]), ones(&[6]), wide(&[2, 3]), whole(&[2, 3])] {
        refused(in_order_of(&parameter, &bad), "gradient: expected");
    }
    refused(in_order_of(&ones(&[3]).expand([2, 3], false), &parameter), "without gaps");
    refused(in_order_of(&whole(&[2, 3]), &whole(&[2, 3])), "floating-point");
    let turned = ones(&[3, 2]).transpose(0, 1);
    assert_eq!(in_order_of(&parameter, &turned).unwrap().stride(), [3, 1]);
    assert_eq!(in_order_of(&parameter, &ones(&[3]).expand([2, 3], false)).unwrap().stride(), [3, 1]);
}

#[test]
fn norms_insist_on_a_number_a_channel() {
    let (input, good) = (ones(&[2, 3, 4]), ones(&[3]));
    let norm = |input: &Tensor, [scale, shift, mean, variance]: [&Tensor; 4], epsilon| {
        running_norm(input, RunningNorm { scale, shift, mean, variance, epsilon })
    };
    assert_eq!(norm(&input, [&good; 4], 1e-5).unwrap().size(), [2, 3, 4]);
    let mut bad = vec![ones(&[]), ones(&[2]), ones(&[4]), ones(&[3, 1]), wide(&[3]), whole(&[3])];
    bad.extend(strange(&[3]));
    for (place, name) in ["scale", "shift", "mean", "variance"].into_iter().enumerate() {
        for bad in &bad {
            let mut numbers = [&good; 4];
            numbers[place] = bad;
            assert!(norm(&input, numbers, 1e-5).is_err(), "{name}");
        }
    }
    for shape in [&[][..], &[3]] {
        refused(norm(&ones(shape), [&good; 4], 1e-5), "expected [N, C, ...]");
    }
    for bad in strange(&[2, 3, 4]).iter().chain([&whole(&[2, 3, 4]), &wide(&[2, 3, 4])]) {
        refused(norm(bad, [&good; 4], 1e-5), "input");
    }
    for epsilon in [f64::NAN, f64::INFINITY, -1.0] {
        refused(norm(&input, [&good; 4], epsilon), "epsilon");
    }
}

#[test]
fn halving_convolutions_insist_on_their_shapes() {
    for (outputs, channels) in [(0, 1), (1, 0), (-1, 1), (-1, -1), (i64::MAX, 2), (1 << 40, 1 << 40)] {
        assert!(halving_order(outputs, channels).is_err(), "{outputs} {channels}");
    }
    let (input, weight, bias) = (ones(&[1, 3, 8, 8]), ones(&[5, 3, 4, 4]), ones(&[5]));
    let order = halving_order(5, 3).unwrap();
    assert_eq!(halving_conv(&input, &weight, &bias, &order).unwrap().size(), [1, 5, 4, 4]);
    let inputs = [ones(&[3, 8, 8]), ones(&[1, 3, 7, 8]), ones(&[1, 3, 8, 5]), ones(&[1, 3, 0, 8]), ones(&[])];
    for bad in inputs.iter().chain(&strange(&[1, 3, 8, 8])).chain([&whole(&[1, 3, 8, 8])]) {
        refused(halving_conv(bad, &weight, &bias, &order), "input");
    }
    let weights = [ones(&[5, 2, 4, 4]), ones(&[5, 3, 3, 3]), ones(&[5, 3, 4]), wide(&[5, 3, 4, 4])];
    for bad in weights.iter().chain(&strange(&[5, 3, 4, 4])) {
        refused(halving_conv(&input, bad, &bias, &order), "weight");
    }
    for bad in [ones(&[4]), ones(&[5, 1]), wide(&[5])].iter().chain(&strange(&[5])) {
        refused(halving_conv(&input, &weight, bad, &order), "bias");
    }
    for bad in [whole(&[3]), ones(&[240]), whole(&[240, 1])].iter().chain(&strange(&[240])) {
        refused(halving_conv(&input, &weight, &bias, bad), "order");
    }
    // Places that are none show in the backward pass.
    let leaf = ones(&[1, 3, 8, 8]).set_requires_grad(true);
    let output = halving_conv(&leaf, &weight, &bias, &(whole(&[240]) * 1000)).unwrap();
    refused(gradients(&[&output], None, &[&leaf], Graph::Free), "");
}

#[test]
fn pixel_blocks_insist_on_even_sides() {
    let images = [ones(&[3, 8, 8]), ones(&[1, 3, 7, 8]), ones(&[1, 3, 8, 5]), ones(&[1, 3, 0, 8]), ones(&[])];
    for bad in images.iter().chain(&strange(&[1, 3, 8, 8])).chain([&whole(&[1, 3, 8, 8])]) {
        refused(pixel_blocks(bad), "image");
    }
    refused(pixel_blocks(&ones(&[1, 3, 8, 8]).to_kind(Kind::Float8e4m3fn)), "2, 4 or 8 bytes");
    assert_eq!(pixel_blocks(&ones(&[2, 3, 8, 6])).unwrap().size(), [2, 12, 5, 4]);
}

#[test]
fn rectifiers_change_no_leaf_and_no_whole_numbers() {
    refused(ordered_relu(&ones(&[2]).set_requires_grad(true)), "leaf");
    refused(ordered_relu(&whole(&[2])), "floating-point");
    for bad in strange(&[2, 3]) {
        refused(ordered_relu(&bad), "input");
    }
    refused(ordered_relu(&ones(&[1]).expand([4], false)), "");
    assert_eq!(ordered_relu(&-ones(&[2])).unwrap(), ones(&[2]) * 0.0);
}

fn sgd(momentum: f64) -> SgdStep {
    SgdStep { learning_rate: 0.1, momentum, weight_decay: 0.0, nesterov: false, is_first_step: false }
}

const ADAM: AdamStep = AdamStep {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    weight_decay: 0.0,
    epsilon: 1e-8,
    is_decoupled: false,
};

/// Tensors that fit no parameter of `[2, 3]` and f32 as its memory.
fn misfits() -> Vec<Tensor> {
    let mut bad = vec![ones(&[2, 2]), ones(&[6]), ones(&[]), wide(&[2, 3]), whole(&[2, 3])];
    bad.push(ones(&[3, 2]).transpose(0, 1));
    bad.push(ones(&[3]).expand([2, 3], false));
    bad.push(ones(&[2, 6]).slice(1, 0, 6, 2));
    bad.extend(strange(&[2, 3]));
    bad
}

#[test]
fn steps_of_sgd_insist_on_like_tensors() {
    let (good, zero) = (ones(&[2, 3]), ones(&[]) * 0.0);
    let step =
        |p: &Tensor, g: &Tensor, m: &Tensor, void: &Tensor| fused_sgd(&[p], &[g], &[m], sgd(0.9), void);
    for (index, bad) in misfits().iter().enumerate() {
        refused(step(&good, &good, bad, &zero), "momentum");
        // Gradients in another order are copied.
        if !(5..8).contains(&index) {
            refused(step(&good, bad, &good, &zero), "gradient");
        }
        assert!(step(bad, &good, &good, &zero).is_err(), "parameter {index}");
    }
    for void in [ones(&[2]), wide(&[]), whole(&[])].iter().chain(&strange(&[1])) {
        refused(step(&good, &good, &good, void), "is_void");
    }
    refused(fused_sgd(&[&good], &[], &[], sgd(0.0), &zero), "different lengths");
    refused(fused_sgd(&[&good], &[&good], &[], sgd(0.9), &zero), "different lengths");
    refused(fused_sgd(&[&good], &[&good], &[&good], sgd(0.0), &zero), "different lengths");
    let (other, two) = (wide(&[2, 3]), ones(&[2, 3]));
    refused(fused_sgd(&[&good, &other], &[&good, &other], &[], sgd(0.0), &zero), "like the first");
    fused_sgd(&[], &[], &[], sgd(0.0), &Tensor::new()).unwrap();
    fused_sgd(&[&two], &[&ones(&[2, 3])], &[], sgd(0.0), &zero).unwrap();
    assert!((two.double_value(&[0, 0]) - 0.9).abs() < 1e-6);
}

#[test]
fn steps_of_adam_insist_on_like_tensors() {
    let (good, zero, count) = (ones(&[2, 3]), ones(&[]) * 0.0, ones(&[1]));
    let step = |p: &Tensor, g: &Tensor, [a, b]: [&Tensor; 2], s: &Tensor, void: &Tensor| {
        fused_adam(&[p], &[g], &[a], &[b], &[s], ADAM, void)
    };
    for (index, bad) in misfits().iter().enumerate() {
        refused(step(&good, &good, [bad, &good], &count, &zero), "first moment");
        refused(step(&good, &good, [&good, bad], &count, &zero), "second moment");
        if !(5..8).contains(&index) {
            refused(step(&good, bad, [&good, &good], &count, &zero), "gradient");
        }
        assert!(step(bad, &good, [&good, &good], &count, &zero).is_err(), "parameter {index}");
    }
    for bad in [ones(&[2]), wide(&[]), whole(&[]), ones(&[0])].iter().chain(&strange(&[1])) {
        refused(step(&good, &good, [&good, &good], bad, &zero), "step");
        refused(step(&good, &good, [&good, &good], &count, bad), "is_void");
    }
    refused(fused_adam(&[&good], &[&good], &[], &[&good], &[&count], ADAM, &zero), "different lengths");
    fused_adam(&[], &[], &[], &[], &[], ADAM, &Tensor::new()).unwrap();
}

#[test]
fn only_like_tensors_are_asked_for_what_is_finite() {
    refused(are_finite(&[]), "at least one tensor");
    let good = ones(&[2]);
    for bad in [wide(&[2]), whole(&[2]), ones(&[0])].iter().chain(&strange(&[2])) {
        refused(are_finite(&[&good, bad]), "tensor");
    }
    let found = are_finite(&[&good, &(&good / 0.0)]).unwrap();
    assert_eq!(Vec::<bool>::try_from(found).unwrap(), [true, false]);
}

/// Whatever the vectors, threads and layouts of a reduction are.
#[test]
fn one_number_that_is_not_finite_is_found_wherever_it_lies() {
    let answers = |tensors: &[&Tensor]| Vec::<bool>::try_from(are_finite(tensors).unwrap()).unwrap();
    let good = ones(&[3]) * f64::from(f32::MAX);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for size in [1, 7, 33, 100_000] {
            for place in [0, size / 2, size - 1] {
                let tensor = ones(&[size]) * f64::from(f32::MIN);
                assert_eq!(answers(&[&tensor, &good]), [true, true], "{size}");
                let _ = tensor.get(place).fill_(bad);
                assert_eq!(answers(&[&tensor, &good]), [false, true], "{bad} at {place} of {size}");
                assert_eq!(answers(&[&good, &tensor.get(place)]), [true, false], "{bad} alone");
            }
        }
        let image = channels_last(&ones(&[2, 3, 4, 5])).unwrap();
        let _ = image.get(1).get(2).get(3).get(4).fill_(bad);
        assert_eq!(
            answers(&[&image, &image.narrow(3, 0, 4)]),
            [false, true],
            "{bad}: the rest of a row is not asked"
        );
        assert_eq!(answers(&[&image.transpose(1, 3), &image.slice(3, 0, None, 2)]), [false, false], "{bad}");
    }
}

#[test]
fn gpus_that_are_not_there_are_refused() {
    let _ = load_cuda().unwrap();
    let there = usize::try_from(tch::Cuda::device_count()).unwrap();
    // Numbers that an index of 8 or 32 bits would cut to 0, 44 or -1.
    for device in [there, 256, 300, usize::MAX, 1 << 32] {
        refused(cuda_peak(device), "no GPU has the number");
        refused(CudaEvent::record(device).map(drop), "no GPU has the number");
        if there == 0 {
            refused(GraphPool::new(), "libtorch_cuda is not loaded");
        } else {
            let pool = GraphPool::new().unwrap();
            refused(CudaGraph::record(device, pool, || Ok::<_, LibtorchError>(())).map(drop), "no GPU has");
        }
    }
}

#[test]
fn settings_are_set() {
    route_convolutions(true).unwrap();
    assert!(about_libtorch().unwrap().path.exists());
    set_flush_denormal(true).unwrap();
    allow_tf32(true).unwrap();
    assert!(allows_tf32().unwrap());
    allow_tf32(false).unwrap();
    assert!(!allows_tf32().unwrap());
    keep_freed_memory();
}
