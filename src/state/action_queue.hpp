// SPDX-License-Identifier: Apache-2.0
//
// action_queue: the actions that wait in an agent, and the order in which they run: the order in which they were pushed.
//
// The inbox is one word: null, the agent is idle; `nothing_new`, a *runner* has it and nothing new is there; else the newest action sent.
// Who finds it null is the runner from then on, until he takes it back to null (`keep`).
//
//   inbox      newest first      senders push; the runner takes all of it at once: a *lot*
//   unordered  newest first      the lot, and what of it is in order already: two actions of it go over with each that runs, so
//   ordered    oldest first      that nobody waits for their lines
//   first      oldest first      the queue: what runs. Empty: the lot becomes the queue
//
// Invariants
//   1. What is in the queue was sent before what is in the lot, and that before what is in the inbox.
//   2. The inbox is not null while anything is queued: nobody else finds it null.
//
// Thread: `push` and `is_idle` any; all else the runner. Design note: docs/internals/agents.md.
#pragma once

#include <coppice/base/assert.hpp>
#include <coppice/base/detail/sync.hpp>
#include <coppice/state/detail/agent_core.hpp>

#include "runtime/planted.hpp"
#include "runtime/slab.hpp"
#include "runtime/thread_block.hpp"

#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;
using detail::action;
using detail::agent_core;

/// In an agent's inbox: a runner has it, and nothing new is there. Never looked into.
constexpr detail::action_class of_no_action{};
inline constinit action nothing_new{of_no_action};

inline bool is_idle(const agent_core& a) noexcept { return a.inbox.load(sync::acquire) == nullptr; }

/// Returns: whether the agent was idle: the caller is its runner now.
inline bool push(agent_core& a, action& x) noexcept {
  action* newest = a.inbox.load(sync::relaxed);
  do x.behind = newest;
  while (planted::is(planted::action_pushed_relaxed) ? !a.inbox.cas_weak(newest, &x, sync::relaxed)
                                                     : !a.inbox.cas_weak(newest, &x, sync::acq_rel));
  return newest == nullptr;
}

/// One more of the lot is put in order: it comes before those that are. The line of the one after it is fetched meanwhile.
inline void order_one(agent_core& a) noexcept {
  action* x = a.unordered;
  action* older = x->behind;
  x->behind = a.ordered.get();
  a.ordered = x;
  a.in_order = a.in_order.get() + 1;
  if (older == &nothing_new) older = nullptr;
  __builtin_prefetch(older);
  a.unordered = older;
}

inline void take_lot(agent_core& a) noexcept {
  count(counted::lots_taken);
  a.unordered = a.inbox.exchange(&nothing_new, sync::acquire);  // pairs with push
}

/// The queue is empty: what was taken out of the inbox becomes the queue, and what has come since is taken. Something is queued.
[[gnu::noinline]] inline void next_lot(agent_core& a) noexcept {
  if (a.unordered.get() == nullptr && a.ordered.get() == nullptr) take_lot(a);
  while (a.unordered.get() != nullptr) order_one(a);
  a.first = a.ordered.get();
  a.ordered = nullptr;
  a.left = a.in_order.get();
  a.half = a.left.get() / 2;
  a.in_order = 0;
}

/// An action was taken out. When half of the queue has been, the next lot is taken; two of it are put in order with each action, so that
/// it is when its turn comes, and nobody has waited for its lines.
inline void prepare_lot(agent_core& a) noexcept {
  if (a.unordered.get() != nullptr) {
    order_one(a);
    if (a.unordered.get() != nullptr) order_one(a);
  }
  const std::uint32_t left = a.left - 1;
  a.left = left;
  if (left == a.half + 1) fetch_for_write(&a.inbox);
  if (left == a.half && left != 0 && a.inbox.load(sync::relaxed) != &nothing_new) {
    take_lot(a);
    __builtin_prefetch(a.unordered.get());
  }
}

/// The action to be run next. Something is queued.
inline action* oldest(agent_core& a) noexcept {
  if (a.first.get() == nullptr) next_lot(a);
  COPPICE_ASSERT(a.first.get() != nullptr, "an agent runs with nothing queued");
  return a.first.get();
}

/// Takes it out.
inline action& take_oldest(agent_core& a) noexcept {
  action* x = oldest(a);
  a.first = x->behind.get();
  return *x;
}

inline bool has_taken(const agent_core& a) noexcept {
  return a.first.get() != nullptr || a.unordered.get() != nullptr || a.ordered.get() != nullptr;
}
/// Whether anything is queued.
inline bool has_queued(const agent_core& a) noexcept { return has_taken(a) || a.inbox.load(sync::relaxed) != &nothing_new; }

/// Gives the agent up if nothing is queued.
/// Returns: false: the caller is its runner no more, and it may be gone.
inline bool keep(agent_core& a) noexcept {
  if (has_taken(a)) return true;
  action* seen = &nothing_new;
  if (planted::is(planted::agent_released_by_store)) a.inbox.store(nullptr, sync::release);
  else if (!a.inbox.cas(seen, nullptr, sync::acq_rel)) return true;
  count(counted::agents_idle);
  return false;
}

}  // namespace coppice::internal
