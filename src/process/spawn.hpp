// SPDX-License-Identifier: Apache-2.0
//
// spawn: making a process. The slot is claimed by its maker, who owns it until it is scheduled or run.
#pragma once

#include "process/mailbox.hpp"
#include "process/system.hpp"

namespace coppice::internal {

/// Sets where and when `s` is run. Owner only. Returns: the former priority.
coppice::priority place(slot& s, coppice::priority level) noexcept;

/// A new process of class `cls`, owned by the caller, without a state yet: construct it at state_of(slot), then set
/// `started`; then run it on a fiber, schedule it, or end it.
/// Throws: exit_error{system_limit} when the system is closing or has as many processes as it may.
slot& new_process(const detail::class_descriptor& cls, system& in);

/// Records who made it: ancestors, callers, parent (PR-6, GS-5). Makes the extension only if there is something to record.
void record_origin(slot& child, slot* parent, bool is_parent);
/// What the children of the running process `parent` get, held once more; `drop` ends that.
detail::lineage* share_lineage(slot& parent);
void drop(detail::lineage* l) noexcept;
/// EX-17, as far as the lineage does not tell it.
void record_callers(slot& child, slot* parent);
/// Both ends of a link between the owned `child` and the running process `parent`, at once (PR-3).
void link_new(slot& child, slot& parent);
/// A monitor of the running process or thread `watcher` on the owned `child`.
std::uint64_t monitor_new(slot& child, slot& watcher);

}  // namespace coppice::internal
