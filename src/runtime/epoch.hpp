// SPDX-License-Identifier: Apache-2.0
//
// epoch: the runtime's side of include/coppice/runtime/detail/epoch.hpp: threads that end, fibers that leave.
#pragma once

#include <coppice/runtime/detail/epoch.hpp>

#include "runtime/thread_block.hpp"

namespace coppice::internal {

/// The guards that stand on the stack of `leaving` become counts.
void count_views(thread_block& block, const fiber& leaving) noexcept;
/// To be called before `leaving`, which runs on this thread, is suspended.   Cost: one load and one branch.
inline void count_views_before_leaving(thread_block& block, const fiber& leaving) noexcept {
  if (block.guards.load(sync::relaxed) != nullptr) [[unlikely]] count_views(block, leaving);
}

/// The thread ends: what it has retired is left to others.
void leave_epochs(detail::reader& ending) noexcept;

/// Frees all that can be freed now: closes this thread's batch and moves the epoch as far as readers allow.
/// Returns: how many boxes of this thread, and of those that have ended, are still waiting.
std::size_t reclaim() noexcept;

/// How much gathers before something is done about it. The simulation makes both small.
struct epoch_limits {
  std::uint32_t boxes = 124;                     // in a batch, at most 124
  std::size_t batches = 32;                      // waiting: from here on a lagging thread without a guard is passed over
};
extern epoch_limits limits_of_epochs;

/// Bytes that the program has retired and not yet freed; a guess while threads work.
std::size_t retired_bytes() noexcept;

/// Starts over, and frees what the program has retired. Only for the simulation.
void renew_epochs() noexcept;
void drop_retired() noexcept;

}  // namespace coppice::internal
