// SPDX-License-Identifier: Apache-2.0
//
// task_core: what tasks, groups and streams share: who may ask, and waiting for what comes on a list.
#pragma once

#include <coppice/otp/detail/task_core.hpp>

#include "process/result_place.hpp"

#include <vector>

namespace coppice::detail {

/// What a group knows of its tasks. A list of done places is its first part, so a place's `home` finds the group.
struct group_core : internal::done_list {
  pid owner{};
  duration shutdown{};
  std::vector<result_place*> running;            // place->index: where it stands here
  std::vector<result_place*> failed;             // held until their failure was taken, or thrown by await_all
};

}  // namespace coppice::detail

namespace coppice::internal {

/// The running process or thread, which must be `owner`; else throws exit_error that says `what` it wanted.
slot& owner_only(pid owner, const char* what);
inline std::int64_t nanoseconds(duration d) noexcept { return d == infinity ? sync::never : d.count(); }

/// Takes in what is on the list: marks it, tells the groups.
/// Returns: how many that were. `failed`: whether one of them has no value.
std::size_t collect(done_list& list, bool& failed) noexcept;
inline std::size_t collect(done_list& list) noexcept {
  bool failed = false;
  return collect(list, failed);
}

/// Waits until `enough(context)`, asked after whatever came on the list was collected. Throws as wait_until does.
/// Returns: false if the time was up first.
bool await_list(slot& me, done_list& list, std::int64_t timeout, bool (*enough)(void*), void* context);
/// The same for destructors: nothing ends it early. Thread: any.
bool await_list_regardless(slot& me, done_list& list, std::int64_t timeout, bool (*enough)(void*), void* context) noexcept;

/// A place whose spawn failed.
void drop_unstarted(result_place* p) noexcept;
/// Spawns the task of `p`; gives `p` back and throws if that cannot be done.
void spawn_for(result_place* p, const detail::task_start& what);

}  // namespace coppice::internal
