// What the entries of the shim share. How each ends: nullptr, or a malloc'd message that the Rust side frees; no C++ exception leaves it.
#pragma once
#include <ATen/Version.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <cstring>
#include <exception>

#define GAAT_TRY try {
#define GAAT_END                                                                 \
  return nullptr;                                                                \
  }                                                                              \
  catch (const c10::Error& e) { return strdup(e.what_without_backtrace()); }     \
  catch (const std::exception& e) { return strdup(e.what()); }                   \
  catch (...) { return strdup("unknown C++ exception"); }

// The file that libtorch was loaded from.
inline const char* own_library() {
  Dl_info info;
  TORCH_CHECK(dladdr(reinterpret_cast<void*>(&at::show_config), &info) != 0, "the loader does not know its own library");
  return info.dli_fname;
}
