// SPDX-License-Identifier: Apache-2.0
//
// receive: the compiled half of selective receive: a scan of the fifo, in arrival order, that goes on where it stopped when
// more arrives, so that a wait with a long queue looks at each message once.
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/trace.hpp"

namespace coppice::detail {

namespace {

struct scan {
  slot& s;
  std::span<const receive_clause> clauses;
  node* last = nullptr;             // the newest message looked at: everything up to it fits no clause
  node* before = nullptr;           // of the one found
  node* found = nullptr;
  const receive_clause* clause = nullptr;
  std::uint64_t fifo_changes = 0;   // a message has overtaken what was looked at: look again
};

const receive_clause* matching(std::span<const receive_clause> clauses, node& n) {
  if (n.type == nullptr || n.kind == node_kind::response || n.kind == node_kind::call || n.kind == node_kind::system) return nullptr;
  for (const receive_clause& r : clauses) {
    if (r.key != 0 && r.key != n.type->key) continue;
    if (r.match == nullptr || r.match(r.context, internal::payload_at(n))) return &r;
  }
  return nullptr;
}

std::uint64_t changes_of(const slot& s) noexcept {
  const extension* e = s.ext;
  return e != nullptr ? e->fifo_changes : 0;
}

bool look(void* raw) {
  scan& c = *static_cast<scan*>(raw);
  if (const std::uint64_t changes = changes_of(c.s); changes != c.fifo_changes) {
    c.fifo_changes = changes;
    c.last = nullptr;
  }
  node* newest = c.s.fifo;
  if (newest == nullptr || newest == c.last) return false;
  node* before = c.last != nullptr ? c.last : newest;
  for (node* n = before->next;; before = n, n = n->next) {
    if ((c.clause = matching(c.clauses, *n)) != nullptr) {
      c.before = before;
      c.found = n;
      return true;
    }
    c.last = n;
    if (n == newest) return false;
  }
}

/// The message while its clause runs; gone whatever the clause does.
struct taken {
  node* n;
  ~taken() {
    if (!n->type->inert) n->type->destroy(internal::payload_at(*n));
    internal::free_node(internal::here(), n);
  }
};

void take(slot& s, node* before, node* n, const receive_clause& by) {
  internal::unlink_from_fifo(s, before, n);
  if (internal::tracing()) [[unlikely]] internal::trace_received(s, n->type);
  const taken message{n};
  by.take(by.context, *n->type, internal::payload_at(*n));
}

/// The oldest message is none of them, or there is none: looks further, and waits. `last`: as in scan.
[[gnu::noinline]] bool receive_further(slot& s, std::span<const receive_clause> clauses, duration wait, node* last) {
  scan c{.s = s, .clauses = clauses, .last = last, .fifo_changes = changes_of(s)};
  if (last == nullptr || !look(&c)) {
    const std::uint64_t number = internal::begin_wait(s);
    const std::int64_t timeout = wait == infinity ? sync::never : wait.count();
    if (!internal::wait_until(s, number, internal::wait_state::any, timeout, &look, &c)) return false;
  }
  take(s, c.before, c.found, *c.clause);
  return true;
}

}  // namespace

bool receive_core(std::span<const receive_clause> clauses, duration wait) {
  slot& s = here();
  if (!internal::take_arrivals(s)) return receive_further(s, clauses, wait, nullptr);
  node* const newest = s.fifo;                              // often it is there already: no wait, no locked instruction
  node* const oldest = newest->next;
  const receive_clause* const clause = matching(clauses, *oldest);
  if (clause == nullptr) return receive_further(s, clauses, wait, oldest);
  take(s, newest, oldest, *clause);
  return true;
}

}  // namespace coppice::detail
