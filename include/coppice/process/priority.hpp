// SPDX-License-Identifier: Apache-2.0
//
// priority: which of the processes that can run runs first. It orders turns, not messages, and not direct calls: an idle
// server is run by its caller whatever the priority of either. Process room; the queues are the scheduler's.
#pragma once

#include <cstdint>

namespace coppice {

/// high: before all others, but for two of 61 turns of a worker. low: every 8th turn, or when nothing else waits.
/// Spec: PR-4, PR-86.
enum class priority : std::uint8_t { low, normal, high };

/// Sets the priority of the calling process. Returns: the previous one.
/// Fails:   exit_error in a plain thread.   Thread: the process itself.   Cost: O(1).   Spec: PR-85, PR-86.
priority set_priority(priority level);

}  // namespace coppice
