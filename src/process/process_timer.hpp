// SPDX-License-Identifier: Apache-2.0
//
// process_timer: a message that is to be sent later (send_after, start_timer, send_every, a server's timeouts).
//
// A program-wide table by reference owns it; the timers of one addressee are found by its pid and go when it ends (PR-82).
#pragma once

#include "process/slot.hpp"

#include <string>

namespace coppice::internal {

/// Starts a timer that delivers `n` to the running or owned process `s` in `after` ns. Owner only.
/// Returns: its reference number, for cancel_own_timer.
std::uint64_t start_own_timer(detail::slot& s, std::int64_t after, detail::node* n);
/// Cancels a timer of start_own_timer. Owner only. Returns: ns left, or -1 if it has fired: then the node is in the mailbox
/// or on its way there.
std::int64_t cancel_own_timer(detail::slot& s, std::uint64_t ref) noexcept;

/// Drops all timers addressed to `who`, who ends.
void drop_timers(pid who) noexcept;

/// Drops all timers of the runtime of this number, which has stopped: their wheels are about to go.
void drop_timers_of(unsigned home) noexcept;

/// Starts over with an empty table; what was in the old one is left behind. Only for the simulation, between two runs.
void renew_timer_table();

}  // namespace coppice::internal
