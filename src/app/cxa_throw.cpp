// SPDX-License-Identifier: Apache-2.0
//
// cxa_throw: in a file of its own, in which nothing is thrown: a compiler that has met `throw` has declared __cxa_throw in its way.
#include "app/cxa_throw.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <typeinfo>

namespace {

using thrower = void (*)(void*, std::type_info*, void (*)(void*));

thrower runtimes_throw() noexcept {
  static const auto found = reinterpret_cast<thrower>(dlsym(RTLD_NEXT, "__cxa_throw"));
  return found;
}

}  // namespace

void coppice::internal::find_runtimes_throw() noexcept { (void)runtimes_throw(); }

extern "C" [[noreturn]] void __cxa_throw(void* exception, std::type_info* type, void (*destroy)(void*)) {
  coppice::internal::take_note(exception, __builtin_return_address(0));
  if (const thrower next = runtimes_throw()) next(exception, type, destroy);
  std::abort();                           // there is no program without a C++ runtime behind it
}
