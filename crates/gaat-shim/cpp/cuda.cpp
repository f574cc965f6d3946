// libtorch's half for NVIDIA GPUs, loaded at run time: kernels recorded as CUDA graphs, and points in time on a stream. Needs no
// CUDA to compile: streams and events have an interface for all devices, and CUDAGraph is found by its symbols.
#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <unistd.h>
#include <cstdlib>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include "entry.h"

namespace {

using Pool = std::pair<unsigned long long, unsigned long long>;  // c10::MempoolId_t

// Members of at::cuda::CUDAGraph (ATen/cuda/CUDAGraph.h); on Linux a member function takes its object first.
struct CudaGraph {
  // Its own size is about 200 bytes.
  static constexpr size_t SIZE = 1024, ALIGNMENT = 64;

  void (*construct)(void*, bool);
  void (*destroy)(void*);
  void (*begin)(void*, Pool, int);
  void (*end)(void*);
  void (*replay)(void*);
  Pool (*new_pool)();

  static const CudaGraph& symbols() {
    static const CudaGraph found = {
        symbol<void (*)(void*, bool)>("_ZN2at4cuda9CUDAGraphC1Eb"),
        symbol<void (*)(void*)>("_ZN2at4cuda9CUDAGraphD1Ev"),
        symbol<void (*)(void*, Pool, int)>("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode"),
        symbol<void (*)(void*)>("_ZN2at4cuda9CUDAGraph11capture_endEv"),
        symbol<void (*)(void*)>("_ZN2at4cuda9CUDAGraph6replayEv"),
        symbol<Pool (*)()>("_ZN2at4cuda17graph_pool_handleEv"),
    };
    return found;
  }

 private:
  template <class Function>
  static Function symbol(const char* name) {
    void* found = dlsym(RTLD_DEFAULT, name);
    TORCH_CHECK(found != nullptr, "libtorch_cuda is not loaded, or has no ", name);
    return reinterpret_cast<Function>(found);
  }
};

// Numbers that are no device would be cut to the width of an index and mean another one.
c10::Device cuda(int index) {
  const int count = c10::impl::hasDeviceGuardImpl(c10::kCUDA) ? c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount() : 0;
  TORCH_CHECK(index >= 0 && index < count, "no GPU has the number ", index, "; libtorch sees ", count);
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// What frees has nobody to tell, and an exception that leaves a destructor ends the process.
template <class Work>
void quietly(Work work) noexcept {
  try {
    work();
  } catch (...) {
  }
}

struct Recording {
  void* graph = nullptr;
  c10::Device device;
  // Stream of the caller, while the recording goes on.
  std::unique_ptr<c10::Stream> before;

  explicit Recording(c10::Device device) : device(device) {
    void* place = std::aligned_alloc(CudaGraph::ALIGNMENT, CudaGraph::SIZE);
    TORCH_CHECK(place != nullptr, "no room for a graph");
    try {
      CudaGraph::symbols().construct(place, /*keep_graph=*/false);
    } catch (...) {
      std::free(place);
      throw;
    }
    graph = place;
  }
  Recording(const Recording&) = delete;
  // Also ends one that went wrong: the thread is back on its stream.
  ~Recording() {
    quietly([this] { back(); });
    quietly([this] {
      if (graph) CudaGraph::symbols().destroy(graph);
    });
    std::free(graph);
  }

  void back() {
    if (before) c10::impl::VirtualGuardImpl(c10::kCUDA).exchangeStream(*before);
    before.reset();
  }
};

}  // namespace

extern "C" {

char* gaat_cuda_has_bf16(int* found) {
  GAAT_TRY
  // Asks for compute capability 8 and nothing else.
  *found = at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
  GAAT_END
}


// Loads libtorch_cuda.so from the folder of libtorch_cpu.so where there is one. Its kernels register themselves; libtorch asks
// for them once, at the first random number or tensor on a GPU, and does not ask again.
char* gaat_load_cuda(int* found) {
  GAAT_TRY
  const std::string own = own_library();
  const auto slash = own.rfind('/');
  const std::string path = (slash == std::string::npos ? "" : own.substr(0, slash + 1)) + "libtorch_cuda.so";
  *found = access(path.c_str(), F_OK) == 0;
  if (*found) TORCH_CHECK(dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr, dlerror());
  GAAT_END
}

// A memory pool that recordings may share.
char* gaat_graph_pool(unsigned long long* first, unsigned long long* second) {
  GAAT_TRY
  std::tie(*first, *second) = CudaGraph::symbols().new_pool();
  GAAT_END
}

// From here to gaat_graph_end the kernels that this thread launches are recorded and not run. CUDA records no default stream,
// so that the thread changes to another one.
char* gaat_graph_begin(int device, unsigned long long first, unsigned long long second, void** out) {
  GAAT_TRY
  const c10::DeviceGuard guard(cuda(device));
  const c10::impl::VirtualGuardImpl streams(c10::kCUDA);
  auto recording = std::make_unique<Recording>(cuda(device));
  streams.synchronizeDevice(recording->device.index());
  // What passes took before they were recorded would lie idle beside the pool.
  at::accelerator::emptyCache();
  const auto stream = streams.getStreamFromGlobalPool(recording->device, /*isHighPriority=*/false);
  recording->before = std::make_unique<c10::Stream>(streams.exchangeStream(stream));
  CudaGraph::symbols().begin(recording->graph, Pool(first, second), /*cudaStreamCaptureModeGlobal*/ 0);
  *out = recording.release();
  GAAT_END
}

char* gaat_graph_end(void* handle) {
  GAAT_TRY
  auto* recording = static_cast<Recording*>(handle);
  const c10::DeviceGuard guard(recording->device);
  CudaGraph::symbols().end(recording->graph);
  recording->back();
  GAAT_END
}

// Runs what was recorded, on the present stream.
char* gaat_graph_replay(void* handle) {
  GAAT_TRY
  auto* recording = static_cast<Recording*>(handle);
  const c10::DeviceGuard guard(recording->device);
  CudaGraph::symbols().replay(recording->graph);
  GAAT_END
}

void gaat_graph_free(void* handle) noexcept {
  quietly([handle] { delete static_cast<Recording*>(handle); });
}

// The point in time at which the device has done what it was told so far on the present stream.
char* gaat_event_record(int device, void** out) {
  GAAT_TRY
  const c10::DeviceGuard guard(cuda(device));
  // BACKEND_DEFAULT keeps the time.
  auto event = std::make_unique<c10::Event>(c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
  event->record(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(cuda(device)));
  *out = event.release();
  GAAT_END
}

char* gaat_event_wait(void* event) {
  GAAT_TRY
  static_cast<c10::Event*>(event)->synchronize();
  GAAT_END
}

// Milliseconds from `first` to `second`, once both are past.
char* gaat_event_elapsed(void* first, void* second, double* found) {
  GAAT_TRY
  *found = static_cast<c10::Event*>(first)->elapsedTime(*static_cast<c10::Event*>(second));
  GAAT_END
}

// Most bytes that libtorch has held of the device's memory so far.
char* gaat_cuda_peak(int device, double* bytes) {
  GAAT_TRY
  const auto stats = at::accelerator::getDeviceStats(cuda(device).index());
  *bytes = static_cast<double>(stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak);
  GAAT_END
}

void gaat_event_free(void* event) noexcept {
  quietly([event] { delete static_cast<c10::Event*>(event); });
}
}
