// SPDX-License-Identifier: Apache-2.0
//
// mailbox: nodes, the word, sending. The protocol is in slot.hpp, the reasons in docs/internals/mailbox.md.
#include "process/mailbox.hpp"

#include <coppice/base/assert.hpp>

#include "process/remote.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "process/trace.hpp"
#include "runtime/planted.hpp"

namespace coppice::detail {

void* payload_of(node& n) noexcept { return reinterpret_cast<char*>(&n) + n.offset; }

node* new_node(const message_descriptor& type) {
  node* n = internal::take_node_behind(0, type.size, type.align);
  if (n == nullptr) [[unlikely]] n = internal::allocate_node(type.size, type.align);
  n->type = &type;
  return n;
}

void free_node(node* n) noexcept { internal::free_node(internal::here(), n); }

sent send_core(pid to, node* n) { return internal::send_message(to, n); }

}  // namespace coppice::detail

namespace coppice::internal {

using detail::extension;

namespace {

constexpr int deepest_nesting = 8;           // signals acted on inside one another before they are queued instead

}  // namespace

// --- nodes -----------------------------------------------------------------------------------------------------------

node* allocate_node_behind(std::size_t header, std::size_t payload, std::size_t alignment) {
  const std::size_t offset = offset_of_payload(header, alignment);
  const std::size_t bytes = offset + payload;
  node* n = ::new (here().blocks.allocate(bytes)) node;
  n->block = bytes > block_depot::largest ? heap_block : static_cast<std::uint8_t>(block_depot::class_of(bytes));
  n->offset = static_cast<std::uint16_t>(offset);
  return n;
}

node* allocate_node(std::size_t payload, std::size_t alignment) { return allocate_node_behind(0, payload, alignment); }

// --- the word --------------------------------------------------------------------------------------------------------

void append(slot& s, node* n) noexcept {
  if (node* newest = s.fifo) {
    n->next = newest->next;
    newest->next = n;
  } else {
    n->next = n;
  }
  s.fifo = n;
  s.length.store(s.length.load(sync::relaxed) + 1, sync::relaxed);
}

void prepend(slot& s, node* n) noexcept {
  if (node* newest = s.fifo) {
    n->next = newest->next;
    newest->next = n;
  } else {
    n->next = n;
    s.fifo = n;
  }
  s.length.store(s.length.load(sync::relaxed) + 1, sync::relaxed);
}

namespace {

/// drop_oldest: as many go as are too many, the oldest first. What waits for a resume of sys, and calls under way, is not here.
void trim(slot& s, std::uint32_t most) noexcept {
  node* newest = s.fifo;
  if (newest == nullptr) return;
  node* before = newest;
  for (node* n = newest->next; s.counted.load(sync::relaxed) > most;) {
    node* const next = n->next;
    const bool last = n == newest;
    if (n->counted) {
      unlink_from_fifo(s, before, n);
      dispose(n, exit_reason::system_limit);
      ++detail::ext_of(s).fifo_changes;
    } else {
      before = n;
    }
    if (last) return;
    n = next;
  }
}

/// What an urgent request goes behind: a continuation of what the process has just done, which nothing overtakes (GS-98), and
/// urgent requests that came before it.
bool goes_first(const node& n) noexcept {
  return n.kind == node_kind::system || (n.kind == node_kind::tick && n.type != nullptr);
}

/// In front of everything else.
void insert_urgent(slot& s, node* n) noexcept {
  node* newest = s.fifo;
  if (newest == nullptr || !goes_first(*newest->next)) return prepend(s, n);
  node* before = newest->next;
  while (before != newest && goes_first(*before->next)) before = before->next;
  n->next = before->next;
  before->next = n;
  if (newest == before) s.fifo = n;
  s.length.store(s.length.load(sync::relaxed) + 1, sync::relaxed);
}

}  // namespace

void forget_marks(slot& s, node* before, node* n) noexcept {
  if (n->counted) {
    n->counted = false;
    s.counted.fetch_sub(1, sync::relaxed);
  }
  if (n->urgent) {                             // the lane's messages stand together
    n->urgent = false;
    if (s.ext->lane_last == n) s.ext->lane_last = before != n && before->urgent ? before : nullptr;
  }
}

void append_urgent(slot& s, node* n) {
  if (!has(s, detail::lane_open)) return append(s, n);
  detail::extension& e = detail::ext_of(s);
  n->urgent = true;
  ++e.fifo_changes;
  if (e.lane_last == nullptr) {
    insert_urgent(s, n);
  } else {
    n->next = e.lane_last->next;
    e.lane_last->next = n;
    if (s.fifo.get() == e.lane_last) s.fifo = n;
    s.length.store(s.length.load(sync::relaxed) + 1, sync::relaxed);
  }
  e.lane_last = n;
}

namespace {

/// A run of ordinary messages, linked from `oldest` to `newest`, goes behind what waits.
void append_run(slot& s, node* oldest, node* newest, std::uint32_t count) noexcept {
  if (node* before = s.fifo) {
    newest->next = before->next;
    before->next = oldest;
  } else {
    newest->next = oldest;
  }
  s.fifo = newest;
  s.length.store(s.length.load(sync::relaxed) + count, sync::relaxed);
}

/// One node of the inbox that is not simply a message for who lives here, or stands among such.
void sort_in(slot& s, node* n) {
  if (n->serial != s.serial.load(sync::relaxed) && !planted::is(planted::serial_unchecked_on_node)) {
    if (n->counted) s.counted.fetch_sub(1, sync::relaxed);
    n->counted = false;
    dispose(n, exit_reason::noproc);
  } else if (is_signal(n->kind)) {
    act(s, n);
  } else if (n->kind == node_kind::system) [[unlikely]] {
    insert_urgent(s, n);                      // GS-X5: asked to go before what waits
  } else {
    append(s, n);
  }
}

}  // namespace

void take_inbox(slot& s) {
  // acquire: pairs with push, the payloads are seen
  auto* chain = reinterpret_cast<node*>(planted::is(planted::drain_relaxed) ? s.word.exchange(1, sync::relaxed)
                                                                            : s.word.exchange(1, sync::acquire));
  const std::uint64_t serial = s.serial.load(sync::relaxed);
  node* const newest = chain;
  node* oldest = nullptr;
  std::uint32_t count = 0;
  bool ordinary = true;
  if (planted::is(planted::chain_not_reversed)) {
    oldest = chain;
    ordinary = false;
  } else {
    for (node* older; chain != nullptr; chain = older) {
      older = chain->next;
      chain->next = oldest;
      oldest = chain;
      ++count;
      ordinary &= chain->serial == serial && chain->kind < node_kind::system && !chain->counted;
    }
  }
  if (ordinary) [[likely]] return append_run(s, oldest, newest, count);
  while (oldest != nullptr) {
    node* n = oldest;
    oldest = n->next;
    sort_in(s, n);
  }
  const std::uint32_t bound = s.bound.load(sync::relaxed);
  if (bound != 0 && detail::policy_of(bound) == when_full::drop_oldest) trim(s, bound & detail::bound_mask);
}

void for_each_node(const slot& s, void (*visit)(void* context, const node& n), void* context) {
  if (const node* newest = s.fifo) {
    const node* n = newest;
    do visit(context, *(n = n->next));
    while (n != newest);
  }
  const std::uintptr_t word = s.word.load(sync::acquire);    // pairs with push; what comes meanwhile is not seen
  if (word <= 1) return;
  for (const auto* n = reinterpret_cast<const node*>(word); n != nullptr; n = n->next) visit(context, *n);
}

void leave(slot& s) noexcept {
  for (;;) {
    if (release_if_empty(s)) return;
    if (s.fifo.get() != nullptr || has_mail(s)) break;
  }
  if (s.serial.load(sync::relaxed) == 0) {      // nobody lives here: what came is for a former tenant
    drain(s);
    leave(s);
    return;
  }
  schedule(s);
}

// --- sending ---------------------------------------------------------------------------------------------------------

namespace {

/// Ends the wait `w` of a process that waits for what has just come.
[[gnu::noinline]] void end_wait(slot& s, std::uint64_t w) noexcept {
  const bool of_thread = has(s, detail::thread_proxy);
  if (s.wait.cas(w, wait_word(wait_number(w), wait_state::done), sync::seq_cst)) go_on(s, of_thread);
}

/// After a push to an owned process: wakes it if it waits for this kind of thing.
inline void after_push(slot& s, bool signal) noexcept {
  const std::uint64_t w = s.wait.load(sync::seq_cst);   // after the push; pairs with commit_wait
  const wait_state how = state_of_wait(w);
  if (how == wait_state::any || (how == wait_state::signals && signal)) end_wait(s, w);
}

/// Inside the end of another process, and that of another, and so on.
class nesting {
 public:
  explicit nesting(thread_block& block) noexcept : block_(block) { ++block.nested; }
  nesting(const nesting&) = delete;
  ~nesting() { --block_.nested; }
  static bool is_too_deep(const thread_block& block) noexcept { return block.nested >= deepest_nesting; }

 private:
  thread_block& block_;
};

/// The end of a doomed process of ours that has no fiber, here and now.
void end_here(slot& s) noexcept {
  const auto run = run_on_fiber(s, [](void* raw) {
    slot& self = *static_cast<slot*>(raw);
    end_process(self, detail::ext_of(self).pending);
  }, &s);
  COPPICE_ASSERT(run.ended, "a process that ends must not wait");
  (void)run;
}

/// An idle process got a signal and is ours: act on it here unless that goes too deep.
void act_for(slot& s) noexcept {
  thread_block& block = here();
  if (nesting::is_too_deep(block)) return schedule(s);
  const nesting deeper(block);
  drain(s);
  has(s, detail::doomed) ? end_here(s) : leave(s);
}

/// A message to an idle process: whoever claims it is its owner, and puts the message where the owner would.
/// Returns: whether it was for the one who lives there.
[[gnu::noinline]] bool hand_to_claimed(slot& s, std::uint64_t serial, node* n) noexcept {
  if (s.serial.load(sync::acquire) != serial) [[unlikely]] {    // a free slot, or the next tenant's: ours for this moment
    if (n->counted) s.counted.fetch_sub(1, sync::relaxed);
    n->counted = false;
    dispose(n, exit_reason::noproc);
    leave(s);
    return false;
  }
  append(s, n);                                 // before it nothing waits: also what is urgent
  schedule(s);
  return true;
}

/// Something was pushed to an idle process, which is ours now.   Returns: whether it was for the one who lives there.
[[gnu::noinline]] bool act_on_claimed(slot& s, std::uint64_t serial, bool signal) noexcept {
  if (s.serial.load(sync::acquire) != serial) {     // as in hand_to_claimed
    drain(s);
    has(s, detail::doomed) ? schedule(s) : leave(s);
    return false;
  }
  if (signal && !has(s, detail::thread_proxy))
    act_for(s);
  else
    schedule(s);
  return true;
}

/// `rouse`: the process looks at its inbox even if it waits for signals only.
[[gnu::always_inline]] inline bool deliver_to_slot(slot& s, std::uint64_t serial, node* n, bool signal, bool rouse = false) noexcept {
  n->serial = serial;
  if (!signal && s.word.load(sync::relaxed) == 0 && claim(s)) return hand_to_claimed(s, serial, n);
  if (push(s, n) != pushed::owned || planted::is(planted::every_push_schedules)) [[unlikely]] return act_on_claimed(s, serial, signal);
  after_push(s, signal || rouse);
  return true;
}

}  // namespace

bool deliver(pid to, node* n) noexcept {
  if (!to.is_local()) return deliver_remote(to, n);
  // acquire, pairs with end_process: who is told noproc sees what the process did at its end.
  if (!to || to.where()->serial.load(sync::acquire) != to.serial()) {
    dispose(n, exit_reason::noproc);
    return false;
  }
  return deliver_to_slot(*to.where(), to.serial(), n, is_signal(n->kind));
}

bool end_if_idle(pid who, const exit_reason& why, bool untrappable) noexcept {
  thread_block& block = here();
  if (!who || !who.is_local() || block.process == nullptr || nesting::is_too_deep(block)) return false;
  slot& s = *who.where();
  if (s.word.load(sync::relaxed) != 0 || !claim(s)) return false;
  if (s.serial.load(sync::acquire) != who.serial() || (has(s, detail::trapping) && !untrappable)) {   // acquire: as in deliver
    leave(s);
    return false;
  }
  const pid me = detail::pid_of(*block.process);
  if (extension* mine = block.process->ext) mine->links.take_all(who.serial(), [&](const auto& l) { return l.who == who; });
  extension& its = detail::ext_of(s);
  its.links.take_all(me.serial(), [&](const auto& l) { return l.who == me; });   // else a signal comes that we do not expect any more
  its.pending = why;
  detail::set(s, detail::doomed);
  const nesting deeper(block);
  end_here(s);
  return true;
}

namespace {

/// A message too many: what becomes of it, and what its sender hears.
detail::sent overflow(slot& s, pid to, node* n, std::uint32_t bound) noexcept {
  s.counted.fetch_sub(1, sync::relaxed);
  dispose(n, exit_reason::system_limit);
  const when_full policy = detail::policy_of(bound);
  if (policy == when_full::end_receiver) send_exit(to, pid{}, exit_reason::kill);
  return policy == when_full::drop_newest || policy == when_full::drop_oldest ? detail::sent::yes : detail::sent::full;
}

/// A message to a mailbox with a bound.
detail::sent deliver_counted(pid to, node* n, std::uint32_t bound) noexcept {
  slot& s = *to.where();
  // Each increment is undone by exactly one decrement (here, or when the node leaves the mailbox, for whatever reason),
  // so the counter needs no reset between two tenants of the slot.
  const std::uint32_t most = bound & detail::bound_mask;
  const std::uint32_t before = s.counted.fetch_add(1, sync::relaxed);
  const bool full = before >= most;
  if (full && !(detail::policy_of(bound) == when_full::drop_oldest && before - most < most)) return overflow(s, to, n, bound);
  if (s.serial.load(sync::relaxed) != to.serial()) {
    s.counted.fetch_sub(1, sync::relaxed);
    dispose(n, exit_reason::noproc);
    return detail::sent::no_process;
  }
  n->counted = true;
  // Not `deliver`: if the process ends just now, it is the mailbox that must find the node stale and count it off.
  return deliver_to_slot(s, to.serial(), n, false, full) ? detail::sent::yes : detail::sent::no_process;
}

}  // namespace

bool deliver_if_idle(pid to, node* n) noexcept {
  slot& s = *to.where();
  if (tracing() || s.bound.load(sync::relaxed) != 0 || s.word.load(sync::relaxed) != 0 || !claim(s)) return false;
  n->serial = to.serial();
  hand_to_claimed(s, to.serial(), n);           // a stale pid: the node was disposed of, which answers
  return true;
}

detail::sent deliver_bounded(pid to, node* n) noexcept {
  if (tracing()) [[unlikely]] trace_sent(to, n->type);
  if (!to || !to.is_local()) return deliver(to, n) ? detail::sent::yes : detail::sent::no_process;
  slot& s = *to.where();
  if (const std::uint32_t bound = s.bound.load(sync::relaxed); bound != 0) [[unlikely]] return deliver_counted(to, n, bound);
  if (s.serial.load(sync::acquire) != to.serial()) [[unlikely]] {   // as in deliver
    dispose(n, exit_reason::noproc);
    return detail::sent::no_process;
  }
  return deliver_to_slot(s, to.serial(), n, false) ? detail::sent::yes : detail::sent::no_process;
}

detail::sent send_message(pid to, node* n) {
  detail::sent result = detail::sent::yes;
  if (!to || !to.is_local()) [[unlikely]] {
    result = deliver_bounded(to, n);
    spend_on_send(0);
    return result;
  }
  slot& s = *to.where();
  if (tracing() || s.bound.load(sync::relaxed) != 0 || s.serial.load(sync::acquire) != to.serial()) [[unlikely]]
    result = deliver_bounded(to, n);
  else if (!deliver_to_slot(s, to.serial(), n, false)) [[unlikely]]
    result = detail::sent::no_process;
  const bool waits_for_another = state_of_wait(s.wait.load(sync::relaxed)) == wait_state::signals;
  spend_on_send(waits_for_another ? most_counted : s.length.load(sync::relaxed));
  return result;
}

}  // namespace coppice::internal
