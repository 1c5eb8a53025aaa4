// SPDX-License-Identifier: Apache-2.0
//
// run: a process gets a turn. A worker, or whoever calls it directly, enters a pooled fiber for it; the fiber drains the
// inbox, handles what is queued and returns; one that waits in the middle keeps its fiber until the wait is over.
//
// The life of a turn: run_owned -> run_on_fiber / resume -> turn -> behaviour's handle, or the body -> leave.
#include <coppice/base/assert.hpp>

#include "process/class_counts.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "process/trace.hpp"
#include "runtime/planted.hpp"

#include <cstdio>
#include <cstdlib>

namespace coppice::internal {

namespace {

/// What the reports of a body say, and the end of the process.
void run_body(slot& s) {
  set(s, detail::began);
  exit_reason why;
  try {
    s.cls->body(detail::state_of(s));
  } catch (const detail::unwind&) {
    why = detail::ext_of(s).pending;
  } catch (...) {
    why = exit_reason::from_current_exception();
  }
  // A body that swallowed its unwinding ends with the reason all the same.
  if (has(s, detail::doomed) || has(s, detail::leaving)) why = detail::ext_of(s).pending;
  if (!has(s, detail::doomed) && s.ext.get() != nullptr && s.ext->data != nullptr && s.ext->data->take_over(s)) return;
  end_process(s, why);
}

[[gnu::noinline]] void handle_measured(slot& s, node* n) noexcept {
  const handler_time taken(s);
  s.cls->handles->handle(s, n);
}

/// Handles what waits in front, or several of them, up to `most`.   Returns: how many.
int handle_next(slot& s, int most) noexcept {
  const detail::behaviour& by = *s.cls->handles;
  if (by.handle_several != nullptr)
    if (const int handled = by.handle_several(s, most); handled != 0) return handled;
  node* n = pop(s);
  if (tracing()) [[unlikely]] trace_received(s, n->type);
  if (is_measured(count_message(s))) [[unlikely]] handle_measured(s, n);
  else by.handle(s, n);
  return 1;
}

/// One turn of `s`, on its fiber: up to `budget` messages.
void turn(slot& s, int budget) noexcept {
  const std::uint64_t serial = s.serial.load(sync::relaxed);
  for (int done = 0;;) {
    drain(s);
    constexpr std::uint32_t rare = std::uint32_t{detail::doomed} | std::uint32_t{detail::frozen};
    if ((s.flags.load(sync::relaxed) & rare) != 0) [[unlikely]] {
      if (has(s, detail::doomed)) {
        end_process(s, detail::ext_of(s).pending);
        return;
      }
      wait_while_frozen(s);
      continue;
    }
    if (done == budget) {
      account(s, done);
      return;
    }
    if (s.cls->body != nullptr) {
      run_body(s);
      return;
    }
    if (s.fifo.get() == nullptr) {
      account(s, done);
      return;
    }
    done += handle_next(s, budget - done);
    if (s.serial.load(sync::relaxed) != serial) return;   // it ended; the slot is not ours any more
  }
}

void turn_of_worker(void* raw) { turn(*static_cast<slot*>(raw), batch); }
void turn_of_caller(void* raw) { turn(*static_cast<slot*>(raw), combined); }

/// A fiber came back: settles who the process belongs to.
void after_run(slot& s, fiber* f, fiber_outcome outcome) noexcept {
  if (outcome == fiber_outcome::blocked) {
    commit_or_resume(s, f);
    return;
  }
  if (outcome == fiber_outcome::abandoned) return;
  const bool ended = has_ended(*f);
  give_fiber(here(), f);
  if (!ended) leave(s);
}

struct place {                                 // who ran here before, to be put back
  thread_block& block = here();
  slot* process = block.process;
  fiber* on = block.on;
  void enter(slot& s, fiber* f) const noexcept { block.process = &s; block.on = f; }
  void restore() const noexcept { block.process = process; block.on = on; }
};

}  // namespace

void no_memory_for_stack() noexcept {
  std::fputs("coppice: no memory or address space for the stack of a process\n", stderr);
  std::abort();
}

[[gnu::noinline]] void give_back_deep_stack() noexcept {
  const fiber* f = here().on;
  auto* const here_now = static_cast<std::byte*>(__builtin_frame_address(0));
  constexpr std::ptrdiff_t own_frames = 1024;       // this one's, and what it calls
  if (f != nullptr) stack_pool::give_back_pages(f->bottom, here_now - own_frames);
}

void note_ended(slot& s) noexcept {
  fiber* f = here().on;
  if (f != nullptr && f->process == &s) f->user = ended_mark();
}

direct_run run_on_fiber(slot& s, fiber_job job, void* argument) noexcept {
  const place before;
  fiber* f = take_fiber(before.block, *s.cls);
  f->process = &s;
  f->user = nullptr;                           // a former handler's frame is not ours
  before.enter(s, f);
  const fiber_outcome outcome = enter(*f, job, argument, before.block.exceptions);
  before.restore();
  bool ended = false;
  if (outcome == fiber_outcome::done) {
    ended = has_ended(*f);
    give_fiber(before.block, f);
  }
  return {outcome, f, ended};
}

void commit_or_resume(slot& s, fiber* f) noexcept {
  while (!commit_wait(s, *f)) {
    const place before;
    before.enter(s, f);
    const fiber_outcome outcome = resume(*f, before.block.exceptions);
    before.restore();
    if (outcome != fiber_outcome::blocked) {
      after_run(s, f, outcome);
      return;
    }
  }
}

void run_owned(slot& s) noexcept {
  fiber* f = s.fiber;
  if (f == nullptr) {
    const direct_run run = run_on_fiber(s, &turn_of_worker, &s);
    if (run.outcome == fiber_outcome::blocked)
      commit_or_resume(s, run.on);
    else if (run.outcome == fiber_outcome::done && !run.ended)
      leave(s);
    return;
  }
  s.fiber = nullptr;                           // before the resume, and before the word can become 0 (invariant 6)
  const place before;
  before.enter(s, f);
  const fiber_outcome outcome = resume(*f, before.block.exceptions);
  before.restore();
  after_run(s, f, outcome);
}

void run_combined(slot& s) noexcept {
  const direct_run run = run_on_fiber(s, &turn_of_caller, &s);
  if (run.outcome == fiber_outcome::blocked)
    commit_or_resume(s, run.on);
  else if (run.outcome == fiber_outcome::done && !run.ended)
    leave(s);
}

void run_scheduled(runnable* r) noexcept {
  thread_block& block = here();
  block.budget = block.accounted = reductions;
  run_owned(*static_cast<slot*>(r));
}

namespace {

void schedule_placed(slot& s) noexcept {
  scheduler& sched = system_of(s).sched;
  if (s.placement == detail::placed_high) sched.push_high(&s);
  else if (s.placement == detail::placed_low) sched.push_low(&s);
  else sched.push_pinned(&s, s.placement - 1u);
}

}  // namespace

void schedule(slot& s) noexcept {
  COPPICE_ASSERT(!has(s, detail::thread_proxy), "a thread is no business of the scheduler's");
  if (s.placement != 0) [[unlikely]] return schedule_placed(s);
  system_of(s).sched.push(&s);
}

void go_on(slot& s, bool of_thread) noexcept {
  if (planted::is(planted::thread_asked_late)) of_thread = has(s, detail::thread_proxy);
  if (of_thread)
    sync::futex_wake(&s.wait, 1);              // the address only: its thread may be gone (the slot is not)
  else
    schedule(s);
}

void schedule_last(slot& s) noexcept {
  if (s.placement != 0)
    schedule_placed(s);
  else
    system_of(s).sched.push_yielded(&s);
}

}  // namespace coppice::internal
