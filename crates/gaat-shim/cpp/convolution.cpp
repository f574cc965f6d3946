// The gradients of convolutions on a CPU, round two faults of oneDNN as libtorch 2.11 has it (docs/decisions/0018). Registered with
// libtorch's dispatcher, so that no convolution of this process misses it, whoever records it.
#include <ATen/ATen.h>
#include <ATen/ops/convolution_backward_native.h>
#include <torch/library.h>
#include <atomic>
#include "entry.h"

namespace {

std::atomic<bool> is_routed{true};

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// libtorch lets one number stand for all axes; nothing else than one or all of them is good.
bool is_good(at::IntArrayRef numbers, int64_t axes) { return numbers.size() == 1 || static_cast<int64_t>(numbers.size()) == axes; }
int64_t along(at::IntArrayRef numbers, int64_t axis) { return numbers.size() == 1 ? numbers[0] : numbers[axis]; }

struct Axis {
  int64_t side, outputs, kernel, stride, padding, dilation;

  // Whether this place of the kernel lies in the padding wherever the kernel is laid.
  bool is_idle(int64_t tap) const {
    for (int64_t output = 0; output < outputs; output++) {
      const auto pixel = output * stride + tap * dilation - padding;
      if (pixel >= 0 && pixel < side) return false;
    }
    return true;
  }
};

enum class Route { Plain, Sliced, Single };

// Which way a weight gradient is safe.
Route route_of(const std::vector<Axis>& axes, bool is_brief) {
  bool is_pointwise = true, is_strided = false, is_padded = false, is_idle = false;
  for (const auto& axis : axes) {
    is_pointwise &= axis.kernel == 1;
    is_strided |= axis.stride > 1;
    is_padded |= axis.padding > 0;
    for (int64_t tap = 0; tap < axis.kernel && !is_idle; tap++) is_idle = axis.is_idle(tap);
  }
  if (is_pointwise && is_strided && !is_padded) return Route::Sliced;
  if (is_brief && is_idle) return Route::Single;
  return Route::Plain;
}

Gradients backward(const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight, at::OptionalIntArrayRef bias,
                   at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                   at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> wanted) {
  const auto plainly = [&](std::array<bool, 3> mask) {
    return at::native::convolution_backward(gradient, input, weight, bias, stride, padding, dilation, transposed, output_padding,
                                            groups, mask);
  };
  const auto is_brief = input.scalar_type() == at::kBFloat16;
  if (!wanted[1] || transposed || !(is_brief || input.scalar_type() == at::kFloat) || input.dim() != weight.dim() || !is_routed.load())
    return plainly(wanted);
  for (const auto& numbers : {stride, padding, dilation})
    if (!is_good(numbers, input.dim() - 2)) return plainly(wanted);
  std::vector<Axis> axes;
  for (int64_t axis = 0; axis < input.dim() - 2; axis++)
    axes.push_back({input.size(axis + 2), gradient.size(axis + 2), weight.size(axis + 2), along(stride, axis),
                    along(padding, axis), along(dilation, axis)});
  const auto route = route_of(axes, is_brief);
  if (route == Route::Plain) return plainly(wanted);

  Gradients found;
  if (wanted[0] || wanted[2]) found = plainly({wanted[0], false, wanted[2]});
  const std::array<bool, 3> weight_alone{false, true, false};
  if (route == Route::Single) {
    const auto single = at::native::convolution_backward(gradient.to(at::kFloat), input.to(at::kFloat), weight.to(at::kFloat), bias,
                                                         stride, padding, dilation, transposed, output_padding, groups, weight_alone);
    std::get<1>(found) = std::get<1>(single).to(at::kBFloat16);
    return found;
  }
  // The kernel of one pixel meets every stride-th one alone: with just those there is no stride left.
  auto met = input;
  for (size_t axis = 0; axis < axes.size(); axis++) {
    const auto& [side, outputs, kernel, step, padded, dilated] = axes[axis];
    met = met.slice(static_cast<int64_t>(axis) + 2, 0, (outputs - 1) * step + 1, step);
  }
  met = met.contiguous(input.suggest_memory_format());
  const std::vector<int64_t> ones(axes.size(), 1);
  std::get<1>(found) = std::get<1>(at::native::convolution_backward(gradient, met, weight, bias, ones, padding, dilation, transposed,
                                                                    output_padding, groups, weight_alone));
  return found;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CPU, library) { library.impl("convolution_backward", backward); }

extern "C" {

char* gaat_route_convolutions(int on) {
  GAAT_TRY
  is_routed.store(on != 0);
  GAAT_END
}
}
