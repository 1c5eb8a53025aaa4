// SPDX-License-Identifier: Apache-2.0
//
// sanitizer_fiber, plain variant: nobody needs to be told about fibers. See ../address and ../thread for the others;
// CMake puts one of the three folders on the include path.
#pragma once

#include <cstddef>

namespace coppice::internal {

struct sanitizer_fiber {
  static constexpr bool tracks_fibers = false;

  void create(std::byte* /*bottom*/, std::byte* /*top*/) noexcept {}
  void destroy() noexcept {}
  void before_enter() noexcept {}
  void after_enter() noexcept {}
  void before_leave() noexcept {}
  void before_abandon() noexcept {}
  void after_leave() noexcept {}
};

}  // namespace coppice::internal
