// SPDX-License-Identifier: Apache-2.0
//
// The monitor thread: once a millisecond it compares each worker's tick. A busy worker whose tick stands still is stuck
// (a long computation, a blocking system call): what it holds is given to the others, its timers are fired for it, and
// if nobody is free a spare worker is started. When everything is idle the monitor sleeps too.
#include "runtime/scheduler.hpp"

#include "runtime/planted.hpp"

namespace coppice::internal {

namespace {

constexpr std::int64_t period = 1'000'000;
constexpr int idle_rounds = 20;              // all parked for so long: the monitor sleeps as well

}  // namespace

void scheduler::enter_monitor(void* raw) { static_cast<scheduler*>(raw)->monitor(); }

void scheduler::monitor() {
  std::uint64_t seen[most] = {};
  int quiet = 0;
  bool waited = false;                         // work was in sight at the last look, too
  while (stopping_.load(sync::seq_cst) == 0) {
    sync::futex_wait(monitor_signal_, 0, sync::now() + period);
    if (stopping_.load(sync::seq_cst) != 0) return;
    const unsigned n = count_.load(sync::acquire);
    const std::uint64_t everyone = n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
    if (parked_.load(sync::seq_cst) == everyone) {
      if (++quiet < idle_rounds) continue;
      quiet = 0;
      monitor_signal_.store(1, sync::seq_cst);     // pairs with wake_one: it sees 1, or we see somebody awake
      if (parked_.load(sync::seq_cst) == everyone && stopping_.load(sync::seq_cst) == 0)
        sync::futex_wait(monitor_signal_, 1);
      monitor_signal_.store(0, sync::seq_cst);
      continue;
    }
    quiet = 0;
    if (const idle_source* idle = idle_.load(sync::acquire)) idle->watch(idle->context);
    bool stuck_somewhere = false;
    for (unsigned i = 0; i < n; ++i) {
      worker& w = *workers_[i];
      const std::uint64_t tick = w.tick.load(sync::relaxed);
      const bool stuck = w.busy.load(sync::relaxed) != 0 && tick == seen[i];
      seen[i] = tick;
      if (!stuck) continue;
      stuck_somewhere = true;
      free_stuck(w);
      fire_timers(w, sync::now());
    }
    const bool waits = work_in_sight();
    const bool for_long = waits && waited;     // it may have yielded, which wakes nobody (push_yielded)
    waited = waits;
    if (!waits) continue;
    if (!stuck_somewhere) {
      if (for_long && parked_.load(sync::seq_cst) != 0 && searching_.load(sync::seq_cst) == 0) wake_one();
      continue;
    }
    if (parked_.load(sync::seq_cst) != 0)
      wake_one();
    else if (searching_.load(sync::seq_cst) == 0 && n < most)
      add_worker(true);
  }
}

/// Moves what a worker holds to the global queue.
void scheduler::free_stuck(worker& w) noexcept {
  bool moved = false;
  const bool own = here().at == &w;              // leave_queue_to_others
  if (runnable* r = own ? w.lifo.take() : w.lifo.steal()) {
    r->next = nullptr;
    give_global(r, r, 1);
    moved = true;
  }
  for (runnable* r; w.queue.steal(&r, 1) != 0;) {
    r->next = nullptr;
    give_global(r, r, 1);
    moved = true;
  }
  if (moved) wake_if_needed();
}

}  // namespace coppice::internal
