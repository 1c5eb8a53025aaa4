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

const receive_clause* matching(scan& c, node& n) {
  if (n.type == nullptr || n.kind == node_kind::response || n.kind == node_kind::call || n.kind == node_kind::system) return nullptr;
  for (const receive_clause& r : c.clauses) {
    if (r.key != 0 && r.key != n.type->key) continue;
    if (r.match == nullptr || r.match(r.context, payload_of(n))) return &r;
  }
  return nullptr;
}

bool look(void* raw) {
  scan& c = *static_cast<scan*>(raw);
  if (const extension* e = c.s.ext; e != nullptr && e->fifo_changes != c.fifo_changes) {
    c.fifo_changes = e->fifo_changes;
    c.last = nullptr;
  }
  node* newest = c.s.fifo;
  if (newest == nullptr || newest == c.last) return false;
  node* before = c.last != nullptr ? c.last : newest;
  for (node* n = before->next;; before = n, n = n->next) {
    if ((c.clause = matching(c, *n)) != nullptr) {
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
    n->type->destroy(payload_of(*n));
    free_node(n);
  }
};

}  // namespace

bool receive_core(std::span<const receive_clause> clauses, duration wait) {
  slot& s = here();
  scan c{s, clauses};
  if (!internal::take_arrivals(s) || !look(&c)) {           // often it is there already: no wait, no locked instruction
    const std::uint64_t number = internal::begin_wait(s);
    const std::int64_t timeout = wait == infinity ? sync::never : wait.count();
    if (!internal::wait_until(s, number, internal::wait_state::any, timeout, &look, &c)) return false;
  }
  internal::unlink_from_fifo(s, c.before, c.found);
  if (internal::tracing()) [[unlikely]] internal::trace_received(s, c.found->type);
  const taken message{c.found};
  c.clause->take(c.clause->context, *c.found->type, payload_of(*c.found));
  return true;
}

}  // namespace coppice::detail
