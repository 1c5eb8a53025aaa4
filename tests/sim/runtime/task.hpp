// SPDX-License-Identifier: Apache-2.0
//
// task: something to run that is no process, for scenarios of a scheduler alone.
#pragma once

#include "runtime/scheduler.hpp"

namespace coppice::testing {

struct task : internal::runnable {
  virtual void run() = 0;

 protected:
  ~task() = default;
};

/// The scheduler's hook.
inline void run_task(internal::runnable* r) noexcept { static_cast<task*>(r)->run(); }

}  // namespace coppice::testing
