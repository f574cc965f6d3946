// The few libtorch calls that tch lacks. Every entry returns nullptr, or a malloc'd message that the Rust side
// frees; no C++ exception leaves this file. Tensors cross as pointers that the caller owns.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>
#include "checks.h"
#include "entry.h"

// What registers itself with libtorch nobody need call, and a linker leaves out what nobody names.
extern "C" char* gaat_route_convolutions(int on);
__attribute__((used)) static auto* const named = &gaat_route_convolutions;

static std::vector<at::Tensor> list(at::Tensor** items, int count, const char* what) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (int i = 0; i < count; i++) {
    check_plain(*items[i], what);
    out.push_back(items[i]->detach());
  }
  return out;
}

// Memories of an optimiser, one a parameter.
static std::vector<at::Tensor> memories(const std::vector<at::Tensor>& parameters, at::Tensor** items, int count,
                                        const char* what) {
  auto found = list(items, count, what);
  for (int i = 0; i < count; i++) check_memory(found[i], parameters[i], what);
  return found;
}

// The kernels take one group of one dtype on one device.
static void check_group(const std::vector<at::Tensor>& parameters, const at::Tensor& is_void) {
  for (const auto& parameter : parameters) {
    check_packed(parameter, "parameter");
    check_device(parameter, parameters[0], "parameter");
    TORCH_CHECK(parameter.scalar_type() == parameters[0].scalar_type(), "parameter: expected ", parameters[0].scalar_type(),
                " like the first, found ", parameter.scalar_type());
  }
  check_number(is_void, parameters[0], "is_void");
}

// A gradient in the memory order of its parameter. The fused kernels walk raw memory, and the weight gradient of a
// channels-last convolution comes back channels-last although the weight is not.
static at::Tensor in_order_of(const at::Tensor& parameter, const at::Tensor& gradient) {
  check_packed(parameter, "parameter");
  check_like(gradient, parameter, "gradient");
  return gradient.is_non_overlapping_and_dense() && same_order(parameter, gradient)
             ? gradient
             : at::empty_like(parameter).copy_(gradient);
}

static std::vector<at::Tensor> in_order_of(const std::vector<at::Tensor>& parameters, std::vector<at::Tensor> gradients) {
  for (size_t i = 0; i < parameters.size(); i++) gradients[i] = in_order_of(parameters[i], gradients[i]);
  return gradients;
}

// Batch normalisation by running statistics. libtorch's own backward pass sums over images and pixels for the gradients of
// scale and shift even where nobody asks for them, which is most of its time.
struct RunningNorm : torch::autograd::Function<RunningNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& scale,
                            const at::Tensor& shift, const at::Tensor& mean, const at::Tensor& variance, double epsilon) {
    context->save_for_backward({input, scale, mean, variance});
    context->saved_data["epsilon"] = epsilon;
    at::AutoDispatchBelowADInplaceOrView guard;
    return at::batch_norm(input, scale, shift, mean, variance, /*training=*/false, /*momentum=*/0.0, epsilon,
                          /*cudnn_enabled=*/true);
  }

  // Of differentiable operations, so that it has a backward pass of its own.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &input = saved[0], &scale = saved[1], &mean = saved[2], &variance = saved[3];
    const auto& gradient = gradients[0];
    std::vector<int64_t> across(input.dim(), 1), others;
    across[1] = -1;
    for (int64_t axis = 0; axis < input.dim(); axis++)
      if (axis != 1) others.push_back(axis);
    const auto inverse = (variance + context->saved_data["epsilon"].toDouble()).rsqrt();
    torch::autograd::variable_list found(6);
    if (context->needs_input_grad(0))
      found[0] = gradient * (scale * inverse).to(gradient.scalar_type()).view(across);
    if (context->needs_input_grad(1)) {
      const auto normal = (input.to(scale.scalar_type()) - mean.view(across)) * inverse.view(across);
      found[1] = (gradient.to(scale.scalar_type()) * normal).sum(others);
    }
    if (context->needs_input_grad(2)) found[2] = gradient.sum(others, /*keepdim=*/false, scale.scalar_type());
    return found;
  }
};

// A convolution of kernel 4, stride 2 and padding 1 whose gradient in its input is a convolution of stride 1. Rows and columns
// of the padded input fall into two phases each; all four phases of a place get their gradient from the same 2x2 outputs, so
// that they are channels of one convolution, with the kernel's numbers in the given order.
struct HalvingConv : torch::autograd::Function<HalvingConv> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& order) {
    context->save_for_backward({input, weight, order});
    at::AutoDispatchBelowADInplaceOrView guard;
    return at::conv2d(input, weight, bias, /*stride=*/2, /*padding=*/1);
  }

  // Of differentiable operations, so that it has a backward pass of its own.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &input = saved[0], &weight = saved[1], &order = saved[2];
    torch::autograd::variable_list found(4);
    if (context->needs_input_grad(0)) {
      const auto outputs = weight.size(0), channels = weight.size(1);
      const auto count = input.size(0), height = input.size(2), width = input.size(3);
      const auto kernel = weight.reshape(-1).index_select(0, order).view({4 * channels, outputs, 2, 2});
      const auto gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
      const auto phases = at::conv2d(gradient, kernel, {}, /*stride=*/1, /*padding=*/1).permute({0, 2, 3, 1});
      const auto rows = phases.reshape({count, height / 2 + 1, width / 2 + 1, 2, 2 * channels}).transpose(2, 3);
      const auto padded = rows.reshape({count, height + 2, width + 2, channels});
      found[0] = padded.slice(1, 1, height + 1).slice(2, 1, width + 1).permute({0, 3, 1, 2});
    }
    const bool weight_too = context->needs_input_grad(1), bias_too = context->needs_input_grad(2);
    if (weight_too || bias_too) {
      const auto all = at::convolution_backward(gradients[0], input, weight, at::IntArrayRef{weight.size(0)},
                                                /*stride=*/{2, 2}, /*padding=*/{1, 1}, /*dilation=*/{1, 1},
                                                /*transposed=*/false, /*output_padding=*/{0, 0}, /*groups=*/1,
                                                {false, weight_too, bias_too});
      found[1] = std::get<1>(all);
      found[2] = std::get<2>(all);
    }
    return found;
  }
};

// The dtype of two numbers side by side.
static at::ScalarType pair_of(at::ScalarType kind) {
  switch (at::elementSize(kind)) {
    case 2: return at::kInt;
    case 4: return at::kLong;
    default: return at::kComplexDouble;
  }
}

// The numbers of `tensor` in the order of its axes, two by two. Flat first, here and on the way back: the stride of an axis of one
// number, or of a tensor without numbers, may be anything, and libtorch refuses an odd one.
static at::Tensor pairs_of(const at::Tensor& tensor) {
  const auto packed = tensor.contiguous();
  const auto placed = packed.storage_offset() % 2 == 0 ? packed : packed.clone();
  return placed.view({-1}).view(pair_of(tensor.scalar_type()));
}

// Zeros around an image and its 2x2 blocks as channels: [N, C, H, W] becomes [N, 4 C, H / 2 + 1, W / 2 + 1] in channels-last
// memory. The two pixels of a row of a block stay side by side, so that each copy moves pairs: libtorch's copies go number by
// number where rows and columns change places.
static at::Tensor into_blocks(const at::Tensor& image) {
  const auto count = image.size(0), channels = image.size(1), rows = image.size(2) / 2 + 1, columns = image.size(3) / 2 + 1;
  const auto padded = at::constant_pad_nd(image.contiguous(), {1, 1, 1, 1});
  const auto pairs = pairs_of(padded).view({count, channels, rows, 2, columns});
  const auto blocks = pairs.permute({0, 2, 4, 1, 3}).contiguous().view({-1});
  return blocks.view(image.scalar_type()).view({count, rows, columns, 4 * channels}).permute({0, 3, 1, 2});
}

// The image inside the blocks, the zeros around it left out.
static at::Tensor from_blocks(const at::Tensor& blocks) {
  const auto count = blocks.size(0), channels = blocks.size(1) / 4, rows = blocks.size(2), columns = blocks.size(3);
  const auto pairs = pairs_of(blocks.permute({0, 2, 3, 1})).view({count, rows, columns, channels, 2});
  const auto padded = pairs.permute({0, 3, 1, 4, 2}).contiguous().view({-1});
  const auto image = padded.view(blocks.scalar_type()).view({count, channels, 2 * rows, 2 * columns});
  return image.slice(2, 1, 2 * rows - 1).slice(3, 1, 2 * columns - 1);
}

// Each is the backward pass of the other.
struct IntoBlocks : torch::autograd::Function<IntoBlocks> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& image) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return into_blocks(image);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients);
};

struct FromBlocks : torch::autograd::Function<FromBlocks> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& blocks) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return from_blocks(blocks);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients) {
    return {IntoBlocks::apply(gradients[0])};
  }
};

torch::autograd::variable_list IntoBlocks::backward(torch::autograd::AutogradContext*,
                                                    torch::autograd::variable_list gradients) {
  return {FromBlocks::apply(gradients[0])};
}

// max(input, 0) in place. libtorch's own backward pass is several times as slow where the gradient has another memory order
// than the maps, as behind a flattening; this one brings it into theirs first.
struct OrderedRelu : torch::autograd::Function<OrderedRelu> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::Tensor input) {
    {
      at::AutoDispatchBelowADInplaceOrView guard;
      input.relu_();
    }
    context->mark_dirty({input});
    context->save_for_backward({input});
    return input;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto output = context->get_saved_variables()[0];
    auto gradient = gradients[0];
    if (gradient.strides() != output.strides()) gradient = gradient.contiguous(output.suggest_memory_format());
    return {at::threshold_backward(gradient, output, 0)};
  }
};

extern "C" {

// torch.autograd.grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused=True).
char* gaat_gradients(at::Tensor** outputs, at::Tensor** output_gradients, int output_count, at::Tensor** inputs,
                     int input_count, int keep_graph, int create_graph, at::Tensor** results) {
  GAAT_TRY
  torch::autograd::edge_list roots, leaves;
  torch::autograd::variable_list seeds;
  // The engine follows an edge without a node into nothing; Python's front looks first, and so do we.
  // Without inputs the engine would add to the gradients of all leaves.
  TORCH_CHECK(output_count > 0 && input_count > 0, "at least one output and one input are needed");
  for (int i = 0; i < output_count; i++) {
    check_plain(*outputs[i], "output");
    if (output_gradients) check_like(*output_gradients[i], *outputs[i], "output gradient");
    TORCH_CHECK(outputs[i]->requires_grad(), "output ", i, " does not require a gradient");
    roots.push_back(torch::autograd::impl::gradient_edge(*outputs[i]));
    seeds.push_back(output_gradients ? *output_gradients[i] : at::ones_like(*outputs[i]));
  }
  for (int i = 0; i < input_count; i++) {
    check_plain(*inputs[i], "input");
    TORCH_CHECK(inputs[i]->requires_grad(), "input ", i, " does not require a gradient");
    leaves.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
  }
  auto found = torch::autograd::Engine::get_default_engine().execute(roots, seeds, keep_graph, create_graph,
                                                                     /*accumulate_grad=*/false, leaves);
  for (int i = 0; i < input_count; i++) results[i] = found[i].defined() ? new at::Tensor(found[i]) : nullptr;
  GAAT_END
}

// torch.nn.functional.batch_norm(input, mean, variance, scale, shift, training=False, eps=epsilon).
char* gaat_running_norm(at::Tensor* input, at::Tensor* scale, at::Tensor* shift, at::Tensor* mean, at::Tensor* variance,
                        double epsilon, at::Tensor** result) {
  GAAT_TRY
  check_floating(*input, "input");
  TORCH_CHECK(input->dim() >= 2, "input: expected [N, C, ...], found the shape ", input->sizes());
  check_floating(*scale, "scale");
  check_device(*scale, *input, "scale");
  TORCH_CHECK(scale->dim() == 1 && scale->size(0) == input->size(1), "scale: expected the shape [", input->size(1),
              "], found ", scale->sizes());
  for (const auto& [tensor, what] : {std::make_pair(shift, "shift"), {mean, "mean"}, {variance, "variance"}})
    check_like(*tensor, *scale, what);
  TORCH_CHECK(input->scalar_type() == scale->scalar_type() || at::isReducedFloatingType(input->scalar_type()),
              "input: expected ", scale->scalar_type(), " or half of its width, found ", input->scalar_type());
  TORCH_CHECK(std::isfinite(epsilon) && epsilon >= 0, "epsilon: expected a number from 0 up, found ", epsilon);
  *result = new at::Tensor(RunningNorm::apply(*input, *scale, *shift, *mean, *variance, epsilon));
  GAAT_END
}

// torch.nn.functional.conv2d(input, weight, bias, stride=2, padding=1).
char* gaat_halving_conv(at::Tensor* input, at::Tensor* weight, at::Tensor* bias, at::Tensor* order, at::Tensor** result) {
  GAAT_TRY
  check_floating(*input, "input");
  TORCH_CHECK(input->dim() == 4 && input->size(2) > 0 && input->size(3) > 0 && input->size(2) % 2 == 0 && input->size(3) % 2 == 0,
              "input: expected [N, C, H, W] with even sides, found the shape ", input->sizes());
  check_plain(*weight, "weight");
  check_device(*weight, *input, "weight");
  TORCH_CHECK(weight->dim() == 4 && weight->size(1) == input->size(1) && weight->size(2) == 4 && weight->size(3) == 4,
              "weight: expected [outputs, ", input->size(1), ", 4, 4], found the shape ", weight->sizes());
  TORCH_CHECK(weight->scalar_type() == input->scalar_type(), "weight: expected ", input->scalar_type(), ", found ",
              weight->scalar_type());
  check_plain(*bias, "bias");
  check_device(*bias, *input, "bias");
  TORCH_CHECK(bias->dim() == 1 && bias->size(0) == weight->size(0) && bias->scalar_type() == weight->scalar_type(),
              "bias: expected [", weight->size(0), "] of ", weight->scalar_type(), ", found ", bias->sizes(), " of ",
              bias->scalar_type());
  check_plain(*order, "order");
  check_device(*order, *input, "order");
  TORCH_CHECK(order->dim() == 1 && order->size(0) == weight->numel() && order->scalar_type() == at::kLong,
              "order: expected [", weight->numel(), "] of Long, found ", order->sizes(), " of ", order->scalar_type());
  *result = new at::Tensor(HalvingConv::apply(*input, *weight, *bias, *order));
  GAAT_END
}

char* gaat_pixel_blocks(at::Tensor* image, at::Tensor** result) {
  GAAT_TRY
  check_floating(*image, "image");
  TORCH_CHECK(image->dim() == 4 && image->size(2) > 0 && image->size(3) > 0 && image->size(2) % 2 == 0 && image->size(3) % 2 == 0,
              "image: expected [N, C, H, W] with even sides, found the shape ", image->sizes());
  TORCH_CHECK(image->element_size() >= 2, "image: expected numbers of 2, 4 or 8 bytes, found ", image->scalar_type());
  *result = new at::Tensor(IntoBlocks::apply(*image));
  GAAT_END
}

// torch.relu_(input).
char* gaat_ordered_relu(at::Tensor* input, at::Tensor** result) {
  GAAT_TRY
  check_floating(*input, "input");
  TORCH_CHECK(!(input->requires_grad() && input->is_leaf() && at::GradMode::is_enabled()),
              "input: a leaf that requires a gradient cannot be changed in place");
  *result = new at::Tensor(OrderedRelu::apply(*input));
  GAAT_END
}

char* gaat_channels_last(at::Tensor* tensor, at::Tensor** result) {
  GAAT_TRY
  check_plain(*tensor, "tensor");
  TORCH_CHECK(tensor->dim() == 4, "tensor: expected [N, C, H, W], found the shape ", tensor->sizes());
  *result = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast));
  GAAT_END
}

char* gaat_in_order_of(at::Tensor* parameter, at::Tensor* gradient, at::Tensor** result) {
  GAAT_TRY
  at::NoGradGuard no_grad;
  check_plain(*parameter, "parameter");
  check_plain(*gradient, "gradient");
  *result = new at::Tensor(in_order_of(parameter->detach(), *gradient));
  GAAT_END
}

// Whether all numbers of each tensor are finite, one bool a tensor in order. A GPU finds the largest absolute value of all of them in a
// few kernels; a processor finds those number by number, but the least and the largest with its vectors. Of numbers among which one
// is NaN, the largest absolute value is NaN, and so are the least and the largest.
char* gaat_are_finite(at::Tensor** tensors, int count, at::Tensor** result) {
  GAAT_TRY
  at::NoGradGuard no_grad;
  TORCH_CHECK(count > 0, "at least one tensor is needed");
  const auto all = list(tensors, count, "tensor");
  for (const auto& tensor : all) {
    check_floating(tensor, "tensor");
    check_device(tensor, all[0], "tensor");
    TORCH_CHECK(tensor.numel() > 0 && tensor.scalar_type() == all[0].scalar_type(), "tensor: expected numbers of ",
                all[0].scalar_type(), " like the first, found ", tensor.numel(), " of ", tensor.scalar_type());
  }
  if (all[0].is_cpu()) {
    std::vector<at::Tensor> least, largest;
    for (const auto& tensor : all) {
      // In the order of the memory: a kernel over all numbers would copy those of channels last first.
      const auto flat = tensor.is_non_overlapping_and_dense() ? tensor.as_strided({tensor.numel()}, {1}) : tensor;
      auto [low, high] = at::aminmax(flat);
      least.push_back(low);
      largest.push_back(high);
    }
    *result = new at::Tensor(at::stack(least).isfinite().logical_and(at::stack(largest).isfinite()));
  } else {
    auto largest = at::_foreach_norm(all, std::numeric_limits<double>::infinity());
    *result = new at::Tensor(at::stack(largest).isfinite());
  }
  GAAT_END
}

// In place over all tensors at once: weight decay (L2), momentum, optional Nesterov. No dampening. Where `is_void` (one f32 on
// the device) is 1 nothing changes.
char* gaat_fused_sgd(at::Tensor** parameters, at::Tensor** gradients, at::Tensor** momenta, int count, int momentum_count,
                     double weight_decay, double momentum, double learning_rate, int nesterov, int is_first_step,
                     at::Tensor* is_void) {
  GAAT_TRY
  at::NoGradGuard no_grad;
  auto p = list(parameters, count, "parameter"), g = list(gradients, count, "gradient");
  check_group(p, *is_void);
  auto m = memories(p, momenta, momentum_count, "momentum");
  g = in_order_of(p, g);
  at::_fused_sgd_(p, g, m, weight_decay, momentum, learning_rate, /*dampening=*/0.0, nesterov, /*maximize=*/false,
                  is_first_step, /*grad_scale=*/{}, *is_void);
  GAAT_END
}

// In place over all tensors at once: Adam with L2 weight decay, or where `decoupled` AdamW, which shrinks the weights themselves; `steps` holds one f32 scalar tensor a parameter.
char* gaat_fused_adam(at::Tensor** parameters, at::Tensor** gradients, at::Tensor** first, at::Tensor** second,
                      at::Tensor** steps, int count, double learning_rate, double beta1, double beta2, double weight_decay,
                      double epsilon, int decoupled, at::Tensor* is_void) {
  GAAT_TRY
  at::NoGradGuard no_grad;
  auto p = list(parameters, count, "parameter"), g = list(gradients, count, "gradient"), s = list(steps, count, "step");
  check_group(p, *is_void);
  for (const auto& step : s) check_number(step, p[0], "step");
  auto a = memories(p, first, count, "first moment"), b = memories(p, second, count, "second moment");
  g = in_order_of(p, g);
  if (decoupled) {
    at::_fused_adamw_(p, g, a, b, /*max_exp_avg_sqs=*/{}, s, learning_rate, beta1, beta2, weight_decay, epsilon,
                      /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{}, *is_void);
  } else {
    at::_fused_adam_(p, g, a, b, /*max_exp_avg_sqs=*/{}, s, learning_rate, beta1, beta2, weight_decay, epsilon,
                     /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{}, *is_void);
  }
  GAAT_END
}

// Where the loaded libtorch lies and how it was built; both are malloc'd and the Rust side frees them.
char* gaat_about_libtorch(char** path, char** settings) {
  GAAT_TRY
  const char* own = own_library();
  *settings = strdup(at::show_config().c_str());
  *path = strdup(own);
  GAAT_END
}

// What torch.backends.{cudnn,cuda.matmul}.allow_tf32 say and set. oneDNN has it for Intel GPUs alone, and it is off.
char* gaat_allow_tf32(int on) {
  GAAT_TRY
  auto& context = at::globalContext();
  context.setAllowTF32CuDNN(on);
  context.setAllowTF32CuBLAS(on);
  GAAT_END
}

char* gaat_allows_tf32(int* found) {
  GAAT_TRY
  const auto& context = at::globalContext();
  *found = context.allowTF32CuDNN() || context.allowTF32CuBLAS();
  GAAT_END
}

char* gaat_set_flush_denormal(int on) {
  GAAT_TRY
  at::globalContext().setFlushDenormal(on);
  GAAT_END
}
}
