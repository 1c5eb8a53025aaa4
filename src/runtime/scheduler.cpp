// SPDX-License-Identifier: Apache-2.0
//
// scheduler: the worker's loop, the queues, parking. The monitor thread is in stall_monitor.cpp.
// See scheduler.hpp for the rules, docs/internals/scheduler.md for the reasons.
#include "runtime/scheduler.hpp"

#include "runtime/fault_handler.hpp"
#include "runtime/planted.hpp"
#include "runtime/pools.hpp"
#include "runtime/thread_glance.hpp"

#include <coppice/base/assert.hpp>


namespace coppice::internal {

namespace {

constexpr unsigned global_every = 61;        // turns between two looks at the global queue and the clock
constexpr unsigned low_every = 8;            // turns between two looks at the low lane while there is other work
constexpr unsigned longest_lifo_streak = 64; // then the queue gets its turn: two processes must not starve the rest
constexpr unsigned looks_at_posted = 16;     // turns between two looks whether what was posted waits for too long
constexpr std::uint64_t largest_share = 64;  // of the global queue that one worker takes at a time
constexpr std::int64_t price_of_wake = 20'000;  // ns: a batch of events waits so long before another worker is woken for it

}  // namespace

scheduler::scheduler(const scheduler_options& options, hook run)
    : run_(run), base_(options.workers != 0 ? options.workers : sync::cores()), monitored_(options.monitor), search_rounds_(options.search_rounds), fine_grain_(options.fine_grain), first_patience_(options.patience), lifo_usable_(sync::heavy_fence()) {
  if (base_ > most - 16) base_ = most - 16;
  global_patience_.store(first_patience_, sync::relaxed);
}

scheduler::~scheduler() {
  for (unsigned i = 0; i < count_.load(sync::relaxed); ++i) {
    program_pools().wheels.give(workers_[i]->wheel);
    delete workers_[i];
  }
}

void scheduler::start() {
  for (unsigned i = 0; i < base_; ++i) add_worker(false);
  if (monitored_) monitor_thread_ = sync::thread(&enter_monitor, this, "coppice-monitor");
}

void scheduler::add_worker(bool spare) {
  const unsigned index = count_.load(sync::relaxed);
  auto* w = new worker(program_pools().wheels.take());
  w->of = this;
  w->index = index;
  w->spare = spare;
  w->patience.store(first_patience_, sync::relaxed);
  workers_[index] = w;
  count_.store(index + 1, sync::seq_cst);    // pairs with the loops over workers: the pointer is seen with the count
  w->thread = sync::thread(&enter_worker, w, "coppice-worker");
}

bool scheduler::stop(std::int64_t deadline) {
  stopping_.store(1, sync::seq_cst);
  // The monitor first: it may be adding a worker just now.
  monitor_signal_.store(0, sync::seq_cst);
  sync::futex_wake(&monitor_signal_, 1);
  monitor_thread_.join();
  bool all_left = true;
  for (unsigned i = 0; i < count_.load(sync::relaxed); ++i) {
    worker& w = *workers_[i];
    unpark(i);
    w.signal.store(1, sync::seq_cst);
    sync::futex_wake(&w.signal, 1);
    if (const idle_source* idle = idle_.load(sync::acquire)) idle->kick(idle->context, w);
    while (w.left.load(sync::acquire) == 0 && sync::now() < deadline) sync::futex_wait(w.left, 0, deadline);
    if (w.left.load(sync::acquire) != 0)
      w.thread.join();
    else
      w.thread.leave(), all_left = false;
  }
  if (all_left) await_visitors();
  return all_left;
}

void scheduler::enter_worker(void* raw) {
  worker& w = *static_cast<worker*>(raw);
  thread_block& block = here();
  block.at = &w;
  w.os_thread.store(own_thread_number(), sync::relaxed);
  block.clock = sync::now();
  install_thread_alternate_stack();
  w.of->loop(w);
  block.at = nullptr;
  w.left.store(1, sync::seq_cst);
  sync::futex_wake(&w.left, 1);
}

// --- the loop --------------------------------------------------------------------------------------------------------

void scheduler::loop(worker& w) {
  thread_block& block = here();              // of this thread, for ever: only fibers change threads
  while (stopping_.load(sync::acquire) == 0) {
    if (w.aside.load(sync::relaxed) != 0) [[unlikely]] stand_aside(w);
    if (is_superfluous(w)) [[unlikely]] retire(w);
    runnable* r = next(w);
    if (r == nullptr) r = look_around(w);
    if (r == nullptr) continue;              // it has slept
    w.busy.store(1, sync::relaxed);
    run_(r);
    w.tick.store(w.tick.load(sync::relaxed) + 1, sync::relaxed);
    w.done.store(block.done, sync::relaxed);
  }
  flush(w, false);
}

/// Now and then, whatever else there is: the clock, the timers, the sockets, the global queue.
[[gnu::noinline]] runnable* scheduler::look_up(worker& w) noexcept {
  w.turns_left = global_every;
  const std::int64_t now = sync::now();
  here().clock = now;
  fire_timers(w, now);
  flush(w, true);
  if (const idle_source* idle = idle_.load(sync::acquire)) idle->look(idle->context);
  return take_global();
}

runnable* scheduler::next(worker& w) noexcept {
  if (w.owes_wake) [[unlikely]] pay_wake(w);
  if (w.flush_in != 0 && --w.flush_in == 0) [[unlikely]] look_at_posted(w);
  if (--w.turns_left == 0) [[unlikely]] {
    if (runnable* r = look_up(w)) return r;
  }
  // The lanes: high before all others but for the look above; low now and then, so that it is slow and not starved.
  if (w.turns_left > 2)                      // of global_every turns the last but one is low's, the last everybody else's
    if (runnable* r = high_.take()) return r;
  if (w.turns_left == 2 || w.turns_left % low_every == 0)
    if (runnable* r = low_.take()) return r;
  // Pinned work that keeps coming and the worker's other work take turns.
  if ((w.turns_left & 1) == 0)
    if (runnable* r = take_pinned(w)) return r;
  if (w.lifo_streak < longest_lifo_streak) [[likely]] {
    if (runnable* r = w.lifo.take()) {
      ++w.lifo_streak;
      return r;
    }
  }
  return next_queued(w);
}

/// Nothing, or for too long, from the LIFO slot: everything else in turn.
[[gnu::noinline]] runnable* scheduler::next_queued(worker& w) noexcept {
  w.lifo_streak = 0;
  if (runnable* r = w.queue.pop()) return r;
  if (may_take_global(w))
    if (runnable* r = take_global_batch(w)) return r;
  if (runnable* r = take_pinned(w)) return r;
  if (runnable* r = w.lifo.take()) return r;
  if (runnable* r = high_.take()) return r;
  return low_.take();
}

/// Nothing of its own: timers, the others' queues, then sleep.
runnable* scheduler::look_around(worker& w) noexcept {
  w.busy.store(0, sync::relaxed);
  const std::int64_t now = sync::now();
  here().clock = now;
  flush(w, false);
  if (fire_timers(w, now))
    if (runnable* r = next(w)) return r;
  if (const idle_source* idle = idle_.load(sync::acquire)) {
    idle->look(idle->context);
    if (runnable* r = next(w)) return r;
  }
  // At most half of the workers search at once; the others would only fight over the same lines.
  if (2 * searching_.load(sync::relaxed) < base_) {
    searching_.fetch_add(1, sync::seq_cst);
    runnable* found = nullptr;
    const int rounds = is_for_sockets_alone(w) ? 1 : search_rounds_;
    for (int i = 0; i < rounds && found == nullptr && stopping_.load(sync::relaxed) == 0; ++i) {
      if (may_take_global(w)) found = take_global_batch(w);
      if (found == nullptr) found = high_.take();
      if (found == nullptr) found = steal(w);
      if (found == nullptr) found = low_.take();
      if (found == nullptr) sync::relax();
    }
    const bool last = searching_.fetch_sub(1, sync::seq_cst) == 1;
    if (found != nullptr) {
      // The last searcher leaves: if there is more to do, somebody else must look for it.
      if (last && work_in_sight() && !enough_serve(parked_.load(sync::seq_cst))) wake_one();
      return found;
    }
  }
  park(w);
  return nullptr;
}

// --- queues ----------------------------------------------------------------------------------------------------------

void scheduler::push(runnable* r) noexcept {
  thread_block& block = here();
  if (!is_worker(block)) {
    push_last(r);
    return;
  }
  worker& w = *block.at;
  if (!lifo_usable_) [[unlikely]] return push_behind(w, r);
  runnable* before = w.lifo.put(r);
  if (before == nullptr || planted::is(planted::lifo_overwritten)) return;   // one thing for itself: wakes nobody
  push_behind(w, before);
}

/// Behind what the worker has already; a full queue hands its older half to everybody.
void scheduler::push_behind(worker& w, runnable* r) noexcept {
  w.queue.push(r, [this](runnable** items, std::size_t count) {
    for (std::size_t i = 0; i + 1 < count; ++i) items[i]->next = items[i + 1];
    items[count - 1]->next = nullptr;
    give_global(items[0], items[count - 1], count);
  });
  if (w.quiet)
    w.owes_wake = true;
  else if (!is_left_alone(w))
    wake_if_needed();
}

void scheduler::push_back(runnable* r) noexcept {
  thread_block& block = here();
  if (is_worker(block))
    push_behind(*block.at, r);
  else
    push_last(r);
}

/// A thread that is no worker of ours hands us something. As soon as it has, what it handed over may run to its end and,
/// with it, this runtime: stop() waits until such threads have left.
class scheduler::visit {
 public:
  explicit visit(scheduler& s) noexcept : of_(s.is_worker(here()) ? nullptr : &s) {
    if (of_ != nullptr) of_->visitors_.fetch_add(1, sync::relaxed);
  }
  ~visit() {
    if (of_ != nullptr) of_->visitors_.fetch_sub(1, sync::release);   // pairs with await_visitors
  }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

 private:
  scheduler* of_;
};

void scheduler::await_visitors() const noexcept {
  for (int looks = 0; visitors_.load(sync::acquire) != 0; ++looks) {
    sync::relax();
    if (looks < 1'000) continue;
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 50'000);
  }
}

void scheduler::push_last(runnable* r) noexcept {
  const visit guard(*this);
  r->next = nullptr;
  if (planted::is(planted::look_before_push)) wake_if_needed();
  give_global(r, r, 1);
  sync::fence(sync::seq_cst);                // pairs with park's announcement: see is_global_left_alone
  if (is_global_left_alone(global_size_.load(sync::relaxed))) return;
  if (!planted::is(planted::look_before_push)) wake_if_needed();
}

void scheduler::push_yielded(runnable* r) noexcept {
  sync::relax();                             // what it waits for may run on another thread
  thread_block& block = here();
  if (!is_worker(block) || !monitored_) return push_last(r);
  worker& w = *block.at;
  if (is_left_alone(w)) {
    w.turns_left = 1;                          // the global queue first: nobody starves there for it
    return push_behind(w, r);
  }
  r->next = nullptr;
  give_global(r, r, 1);                        // this worker is awake, and looks there before it parks
}

void lane::push(runnable* r) noexcept {
  r->next = nullptr;
  sync::lock_guard held(lock);
  if (last != nullptr) last->next = r;
  else first = r;
  last = r;
  size.store(size.load(sync::relaxed) + 1, sync::seq_cst);   // pairs with work_in_sight
}

runnable* lane::take() noexcept {
  if (size.load(sync::relaxed) == 0) return nullptr;
  sync::lock_guard held(lock);
  runnable* r = first;
  if (r == nullptr) return nullptr;
  first = r->next;
  if (first == nullptr) last = nullptr;
  size.store(size.load(sync::relaxed) - 1, sync::relaxed);
  return r;
}

void scheduler::push_lane(lane& to, runnable* r) noexcept {
  const visit guard(*this);
  to.push(r);
  wake_if_needed();
}

void scheduler::give_global(runnable* first, runnable* last, std::size_t count) noexcept {
  sync::lock_guard held(global_lock_);
  if (global_last_ != nullptr)
    global_last_->next = first;
  else
    global_first_ = first;
  global_last_ = last;
  global_size_.store(global_size_.load(sync::relaxed) + count, sync::seq_cst);  // pairs with work_in_sight
}

void scheduler::push_pinned(runnable* r, unsigned index) noexcept {
  const visit guard(*this);
  worker& w = *workers_[index];
  r->next = nullptr;
  {
    sync::lock_guard held(w.pinned_lock);
    if (w.pinned_last != nullptr)
      w.pinned_last->next = r;
    else
      w.pinned_first = r;
    w.pinned_last = r;
    w.pinned_size.store(w.pinned_size.load(sync::relaxed) + 1, sync::seq_cst);   // pairs with park's second look
  }
  sync::fence(sync::seq_cst);
  if ((parked_.load(sync::seq_cst) & std::uint64_t{1} << index) != 0) unpark(index);
}

runnable* scheduler::take_pinned(worker& w) noexcept {
  if (w.pinned_size.load(sync::relaxed) == 0) return nullptr;
  sync::lock_guard held(w.pinned_lock);
  runnable* r = w.pinned_first;
  if (r == nullptr) return nullptr;
  w.pinned_first = r->next;
  if (w.pinned_first == nullptr) w.pinned_last = nullptr;
  w.pinned_size.store(w.pinned_size.load(sync::relaxed) - 1, sync::relaxed);
  return r;
}

runnable* scheduler::take_global() noexcept {
  if (global_size_.load(sync::relaxed) == 0) return nullptr;
  sync::lock_guard held(global_lock_);
  runnable* r = global_first_;
  if (r == nullptr) return nullptr;
  global_first_ = r->next;
  if (global_first_ == nullptr) global_last_ = nullptr;
  global_size_.store(global_size_.load(sync::relaxed) - 1, sync::seq_cst);
  return r;
}

/// One to run and, if many wait, this worker's share into its own queue.
runnable* scheduler::take_global_batch(worker& w) noexcept {
  if (global_size_.load(sync::relaxed) == 0) return nullptr;
  sync::lock_guard held(global_lock_);
  runnable* first = global_first_;
  if (first == nullptr) return nullptr;
  std::uint64_t size = global_size_.load(sync::relaxed);
  runnable* rest = first->next;
  --size;
  std::uint64_t share = size / base_;
  if (share > largest_share) share = largest_share;
  for (; share > 0 && rest != nullptr && w.queue.size() < local_queue<runnable>::capacity / 2; --share) {
    runnable* r = rest;
    rest = r->next;
    w.queue.push(r, [](runnable**, std::size_t) { COPPICE_ASSERT(false, "there was room"); });
    --size;
  }
  global_first_ = rest;
  if (rest == nullptr) global_last_ = nullptr;
  global_size_.store(size, sync::seq_cst);
  return first;
}

runnable* scheduler::steal(worker& w) noexcept {
  const unsigned n = count_.load(sync::acquire);
  const unsigned start = here().dice() % n;
  for (unsigned i = 0; i < n; ++i) {
    worker& victim = *workers_[(start + i) % n];
    if (&victim == &w || is_left_alone(victim)) continue;
    if (runnable* r = w.queue.steal_half_from(victim.queue)) {
      steals_.fetch_add(1, sync::relaxed);
      return r;
    }
  }
  return nullptr;
}

/// Whether any queue that others may take from holds work. The look that makes parking safe: seq_cst throughout.
bool scheduler::work_in_sight() const noexcept {
  if (const std::uint64_t size = global_size_.load(sync::seq_cst); size != 0 && !is_global_left_alone(size)) return true;
  if (!planted::is(planted::lanes_out_of_sight) && (high_.size.load(sync::seq_cst) != 0 || low_.size.load(sync::seq_cst) != 0)) return true;
  const unsigned n = count_.load(sync::seq_cst);
  for (unsigned i = 0; i < n; ++i)
    if (!workers_[i]->queue.empty() && !is_left_alone(*workers_[i])) return true;
  return false;
}

// --- parking ---------------------------------------------------------------------------------------------------------

/// Sleeps unless there is work. Returns: true if it slept.
bool scheduler::park(worker& w) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << w.index;
  w.signal.store(0, sync::relaxed);
  w.asleep_until.store(sync::never, sync::relaxed);
  bool work = false;
  if (planted::is(planted::announce_after_recheck)) work = work_in_sight();
  const std::uint64_t parked = parked_.fetch_or(bit, sync::seq_cst) | bit;   // announce; pairs with wake_if_needed's fence and look
  // Of the others one, at least, announces later, and then looks at everything that can be seen now.
  const bool retired = w.spare && enough_serve(parked);
  if (!planted::is(planted::park_without_recheck) && !planted::is(planted::announce_after_recheck)) work = (!retired && work_in_sight()) || w.pinned_size.load(sync::seq_cst) != 0;
  if (work || stopping_.load(sync::seq_cst) != 0) {
    parked_.fetch_and(~bit, sync::seq_cst);
    return false;
  }
  w.parked_at.set(sync::now());
  sleep(w, retired);
  awake(w);
  return true;
}

/// There are enough without it: what it holds goes to them.
void scheduler::retire(worker& w) noexcept {
  w.busy.store(0, sync::relaxed);
  const std::int64_t now = sync::now();
  here().clock = now;
  flush(w, false);
  fire_timers(w, now);
  if (!planted::is(planted::retired_with_slot)) free_stuck(w);
  park(w);
}

scheduler_counts scheduler::counts() const noexcept {
  const std::int64_t now = sync::now();
  scheduler_counts all{.workers = workers(), .queued = global_length(), .steals = steals()};
  for (const lane* l : {&high_, &low_}) all.queued += l->size.load(sync::relaxed);
  for (unsigned i = 0; i < all.workers; ++i) {
    const worker& w = *workers_[i];
    all.queued += w.queue.size() + w.pinned_size.load(sync::relaxed) + (w.lifo.is_empty() ? 0 : 1);
    all.turns += w.tick.load(sync::relaxed);
    const std::int64_t since = w.parked_at.get();
    all.parked += since != 0;
    all.parked_for += w.parked_for.get() + (since != 0 && now > since ? now - since : 0);
  }
  return all;
}

void scheduler::awake(worker& w) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << w.index;
  if ((parked_.load(sync::relaxed) & bit) != 0) parked_.fetch_and(~bit, sync::seq_cst);
  const std::int64_t now = here().clock = sync::now();
  if (const std::int64_t since = w.parked_at.get(); since != 0) w.parked_for.add(now - since);
  w.parked_at.set(0);
  wake_monitor();                            // nobody woke us, then: our timer or a socket did
}

void scheduler::sleep(worker& w, bool retired) noexcept {
  const std::int64_t deadline = w.wheel.next_deadline();
  w.asleep_until.store(deadline, sync::seq_cst);   // pairs with start_timer_at: one of the two sees the other
  const std::int64_t earliest = w.wheel.next_deadline();
  const std::int64_t until = earliest < deadline ? earliest : deadline;
  if (until == 0) return;                         // fresh timers: they must be armed first
  if (const idle_source* idle = idle_.load(sync::acquire); idle != nullptr && !retired)
    if (idle->sleep(idle->context, w, until)) return;
  while (w.signal.load(sync::acquire) == 0)
    if (!sync::futex_wait(w.signal, 0, until)) return;
}

bool scheduler::unpark(unsigned index) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << index;
  if ((parked_.fetch_and(~bit, sync::seq_cst) & bit) == 0) return false;
  worker& w = *workers_[index];
  w.signal.store(1, sync::seq_cst);          // pairs with the idle source's announcement: it sees this, or we see it asleep
  const idle_source* idle = idle_.load(sync::acquire);
  if (idle == nullptr || !idle->kick(idle->context, w)) sync::futex_wake(&w.signal, 1);
  return true;
}

void scheduler::wake_one() noexcept {
  for (;;) {
    const std::uint64_t mask = parked_.load(sync::seq_cst);
    if (mask == 0) return;
    unsigned index = static_cast<unsigned>(__builtin_ctzll(mask));
    if (const idle_source* idle = idle_.load(sync::acquire))
      if (const worker* w = idle->sleeper(idle->context); w != nullptr && (mask >> w->index & 1) != 0) index = w->index;
    if (unpark(index)) break;
  }
  wake_monitor();
}

void scheduler::wake_monitor() noexcept {
  if (monitor_signal_.load(sync::seq_cst) == 0) return;
  monitor_signal_.store(0, sync::seq_cst);
  sync::futex_wake(&monitor_signal_, 1);
}

scheduler::batch_of_wakes::batch_of_wakes(scheduler& of) noexcept
    : worker_(of.is_worker(internal::here()) ? internal::here().at : nullptr) {
  if (worker_ != nullptr) worker_->quiet = true;
}
scheduler::batch_of_wakes::~batch_of_wakes() {
  if (worker_ == nullptr) return;
  worker_->quiet = false;
  if (worker_->owes_wake) internal::here().clock = sync::now();
}

/// Part of a batch of events waits: somebody is woken for it once that has taken as long as a wake does.
void scheduler::pay_wake(worker& w) noexcept {
  if (w.queue.empty() || is_left_alone(w)) {
    w.owes_wake = false;
  } else if (sync::now() - here().clock > price_of_wake) {
    w.owes_wake = false;
    wake_if_needed();
  }
}

/// What the worker has posted to its sockets (poller::post).
void scheduler::flush(worker& w, bool only_if_due) noexcept {
  if (w.flush_in == 0) return;
  const idle_source* idle = idle_.load(sync::acquire);
  w.flush_in = idle != nullptr && idle->flush(idle->context, w, only_if_due) ? looks_at_posted : 0;
}

[[gnu::noinline]] void scheduler::look_at_posted(worker& w) noexcept {
  w.flush_in = 1;
  here().clock = sync::now();
  flush(w, true);
}

/// Called after work was added. `leaving`: as in enough_serve.
void scheduler::wake_if_needed(unsigned leaving) noexcept {
  if (!planted::is(planted::wake_without_fence)) sync::fence(sync::seq_cst);  // the push is before this look; pairs with park's announce and look
  const std::uint64_t parked = parked_.load(sync::seq_cst);
  if (parked == 0 || searching_.load(sync::seq_cst) != 0 || enough_serve(parked, leaving)) return;
  wake_one();
}

// --- timers ----------------------------------------------------------------------------------------------------------

bool scheduler::fire_timers(worker& w, std::int64_t now) noexcept {
  bool any = false;
  for (bool all = false; !all;) {
    due_timers due;
    all = w.wheel.advance(now, due);
    any |= due.fire_all() != 0;
  }
  return any;
}

void scheduler::start_timer_at(timer_node& t, std::int64_t deadline) noexcept {
  thread_block& block = here();
  if (is_worker(block)) {
    block.at->wheel.start_at(t, deadline);
    return;
  }
  // A thread that is no worker uses the wheel of one, and wakes it if it would sleep past the deadline.
  worker& w = *workers_[block.dice() % base_];
  const bool looked = planted::is(planted::look_before_start);
  if (looked && w.asleep_until.load(sync::seq_cst) > deadline) unpark(w.index);
  w.wheel.start_at(t, deadline);
  sync::fence(sync::seq_cst);                // pairs with sleep's store of asleep_until and second look
  if (!looked && w.asleep_until.load(sync::seq_cst) > deadline) unpark(w.index);
}

void scheduler::expire_all() noexcept {
  for (unsigned i = 0; i < count_.load(sync::relaxed); ++i) fire_timers(*workers_[i], sync::never);
}

void scheduler::leave_queue_to_others() noexcept {
  thread_block& block = here();
  if (!is_worker(block)) return;
  flush(*block.at, false);
  free_stuck(*block.at);
}

}  // namespace coppice::internal
