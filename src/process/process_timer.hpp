// SPDX-License-Identifier: Apache-2.0
//
// process_timer: a message that is to be sent later (send_after, start_timer, send_every, a server's timeouts).
//
// A timer is a block of 64 bytes from a pool of its own. Its reference names the block and the block's generation, so it is
// found without a table and without a lock:
//
//     bit 63: 1 (other references are drawn from a counter and never get so far)
//     bits 28..62: generation; its lowest bit, `over`, is set when the timer has fired or was cancelled
//     bits 0..27: number of the block
//
// `process_timer::ref` holds the reference of the block's timer, live or over. A block whose generations are used up, after
// 2^34 timers, is never used again: a reference is unique while the program runs.
//
// Who ends a timer
//   cancel  takes the node out of its wheel. It compares `ref` while it holds the wheel's lock: a pending node has been
//           started with the reference that is seen there, so a stale reference never cancels the block's next tenant.
//   fire    the wheel hands the node to `expire`, which gives the block back.
// An interval timer that is cancelled while it fires gets `over` by compare-and-swap, and is not started again.
//
// The timers of one addressee go when it ends (PR-82). It keeps the references of those that it started for itself
// (extension::timers, no lock); those that others started for it are in a table by its pid. Both lists also hold timers that
// are over; these are thrown out when the list would have to grow, so it is at most twice as long as it need be.
#pragma once

#include "process/slot.hpp"

namespace coppice::internal {

/// Starts a timer that delivers `n` to the running or owned process `s` in `after` ns. Owner only.
/// Returns: its reference number, for cancel_own_timer.
std::uint64_t start_own_timer(detail::slot& s, std::int64_t after, detail::node* n);
/// Cancels a timer of start_own_timer. Owner only. If it has fired, the node is in the mailbox or on its way there.
void cancel_own_timer(detail::slot& s, std::uint64_t ref) noexcept;

/// When an interval timer that was due at `due` is due again, ns: one `period` later. If that is many periods ago, they are left out: with
/// more timers than can be fired in time, what is made up for would be late as well, and there would be no end to it.
std::int64_t next_in_cadence(std::int64_t due, std::int64_t period) noexcept;
/// A copy of the message `n`. Null: `copy` threw, or there is no memory.
detail::node* copy_of(detail::node& n, void (*copy)(const void* from, void* place)) noexcept;

/// Drops all timers addressed to `s`, who was `who` and has ended: its serial is 0 already. Owner only.
void drop_timers(detail::slot& s, pid who) noexcept;

/// Calls `visit` with the message of each timer that is armed (C7). While nobody starts, cancels or fires one.
void for_each_timer(void (*visit)(void* context, const detail::node& message), void* context);

/// Drops all timers of the runtime of this number, which has stopped: their wheels are about to go.
void drop_timers_of(unsigned home) noexcept;

/// Starts over without any timer; what was there is left behind. Only for the simulation, between two runs.
void renew_timer_table();
/// Gives back what is kept without any timer. Only for the simulation, at the end of a run.
void shrink_timer_table();

}  // namespace coppice::internal
