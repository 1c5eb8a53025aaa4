// SPDX-License-Identifier: Apache-2.0
//
// gen_core: one call. Read from the bottom: call_core claims an idle server and runs its handler at once, on a pooled fiber
// (a leaf: on the caller's stack); everything else takes call_queued. Names have become pids before.
//
// The fast path: claim, serial, flags, class, enter, release: two locked instructions, no allocation, no queue, no clock.
// What is rare stays off it by one flag (`careful`): suspended, frozen, watched, idle timeout armed; classes that are queued or
// pinned. Design note: docs/internals/call.md.
#include "otp/gen_core.hpp"

#include <coppice/base/assert.hpp>

#include "otp/gen_server_core.hpp"
#include "process/class_counts.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "process/trace.hpp"
#include "runtime/planted.hpp"
#include "runtime/scope.hpp"

namespace coppice::internal {

using detail::call_record;
using detail::call_status;
using detail::handler_frame;
using detail::has;
using detail::trampoline;

namespace {

constexpr int longest_chain = 64;               // hops that the cycle check follows
constexpr int first_pause = 16, last_pause = 256; // of a plain thread before it queues its call, in `relax`: 2 µs in all

/// Whether `me` is waited for, directly or through others, by `target`. Racy reads of a chain that may change while it is
/// read: so a cycle counts only if a second walk meets the same processes in the same waits.
bool closes_cycle(const slot& me, const slot& target) noexcept {
  std::uint64_t waits[longest_chain];
  for (int round = 0; round < 2; ++round) {
    const slot* s = &target;
    int n = 0;
    for (; s != nullptr && s != &me && n < longest_chain; s = s->calling.load(sync::seq_cst), ++n) {
      const std::uint64_t wait = s->wait.load(sync::seq_cst);
      if (round == 0)
        waits[n] = wait;
      else if (waits[n] != wait)
        return false;
    }
    if (s != &me) return false;
  }
  return true;
}

bool is_answered(void* raw) {
  const auto& r = *static_cast<const call_record*>(raw);
  return phase_of(*r.reply, r.reply_serial) == reply_phase::done;
}

void take_answer(call_record& r) {
  if (r.reply->failed) {
    r.reason = r.reply->failure;
    r.status = status_of(r.reason);
  } else {
    r.status = call_status::replied;
  }
  close_reply(*r.reply, r.reply_serial);
}

/// While a process waits for another: for the cycle check, and for whoever wants to know what it is doing.
struct calling_end {
  slot& s;
  explicit calling_end(slot& me) noexcept : s(me) {}
  calling_end(const calling_end&) = delete;
  ~calling_end() { s.calling.store(nullptr, sync::relaxed); }
};
struct calling_mark : calling_end {
  calling_mark(slot& me, slot* target) noexcept : calling_end(me) { s.calling.store(target, sync::relaxed); }
};

struct direct_start {
  trampoline handler;
  handler_frame* frame;
};

[[gnu::noinline]] void finish_direct(handler_frame& frame) noexcept {
  slot& s = *frame.self;
  s.cls->handles->finish(s, frame);
  if (frame.record != nullptr) frame.record->reason = std::move(frame.reason);   // still attached: the caller reads it
}

/// The job of a direct call. The frame lives on this fiber's stack: the caller may be gone before the handler is done.
void run_call(void* raw) noexcept {
  call_record& r = *static_cast<call_record*>(raw);         // on the caller's stack: sound until the handler waits
  slot& callee = *r.to.where();
  handler_frame frame(callee, detail::state_of(callee), r);
  static_cast<fiber*>(r.on)->user = &frame;
  r.target->run(frame);
  if (frame.then_do != detail::after::nothing) [[unlikely]] finish_direct(frame);
}

/// The same for a start: the frame comes ready made and is copied to this fiber's stack.
void run_handler(void* raw) noexcept {
  const direct_start start = *static_cast<direct_start*>(raw);
  handler_frame frame = std::move(*start.frame);
  fiber* self = here().on;
  self->user = &frame;
  start.handler(frame);
  if (frame.then_do != detail::after::nothing) {
    slot& s = *frame.self;
    s.cls->handles->finish(s, frame);
  }
  if (frame.record != nullptr) *start.frame = std::move(frame);   // still attached: the caller is there to read it
}

void run_for_others(slot& s) noexcept;

/// The owner is done with a direct call: lets go, or handles a few of those who came meanwhile.
inline void let_go(slot& s) noexcept {
  if (!release_if_empty(s)) [[unlikely]] run_for_others(s);
}

void run_for_others(slot& s) noexcept { run_combined(s); }

/// The server is not idle: whoever it waits for, directly or through others, must not be us.
bool may_wait_for(slot& me, slot& target) noexcept {
  me.calling.store(&target, sync::seq_cst);     // before the look: of two calls that close a ring one sees the other
  return !closes_cycle(me, target);
}

void refuse_as_cycle(call_record& r, node* n) noexcept {
  r.target->type->destroy(payload_at(*n));
  free_node(here(), n);
  (void)abandon(*r.reply, r.reply_serial);      // nobody else knows of it
  r.status = call_status::cycle;
}

void call_queued(call_record& r) {
  thread_block& block = here();
  slot& me = block.process != nullptr ? *block.process : proxy_of(block);
  const bool local = r.to.is_local();
  const calling_end when_left(me);
  if (local) me.calling.store(r.to.where(), sync::relaxed);   // whom we wake sees it; see may_wait_for
  node* n = open_call(r, me, begin_wait(me));
  if (!local || !deliver_if_idle(r.to, n)) {
    if (local && !may_wait_for(me, *r.to.where())) return refuse_as_cycle(r, n);
    (void)deliver_bounded(r.to, n);             // full or dead: the node was disposed of, which answered
  }
  await_reply(r);
}

/// The server is idle and ours, but wants to see every message: it gets a node, at once, on this thread.
void call_carefully(call_record& r, slot& s) {
  thread_block& block = here();
  slot& me = block.process != nullptr ? *block.process : proxy_of(block);
  const calling_mark mark(me, &s);
  node* n = nullptr;
  try {
    n = open_call(r, me, begin_wait(me));
  } catch (...) {
    leave(s);
    throw;
  }
  n->serial = r.to.serial();
  append(s, n);
  if ((s.cls->flags & (detail::class_flag::queued | detail::class_flag::pinned)) != 0)
    schedule(s);                               // its class says: not on a caller's thread
  else
    run_owned(s);
  await_reply(r);
}

/// The handler waits: its caller waits for it like for a queued one.
void follow_blocked(call_record& r, slot& s, fiber* f) {
  auto& frame = *static_cast<handler_frame*>(f->user);
  s.since.store(sync::now(), sync::release);    // since when it waits: no clock was read before
  if (r.status == call_status::pending) {
    detail::detach(frame);
  } else if (frame.record != nullptr) {         // answered already: it works on, for itself
    frame.record = nullptr;
    frame.reply = nullptr;
    frame.reply_serial = 0;
    frame.caller = {};
  }
  commit_or_resume(s, f);
}

/// The rarer ways to a handler: no class was meant, or it comes from the class's table.
[[gnu::noinline]] void find_handler(call_record& r, const detail::class_descriptor& cls) noexcept {
  const detail::call_target& t = *r.target;
  trampoline run = nullptr;
  if ((t.class_key == 0 || t.class_key == cls.key) && cls.handles != nullptr)
    run = t.run != nullptr ? t.run : cls.handles->find(cls, node_kind::call, t.type->key);
  if (run == nullptr) r.status = call_status::bad_request;
  r.found = {t.type, run, t.class_key};
  r.target = &r.found;
}

}  // namespace

node* new_request_node(const message_descriptor& type, void* request, detail::trampoline run, const detail::call_header& header) {
  node* n = allocate_node_behind(sizeof(detail::call_header), type.size, type.align);
  n->kind = node_kind::call;
  n->type = &type;
  n->run = run;
  ::new (&header_of(*n)) detail::call_header(header);
  try {
    type.move(detail::payload_of(*n), request);
  } catch (...) {
    detail::free_node(n);
    throw;
  }
  return n;
}

call_status status_of(const exit_reason& why) noexcept {
  // A server that ended with one of these words said more than the word: the library's own refusals say nothing else.
  if (!why.text().empty() && !why.is(exit_reason::bad_request)) return call_status::ended;
  switch (why.what()) {
    case exit_reason::noproc: return call_status::noproc;
    case exit_reason::no_reply: return call_status::no_reply;
    case exit_reason::bad_request: return call_status::bad_request;
    case exit_reason::system_limit: return call_status::full;
    default: return call_status::ended;
  }
}

void open_reply(call_record& r, slot& caller, std::uint64_t number) {
  r.caller = &caller;
  r.number = number;
  r.reply = take_reply_slot(caller, number, r.place, r.reply_serial);
}

node* open_call(call_record& r, slot& caller, std::uint64_t number) {
  open_reply(r, caller, number);
  try {
    return new_request_node(*r.target->type, r.request, r.target->run,
                            {.reply = r.reply, .reply_serial = r.reply_serial, .deadline = sync::never,
                             .caller = detail::pid_of(caller), .unanswered = nullptr, .class_key = r.target->class_key});
  } catch (...) {
    abandon(*r.reply, r.reply_serial);         // the request's move threw: nobody has heard of the call
    r.reply = nullptr;
    throw;
  }
}

void await_reply(call_record& r) {
  const std::int64_t timeout = r.timeout == infinity ? sync::never : r.timeout.count();
  bool answered = false;
  try {
    answered = is_answered(&r) || wait_until(*r.caller, r.number, wait_state::signals, timeout, &is_answered, &r);
  } catch (...) {
    drop_reply(*r.caller, r.number, *r.reply, r.reply_serial, r.target->type->reply);
    throw;
  }
  if (!answered && give_up_reply(*r.caller, r.number, *r.reply, r.reply_serial)) {
    r.status = call_status::timed_out;
    return;
  }
  take_answer(r);
}

namespace {

/// A direct call whose handler has run, without an answer yet.
[[gnu::noinline]] void settle_unanswered(call_record& r, slot* me, bool blocked, bool ended) {
  if (r.status == call_status::detached) {      // the handler waits, or keeps its `from`
    // Who keeps a `from` may have others answer: that is no link of a ring (GS-X3). keep_open sees to a handler that waits first.
    if (!blocked && me != nullptr) me->calling.store(nullptr, sync::relaxed);
    const calling_end when_left(*r.caller);
    return await_reply(r);
  }
  if (me != nullptr) me->calling.store(nullptr, sync::relaxed);
  r.status = ended ? call_status::ended : call_status::no_reply;
}

inline void settle_direct(call_record& r, slot* me, bool blocked, bool ended) {
  if (r.status != call_status::replied) [[unlikely]] return settle_unanswered(r, me, blocked, ended);
  if (me != nullptr) me->calling.store(nullptr, sync::relaxed);
}

/// The handler waits, or its fiber was abandoned.
[[gnu::noinline]] void call_left(call_record& r, slot& s, slot* me, fiber* f, fiber_outcome outcome) {
  if (outcome == fiber_outcome::blocked) follow_blocked(r, s, f);
  settle_direct(r, me, true, false);
}

/// A plain thread that meets a server at work waits a little for it to become idle, as an adaptive mutex does: to queue the call
/// and sleep costs microseconds. It looks ever less often, because each look takes the line from the owner, who may have
/// calls of its own to make there. A process does not wait: its worker has others to run.
/// Returns: whether the server is idle now. No promise: somebody may come before us.
bool soon_idle(const slot& s) noexcept {
  for (int pause = first_pause; pause <= last_pause; pause += pause) {
    for (int i = 0; i != pause; ++i) sync::relax();
    const std::uintptr_t word = s.word.load(sync::relaxed);
    if (word == 0) return true;
    if (word > 1 || state_of_wait(s.wait.load(sync::relaxed)) > wait_state::armed || sync::buggify()) return false;
  }
  return false;
}

/// Not an idle process of this node, or the caller has used up its budget.
[[gnu::noinline]] void call_otherwise(call_record& r) {
  if (!r.to) {
    r.status = call_status::noproc;
    return;
  }
  if (r.to.is_local()) {
    slot& s = *r.to.where();
    if (here().process == &s && r.to.serial() == s.serial.load(sync::relaxed)) {
      r.status = call_status::calling_self;
      return;
    }
    yield_if_spent();
    if (!r.queued && here().process == nullptr && soon_idle(s)) return detail::call_core(r);
    if (!r.queued && s.word.load(sync::relaxed) == 0) return detail::call_core(r);   // perhaps on another thread now
  }
  call_queued(r);
}

}  // namespace

handled run_direct(slot& s, trampoline handler, handler_frame& frame) noexcept {
  direct_start start{handler, &frame};
  call_record* record = frame.record;
  const direct_run run = run_on_fiber(s, &run_handler, &start);
  if (run.outcome == fiber_outcome::done) return {false, run.ended};
  if (run.outcome == fiber_outcome::blocked) {
    if (record != nullptr) follow_blocked(*record, s, run.on);
    else commit_or_resume(s, run.on);
  }
  return {true, false};
}

}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

namespace {

// The rest of a direct call, in the order of the steps. A chain of tail calls: none keeps a register for the next, because every
// register saved is a store that the release waits for; and none bears what a rarer neighbour must save.

inline void run_on_stack_of_caller(call_record& r, slot& s, thread_block& block) noexcept {
  slot* const me = block.process;
  r.on = block.leaf_call;
  handler_frame frame(s, state_of(s), r);
  block.process = &s;
  block.leaf_call = &r;
  r.target->run(frame);
  if (frame.then_do != after::nothing) [[unlikely]] finish_direct(frame);
  block.process = me;
  block.leaf_call = r.on;
}

[[gnu::noinline]] void call_leaf(call_record& r, thread_block& block) {
  run_on_stack_of_caller(r, *r.to.where(), block);
  slot& s = *r.to.where();
  if (s.serial.load(sync::relaxed) != r.to.serial()) [[unlikely]] return settle_direct(r, block.process, false, true);
  let_go(s);
  settle_direct(r, block.process, false, false);
}

[[gnu::noinline]] void call_on_fiber(call_record& r, slot& s, thread_block& block) {
  fiber* const outer = block.on;
  slot* const me = block.process;
  fiber* const f = take_fiber(block, *s.cls);
  r.on = f;
  f->process = &s;
  block.process = &s;
  block.on = f;
  const fiber_outcome outcome = enter(*f, &run_call, &r, block.exceptions);
  block.process = me;
  block.on = outer;
  if (outcome != fiber_outcome::done) [[unlikely]] return call_left(r, s, me, f, outcome);
  const bool ended = has_ended(*f);
  give_fiber(block, f);
  if (!ended) [[likely]] let_go(s);
  settle_direct(r, me, false, ended);
}

inline void call_here(call_record& r, slot& s, thread_block& block) {
  return has(s, leaf) ? call_leaf(r, block) : call_on_fiber(r, s, block);
}

/// If the handler waits, the time of its answer's way is in it, too.
[[gnu::noinline]] void call_measured(call_record& r, slot& s, thread_block& block) {
  const handler_time taken(s);
  call_here(r, s, block);
}

/// The server is ours, and takes direct calls of this class; the handler is known.
inline void call_claimed(call_record& r, slot& s, thread_block& block) {
  slot* const me = block.process;
  r.caller = me;
  if (me != nullptr) me->calling.store(&s, sync::relaxed);
  s.doing.store(r.target->type, sync::relaxed);       // stale as soon as the word is 0
  if (is_measured(count_message(s))) [[unlikely]] return call_measured(r, s, block);
  call_here(r, s, block);
}

[[gnu::noinline]] void call_traced(call_record& r, slot& s, thread_block& block) {
  trace_sent(r.to, r.target->type);
  trace_received(s, r.target->type);
  call_claimed(r, s, block);
}

/// Ours, but not as the record would have it: a former tenant's pid, a careful server, another class, no handler known yet.
[[gnu::noinline]] void look_closer(call_record& r, slot& s, thread_block& block) {
  if (s.serial.load(sync::relaxed) != r.to.serial() && !planted::is(planted::serial_unchecked_on_claim)) {
    leave(s);
    r.status = call_status::noproc;
    return;
  }
  if (has(s, careful)) return call_carefully(r, s);
  find_handler(r, *s.cls);
  if (r.status != call_status::pending) return leave(s);
  tracing() ? call_traced(r, s, block) : call_claimed(r, s, block);
}

inline void claim_and_call(call_record& r, thread_block& block) {
  if (!r.to || !r.to.is_local() || r.queued) [[unlikely]] return call_otherwise(r);
  slot& s = *r.to.where();
  // A caller that is this server itself finds the word taken: by itself.
  if (--block.budget <= 0 || !claim(s)) [[unlikely]] return call_otherwise(r);
  const call_target& target = *r.target;
  if (s.serial.load(sync::relaxed) != r.to.serial() || has(s, careful) || target.class_key != s.cls->key || target.run == nullptr)
    [[unlikely]] return look_closer(r, s, block);
  if (tracing()) [[unlikely]] return call_traced(r, s, block);
  call_claimed(r, s, block);
}

/// The first call of a thread, or one inside of something with rules, such as a transaction.
[[gnu::noinline]] void call_by_rules(call_record& r) {
  thread_block& block = internal::here();
  if (const scope_rules* rules = rules_of(block)) rules->refuse("call");
  claim_and_call(r, block);
}

}  // namespace

void call_core(call_record& r) {
  auto* const block = static_cast<thread_block*>(sync::this_thread_block());
  if (block == nullptr || rules_of(*block) != nullptr) [[unlikely]] return call_by_rules(r);
  claim_and_call(r, *block);
}

}  // namespace coppice::detail
