// How every entry of the shim ends: nullptr, or a malloc'd message that the Rust side frees; no C++ exception leaves it.
#pragma once
#include <c10/util/Exception.h>
#include <cstring>
#include <exception>

#define GAAT_TRY try {
#define GAAT_END                                                                 \
  return nullptr;                                                                \
  }                                                                              \
  catch (const c10::Error& e) { return strdup(e.what_without_backtrace()); }     \
  catch (const std::exception& e) { return strdup(e.what()); }                   \
  catch (...) { return strdup("unknown C++ exception"); }
