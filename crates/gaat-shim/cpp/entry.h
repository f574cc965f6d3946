// What the entries of the shim share. How each ends: nullptr, or a malloc'd message that the Rust side frees; no C++ exception leaves it.
#pragma once
#include <ATen/Version.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <cstdlib>
#include <cstring>
#include <exception>

#define GAAT_TRY try {
#define GAAT_END                                                                 \
  return nullptr;                                                                \
  }                                                                              \
  catch (const c10::Error& e) { return message(e.what_without_backtrace()); }    \
  catch (const std::exception& e) { return message(e.what()); }                  \
  catch (...) { return message("unknown C++ exception"); }

// nullptr would mean success: without memory for a message there is nothing left to do.
inline char* message(const char* text) noexcept {
  char* copy = strdup(text);
  if (copy == nullptr) std::abort();
  return copy;
}

// The file that libtorch was loaded from.
inline const char* own_library() {
  Dl_info info;
  TORCH_CHECK(dladdr(reinterpret_cast<void*>(&at::show_config), &info) != 0, "the loader does not know its own library");
  return info.dli_fname;
}
