//! What a file of a stranger may call. libtorch knows 3,700 operators, some of which open files, join process groups, draw from other
//! generators or trust what they are given: only those that are named here run, and only with plain values.

use crate::arithmetic::Arithmetic;

/// Operators of the namespace `aten` by the name before the overload; a trailing `_` (in place) is taken off first.
const ALLOWED: &str = "
    abs acos adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add addcdiv addcmul addmm alias all alpha_dropout amax amin
    any arange argmax argmin asin atan atan2 avg_pool1d avg_pool2d baddbmm batch_norm bernoulli bitwise_and bitwise_not bitwise_or
    bmm broadcast_tensors cat ceil celu channel_shuffle chunk clamp clamp_max clamp_min clone concat constant_pad_nd contiguous
    conv1d conv2d conv3d conv_transpose2d copy cos cosh cosine_similarity cross cumsum detach diagonal div dropout einsum elu
    embedding empty empty_like eq erf exp expand expand_as expm1 feature_dropout fill flatten flip floor floor_divide full
    full_like gather ge gelu glu group_norm gt hardshrink hardsigmoid hardswish hardtanh index index_select instance_norm
    layer_norm le leaky_relu lerp lift_fresh lift_fresh_copy linalg_vector_norm linear linspace log log1p log2 log_sigmoid
    log_softmax logical_and logical_not logical_or logsumexp lt masked_fill matmul max max_pool1d max_pool2d maximum mean min minimum
    mish mm movedim mul mv narrow ne neg new_empty new_full new_ones new_zeros norm ones ones_like outer pad permute
    pixel_shuffle pixel_unshuffle pow prelu prod rand rand_like randn randn_like reciprocal relu relu6 remainder repeat
    repeat_interleave reshape rms_norm roll round rrelu rsqrt rsub scaled_dot_product_attention scalar_tensor scatter select selu
    sigmoid sign silu sin sinh slice softmax softplus softshrink split split_with_sizes sqrt square squeeze stack std sub sum swapaxes
    t tan tanh tanhshrink tensor_split threshold tile to topk transpose tril triu type_as unbind unflatten unfold uniform unsafe_chunk
    unsafe_split unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean view view_as where zeros zeros_like
    sym_size sym_numel vdot _to_copy _unsafe_view _weight_norm _assert_tensor_metadata";

/// Those of them that draw random numbers.
const RANDOM: &str = "bernoulli rand rand_like randn randn_like uniform rrelu";

/// Types of parameters, as libtorch writes them, whose every value is harmless to take from a file; `str` only names modes of the
/// operators above.
const TYPES: [&str; 8] = ["Tensor", "int", "SymInt", "float", "bool", "Scalar", "str", "Device"];

fn base_name(base: &str) -> &str {
    if base.starts_with("__") { base } else { base.strip_suffix('_').unwrap_or(base) }
}

fn lists(list: &str, base: &str) -> bool {
    list.split_whitespace().any(|known| known == base_name(base))
}

/// Whether a node may call `target`; the reason where not.
pub(crate) fn check(target: &str) -> Result<(), String> {
    let Some(operator) = target.strip_prefix("torch.ops.") else {
        return if Arithmetic::named(target).is_some() {
            Ok(())
        } else {
            Err("is no operator that a file may call".to_owned())
        };
    };
    let parts: Vec<&str> = operator.split('.').collect();
    match parts[..] {
        ["higher_order", name] | ["higher_order", name, _] => Err(match name {
            "wrap_with_autocast" => {
                "the network turns autocast on itself: export it without, and ask for bf16 when it is run"
                    .to_owned()
            }
            "cond" | "while_loop" | "map" | "scan" => {
                format!("`{name}` decides while it runs what is computed; write the network without it")
            }
            _ => format!(
                "the wrapper `{name}` is not carried out; take it out of the network before the export"
            ),
        }),
        ["aten", base, _] if lists(ALLOWED, base) => Ok(()),
        ["aten", ..] => Err(
            "is not among the operators that a file may call: computations of image classifiers on tensors"
                .to_owned(),
        ),
        [namespace, ..] => Err(format!(
            "is of the library `{namespace}`; only PyTorch's own operators are run (write the layer with these, or export its parts)"
        )),
        [] => Err("names nothing".to_owned()),
    }
}

/// Whether `base` draws random numbers, other than as a dropout does.
pub(crate) fn is_random(base: &str) -> bool {
    lists(RANDOM, base)
}

/// Whether a value from a file may be given for a parameter of the type `kind`, as a schema of libtorch writes it: no storages,
/// generators, streams or objects.
pub fn takes(kind: &str) -> bool {
    let element = kind.split('[').next().unwrap_or_default().trim_end_matches('?');
    TYPES.contains(&element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_more_than_tensors_is_refused() {
        for target in [
            "torch.ops.aten.from_file.default",
            "torch.ops.aten.set_.source_Tensor",
            "torch.ops.aten.resize_.default",
            "torch.ops.aten.record_stream.default",
            "torch.ops.aten._print.default",
            "torch.ops.aten.manual_seed.default",
            "torch.ops._c10d_functional.all_reduce.default",
            "torch.ops.mylib.relu.default",
            "torch.ops.higher_order.cond",
            "torch.ops.aten.relu",
            "torch.ops.",
            "os.system",
            "",
        ] {
            assert!(check(target).is_err(), "{target}");
        }
        for target in ["torch.ops.aten.relu_.default", "torch.ops.aten.add.Tensor", "_operator.mul"] {
            assert_eq!(check(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn plain_types_alone_are_taken() {
        for kind in [
            "Tensor",
            "Tensor?",
            "Tensor[]",
            "Tensor?[]",
            "SymInt[]",
            "int[2]",
            "float?",
            "Scalar",
            "Device?",
            "str",
        ] {
            assert!(takes(kind), "{kind}");
        }
        for kind in [
            "Storage",
            "Generator?",
            "Stream",
            "__torch__.torch.classes.quantized.Conv2dPackedParamsBase",
            "Dimname[]",
            "Any",
        ] {
            assert!(!takes(kind), "{kind}");
        }
    }
}
