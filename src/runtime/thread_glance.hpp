// SPDX-License-Identifier: Apache-2.0
//
// thread_glance: what the operating system says of a thread that makes no headway: that it waits for something, that it computes, or
// that it waits for a core. Only the last is no reason to start another one: there would be two that wait.
#pragma once

#include <cstdint>

namespace coppice::internal {

/// The calling thread's number in the operating system; 0: it has none of its own (in the simulation all share one).
int own_thread_number() noexcept;

struct thread_glance {
  bool may_run = false;            // runs, or would if it had a core
  std::int64_t core_awaited = 0;   // ns that it has ever waited for one
};
/// Thread: any.   Cost: some 10 µs: it reads two files of /proc. Where they cannot be read it says that the thread may not run.
thread_glance glance_at(int thread_number) noexcept;

}  // namespace coppice::internal
