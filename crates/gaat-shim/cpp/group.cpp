// Processes that work together, by the c10d of libtorch: a TCPStore to meet at, gloo for tensors on a processor, NCCL for those on
// GPUs. NCCL needs headers of CUDA that libtorch does not bring: its group is found by its symbols once libtorch_cuda is loaded.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>
#include "checks.h"
#include "entry.h"

namespace {

using StorePointer = c10::intrusive_ptr<c10d::Store>;
using BackendPointer = c10::intrusive_ptr<c10d::Backend>;
using OptionsPointer = c10::intrusive_ptr<c10d::Backend::Options>;

// Bytes that travel at once, as in PyTorch's DistributedDataParallel.
constexpr size_t BUCKET = 25 << 20;

template <class Function>
Function symbol(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  TORCH_CHECK(found != nullptr, "libtorch_cuda is not loaded, or has no ", name);
  return reinterpret_cast<Function>(found);
}

// An object of libtorch_cuda whose size only its header knows; far more than it needs. It frees itself.
template <class Object, class Construct>
c10::intrusive_ptr<Object> made(Construct construct) {
  constexpr size_t SIZE = 64 << 10;
  void* place = ::operator new(SIZE);
  try {
    construct(place);
  } catch (...) {
    ::operator delete(place);
    throw;
  }
  return c10::intrusive_ptr<Object>::unsafe_steal_from_new(static_cast<Object*>(place));
}

// c10d::ProcessGroupNCCL(store, rank, size, options); it and its options begin with the base class that is named here.
BackendPointer nccl(const StorePointer& store, int rank, int size, std::chrono::milliseconds patience) {
  const auto options = symbol<void (*)(void*, bool)>("_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb");
  const auto group = symbol<void (*)(void*, StorePointer, int, int, OptionsPointer)>(
      "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_typeIS3_EEEEiiNS2_"
      "INS0_7OptionsENS5_IS8_EEEE");
  const auto own = made<c10d::Backend::Options>([&](void* place) { options(place, false); });
  own->timeout = patience;
  return made<c10d::Backend>([&](void* place) { group(place, store, rank, size, own); });
}

// libtorch 2.11 keeps one flight recorder a process, which notes the first call of each group in a map outside its own lock
// (c10d::FlightRecorder::recordWithResetEnabled): groups of two threads that begin at once have crashed there.
std::mutex turn;

// Held by the graphs of `Summed` too.
struct Group : torch::CustomClassHolder {
  // Of NCCL's group.
  StorePointer store;
  int rank = 0, size = 1;
  std::chrono::milliseconds patience{0};
  BackendPointer gloo;
  // Made for the first tensor on a GPU, or before.
  BackendPointer on_cuda;

  c10d::Backend& cuda() {
    if (!on_cuda) on_cuda = nccl(store, rank, size, patience);
    return *on_cuda;
  }

  c10d::Backend& of(c10::Device device) {
    TORCH_CHECK(device.is_cpu() || device.is_cuda(), "several processes add up tensors on a processor or on GPUs, found one on ",
                device);
    return device.is_cpu() ? *gloo : cuda();
  }

  // Begins `call`, whose argument is what adds up tensors on `device`. Gloo only queues it there, so that turns cost nothing. NCCL may
  // wait for the others, who may be threads of this process: its calls take no turns.
  template <class Call>
  c10::intrusive_ptr<c10d::Work> begin(c10::Device device, Call call) {
    auto& backend = of(device);
    std::unique_lock<std::mutex> own_turn(turn, std::defer_lock);
    if (device.is_cpu()) own_turn.lock();
    return call(backend);
  }
};

using GroupPointer = c10::intrusive_ptr<Group>;

const GroupPointer& of_handle(void* handle) { return *static_cast<GroupPointer*>(handle); }

// Neighbours of one dtype and device, which travel as one row.
struct Bucket {
  std::vector<at::Tensor> parts;
  std::vector<at::Tensor> flat;
  c10::intrusive_ptr<c10d::Work> work;

  bool takes(const at::Tensor& tensor, size_t filled) const {
    return !parts.empty() && filled < BUCKET && parts[0].scalar_type() == tensor.scalar_type() &&
           parts[0].device() == tensor.device();
  }

  // A tensor alone travels as it lies.
  bool is_in_place() const { return parts.size() == 1 && parts[0].is_contiguous(); }

  void flatten() {
    if (is_in_place()) {
      flat = {parts[0].view(-1)};
      return;
    }
    std::vector<at::Tensor> rows;
    for (const auto& part : parts) rows.push_back(part.reshape(-1));
    flat = {at::cat(rows)};
  }

  void finish() {
    work->wait();
    if (is_in_place()) return;
    int64_t start = 0;
    for (const auto& part : parts) {
      part.copy_(flat[0].narrow(0, start, part.numel()).view(part.sizes()));
      start += part.numel();
    }
  }
};

// Sends `tensors` in buckets, all of them on their way before the first is waited for, and puts in place what comes back.
template <class Send>
void travel(Group& group, at::Tensor** tensors, int count, Send send) {
  at::NoGradGuard no_grad;
  std::vector<Bucket> buckets;
  size_t filled = 0;
  for (int i = 0; i < count; i++) {
    check_plain(*tensors[i], "tensor");
    if (tensors[i]->numel() == 0) continue;
    const auto tensor = tensors[i]->detach();
    if (buckets.empty() || !buckets.back().takes(tensor, filled)) buckets.emplace_back(), filled = 0;
    buckets.back().parts.push_back(tensor);
    filled += tensor.nbytes();
  }
  for (auto& bucket : buckets) {
    bucket.flatten();
    bucket.work = group.begin(bucket.flat[0].device(), [&](c10d::Backend& backend) { return send(backend, bucket.flat); });
  }
  for (auto& bucket : buckets) bucket.finish();
}

// The sum over the processes of what each has. Its gradient is the sum of their gradients, and has one itself.
struct Summed : torch::autograd::Function<Summed> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& own, const c10::IValue& group) {
    context->saved_data["group"] = group;
    at::AutoDispatchBelowADInplaceOrView guard;
    auto sum = own.clone(at::MemoryFormat::Contiguous);
    std::vector<at::Tensor> row{sum};
    const auto joined = c10::static_intrusive_pointer_cast<Group>(group.toCapsule());
    joined->begin(sum.device(), [&](c10d::Backend& backend) { return backend.allreduce(row, {}); })->wait();
    return sum;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {apply(gradients[0], context->saved_data["group"]), {}};
  }
};

}  // namespace

extern "C" {

// A store at `host`:`port`, served from here with `serves`. `milliseconds` is how long is waited for it.
char* gaat_store_connect(const char* host, uint16_t port, int serves, int64_t milliseconds, void** out) {
  GAAT_TRY
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = serves != 0;
  options.waitWorkers = false;
  options.timeout = std::chrono::milliseconds(milliseconds);
  *out = new StorePointer(c10::make_intrusive<c10d::TCPStore>(host, options));
  GAAT_END
}

void gaat_store_free(void* store) noexcept {
  // A store that serves waits for its thread, which may have failed.
  try {
    delete static_cast<StorePointer*>(store);
  } catch (...) {
  }
}

char* gaat_store_add(void* store, const char* key, int64_t amount, int64_t* found) {
  GAAT_TRY
  *found = (*static_cast<StorePointer*>(store))->add(key, amount);
  GAAT_END
}

char* gaat_store_set(void* store, const char* key, const char* text) {
  GAAT_TRY
  (*static_cast<StorePointer*>(store))->set(key, std::string(text));
  GAAT_END
}

// The text under `key`; nullptr where there is none yet.
char* gaat_store_get(void* store, const char* key, char** text) {
  GAAT_TRY
  auto& found = **static_cast<StorePointer*>(store);
  *text = nullptr;
  if (found.check({key})) *text = message(found.get_to_str(key).c_str());
  GAAT_END
}

// Joins the `size` processes that call this with the same `prefix`. Gloo listens at the address of `host`, or of `interface`, where
// one is given.
char* gaat_group_join(void* store, const char* prefix, int rank, int size, int64_t milliseconds, const char* interface,
                      const char* host, void** out) {
  GAAT_TRY
  const std::chrono::milliseconds patience(milliseconds);
  const auto& whole = *static_cast<StorePointer*>(store);
  auto group = c10::make_intrusive<Group>();
  group->store = c10::make_intrusive<c10d::PrefixStore>(std::string(prefix) + "/nccl", whole);
  group->rank = rank, group->size = size, group->patience = patience;
  auto options = c10d::ProcessGroupGloo::Options::create(patience);
  options->devices.push_back(interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                             : host    ? c10d::ProcessGroupGloo::createDeviceForHostname(host)
                                       : c10d::ProcessGroupGloo::createDefaultDevice());
  const StorePointer own = c10::make_intrusive<c10d::PrefixStore>(std::string(prefix) + "/gloo", whole);
  group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(own, rank, size, options);
  *out = new GroupPointer(std::move(group));
  GAAT_END
}

// Makes what adds up tensors on GPUs, where there is none yet.
char* gaat_group_for_cuda(void* group) {
  GAAT_TRY
  of_handle(group)->cuda();
  GAAT_END
}

void gaat_group_free(void* group) noexcept {
  // Groups wait for their threads, which may have failed.
  try {
    delete static_cast<GroupPointer*>(group);
  } catch (...) {
  }
}

// Each of `tensors` becomes its sum over the processes.
char* gaat_group_sum(void* group, at::Tensor** tensors, int count) {
  GAAT_TRY
  travel(*of_handle(group), tensors, count, [](c10d::Backend& backend, std::vector<at::Tensor>& row) { return backend.allreduce(row, {}); });
  GAAT_END
}

// Each of `tensors` becomes that of the process with rank 0.
char* gaat_group_share(void* group, at::Tensor** tensors, int count) {
  GAAT_TRY
  travel(*of_handle(group), tensors, count, [](c10d::Backend& backend, std::vector<at::Tensor>& row) { return backend.broadcast(row, {}); });
  GAAT_END
}

// The sum over the processes, with its graph.
char* gaat_group_sum_recorded(void* group, at::Tensor* own, at::Tensor** result) {
  GAAT_TRY
  check_floating(*own, "tensor");
  const auto capsule = c10::IValue::make_capsule(of_handle(group));
  *result = new at::Tensor(Summed::apply(*own, capsule));
  GAAT_END
}
}
