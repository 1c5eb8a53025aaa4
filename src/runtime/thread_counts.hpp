// SPDX-License-Identifier: Apache-2.0
//
// thread_counts: what happens so often that one counter for all threads would cost more than the thing itself. Each thread counts for
// itself, in its block; who wants to know adds them up.
//
// Thread: `of` is its thread's to add to; a sum may be asked for anywhere.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstddef>
#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

enum class counted : std::uint8_t {
  commits,          // transactions that went through
  begun_anew,       // attempts of transactions that came to nothing, and were made again
  given_up,         // transactions that ended by an exception
  atom_conflicts,   // changes of an atom that came second, and were made again
  actions_sent,     // to agents that are no processes
  actions_over,     // run, or dropped
  actions_failed,
  lots_taken,       // of actions, out of agents' inboxes
  agents_busy,      // agents that had nothing queued, and got something
  agents_idle,      // … and the other way round
  agents_failed,
  agents_mended,    // restarted, or gone
  bytes_read,       // from sockets
  bytes_written,
  batches,          // reads and writes of sockets that were made together: one for all of them …
  batched_calls,    // … and one for each
  kinds             // none of them: how many there are
};

struct thread_counts {
  thread_counts() noexcept;
  ~thread_counts();                     // what it has counted is not forgotten
  thread_counts(const thread_counts&) = delete;

  static constexpr std::size_t kinds = static_cast<std::size_t>(counted::kinds);
  sync::tally<std::uint64_t> of[kinds];
  thread_counts* next = nullptr;        // of all threads'; guarded by their lock
  thread_counts* before = nullptr;

  std::uint64_t add(counted what, std::uint64_t n = 1) noexcept { return of[static_cast<std::size_t>(what)].add(n); }
};

/// Of all threads, those included that have ended.   Cost: linear in the number of threads; a lock.
std::uint64_t sum_of(counted what) noexcept;
/// Only for the simulation, between two runs.
void renew_thread_counts() noexcept;

}  // namespace coppice::internal
