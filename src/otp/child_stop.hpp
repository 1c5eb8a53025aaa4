// SPDX-License-Identifier: Apache-2.0
//
// child_stop: ending children, one, or many at once. Runs in the supervisor.
#pragma once

#include <coppice/process/child_spec.hpp>

#include <span>
#include <vector>

namespace coppice::internal {

/// Ends `who` and waits until it is gone; nothing of it stays in the mailbox.
/// Returns: why it ended.   Spec: SV-50..SV-52, SV-56.
exit_reason stop_child(pid who, const shutdown_time& time);

/// One of many that are ended at once.
struct ending_child {
  pid who;
  shutdown_time time;
  void* child;                            // the caller's
};
/// Ends all of `children` and waits until they are gone; those with equal times have one timer in common. Each that is gone
/// is told to `gone` with its reason.   Spec: SV-54, SV-92, SV-118.
void stop_children(std::vector<ending_child> children, void (*gone)(void* context, void* child, pid who, const exit_reason& why), void* context);

/// Whether `why` is how a child ends that was told to end.   Spec: SV-53.
bool is_expected_end(const exit_reason& why, restart_type restart, const shutdown_time& time) noexcept;

}  // namespace coppice::internal
