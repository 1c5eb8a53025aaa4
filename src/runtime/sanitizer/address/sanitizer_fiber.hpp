// SPDX-License-Identifier: Apache-2.0
//
// sanitizer_fiber, AddressSanitizer variant: announces each change of stack and registers fiber stacks as roots of the
// leak checker. CMake puts this folder, ../thread or ../none on the include path.
//
// Frames that the checker moves to its own heap (detect_stack_use_after_return) are not leak-checker roots while their
// fiber is suspended: run with detect_stack_use_after_return=0, or expect false leaks.
//
// Thread: the members before_enter and after_leave run on the resumer's stack, the others on the fiber's own; between
// create and destroy exactly one thread has the fiber in its hands. All are inlined: a call between an announcement and
// its switch would run on a stack that the checker does not expect.
#pragma once

#include <cstddef>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

namespace coppice::internal {

struct sanitizer_fiber {
  static constexpr bool tracks_fibers = true;

  void create(std::byte* bottom, std::byte* top) noexcept {
    bottom_ = bottom;
    size_ = static_cast<std::size_t>(top - bottom);
    __lsan_register_root_region(bottom_, size_);
  }
  /// The addresses may get another use: the marks around the last frames go.
  void destroy() noexcept {
    __lsan_unregister_root_region(bottom_, size_);
    __asan_unpoison_memory_region(bottom_, size_);
  }

  [[gnu::always_inline]] void before_enter() noexcept {
    __sanitizer_start_switch_fiber(&resumer_frames_, bottom_, size_);
  }
  [[gnu::always_inline]] void after_enter() noexcept {
    __sanitizer_finish_switch_fiber(own_frames_, &resumer_bottom_, &resumer_size_);
  }
  [[gnu::always_inline]] void before_leave() noexcept {
    __sanitizer_start_switch_fiber(&own_frames_, resumer_bottom_, resumer_size_);
  }
  [[gnu::always_inline]] void before_abandon() noexcept {
    __sanitizer_start_switch_fiber(nullptr, resumer_bottom_, resumer_size_);
  }
  [[gnu::always_inline]] void after_leave() noexcept {
    __sanitizer_finish_switch_fiber(resumer_frames_, nullptr, nullptr);
  }

 private:
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* own_frames_ = nullptr;      // the checker's frames of this fiber while it is left
  void* resumer_frames_ = nullptr;  // those of the context that resumed it while it runs
  const void* resumer_bottom_ = nullptr;
  std::size_t resumer_size_ = 0;
};

}  // namespace coppice::internal
