// Stands in for a header that wheels of torch ship ProcessGroupGloo.hpp without; the code itself lies in libtorch_cpu. Nothing here
// is made or called.
#pragma once
#include <chrono>
namespace gloo {
struct Context {
  void setTimeout(std::chrono::milliseconds);
};
}  // namespace gloo
