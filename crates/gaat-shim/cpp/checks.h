// What the shim insists on before it hands tensors to libtorch, whose inner functions walk raw memory and look at nothing.
#pragma once
#include <ATen/ATen.h>

// A tensor of ordinary memory: not undefined, sparse, nested or quantized.
inline void check_plain(const at::Tensor& tensor, const char* what) {
  TORCH_CHECK(tensor.defined(), what, ": the tensor is undefined");
  TORCH_CHECK(tensor.layout() == at::kStrided && !tensor.is_nested() && !tensor.is_quantized(), what,
              ": expected a dense tensor, found ", tensor.toString());
}

inline void check_floating(const at::Tensor& tensor, const char* what) {
  check_plain(tensor, what);
  TORCH_CHECK(tensor.is_floating_point(), what, ": expected floating-point numbers, found ", tensor.scalar_type());
}

inline void check_device(const at::Tensor& tensor, const at::Tensor& other, const char* what) {
  TORCH_CHECK(tensor.device() == other.device(), what, ": expected on ", other.device(), ", found on ", tensor.device());
}

inline void check_like(const at::Tensor& tensor, const at::Tensor& other, const char* what) {
  check_plain(tensor, what);
  check_device(tensor, other, what);
  TORCH_CHECK(tensor.scalar_type() == other.scalar_type(), what, ": expected ", other.scalar_type(), ", found ",
              tensor.scalar_type());
  TORCH_CHECK(tensor.sizes() == other.sizes(), what, ": expected the shape ", other.sizes(), ", found ", tensor.sizes());
}

// Whether the numbers of two tensors of one shape lie in the same order; the step along a side of 1 is never taken.
inline bool same_order(const at::Tensor& one, const at::Tensor& other) {
  for (int64_t axis = 0; axis < one.dim(); axis++)
    if (one.size(axis) > 1 && one.stride(axis) != other.stride(axis)) return false;
  return true;
}

// What is written in place by kernels that walk memory from end to end: no gaps, no number twice.
inline void check_packed(const at::Tensor& tensor, const char* what) {
  check_floating(tensor, what);
  TORCH_CHECK(tensor.is_non_overlapping_and_dense(), what, ": expected a tensor without gaps, found the strides ",
              tensor.strides(), " for the shape ", tensor.sizes());
}

inline void check_memory(const at::Tensor& memory, const at::Tensor& parameter, const char* what) {
  check_like(memory, parameter, what);
  check_packed(memory, what);
  TORCH_CHECK(same_order(memory, parameter), what, ": expected the memory order of the parameter, strides ",
              parameter.strides(), ", found ", memory.strides());
}

// One f32 on the device of `other`.
inline void check_number(const at::Tensor& tensor, const at::Tensor& other, const char* what) {
  check_plain(tensor, what);
  check_device(tensor, other, what);
  TORCH_CHECK(tensor.numel() == 1 && tensor.scalar_type() == at::kFloat, what, ": expected one f32, found ", tensor.numel(),
              " of ", tensor.scalar_type());
}
