// SPDX-License-Identifier: Apache-2.0
//
// mailbox: claiming, sending to, draining and releasing a process; and its wait word. The protocol is in slot.hpp.
#pragma once

#include <coppice/base/assert.hpp>

#include "process/slot.hpp"
#include "runtime/planted.hpp"

namespace coppice::internal {

namespace sync = detail::sync;
using detail::node;
using detail::node_kind;
using detail::slot;

// --- nodes -----------------------------------------------------------------------------------------------------------

inline constexpr std::uint8_t heap_block = 255;  // node::block of a node too large for the pools
/// Where the payload lies in a node with `header` bytes between the two.
constexpr std::size_t offset_of_payload(std::size_t header, std::size_t alignment) noexcept {
  return (sizeof(node) + header + alignment - 1) & ~(alignment - 1);
}
/// A node with `header` bytes between it and its payload.
node* allocate_node_behind(std::size_t header, std::size_t payload, std::size_t alignment);
/// The same, inline, if the thread has one at hand; else null.
inline node* take_node_behind(std::size_t header, std::size_t payload, std::size_t alignment) noexcept {
  const std::size_t offset = offset_of_payload(header, alignment);
  if (offset + payload > block_depot::largest) return nullptr;
  const std::size_t size_class = block_depot::class_of(offset + payload);
  void* block = here().blocks.take_at_hand(size_class);
  if (block == nullptr) return nullptr;
  node* n = ::new (block) node;
  n->block = static_cast<std::uint8_t>(size_class);
  n->offset = static_cast<std::uint16_t>(offset);
  return n;
}
node* allocate_node(std::size_t payload, std::size_t alignment);
/// Gives back a node whose payload is gone. `block` is the calling thread's.
inline void free_node(thread_block& block, node* n) noexcept {
  if (n->block == heap_block) [[unlikely]] return block.blocks.free(n, block_depot::largest + 1);
  block.blocks.give(n, n->block);
}
/// A node of a signal or system message with a payload of type P.
template <class P>
node* make_node(node_kind kind, P payload) {
  node* n = allocate_node(sizeof(P), alignof(P));
  n->kind = kind;
  ::new (detail::payload_of(*n)) P(static_cast<P&&>(payload));
  return n;
}
inline void* payload_at(node& n) noexcept { return reinterpret_cast<char*>(&n) + n.offset; }
template <class P>
P& payload(node& n) noexcept { return *static_cast<P*>(payload_at(n)); }
// --- the word --------------------------------------------------------------------------------------------------------

/// 0 -> 1. True: the caller owns the slot now (and must check the serial before it touches anything else).
inline bool claim(slot& s) noexcept {
  std::uintptr_t idle = 0;
  if (planted::is(planted::claim_relaxed)) return s.word.cas(idle, 1, sync::relaxed);
  return s.word.cas(idle, 1, sync::acquire);     // pairs with release_if_empty: the former owner's writes are seen
}
enum class pushed : std::uint8_t { owned, claimed };
/// Adds `n`. claimed: the slot was idle and is the caller's now, with `n` in its inbox.
inline pushed push(slot& s, node* n) noexcept {
  std::uintptr_t word = s.word.load(sync::relaxed);
  for (;;) {
    n->next = word > 1 ? reinterpret_cast<node*>(word) : nullptr;
    // seq_cst: the push comes before the look at the wait word (after_push), and pairs with commit_wait's second look.
    if (planted::is(planted::push_relaxed) ? s.word.cas_weak(word, reinterpret_cast<std::uintptr_t>(n), sync::relaxed)
                                           : s.word.cas_weak(word, reinterpret_cast<std::uintptr_t>(n), sync::seq_cst))
      return word == 0 ? pushed::claimed : pushed::owned;
  }
}
/// True while something waits in the inbox.
inline bool has_mail(const slot& s) noexcept { return s.word.load(sync::acquire) > 1; }
/// Takes in what the inbox holds now; there must be something.
void take_inbox(slot& s);
/// Moves the inbox into the fifo; acts on signals at once. Owner only. May set `doomed`.
inline void drain(slot& s) {
  while (has_mail(s)) take_inbox(s);
}
/// Calls `visit` for each node that waits, signals of the inbox too, in no order (C7). Owner only; takes nothing in.
void for_each_node(const slot& s, void (*visit)(void* context, const node& n), void* context);
void append(slot& s, node* n) noexcept;
/// As append, but by the priority lane if that is open.
void append_urgent(slot& s, node* n);
/// Puts `n` before everything else in the fifo.
void prepend(slot& s, node* n) noexcept;
/// What the marks of a node mean ends when it leaves the fifo: it counts no more, and is none of the priority lane's.
void forget_marks(slot& s, node* before, node* n) noexcept;
/// Takes `n`, whose predecessor in the ring is `before`, out of the fifo.
inline void unlink_from_fifo(slot& s, node* before, node* n) noexcept {
  if (before == n)
    s.fifo = nullptr;
  else {
    before->next = n->next;
    if (s.fifo.get() == n) s.fifo = before;
  }
  n->next = nullptr;
  s.length.store(s.length.load(sync::relaxed) - 1, sync::relaxed);
  if (n->counted || n->urgent) [[unlikely]] forget_marks(s, before, n);
}
/// The oldest, or null.
inline node* pop(slot& s) noexcept {
  node* newest = s.fifo;
  if (newest == nullptr) return nullptr;
  node* oldest = newest->next;
  unlink_from_fifo(s, newest, oldest);
  return oldest;
}
/// 1 -> 0. False: something arrived, or waits in the fifo; the slot is still the caller's.
inline bool release_if_empty(slot& s) noexcept {
  if (s.fifo.get() != nullptr) return false;
  COPPICE_ASSERT(s.fiber.get() == nullptr, "a process is released with a suspended fiber");
  std::uintptr_t empty = 1;
  if (planted::is(planted::release_by_store)) {
    s.word.store(0, sync::release);
    return true;
  }
  if (planted::is(planted::release_relaxed)) return s.word.cas(empty, 0, sync::relaxed);
  return s.word.cas(empty, 0, sync::release);  // pairs with claim
}

// --- sending ---------------------------------------------------------------------------------------------------------

/// Sends `n` to `to`; whoever turns the word from 0 acts or schedules. Takes the node in any case.
/// Returns: false if the process is known to be dead (the node was disposed of with noproc).
bool deliver(pid to, node* n) noexcept;
/// The same for ordinary messages, which a bounded mailbox may refuse. Takes the node in any case.
detail::sent deliver_bounded(pid to, node* n) noexcept;
/// What a program's sends do: deliver_bounded, and the sender pays for it. Throws detail::unwind when a process that does nothing
/// but send has to end.
detail::sent send_message(pid to, node* n);
/// Hands a message to the local process `to` if it is idle and its mailbox has no bound. False: nothing has happened.
bool deliver_if_idle(pid to, node* n) noexcept;

// --- waiting ---------------------------------------------------------------------------------------------------------

enum class wait_state : std::uint64_t { done = 0, armed = 1, signals = 2, any = 3 };
inline std::uint64_t wait_number(std::uint64_t word) noexcept { return word >> 3; }
inline wait_state state_of_wait(std::uint64_t word) noexcept { return static_cast<wait_state>(word & 7); }
inline std::uint64_t wait_word(std::uint64_t number, wait_state s) noexcept {
  return number << 3 | static_cast<std::uint64_t>(s);
}

/// A new wait of the running process or thread. Owner only.
std::uint64_t begin_wait(slot& s) noexcept;
/// Ends the wait `number` of `s` if it is still on. Any thread.
void wake(slot& s, std::uint64_t number) noexcept;
/// The context that was left commits the wait for the fiber. False: the wait is over already; resume the fiber.
bool commit_wait(slot& s, internal::fiber& f) noexcept;

/// How the mailbox was when somebody looked through it: whether something has come since then.
struct mail_mark {
  const node* newest;
  std::uint64_t changes;
};
inline mail_mark mark_mail(const slot& s) noexcept {
  const detail::extension* e = s.ext;
  return {s.fifo.get(), e != nullptr ? e->fifo_changes : 0};
}
inline bool has_changed(const slot& s, const mail_mark& m) noexcept {
  const mail_mark now = mark_mail(s);
  return now.newest != m.newest || now.changes != m.changes;
}

/// Takes in what has arrived. Throws detail::unwind when the process has to end. Returns: whether the fifo holds anything.
bool take_arrivals(slot& s);
/// Leaves the stack until `ready(context)`, which is asked again after each wake(s, number), signal and (any) message.
/// Acts on signals meanwhile. `timeout`: ns, sync::never for none; 0 and less: only what is there already.
/// Returns: false if the time passed first.
/// Throws:  detail::unwind when the process has to end; exit_error where waiting is not allowed (leaf, ending).
/// `by_wake`: with `any`, not only what arrives makes it ready, but also somebody who then calls wake.
bool wait_until(slot& s, std::uint64_t number, wait_state how, std::int64_t timeout, bool (*ready)(void*), void* context,
                bool by_wake = false);
/// The same for what is certain to come, without a timeout, also when the process has to end: somebody works on its stack.
void wait_in_any_case(slot& s, std::uint64_t number, bool (*ready)(void*), void* context) noexcept;
/// As wait_until, for destructors that must not leave before `ready`: neither a due end nor an unwinding under way cuts it
/// short. Where the stack of `s` cannot be left, or `s` is not who runs here, the thread waits.
bool wait_regardless(slot& s, std::uint64_t number, std::int64_t timeout, bool (*ready)(void*), void* context) noexcept;
/// Suspended from outside (PR-90): waits on its own fiber until it is resumed or has to end.
void wait_while_frozen(slot& s) noexcept;
/// thread_block::leaving when a fiber only wants to go to the tail of the queue.
inline constexpr std::uint64_t yield_request = ~std::uint64_t{0};
/// Gives the worker to others when the running process has used up its budget, and takes in the signals that came. At most one
/// look at a counter else.
/// Throws:  detail::unwind when the process has to end. `in_send`: only if it had to end a whole budget ago already, so that
///          what is sent by a destructor, say, does not throw, but a process that does nothing but send ends all the same.
void yield_if_spent(bool in_send = false);
/// The reductions of a send to a process where `waiting` messages wait: one, and of the budget one more for each of these, up to
/// `most_counted`. So who floods a process that lags behind soon lets it run. One that waits for an answer, and so takes no message,
/// counts as if that many waited.
inline constexpr std::uint32_t most_counted = 150;
inline void spend_on_send(std::uint32_t waiting) {
  thread_block& block = here();
  const int extra = static_cast<int>(waiting < most_counted ? waiting : most_counted);
  block.accounted -= extra;                    // no work
  block.budget -= 1 + extra;
  if (block.budget <= 0) [[unlikely]] yield_if_spent(true);
}

// --- running ---------------------------------------------------------------------------------------------------------

/// Adds the reductions that were spent since the last account, and `handled` messages, to the work of this thread and of the
/// running process. Of a process only if it has an extension: who asks for the work of another makes it one, and counting begins.
inline void account(slot& s, int handled) noexcept {
  thread_block& block = here();
  const auto done = static_cast<std::uint64_t>(block.accounted - block.budget + handled);
  block.done += done;
  if (detail::extension* e = s.ext) e->work += done;
  block.accounted = block.budget;
}

[[noreturn]] void no_memory_for_stack() noexcept;
/// Gives the pages of the running fiber's stack back that nothing uses now: after something deep that will not come again.
void give_back_deep_stack() noexcept;

/// Runs an owned process: resumes its fiber or handles what is queued, then releases or queues it again.
void run_owned(slot& s) noexcept;
/// The same for a direct caller: handles a few messages of others, then queues the process.
void run_combined(slot& s) noexcept;
/// An owner that leaves: releases the process, or queues it if something has arrived.
void leave(slot& s) noexcept;
constexpr stack_class stack_for(std::uint32_t bytes) noexcept {
  if (bytes == 0) return stack_class::k64;
  if (bytes <= stack_bytes(stack_class::k16)) return stack_class::k16;
  if (bytes <= stack_bytes(stack_class::k64)) return stack_class::k64;
  return bytes <= stack_bytes(stack_class::k256) ? stack_class::k256 : stack_class::k1024;
}
/// A fiber for a process of class `cls`. Ends the program, with a word, when there is no memory for a stack.
inline fiber* take_fiber(thread_block& block, const detail::class_descriptor& cls) noexcept {
  fiber* f = block.warm;                       // the one that came back last: no list to mend
  if (f != nullptr && cls.stack_bytes == 0) [[likely]] {
    block.warm = nullptr;
    return f;
  }
  f = block.fibers.take(stack_for(cls.stack_bytes));
  if (f == nullptr) [[unlikely]] no_memory_for_stack();
  return f;
}
inline void give_fiber(thread_block& block, fiber* f) noexcept {
  if (block.warm == nullptr && f->size == stack_class::k64) [[likely]]
    block.warm = f;
  else
    block.fibers.give(f);
}
/// fiber::user when the process on it has ended during the run: its slot is not the enterer's any more.
inline void* ended_mark() noexcept { return reinterpret_cast<void*>(std::uintptr_t{1}); }
/// Asks, once, after the fiber came back.
inline bool has_ended(fiber& f) noexcept {
  if (f.user != ended_mark()) [[likely]] return false;
  f.user = nullptr;
  return true;
}
/// Runs `job(argument)` for the owned process `s` on a pooled fiber, on this thread.
/// Returns: how it left, and the fiber. When done the fiber is back in the pool, and `ended` says whether the process is.
struct direct_run { fiber_outcome outcome; fiber* on; bool ended; };
direct_run run_on_fiber(slot& s, fiber_job job, void* argument) noexcept;
/// After run_on_fiber said blocked (and what the fiber refers to on this stack was detached): commits, or goes on with it.
void commit_or_resume(slot& s, fiber* f) noexcept;
/// The scheduler's hook.
void run_scheduled(runnable* r) noexcept;
/// Puts an owned process on a run queue (a thread proxy: wakes its thread).
void schedule(slot& s) noexcept;
void schedule_last(slot& s) noexcept;
/// The winner of the wait word lets the process go on. `of_thread`: whether it is a thread's, asked before the exchange: after
/// it the thread may have gone on, and its slot be somebody else's.
void go_on(slot& s, bool of_thread) noexcept;

inline constexpr int batch = 256;           // messages of one turn of a worker
inline constexpr int combined = 16;         // messages a direct caller runs for others before it queues the process
inline constexpr int reductions = 4000;     // calls before a fiber goes to the tail of the global queue

// --- the end ---------------------------------------------------------------------------------------------------------

/// The process that runs on this fiber has ended: whoever gets the fiber back must not touch its slot.
void note_ended(slot& s) noexcept;
/// Marks the process to end with `why`; takes effect at its next wait or between messages. Owner only.
void doom(slot& s, const exit_reason& why, bool untrappable) noexcept;
/// Ends `who` here and now as an exit signal of the running process would that it cannot trap, if it is idle (a plain thread never is); what the two are
/// linked by is taken down first, so that nothing is heard of its end. False: nothing has happened.
bool end_if_idle(pid who, const exit_reason& why, bool untrappable) noexcept;
/// Ends an owned process: names, timers, state, links, monitors, mailbox, slot. The slot is not the caller's afterwards.
void end_process(slot& s, const exit_reason& why) noexcept;
[[noreturn]] void throw_unwind();
/// Inside `catch (...)`: who has run something for somebody else takes an exit(reason) as that one's end; the handler goes on.
/// Returns: the reason.
exit_reason take_back_exit(detail::slot& self) noexcept;

// --- reply slots -----------------------------------------------------------------------------------------------------

detail::reply_slot* take_reply_slot(slot& waiter, std::uint64_t number, void* place, std::uint64_t& serial);
enum class reply_phase : std::uint8_t { open, done, gone };
reply_phase phase_of(const detail::reply_slot& r, std::uint64_t serial) noexcept;
/// The waiter gives up. False: somebody is writing the reply or has written it; wait for `done`.
bool abandon(detail::reply_slot& r, std::uint64_t serial) noexcept;
/// The waiter has read the reply.
void close_reply(detail::reply_slot& r, std::uint64_t serial) noexcept;
/// The waiter `s`, in its wait `number`, gives up. True: the place is free, no reply will come. False: there is one; if it
/// was being written, its writer was waited for (a system request writes as long as its function runs).
bool give_up_reply(slot& s, std::uint64_t number, detail::reply_slot& r, std::uint64_t serial) noexcept;
/// The same for a waiter that has to end: a value that was written is destroyed, the slot is given back.
void drop_reply(slot& s, std::uint64_t number, detail::reply_slot& r, std::uint64_t serial, const message_descriptor* type) noexcept;
/// Notes that `self` owes an answer, so that its death gives one.
void note_open_reply(slot& self, detail::reply_slot* r, std::uint64_t serial);

// --- threads ---------------------------------------------------------------------------------------------------------

/// The hidden slot of a plain thread.
slot& proxy_of(thread_block& block);

}  // namespace coppice::internal
