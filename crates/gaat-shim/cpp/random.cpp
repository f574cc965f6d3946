// Random numbers without libtorch's own generators, and these lent and given back: whoever draws beside gaat never notices.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <c10/core/GradMode.h>
#include <mutex>
#include "checks.h"
#include "entry.h"

namespace {

// A generator of its own, which gives the numbers that the device's own one gives after this seed.
at::Generator fresh(const at::Device& device, int64_t seed) {
  auto generator = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                   : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(static_cast<uint64_t>(seed));
  return generator;
}

at::Generator own(const at::Tensor& there) { return at::globalContext().defaultGenerator(there.device()); }

}  // namespace

// Uniform numbers in [low, high) in place.
extern "C" char* gaat_draw_uniform(at::Tensor* tensor, double low, double high, int64_t seed) {
  GAAT_TRY
  c10::NoGradGuard no_grad;
  tensor->uniform_(low, high, fresh(tensor->device(), seed));
  GAAT_END
}

// Normal numbers in place.
extern "C" char* gaat_draw_normal(at::Tensor* tensor, double mean, double deviation, int64_t seed) {
  GAAT_TRY
  c10::NoGradGuard no_grad;
  tensor->normal_(mean, deviation, fresh(tensor->device(), seed));
  GAAT_END
}

// Whole numbers in low..high in place.
extern "C" char* gaat_draw_whole(at::Tensor* tensor, int64_t low, int64_t high, int64_t seed) {
  GAAT_TRY
  c10::NoGradGuard no_grad;
  tensor->random_(low, high, fresh(tensor->device(), seed));
  GAAT_END
}

// Seeds libtorch's own generator where `there` lies; `state` is what it was.
extern "C" char* gaat_lend_generator(at::Tensor* there, int64_t seed, at::Tensor** state) {
  GAAT_TRY
  auto generator = own(*there);
  std::lock_guard<std::mutex> lock(generator.mutex());
  *state = new at::Tensor(generator.get_state());
  generator.set_current_seed(static_cast<uint64_t>(seed));
  GAAT_END
}

extern "C" char* gaat_return_generator(at::Tensor* there, at::Tensor* state) {
  GAAT_TRY
  auto generator = own(*there);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(*state);
  GAAT_END
}
