// SPDX-License-Identifier: Apache-2.0
//
// machine_data: what a state machine keeps beside its state: postponed events, events that come before the mailbox, timeouts,
// and which handlers are in force. Made when the first of these is needed; part of server_data; touched by the machine only.
//
// Invariants:
//   1. What is in `queue`, and every timeout that is `zero`, comes before anything in the mailbox: while there is any, one
//      tick (the pump) stands in front of the mailbox, and `pumping` is set.
//   2. A timeout is in `timeouts` until it is taken out to be delivered; a tick whose token is not there is dropped. So what
//      was cancelled is never delivered (SE-34).
//   3. At most one state timeout, one event timeout, and one named timeout of each name.
// Design note: docs/internals/gen_statem.md.
#pragma once

#include <coppice/otp/detail/machine.hpp>

#include "process/mailbox.hpp"

#include <string>
#include <vector>

namespace coppice::internal {

/// Nodes in order, linked by `next`.
struct node_list {
  node* first = nullptr;
  node* last = nullptr;

  bool empty() const noexcept { return first == nullptr; }
  void push_back(node* n) noexcept {
    n->next = nullptr;
    if (last != nullptr) last->next = n;
    else first = n;
    last = n;
  }
  node* pop_front() noexcept {
    node* n = first;
    first = n->next;
    if (first == nullptr) last = nullptr;
    return n;
  }
  /// Puts all of `others` in front.
  void prepend(node_list& others) noexcept {
    if (others.empty()) return;
    others.last->next = first;
    if (first == nullptr) last = others.last;
    first = others.first;
    others = {};
  }
  std::size_t size() const noexcept {
    std::size_t n = 0;
    for (const node* at = first; at != nullptr; at = at->next) ++n;
    return n;
  }
};

struct machine_timeout {
  detail::timer_kind kind;
  bool zero;                          // due at once: no timer, delivered by the pump
  std::uint64_t token;
  std::uint64_t timer;                // for cancel_own_timer
  std::int64_t due;                   // sync::now()'s clock
  node* event;                        // what is delivered; null: the plain timeout
  std::string name;                   // of a named one
};

struct machine_data {
  explicit machine_data(exit_reason& why) noexcept : dying_of(why) {}
  machine_data(const machine_data&) = delete;
  ~machine_data();

  node_list postponed;                // oldest first
  node_list queue;                    // inserted and retried events
  std::vector<machine_timeout> timeouts;   // in the order in which they were set
  std::vector<unsigned> handlers;     // the stack of sets, the last one in force; empty: the machine's own
  detail::machine_turn* turn = nullptr;    // one whose handler holds a `from`
  unsigned zeros = 0;                 // timeouts that are due at once
  bool pumping = false;
  bool failed_in_enter = false;
  exit_reason& dying_of;              // server_data's
};

inline bool is_machine(const slot& s) noexcept { return s.cls.get() != nullptr && s.cls->handles == &detail::gen_statem_behaviour; }

/// The pump's turn: handles the next event that comes before the mailbox.
void run_machine_queue(slot& self) noexcept;
void run_machine_timeout(slot& self, std::uint64_t token) noexcept;
void forget_machine_trampolines(machine_data& d) noexcept;
/// `state_timeout in 9.8 s`, `"poll" in 200 ms`.
std::vector<std::string> running_timeouts(const machine_data& d);
/// A from that a running handler had in hand was dropped: true if its turn will see to the caller.
bool note_dropped(const detail::reply_ticket& to, const slot* server) noexcept;

}  // namespace coppice::internal
