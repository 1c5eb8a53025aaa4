// SPDX-License-Identifier: Apache-2.0
//
// transaction: the record of one, its log, and what other rooms' files of `state` may ask of it. The protocol is described in
// attempt.hpp.
#pragma once

#include <coppice/state/detail/agent_core.hpp>
#include <coppice/state/detail/ref_core.hpp>

#include "state/activity.hpp"
#include "state/snapshots.hpp"
#include "state/transaction_log.hpp"
#include "state/wait_list.hpp"

#include <cstdint>
#include <vector>

namespace coppice::detail {

struct held_sends {                              // in the order made
  held_send* first = nullptr;
  held_send* last = nullptr;
  std::uint32_t count = 0;

  void append(held_send* s) noexcept {
    s->next = nullptr;
    (last != nullptr ? last->next : first) = s;
    last = s;
    ++count;
  }
  held_send* take_first() noexcept {
    held_send* s = first;
    first = s->next;
    if (first == nullptr) last = nullptr;
    --count;
    return s;
  }
  void drop_all() noexcept {
    while (first != nullptr) {
      held_send* s = take_first();
      s->drop(*s);
    }
  }
};

/// Signals that the attempt must begin anew. Not a std::exception.
struct begin_anew {};

enum class phase : std::uint64_t { idle = 0, running = 1, committing = 2 };

/// What a watch is told after the commit.
struct told_change {
  ref_core* ref;
  box* old;
  box* now;
};

struct alignas(64) transaction {
  // Read by others, who may come late: a record is type-stable. Written when the first entry comes into the log: who only looks
  // is never seen.
  sync::atomic<std::uint64_t> status{0, "status"};     // {attempt : 62, phase : 2}; the attempt is never used twice
  sync::atomic<std::uint64_t> written_as{0, "written as"};  // the version of the commit; 0: not known yet
  sync::atomic<std::uint64_t> stop{0, "stop"};         // the attempt that somebody has killed
  sync::atomic<std::uint64_t> age{0, "age"};           // the snapshot of its first attempt
  internal::wait_list ended;

  // Of the attempt.
  alignas(64) std::uint64_t attempt = 0;
  std::uint64_t snapshot = 0;
  bool doomed = false;
  bool seen = false;                             // the body has been given a value
  bool commuting = false;                        // the functions of commute run once more, at the commit
  bool owns_commuted = false;                    // takes the words of commuted refs, at its commit
  int slot = snapshot_table::none;               // of a registered snapshot
  transaction_log log;
  internal::activity layer;                      // what the body is inside of

  // Of the transaction.
  struct progress {
    std::uint64_t born = 0;                      // the snapshot of the first attempt
    std::uint32_t tries = 0;                     // attempts and silent restarts
    std::uint32_t limit = 0;
    std::uint32_t faults = 0;
    std::uint32_t anew = 0;                      // attempts that had to begin anew
    std::int64_t first_conflict = 0;             // when; 0: none
    // After an attempt: what to wait for before the next one.
    transaction* blocked_by = nullptr;
    std::uint64_t blocked_word = 0;
    ref_core* blocked_at = nullptr;
  } so_far;
  commute_record* first_commute = nullptr;
  commute_record* last_commute = nullptr;
  held_sends sends;
  std::vector<told_change> told;
  std::uint32_t room_to_tell = 0;
  std::vector<box*> dead;                        // older versions that are kept no longer
  std::vector<ref_core*> commuted;               // those to be owned at the commit, in order
  transaction* next = nullptr;
};

/// Sends `s` now, or, inside of an action, when that is over.
void dispatch_held(held_send* s) noexcept;
/// A send made here goes out at the commit.   Returns: false when the functions of commute run once more: then it is dropped.
bool hold_until_commit(transaction& t, held_send* s) noexcept;

}  // namespace coppice::detail

namespace coppice::internal {

/// How patient a transaction is. The simulation makes all of it small.
struct transaction_limits {
  int spins = 400;                               // 9 µs
  std::int64_t wait = 100'000'000;               // for another's ref
  std::int64_t barge = 10'000'000;               // after the first conflict
};
extern transaction_limits limits_of_transactions;

/// Gives back all records. Only for the simulation, at the end of a run.
void drop_transactions() noexcept;
void renew_transactions() noexcept;

}  // namespace coppice::internal
