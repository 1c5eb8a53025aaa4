// SPDX-License-Identifier: Apache-2.0
//
// The monitor thread: once a millisecond it looks at what each worker has done. A busy worker whose tick stands still is stuck
// (a long computation, a blocking system call): what it holds is given to the others, its timers are fired for it, and
// if nobody is free a spare worker is started, unless all it lacks is a core (thread_glance.hpp). One that does very much, in
// small pieces, is left alone: its queue goes round in less time than it would take to carry part of it to another core. When
// everything is idle the monitor sleeps too.
#include "runtime/scheduler.hpp"

#include "runtime/crowding.hpp"
#include "runtime/planted.hpp"
#include "runtime/thread_glance.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace coppice::internal {

namespace {

constexpr std::int64_t period = 1'000'000;
constexpr std::int64_t longest_wait = 2 * period;
constexpr int long_stuck = 50;               // looks: then another serves in its place, whatever the reason
constexpr int idle_rounds = 20;              // all parked for so long: the monitor sleeps as well

}  // namespace

/// What the monitor thread sees from one look to the next.
struct scheduler::watch {
  std::uint64_t tick[most] = {};             // of each worker, at the last look
  std::uint64_t done[most] = {};
  std::int64_t at = sync::now();             // when that was
  std::int64_t elapsed = 0;                  // since the one before
  bool waited = false;                       // work was in sight, too
  std::int64_t core_awaited[most];           // of each worker that was stuck and might run at the last look; else -1
  int stuck[most] = {};                      // for how many looks in a row
  crowding crowd;

  watch() noexcept { std::ranges::fill(core_awaited, -1); }
};

void scheduler::enter_monitor(void* raw) { static_cast<scheduler*>(raw)->monitor(); }

void scheduler::monitor() {
  watch seen;
  int quiet = 0;
  while (stopping_.load(sync::seq_cst) == 0) {
    sync::futex_wait(monitor_signal_, 0, sync::now() + period);
    if (stopping_.load(sync::seq_cst) != 0) return;
    const unsigned n = count_.load(sync::acquire);
    const std::uint64_t all = everyone();
    if (parked_.load(sync::seq_cst) == all) {
      be_impatient(seen);
      if (++quiet < idle_rounds) continue;
      quiet = 0;
      monitor_signal_.store(1, sync::seq_cst);     // pairs with wake_one: it sees 1, or we see somebody awake
      if (parked_.load(sync::seq_cst) == all && stopping_.load(sync::seq_cst) == 0)
        sync::futex_wait(monitor_signal_, 1);
      monitor_signal_.store(0, sync::seq_cst);
      seen.at = sync::now();                       // what it slept through says nothing
      continue;
    }
    quiet = 0;
    if (const idle_source* idle = idle_.load(sync::acquire)) idle->watch(idle->context);
    const bool stuck_somewhere = look_at_workers(seen, n);
    const bool waits = work_in_sight();
    const bool for_long = waits && seen.waited;     // it may have yielded, which wakes nobody (push_yielded)
    seen.waited = waits;
    away_.store(stuck_somewhere && (waits || n > base_) ? count_away(seen, n) : 0, sync::relaxed);
    const std::uint64_t parked = parked_.load(sync::seq_cst);
    if (!waits || enough_serve(parked)) continue;
    const bool somebody_searches = searching_.load(sync::seq_cst) != 0;
    if (parked != 0) {
      if (stuck_somewhere || (for_long && !somebody_searches)) wake_one();
    } else if (stuck_somewhere && !somebody_searches && n < most) {
      add_worker(true);
    }
  }
}

/// In the place of how many of them another would get anything done. It would in that of one that waits for something, at once; of one that
/// computes, if that is still so at the next look. In that of one that has mostly waited for a core since, it would only wait for the
/// same: it is given many looks.
unsigned scheduler::count_away(watch& seen, unsigned count) noexcept {
  unsigned away = 0;
  for (unsigned i = 0; i < count; ++i) {
    const std::int64_t before = std::exchange(seen.core_awaited[i], -1);
    if (seen.stuck[i] == 0) continue;
    if (seen.stuck[i] >= long_stuck) {
      ++away;
      continue;
    }
    const int number = workers_[i]->os_thread.load(sync::relaxed);
    const thread_glance now = number != 0 ? glance_at(number) : thread_glance{};
    if (now.may_run) seen.core_awaited[i] = now.core_awaited;
    if (!now.may_run || (before >= 0 && now.core_awaited - before < seen.elapsed / 2)) ++away;
  }
  return away;
}

/// Nobody is awake: what comes now is anybody's.
void scheduler::be_impatient(watch& seen) noexcept {
  for (unsigned i = 0; i < count_.load(sync::relaxed); ++i) workers_[i]->patience.store(0, sync::relaxed);
  global_patience_.store(0, sync::seq_cst);  // before the look: who parked in patience sees no more work than we leave
  seen.crowd.rest();
  set_aside(0);
  if (work_in_sight()) wake_one();
}

/// Frees what stuck workers hold, and says how long the others may keep what they have. Returns: whether one is stuck.
bool scheduler::look_at_workers(watch& seen, unsigned count) noexcept {
  const std::int64_t now = sync::now();
  seen.elapsed = now > seen.at ? now - seen.at : 1;
  seen.at = now;
  bool stuck_somewhere = false;
  bool small_pieces = true;
  std::uint64_t patience_of_all = 0;
  std::uint64_t done_by_all = 0;
  std::uint64_t busy = 0;
  for (unsigned i = 0; i < count; ++i) {
    worker& w = *workers_[i];
    const std::uint64_t tick = w.tick.load(sync::relaxed);
    const std::uint64_t turns = tick - std::exchange(seen.tick[i], tick);
    const std::uint64_t total = w.done.load(sync::relaxed);
    const std::uint64_t done = turns + total - std::exchange(seen.done[i], total);
    const std::uint64_t patience = patience_of(turns, done, seen.elapsed);
    if (!planted::is(planted::left_alone_while_stuck) || turns != 0) w.patience.store(patience, sync::relaxed);
    if (turns != 0) {
      busy |= std::uint64_t{1} << i;
      small_pieces &= patience != 0;
      patience_of_all += patience;
      done_by_all += done;
    }
    const bool aside = w.aside.load(sync::relaxed) != 0;
    const bool stuck = !aside && turns == 0 && w.busy.load(sync::relaxed) != 0;
    stuck_somewhere |= stuck;
    seen.stuck[i] = stuck ? seen.stuck[i] + 1 : 0;
    if (!stuck) seen.core_awaited[i] = -1;
    if (stuck || aside) {
      free_stuck(w);
      fire_timers(w, now);
    }
  }
  if (!planted::is(planted::left_alone_while_stuck) || !stuck_somewhere)
    global_patience_.store(small_pieces && !stuck_somewhere ? patience_of_all : 0, sync::relaxed);
  set_aside(seen.crowd.decide({.busy = busy,
                               .rate = static_cast<std::int64_t>(done_by_all) * period / seen.elapsed,
                               .grain = done_by_all == 0 ? 0 : seen.elapsed * std::popcount(busy) / static_cast<std::int64_t>(done_by_all),
                               .disturbed = stuck_somewhere}));
  return stuck_somewhere;
}

/// How much may wait in the queue of a worker that has had `turns`, and got `done` so much in them within `elapsed` ns, before others
/// take of it: nothing, unless its pieces are small; else what it comes round with in `longest_wait`.
std::uint64_t scheduler::patience_of(std::uint64_t turns, std::uint64_t done, std::int64_t elapsed) const noexcept {
  if (turns == 0 || static_cast<std::int64_t>(done) * fine_grain_ < elapsed) return 0;
  return turns * static_cast<std::uint64_t>(longest_wait) / static_cast<std::uint64_t>(elapsed) + 1;
}

/// Has exactly `who` stand aside, a bit for each worker.
void scheduler::set_aside(std::uint64_t who) noexcept {
  for (unsigned i = 0; i < count_.load(sync::relaxed); ++i) {
    worker& w = *workers_[i];
    const std::uint32_t wanted = who >> i & 1;
    if (w.aside.load(sync::relaxed) == wanted) continue;
    w.aside.store(wanted, sync::seq_cst);
    if (wanted == 0) sync::futex_wake(&w.aside, 1);
  }
}

/// Until the monitor thread calls the worker back. It sees to its timers meanwhile.
void scheduler::stand_aside(worker& w) noexcept {
  w.busy.store(0, sync::relaxed);
  flush(w, false);
  free_stuck(w);
  while (w.aside.load(sync::seq_cst) != 0 && stopping_.load(sync::seq_cst) == 0)
    sync::futex_wait(w.aside, 1, sync::now() + 2 * period);
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
  if (moved) wake_if_needed(1);                // who held it does not run it
}

}  // namespace coppice::internal
