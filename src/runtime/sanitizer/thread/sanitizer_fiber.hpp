// SPDX-License-Identifier: Apache-2.0
//
// sanitizer_fiber, ThreadSanitizer variant: each fiber is a thread of its own to the checker (which has room for about
// 8,000 of them at a time). CMake puts this folder, ../address or ../none on the include path.
//
// A switch orders what lies on its two sides, as one thread does in truth; order between threads comes only from the
// atomics by which a suspended fiber is handed over, so a missing one is still found.
//
// All members that switch are inlined: the checker keeps a call stack per fiber, and a function entered on one and left
// on another would unbalance both.
#pragma once

#include <cstddef>
#include <sanitizer/tsan_interface.h>

namespace coppice::internal {

struct sanitizer_fiber {
  static constexpr bool tracks_fibers = true;

  void create(std::byte* /*bottom*/, std::byte* /*top*/) noexcept { own_ = __tsan_create_fiber(0); }
  void destroy() noexcept { __tsan_destroy_fiber(own_); }

  [[gnu::always_inline]] void before_enter() noexcept {
    resumer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(own_, 0);
  }
  [[gnu::always_inline]] void after_enter() noexcept {}
  [[gnu::always_inline]] void before_leave() noexcept { __tsan_switch_to_fiber(resumer_, 0); }
  [[gnu::always_inline]] void before_abandon() noexcept { before_leave(); }
  [[gnu::always_inline]] void after_leave() noexcept {}

 private:
  void* own_ = nullptr;
  void* resumer_ = nullptr;
};

}  // namespace coppice::internal
