//! What a file of a stranger may call. libtorch knows 3,700 operators, some of which open files, join process groups, draw from other
//! generators or trust what they are given: only those that are named here run, and only with plain values.

use crate::arithmetic::Arithmetic;

/// Operators of the namespace `aten` by the name before the overload; a trailing `_` (in place) is taken off first.
const ALLOWED: &str = "
    abs absolute acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    add addbmm addcdiv addcmul addmm addmv addr adjoint affine_grid_generator alias all alpha_dropout amax amin aminmax any arange
    arccos arcsin arctan arctan2 argmax argmin argsort asin asinh atan atan2 atanh atleast_1d atleast_2d atleast_3d avg_pool1d
    avg_pool2d avg_pool3d baddbmm batch_norm bernoulli bilinear bitwise_and bitwise_not bitwise_or bitwise_xor block_diag bmm
    broadcast_tensors broadcast_to bucketize cartesian_prod cat cdist ceil celu chain_matmul channel_shuffle chunk clamp clamp_max
    clamp_min clip clone col2im column_stack complex concat concatenate conj constant_pad_nd contiguous conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d copy copysign cos cosh cosine_similarity count_nonzero cross cummax cummin
    cumprod cumsum deg2rad detach diag diag_embed diagflat diagonal diff dist div divide dot dropout dsplit dstack einsum elu
    embedding empty empty_like eq erf erfc exp exp2 expand expand_as expm1 exponential eye feature_alpha_dropout feature_dropout
    fft_fft fft_fft2 fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_irfft fft_irfft2 fft_irfftn fft_rfft
    fft_rfft2 fft_rfftn fill fix flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod frac frobenius_norm full
    full_like gather ge gelu glu greater greater_equal grid_sampler group_norm gt hardshrink hardsigmoid hardswish hardtanh hsplit
    hstack hypot im2col imag index index_add index_copy index_fill index_put index_select inner instance_norm inverse isclose
    isfinite isinf isnan kron layer_norm le leaky_relu lerp less less_equal lift_fresh lift_fresh_copy linalg_cross
    linalg_diagonal linalg_inv linalg_matmul linalg_matrix_norm linalg_multi_dot linalg_norm linalg_vecdot linalg_vector_norm
    linear linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logcumsumexp logical_and logical_not logical_or
    logical_xor logit logsumexp lt masked_fill masked_scatter masked_select matmul max max_pool1d max_pool2d max_pool3d maximum
    matrix_H mean median meshgrid min minimum mish mm moveaxis movedim mT mul multiply mv nan_to_num nanmean nansum narrow ne neg negative
    new_empty new_full new_ones new_zeros nonzero norm norm_except_dim normal not_equal numpy_T one_hot ones ones_like outer pad
    pairwise_distance permute pixel_shuffle pixel_unshuffle positive pow prelu prod rad2deg rand rand_like randint randint_like
    randn randn_like randperm ravel real reciprocal relu relu6 remainder repeat repeat_interleave reshape reshape_as rms_norm roll
    rot90 round row_stack rrelu rsqrt rsub scalar_tensor scaled_dot_product_attention scatter scatter_add scatter_reduce select
    select_scatter selu sgn sigmoid sign signbit silu sin sinc sinh slice slice_scatter softmax softplus softshrink sort split
    split_with_sizes sqrt square squeeze stack std std_mean sub subtract sum sum_to_size swapaxes swapdims t take take_along_dim
    tan tanh tensor_split tensordot threshold tile to topk trace transpose tril triu true_divide trunc type_as unbind unflatten
    unfold uniform unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze upsample_bicubic2d upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean vdot view view_as
    view_as_complex view_as_real vsplit vstack where xlogy zero zeros zeros_like sym_constrain_range sym_constrain_range_for_size
    sym_numel sym_size _assert_scalar _assert_tensor_metadata _to_copy _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    _upsample_nearest_exact2d _weight_norm __and__ __or__ __xor__";

/// Those of them that draw random numbers.
const RANDOM: &str = "bernoulli exponential normal rand rand_like randint randint_like randn randn_like randperm uniform rrelu";

/// Operators that do nothing on a GPU but launch kernels whose number and sizes follow from the shapes of what they are given: a CUDA
/// graph can keep them. Others may wait for a result, as an index by a mask does to learn how long it is.
const LAUNCHING: &str = "
    abs adaptive_avg_pool2d adaptive_max_pool2d add addcmul addmm alias alpha_dropout amax amin argmax argmin avg_pool2d batch_norm bernoulli bmm
    broadcast_to cat celu channel_shuffle chunk clamp clamp_max clamp_min clone constant_pad_nd contiguous conv1d conv2d conv_transpose2d
    copy cos cumsum detach div dropout elu empty empty_like erf exp expand expand_as feature_dropout fill flatten flip gelu glu group_norm hardsigmoid
    hardswish hardtanh instance_norm layer_norm leaky_relu lerp linalg_vector_norm linear log log_softmax logsumexp masked_fill matmul
    max max_pool2d maximum mean min minimum mish movedim mul mv narrow neg new_ones new_zeros ones ones_like pad permute pixel_shuffle
    pixel_unshuffle pow prelu reciprocal relu relu6 reshape rms_norm roll rsqrt rsub scaled_dot_product_attention select selu
    sigmoid sign silu sin slice softmax softplus split split_with_sizes sqrt square squeeze stack std sub sum swapaxes t tan tanh tile
    transpose type_as unbind unflatten unsafe_chunk unsafe_split unsqueeze upsample_bilinear2d upsample_nearest2d var var_mean view
    view_as where zeros zeros_like sym_size sym_numel _assert_tensor_metadata _unsafe_view _weight_norm";

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

/// Whether a pass that calls `base` can be kept as a CUDA graph as far as that call goes. Random numbers cannot: they are other ones
/// each time.
pub fn only_launches(base: &str) -> bool {
    lists(LAUNCHING, base)
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
    fn what_only_launches_may_be_called_in_the_first_place() {
        for name in LAUNCHING.split_whitespace() {
            assert!(lists(ALLOWED, name), "{name}");
        }
        assert!(only_launches("relu_") && !only_launches("index") && !only_launches("nonzero"));
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
