// Operators of libtorch by name: found, described and called with tagged values, as a graph from a file asks for them. How an entry
// ends: see entry.h.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CPUAllocator.h>
#include <limits>
#include <map>
#include <mutex>
#include <sstream>
#include "entry.h"

namespace {

// As in dispatch.rs.
enum Tag : int32_t { DEFAULT, NONE, TENSOR, INT, FLOAT, BOOL, STRING, INTS, FLOATS, BOOLS, TENSORS };

// As in dispatch.rs. A list lies at `data`; a tensor is `data` itself; in a list of tensors nullptr stands for None.
struct Value {
  int32_t tag;
  int64_t number;  // INT, BOOL, or the length of a list or string
  double real;     // FLOAT
  const void* data;
};

struct Operator {
  c10::OperatorHandle handle;
  const std::vector<c10::Argument>& arguments;
};

[[noreturn]] void misfit(const Value& value, const c10::Type& type) {
  static const char* const names[] = {"nothing", "None", "a tensor", "a whole number", "a number", "a bool", "a text",
                                      "whole numbers", "numbers", "bools", "tensors"};
  TORCH_CHECK(false, names[value.tag], " where ", type.str(), " is expected");
}

// Python wraps a number that stands for a tensor, so that it does not decide about the dtype of the result.
at::Tensor wrapped_number(const at::Scalar& scalar) {
  auto tensor = at::scalar_to_tensor(scalar);
  tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

template <class T>
c10::List<T> list_of(const Value& value, int64_t broadcast) {
  c10::List<T> list;
  const auto data = static_cast<const T*>(value.data);
  if (value.tag == INT || value.tag == FLOAT || value.tag == BOOL) {  // one number where int[2] is expected
    for (int64_t i = 0; i < broadcast; i++) list.push_back(value.tag == FLOAT ? T(value.real) : T(value.number));
    return list;
  }
  list.reserve(value.number);
  for (int64_t i = 0; i < value.number; i++) list.push_back(data[i]);
  return list;
}

c10::IValue converted_list(const Value& value, const c10::Type& type, int64_t length) {
  const auto& element = *type.castRaw<c10::ListType>()->getElementType();
  const auto tensors = static_cast<at::Tensor* const*>(value.data);
  switch (element.kind()) {
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      if (value.tag == INTS || value.tag == INT) return list_of<int64_t>(value, length);
      break;
    case c10::TypeKind::FloatType:
      if (value.tag == FLOATS || value.tag == FLOAT) return list_of<double>(value, length);
      break;
    case c10::TypeKind::BoolType:
      if (value.tag == BOOLS || value.tag == BOOL) return list_of<bool>(value, length);
      break;
    case c10::TypeKind::TensorType:
      if (value.tag == TENSORS) {
        c10::List<at::Tensor> list;
        list.reserve(value.number);
        for (int64_t i = 0; i < value.number; i++) {
          TORCH_CHECK(tensors[i], "None in a list of tensors");
          list.push_back(*tensors[i]);
        }
        return list;
      }
      break;
    case c10::TypeKind::OptionalType:
      if (value.tag == TENSORS) {
        c10::List<std::optional<at::Tensor>> list;
        list.reserve(value.number);
        for (int64_t i = 0; i < value.number; i++)
          list.push_back(tensors[i] ? std::optional<at::Tensor>(*tensors[i]) : std::nullopt);
        return list;
      }
      break;
    default: break;
  }
  misfit(value, type);
}

// `value` as an argument of type `type`. `length`: of a list of fixed length that one number may stand for.
c10::IValue converted(const Value& value, const c10::Type& type, int64_t length) {
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      if (value.tag == NONE) return {};
      return converted(value, *type.castRaw<c10::OptionalType>()->getElementType(), length);
    case c10::TypeKind::TensorType:
      if (value.tag == TENSOR) return *static_cast<const at::Tensor*>(value.data);
      if (value.tag == INT) return wrapped_number(at::Scalar(value.number));
      if (value.tag == FLOAT) return wrapped_number(at::Scalar(value.real));
      if (value.tag == BOOL) return wrapped_number(at::Scalar(value.number != 0));
      break;
    case c10::TypeKind::NumberType:
      if (value.tag == INT) return value.number;
      if (value.tag == FLOAT) return value.real;
      if (value.tag == BOOL) return value.number != 0;
      break;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      if (value.tag == INT || value.tag == BOOL) return value.number;
      break;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      if (value.tag == FLOAT) return value.real;
      if (value.tag == INT) return static_cast<double>(value.number);
      break;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
      if (value.tag == BOOL || value.tag == INT) return value.number != 0;
      break;
    case c10::TypeKind::StringType:
      if (value.tag == STRING) return std::string(static_cast<const char*>(value.data), value.number);
      break;
    case c10::TypeKind::DeviceObjType:
      if (value.tag == STRING) return c10::Device(std::string(static_cast<const char*>(value.data), value.number));
      break;
    case c10::TypeKind::ListType: return converted_list(value, type, length);
    default: break;
  }
  misfit(value, type);
}

Value result(const c10::IValue& value) {
  if (value.isTensor()) return {TENSOR, 0, 0, value.toTensor().defined() ? new at::Tensor(value.toTensor()) : nullptr};
  if (value.isTensorList()) {
    const auto list = value.toTensorVector();
    auto data = static_cast<at::Tensor**>(malloc(sizeof(at::Tensor*) * (list.size() + 1)));
    for (size_t i = 0; i < list.size(); i++) data[i] = new at::Tensor(list[i]);
    return {TENSORS, static_cast<int64_t>(list.size()), 0, data};
  }
  if (value.isInt()) return {INT, value.toInt(), 0, nullptr};
  if (value.isSymInt()) return {INT, value.toSymInt().guard_int(__FILE__, __LINE__), 0, nullptr};
  if (value.isBool()) return {BOOL, value.toBool(), 0, nullptr};
  if (value.isDouble()) return {FLOAT, 0, value.toDouble(), nullptr};
  if (value.isNone()) return {NONE, 0, 0, nullptr};
  TORCH_CHECK(false, "an operator returned ", value.tagKind());
}

thread_local uint64_t allocation_bound = std::numeric_limits<uint64_t>::max();

// libtorch's own allocator for the CPU, which refuses what lies over the bound of the thread.
struct BoundedAllocator final : c10::Allocator {
  c10::Allocator* inner = c10::GetCPUAllocator();

  c10::DataPtr allocate(size_t bytes) override {
    TORCH_CHECK(bytes <= allocation_bound, "an operator asks for ", bytes, " bytes at once; the sizes that the file states are not those "
                "that it computes with (", allocation_bound, " bytes at most)");
    return inner->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t count) const override { inner->copy_data(to, from, count); }
};

}  // namespace

extern "C" {

// The operator `name`, such as aten::conv2d; it lives as long as the process, as the dispatcher's own entry does.
char* gaat_operator_find(const char* name, const char* overload, const Operator** found) {
  GAAT_TRY
  static std::mutex mutex;
  static std::map<std::pair<std::string, std::string>, std::unique_ptr<Operator>> known;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& entry = known[{name, overload}];
  if (!entry) {
    const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
    TORCH_CHECK(handle, "this libtorch has no operator ", name, overload[0] ? "." : "", overload);
    entry.reset(new Operator{*handle, handle->schema().arguments()});
  }
  *found = entry.get();
  GAAT_END
}

// A line an argument: name and type with a tab between.
char* gaat_operator_describe(const Operator* op, char** text) {
  GAAT_TRY
  std::ostringstream out;
  for (const auto& argument : op->arguments) out << argument.name() << "\t" << argument.type()->str() << "\n";
  *text = strdup(out.str().c_str());
  GAAT_END
}

// Calls with one value an argument of the schema; `results` has room for `room`.
char* gaat_operator_call(const Operator* op, const Value* values, int count, Value* results, int room, int* result_count) {
  GAAT_TRY
  TORCH_CHECK(count == static_cast<int>(op->arguments.size()), "wrong number of values");
  c10::Stack stack;
  stack.reserve(count);
  for (int i = 0; i < count; i++) {
    const auto& argument = op->arguments[i];
    if (values[i].tag == DEFAULT) {
      TORCH_CHECK(argument.default_value(), "no value for `", argument.name(), "`");
      stack.push_back(*argument.default_value());
    } else {
      stack.push_back(converted(values[i], *argument.type(), argument.N().value_or(0)));
    }
  }
  op->handle.callBoxed(stack);
  TORCH_CHECK(static_cast<int>(stack.size()) <= room, "too many results");
  *result_count = static_cast<int>(stack.size());
  for (size_t i = 0; i < stack.size(); i++) results[i] = result(stack[i]);
  GAAT_END
}

// torch.autocast("cpu" or "cuda", bfloat16) on this thread; `on` = 0 also empties the cache of converted weights.
char* gaat_autocast(int is_cuda, int on) {
  GAAT_TRY
  const auto device = is_cuda ? at::kCUDA : at::kCPU;
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::set_autocast_enabled(device, on);
  if (!on) at::autocast::clear_cache();
  GAAT_END
}

// Attention by plain products, which can be differentiated twice, instead of by whatever is fastest; for the whole process.
char* gaat_plain_attention() {
  GAAT_TRY
  auto& context = at::globalContext();
  context.setSDPUseMath(true);
  context.setSDPUseFlash(false);
  context.setSDPUseMemEfficient(false);
  context.setSDPUseCuDNN(false);
  GAAT_END
}

// No single tensor of this thread on the CPU gets more than `bytes` from now on; `before` is the bound until now.
char* gaat_bound_allocations(uint64_t bytes, uint64_t* before) {
  GAAT_TRY
  static BoundedAllocator bounded;
  static std::once_flag once;
  std::call_once(once, [] { c10::SetCPUAllocator(&bounded, /*priority=*/100); });
  *before = allocation_bound;
  allocation_bound = bytes;
  GAAT_END
}
}
