// SPDX-License-Identifier: Apache-2.0
//
// parallel_start: children that do not wait for one another. Runs in the supervisor.
#pragma once

#include <coppice/process/child_spec.hpp>

#include <vector>

namespace coppice::internal {

/// Starts all of `specs` at the same time and waits until each has come to something.
/// Returns: the outcomes, in the order of `specs`. Who was started is linked to the running process, which is its parent.
std::vector<started_child> start_in_parallel(const std::vector<child_spec*>& specs);

}  // namespace coppice::internal
