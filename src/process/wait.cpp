// SPDX-License-Identifier: Apache-2.0
//
// wait: how a process, or a plain thread, leaves its stack until something happens. The wait word is in slot.hpp.
//
//   arm -> ask `ready` -> leave -> (committed by the context switched to) -> woken -> drain -> ask again
//
// The order arm, ask, leave means that a waker who makes `ready` true before the ask is seen by the ask, and one who does
// so after it finds the word armed or waiting and ends the wait. Nothing is lost, and nothing is locked.
#include <coppice/base/assert.hpp>

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "runtime/epoch.hpp"
#include "runtime/planted.hpp"

#include <exception>

namespace coppice::internal {

namespace {

constexpr int spins_of_thread = 300;          // about a microsecond before a plain thread sleeps

/// Ends a wait at its deadline. Shared by the waiter and the wheel: the waiter frees it when it has won the cancel, or
/// when the wheel has marked it `fired`, which is the wheel's last touch.
struct wait_timer : timer_node {
  wait_timer(slot& s, std::uint64_t n) noexcept : timer_node(&expire), waiter(&s), number(n) {}
  slot* waiter;
  std::uint64_t number;
  sync::atomic<std::uint32_t> fired;

  static void expire(timer_node& raw) noexcept {
    auto& self = static_cast<wait_timer&>(raw);
    slot* s = self.waiter;
    const std::uint64_t n = self.number;
    self.fired.store(1, sync::seq_cst);       // before the wake: whoever it wakes sees why
    wake(*s, n);
  }
};

/// The deadline of one wait, armed when the process really leaves.
class limit {
 public:
  limit(slot& s, std::uint64_t number, std::int64_t timeout) noexcept : slot_(s), number_(number), timeout_(timeout) {}
  limit(const limit&) = delete;
  ~limit() {
    if (timer_ == nullptr) return;
    if (!timer_wheel::cancel(*timer_))
      while (timer_->fired.load(sync::acquire) == 0) sync::relax();
    timer_->~wait_timer();
    here().blocks.free(timer_, sizeof(wait_timer));
  }
  bool passed() const noexcept {
    if (timeout_ <= 0) return true;
    if (deadline_ != sync::never) return sync::now() >= deadline_;
    return timer_ != nullptr && timer_->fired.load(sync::seq_cst) != 0;
  }
  /// Its timer may fire at any moment.
  bool runs() const noexcept { return timer_ != nullptr; }
  /// When a plain thread has to come back; its futex keeps the time.
  std::int64_t deadline() const noexcept { return deadline_; }
  void arm() {
    if (timer_ != nullptr || timeout_ == sync::never) return;
    if (has(slot_, detail::thread_proxy)) {
      if (deadline_ == sync::never) deadline_ = deadline_after(duration(timeout_));
      return;
    }
    timer_ = ::new (here().blocks.allocate(sizeof(wait_timer))) wait_timer(slot_, number_);
    system_of(slot_).sched.start_timer(*timer_, timeout_);
  }

 private:
  slot& slot_;
  std::uint64_t number_;
  std::int64_t timeout_;
  std::int64_t deadline_ = sync::never;
  wait_timer* timer_ = nullptr;
};

/// Still armed since begin_wait: nobody has ended the wait, so whoever makes `ready` true from now on does.
/// Else, for `any`, what is waited for lies in the inbox, which the commit looks at once more. Anything else (a reply slot, a
/// deadline whose timer runs already) is made ready by a store that only this seq_cst exchange, before the ask, is ordered with:
/// pairs with wake()'s second look and with wait_timer::expire.
void arm(slot& s, std::uint64_t number, wait_state how, bool by_wake = false) noexcept {
  const std::uint64_t armed = wait_word(number, wait_state::armed);
  if (s.wait.load(sync::relaxed) == armed) return;
  if (how == wait_state::any && !by_wake)
    s.wait.store(armed, sync::release);
  else
    s.wait.exchange(armed, sync::seq_cst);
}
void disarm(slot& s, std::uint64_t number) noexcept {
  s.wait.store(wait_word(number, wait_state::done), sync::release);
}

void leave_fiber(slot& s, std::uint64_t number, wait_state how) noexcept {
  thread_block& block = here();
  fiber* self = block.on;
  block.leaving = wait_word(number, how);
  account(s, 0);
  count_views_before_leaving(block, *self);
  suspend(*self);
}

/// A plain thread commits its own wait: its stack stays where it is.
void leave_thread(slot& s, std::uint64_t number, wait_state how, std::int64_t deadline) noexcept {
  std::uint64_t armed = wait_word(number, wait_state::armed);
  const std::uint64_t waiting = wait_word(number, how);
  if (!s.wait.cas(armed, waiting, sync::seq_cst)) return;
  // As in commit_wait: whoever pushes sees the waiting word, or we see the push. Less than seq_cst misses both.
  if (s.word.load(sync::seq_cst) > 1) {
    std::uint64_t w = waiting;
    if (s.wait.cas(w, wait_word(number, wait_state::done), sync::seq_cst)) return;
  }
  for (int i = 0; i < spins_of_thread && !sync::buggify(); ++i) {
    if (s.wait.load(sync::acquire) != waiting) return;
    sync::relax();
  }
  while (s.wait.load(sync::seq_cst) == waiting)
    if (!sync::futex_wait(s.wait, waiting, deadline)) return;
}

void refuse_wait(slot& s) {
  if (has(s, detail::leaf)) throw exit_error(exit_reason::blocking_in_leaf, "a leaf handler must not wait");
  if (has(s, detail::ending)) throw exit_error(exit_reason::noproc, "the process is ending: it cannot wait any more");
}

bool must_end(const slot& s) noexcept {
  return (s.flags.load(sync::relaxed) & (std::uint32_t{detail::doomed} | std::uint32_t{detail::leaving})) != 0;
}

}  // namespace

bool take_arrivals(slot& s) {
  drain(s);
  constexpr std::uint32_t rare = std::uint32_t{detail::doomed} | std::uint32_t{detail::leaving} | std::uint32_t{detail::frozen};
  if ((s.flags.load(sync::relaxed) & rare) != 0) [[unlikely]] {
    if (!has(s, detail::leaf) && !has(s, detail::ending)) wait_while_frozen(s);
    if (must_end(s)) throw_unwind();
  }
  return s.fifo.get() != nullptr;
}

std::uint64_t begin_wait(slot& s) noexcept {
  const std::uint64_t number = wait_number(s.wait.load(sync::relaxed)) + 1;
  s.wait.store(wait_word(number, wait_state::armed), sync::relaxed);
  return number;
}

bool commit_wait(slot& s, fiber& f) noexcept {
  const std::uint64_t waiting = here().leaving;
  if (waiting == yield_request) {
    s.fiber = &f;
    schedule_last(s);                          // from here on it may run elsewhere
    return true;
  }
  const std::uint64_t number = wait_number(waiting);
  std::uint64_t armed = wait_word(number, wait_state::armed);
  if (!planted::is(planted::commit_before_context)) s.fiber = &f;
  if (!s.wait.cas(armed, waiting, sync::seq_cst)) {   // pairs with wake and after_push
    if (!planted::is(planted::fiber_left_after_commit)) s.fiber = nullptr;
    return false;
  }
  if (planted::is(planted::commit_before_context)) s.fiber = &f;
  if (planted::is(planted::commit_without_recheck)) return true;
  // From here on the process may run elsewhere: only the wait word, with its number, may be touched.
  if (s.word.load(sync::seq_cst) > 1) {
    std::uint64_t w = waiting;
    if (s.wait.cas(w, wait_word(number, wait_state::done), sync::seq_cst)) {
      s.fiber = nullptr;
      return false;
    }
  }
  return true;
}

void wake(slot& s, std::uint64_t number) noexcept {
  std::uint64_t w = s.wait.load(sync::seq_cst);
  for (bool looked_twice = false;;) {
    if (wait_number(w) != number && !planted::is(planted::wait_without_serial)) return;
    const wait_state how = state_of_wait(w);
    if (how == wait_state::done) {
      // Something else has woken it. Perhaps it is arming again, and asked before it could see what we have made ready: the
      // fence stands between that and this look, as its exchange stands between its arming and its asking.
      if (looked_twice || planted::is(planted::wake_without_second_look)) return;
      sync::fence(sync::seq_cst);
      looked_twice = true;
      w = s.wait.load(sync::seq_cst);
      continue;
    }
    const bool of_thread = has(s, detail::thread_proxy);
    if (planted::is(planted::wake_without_exchange)) {
      s.wait.store(wait_word(wait_number(w), wait_state::done), sync::seq_cst);
    } else if (!s.wait.cas(w, wait_word(wait_number(w), wait_state::done), sync::seq_cst)) {
      continue;
    }
    if (how != wait_state::armed) go_on(s, of_thread);
    return;
  }
}

bool wait_until(slot& s, std::uint64_t number, wait_state how, std::int64_t timeout, bool (*ready)(void*), void* context,
                bool by_wake) {
  limit until(s, number, timeout);
  for (;;) {
    drain(s);
    if (must_end(s)) {
      disarm(s, number);
      throw_unwind();
    }
    // Suspended from outside: nothing but signals is of interest until it is resumed, not even the deadline (PR-90).
    const bool held = has(s, detail::frozen);
    arm(s, number, held ? wait_state::signals : how, by_wake || until.runs());
    if (!held && ready(context)) {
      disarm(s, number);
      return true;
    }
    if (!held && until.passed()) {
      disarm(s, number);
      return ready(context);
    }
    refuse_wait(s);
    until.arm();
    if (has(s, detail::thread_proxy))
      leave_thread(s, number, how, until.deadline());
    else
      leave_fiber(s, number, held ? wait_state::signals : how);
  }
}

namespace {

/// Where the stack cannot be left (a leaf, a process that ends): the thread waits. Others run what it would have run.
bool hold_thread(std::int64_t timeout, bool (*ready)(void*), void* context) noexcept {
  if (here().at != nullptr) here().at->of->leave_queue_to_others();
  const std::int64_t deadline = deadline_after(duration(timeout));
  for (int looks = 0; !ready(context); ++looks) {
    if (looks < 100) {
      sync::relax();
      continue;
    }
    if (sync::now() >= deadline) return ready(context);
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 50'000);
  }
  return true;
}

}  // namespace

bool wait_regardless(slot& s, std::uint64_t number, std::int64_t timeout, bool (*ready)(void*), void* context) noexcept {
  if (&s != &detail::here() || has(s, detail::leaf) || has(s, detail::ending)) return hold_thread(timeout, ready, context);
  limit until(s, number, timeout);
  for (;;) {
    drain(s);
    arm(s, number, wait_state::signals, until.runs());
    if (ready(context)) {
      disarm(s, number);
      return true;
    }
    if (until.passed()) {
      disarm(s, number);
      return ready(context);
    }
    until.arm();
    if (has(s, detail::thread_proxy))
      leave_thread(s, number, wait_state::signals, until.deadline());
    else
      leave_fiber(s, number, wait_state::signals);
  }
}

void wait_while_frozen(slot& s) noexcept {
  const std::uint64_t number = begin_wait(s);
  for (drain(s); has(s, detail::frozen) && !must_end(s); drain(s)) {
    arm(s, number, wait_state::signals);
    leave_fiber(s, number, wait_state::signals);
  }
  disarm(s, number);
}

void wait_in_any_case(slot& s, std::uint64_t number, bool (*ready)(void*), void* context) noexcept {
  for (int i = 0; i < spins_of_thread && !sync::buggify(); ++i) {
    if (ready(context)) return disarm(s, number);
    sync::relax();
  }
  const bool must_spin = has(s, detail::leaf) || has(s, detail::ending);
  for (;;) {
    drain(s);
    arm(s, number, wait_state::signals);
    if (ready(context)) return disarm(s, number);
    if (must_spin) sync::relax();
    else if (has(s, detail::thread_proxy)) leave_thread(s, number, wait_state::signals, sync::never);
    else leave_fiber(s, number, wait_state::signals);
  }
}

namespace {

/// A send takes part in nothing but this: who has to end and goes on sending, budget after budget, is unwound.
void take_signals_in_send(slot& s) {
  drain(s);
  if (has(s, detail::frozen)) wait_while_frozen(s);
  if (!must_end(s)) return;
  if (has(s, detail::overdue) && std::uncaught_exceptions() == 0) throw_unwind();
  set(s, detail::overdue);
}

}  // namespace

void yield_if_spent(bool in_send) {
  thread_block& block = here();
  if (block.budget > 0) return;
  if (block.on != nullptr && block.process != nullptr) account(*block.process, 0);
  block.budget = block.accounted = reductions;
  if (block.on == nullptr || block.process == nullptr) return;          // a plain thread: the kernel shares the core out
  slot& s = *block.process;
  if (has(s, detail::leaf) || has(s, detail::ending)) return;
  block.leaving = yield_request;
  count_views_before_leaving(block, *block.on);
  suspend(*block.on);
  if (in_send) take_signals_in_send(s);
  else take_arrivals(s);
}

namespace {

/// A handler that catches its unwinding and returns as if nothing had happened ends its server all the same (PR-12): its
/// frame says so before it is thrown.
void mark_handler_failed() noexcept {
  const thread_block& block = here();
  const bool in_handler = block.on != nullptr && block.process != nullptr && block.on->process == block.process &&
                          block.process->cls.get() != nullptr && block.process->cls->handles != nullptr && block.on->user != nullptr;
  if (!in_handler || has(*block.process, detail::ending)) return;
  auto& frame = *static_cast<detail::handler_frame*>(block.on->user);
  if (frame.then_do == detail::after::nothing) frame.then = nullptr;
  frame.then_do = detail::after::failed;
}

}  // namespace

[[noreturn]] void throw_unwind() {
  mark_handler_failed();
  // Already unwinding, or gone so far that its state is destroyed: a destructor waits. A second throw would end the
  // program, so it learns by an ordinary error.
  const slot* s = here().process;
  if (std::uncaught_exceptions() > 0 || (s != nullptr && has(*s, detail::ending)))
    throw exit_error(exit_reason::noproc, "the process is ending: it cannot wait any more");
  throw detail::unwind{};
}

exit_reason take_back_exit(slot& self) noexcept {
  clear(self, detail::leaving);
  if (void* frame = here().on->user) static_cast<detail::handler_frame*>(frame)->then_do = detail::after::nothing;
  return detail::ext_of(self).pending;
}

}  // namespace coppice::internal
