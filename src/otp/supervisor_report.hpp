// SPDX-License-Identifier: Apache-2.0
//
// supervisor_report: what supervisors say of their children (SV-100..SV-102). Nothing is put into words unless the log sink
// takes reports of that level.
#pragma once

#include <coppice/otp/supervisor.hpp>

#include <string_view>

namespace coppice::internal {

/// How many restarts there have been, and may be.
struct restart_count {
  unsigned so_far;
  unsigned allowed;
  duration period;
};

/// A child ended on its own. `now`: who runs in its place; none: nobody, for `why_not`.
void report_child_ended(const child_spec& spec, pid who, const exit_reason& why, const restart_count& count, pid now,
                        std::string_view why_not) noexcept;
void report_start_error(const child_spec& spec, const started_child& failed) noexcept;
/// It was told to end, and ended otherwise.
void report_shutdown_error(const child_spec& spec, pid who, const exit_reason& why) noexcept;
/// One restart too many. `alone`: of a child with a limit of its own.
void report_gave_up(const child_spec& spec, pid who, const exit_reason& why, const restart_count& count, bool alone) noexcept;
void report_progress(const child_spec& spec, pid who, bool by_hand) noexcept;
/// For the statistics of its class: it has ended by itself, and runs again.
void count_restart(const child_spec& spec) noexcept;

}  // namespace coppice::internal
