// SPDX-License-Identifier: Apache-2.0
//
// blocking: announces code that keeps its thread for long (a system call, a foreign library, a long computation). Such code
// may stand anywhere; without the announcement the runtime notices after a millisecond, with it at once.
#pragma once

#include <utility>

namespace coppice {

/// While it lives, the calling worker's queue belongs to the others.
/// Thread: any; no effect outside workers.   Cost: a look at the queues; a wake-up if work waits.
class blocking_scope {
 public:
  blocking_scope() noexcept;
  ~blocking_scope() = default;
  blocking_scope(const blocking_scope&) = delete;
  blocking_scope& operator=(const blocking_scope&) = delete;
};

/// Runs `f()` announced as blocking.   Returns: what `f` returns.
template <class F>
decltype(auto) blocking(F&& f) {
  const blocking_scope announced;
  return std::forward<F>(f)();
}

}  // namespace coppice
