// SPDX-License-Identifier: Apache-2.0
//
// task_supervisor: a task that another process, its supervisor, spawns for its owner.
#pragma once

#include <coppice/otp/supervisor.hpp>

#include "otp/task_core.hpp"

namespace coppice::internal {

/// Has the supervisor at `at` spawn the task of `p`, whose function is moved away, and permits it to run. When it throws, the task
/// will not run, and `p` will be done.
void spawn_under(const detail::supervisor_address& at, result_place* p, const detail::task_start& what, const shutdown_time& shutdown);

}  // namespace coppice::internal
