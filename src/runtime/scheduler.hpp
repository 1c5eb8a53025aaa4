// SPDX-License-Identifier: Apache-2.0
//
// scheduler: runs what can run. M workers, each with a LIFO slot, a queue that others may steal from, and a timer wheel;
// one global queue; parking; and a monitor thread that frees what a stuck worker holds.
//
// It knows nothing of processes: it runs `runnable`s through one hook. Design note: docs/internals/scheduler.md.
//
// Who may touch what: `lifo`, `queue`, `tick`, `wheel`, `signal` of a worker are raced on by design (see each);
// everything else in a worker belongs to its own thread. A runnable is in at most one queue.
//
// No wake-up is lost: whoever adds work does it before a seq_cst fence and then reads `parked`; whoever parks sets its
// bit in `parked` (seq_cst) and then looks at every queue once more. One of the two sees the other.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/lifo_slot.hpp"
#include "runtime/local_queue.hpp"
#include "runtime/planted.hpp"
#include "runtime/thread_block.hpp"
#include "runtime/timer_wheel.hpp"

#include <bit>
#include <cstdint>
#include <vector>

namespace coppice::internal {

namespace sync = detail::sync;

/// Something the scheduler can run. In at most one queue at a time, hence one link.
struct runnable {
  sync::var<runnable*> next;
};

struct worker {
  explicit worker(timer_wheel& its_wheel) noexcept : wheel(its_wheel) {}

  scheduler* of = nullptr;
  unsigned index = 0;
  bool spare = false;
  sync::atomic<std::int32_t> os_thread;  // its number in the operating system; 0: unknown
  lifo_slot<runnable> lifo;              // what runs next; the monitor takes from it when the worker is stuck
  local_queue<runnable> queue;
  sync::atomic<std::uint64_t> tick;      // one more for each thing run; the monitor compares
  sync::atomic<std::uint64_t> done;      // thread_block::done of its thread; the monitor compares it, too
  sync::atomic<std::uint32_t> busy;      // 1 while it runs something
  sync::atomic<std::uint64_t> patience;  // so much may wait in `queue` before others take of it; the monitor says how much
  sync::futex_word aside{0, "aside"};    // 1: it must stand aside (crowding.hpp)
  sync::futex_word signal{0, "signal"};  // 0: may sleep; 1: wake up
  sync::atomic<std::int64_t> asleep_until{0, "asleep until"};
  sync::tally<std::int64_t> parked_for;  // ns, altogether
  sync::tally<std::int64_t> parked_at;   // 0: it is awake
  sync::spinlock pinned_lock;
  runnable* pinned_first = nullptr;      // processes that run here and nowhere else: never stolen. Guarded by pinned_lock
  runnable* pinned_last = nullptr;
  sync::atomic<std::uint32_t> pinned_size;
  timer_wheel& wheel;                    // outlives the worker: who cancels a timer may have looked it up before that ended
  sync::thread thread;
  unsigned turns_left = 1;               // until it looks at the clock and at the global queue
  unsigned lifo_streak = 0;
  bool quiet = false;                    // a batch of events is being handed in: nobody is woken for each of them …
  bool owes_wake = false;                // … but later, if the batch turns out to be long
  unsigned flush_in = 0;                 // turns until it looks whether what it has posted waits for too long; 0: nothing is
  sync::atomic<std::uint32_t> left{0, "left"};  // 1 when its loop has ended
};

struct scheduler_options {
  unsigned workers = 0;                  // 0: one for each core
  bool monitor = true;
  int search_rounds = 200;               // looks at all queues before a worker parks: some microseconds
  std::uint64_t patience = 0;            // of everybody, until the monitor thread says otherwise; only tests choose another one
  std::int64_t fine_grain = 200;         // ns: a worker whose turns, messages and reductions take less each is left alone
};

/// Where idle workers may sleep instead of on their futex: the poller. Every function may be called by any worker.
struct idle_source {
  /// Tries to become the one who sleeps in the source until `deadline`. False: somebody else does; use the futex. Announces the
  /// sleep, then looks at `w.signal`, then sleeps; calls `awake(w)` before it hands anything in.
  bool (*sleep)(void* context, worker& w, std::int64_t deadline) = nullptr;
  /// Ends the sleep of `w`, whose `signal` is set. False: it does not sleep there.
  bool (*kick)(void* context, worker& w) = nullptr;
  /// Who sleeps there, or null. A hint: waking it is cheaper than waking one on a futex.
  const worker* (*sleeper)(void* context) = nullptr;
  /// Looks without waiting.
  void (*look)(void* context) = nullptr;
  /// The monitor thread, once a millisecond: looks if nobody has since the last time.
  void (*watch)(void* context) = nullptr;
  /// Sends what `w`, the calling worker, has posted; at once, or if it has waited for long enough by thread_block::clock.
  /// Returns: whether something waits still.
  bool (*flush)(void* context, worker& w, bool only_if_due) = nullptr;
  void* context = nullptr;
};

/// As it was a moment ago.
struct scheduler_counts {
  unsigned workers = 0;                  // threads, spare ones included
  unsigned parked = 0;
  std::size_t queued = 0;                // what can run and does not
  std::uint64_t turns = 0;               // things run
  std::uint64_t steals = 0;
  std::int64_t parked_for = 0;           // ns, of all workers together
};

/// A queue of everybody's for what has a priority of its own: first come, first served.
struct lane {
  sync::spinlock lock;
  runnable* first = nullptr;             // guarded by lock
  runnable* last = nullptr;
  sync::atomic<std::uint32_t> size{0, "lane"};

  void push(runnable* r) noexcept;
  runnable* take() noexcept;             // one load if it is empty
};

class scheduler {
 public:
  using hook = void (*)(runnable*) noexcept;
  scheduler(const scheduler_options& options, hook run);
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  void start();
  /// Ends all threads. False: some worker did not leave until `deadline`; it was left behind and this object must live on.
  bool stop(std::int64_t deadline);

  /// Next on the calling worker; from elsewhere: the global queue.
  void push(runnable* r) noexcept;
  /// Behind what the calling worker has queued; from elsewhere: the global queue.
  void push_back(runnable* r) noexcept;
  /// Behind everything else: the tail of the global queue.
  void push_last(runnable* r) noexcept;
  /// The same for what has only stepped back to let others go first. A worker wakes nobody for it: it will come back to it
  /// itself, with the caches warm. If it does not within a millisecond or two, the monitor thread wakes somebody.
  void push_yielded(runnable* r) noexcept;

  /// Before everything else, and behind everything else: see `next`.
  void push_high(runnable* r) noexcept { push_lane(high_, r); }
  void push_low(runnable* r) noexcept { push_lane(low_, r); }

  /// For the worker `index` alone.
  void push_pinned(runnable* r, unsigned index) noexcept;

  /// Starts `t`, `after` ns from now.
  void start_timer(timer_node& t, std::int64_t after) noexcept { start_timer(here(), t, after); }
  /// `block` is the calling thread's.
  void start_timer(thread_block& block, timer_node& t, std::int64_t after) noexcept {
    if (is_worker(block)) [[likely]]
      block.at->wheel.start(t, after);
    else
      start_timer_at(t, sync::now() + after);
  }
  void start_timer_at(timer_node& t, std::int64_t deadline) noexcept;
  /// After `stop`: fires what is left, however far ahead; nothing may stay in wheels that are about to go.
  void expire_all() noexcept;

  /// Announces that the calling worker may be away for long: its queue is handed over at once.
  void leave_queue_to_others() noexcept;

  /// `source` must outlive its use: until set to null, with no worker left.
  void set_idle_source(const idle_source* source) noexcept { idle_.store(source, sync::release); }
  /// A worker that slept in the idle source goes on: its sleep is over before it hands in what it found.
  void awake(worker& w) noexcept;
  /// While it lives, the calling worker's pushes wake nobody at once: to wake another worker for each event of a batch costs
  /// more than it brings. It wakes one if a part of the batch still waits after 20 µs.
  class batch_of_wakes {
   public:
    explicit batch_of_wakes(scheduler& of) noexcept;
    ~batch_of_wakes();
    batch_of_wakes(const batch_of_wakes&) = delete;
    batch_of_wakes& operator=(const batch_of_wakes&) = delete;

   private:
    worker* worker_;
  };
  /// Wakes a parked worker, if there is one.
  void wake_one() noexcept;
  /// The same if none is awake. For who has kept the idle source from them for a moment.
  void wake_if_all_sleep() noexcept {
    if (parked_.load(sync::seq_cst) == everyone()) wake_one();   // pairs with park's announcement, behind which the source is tried
  }
  const worker* worker_at(unsigned index) const noexcept { return workers_[index]; }
  bool is_worker(const thread_block& b) const noexcept { return b.at != nullptr && b.at->of == this; }
  unsigned base_workers() const noexcept { return base_; }
  unsigned workers() const noexcept { return count_.load(sync::acquire); }
  std::uint64_t steals() const noexcept { return steals_.load(sync::relaxed); }
  std::size_t global_length() const noexcept { return global_size_.load(sync::relaxed); }
  scheduler_counts counts() const noexcept;
  std::int64_t parked_mask() const noexcept { return static_cast<std::int64_t>(parked_.load(sync::relaxed)); }

  static constexpr unsigned most_workers = 64;   // bits of `parked_`

 private:
  static constexpr unsigned most = most_workers;
  static void enter_worker(void* raw);
  static void enter_monitor(void* raw);

  class visit;
  void await_visitors() const noexcept;
  void loop(worker& w);
  void push_lane(lane& to, runnable* r) noexcept;
  runnable* next(worker& w) noexcept;
  runnable* next_queued(worker& w) noexcept;
  runnable* look_up(worker& w) noexcept;
  void push_behind(worker& w, runnable* r) noexcept;
  runnable* look_around(worker& w) noexcept;
  runnable* steal(worker& w) noexcept;
  runnable* take_pinned(worker& w) noexcept;
  runnable* take_global() noexcept;
  runnable* take_global_batch(worker& w) noexcept;
  void give_global(runnable* first, runnable* last, std::size_t count) noexcept;
  bool work_in_sight() const noexcept;
  /// Whether what waits in the queue of `w` is for `w` alone: it is awake, and will soon be round.
  static bool is_left_alone(const worker& w) noexcept {
    const std::uint64_t patience = w.patience.load(sync::relaxed);
    return patience != 0 && w.queue.size() <= patience;
  }
  /// The same for the global queue: those who are left alone will soon be round with it, too, and only they take from it, as long as
  /// anybody is awake.
  bool may_take_global(const worker& w) const noexcept {
    return w.patience.load(sync::relaxed) != 0 || global_size_.load(sync::relaxed) > global_patience_.load(sync::relaxed) ||
           are_others_parked(w);
  }
  bool are_others_parked(const worker& w) const noexcept {
    return (parked_.load(sync::relaxed) | std::uint64_t{1} << w.index) == everyone();
  }
  /// Whether there is nobody awake who might have work for `w` in a moment, but sockets: those are waited for asleep, not awake.
  bool is_for_sockets_alone(const worker& w) const noexcept { return idle_.load(sync::relaxed) != nullptr && are_others_parked(w); }
  /// A bit for each worker, as in `parked_`.
  std::uint64_t everyone() const noexcept {
    const unsigned n = count_.load(sync::acquire);
    return n == most ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
  }
  /// seq_cst: of who adds to the global queue and the last one who parks one sees the other.
  bool is_global_left_alone(std::uint64_t size) const noexcept {
    return size <= global_patience_.load(sync::relaxed) && (planted::is(planted::left_to_sleepers) || parked_.load(sync::seq_cst) != everyone());
  }
  /// Whether as many as there are cores serve: are awake, by `parked`, and not away, of which the monitor says how many there are.
  /// Then nobody is woken for work that is there: one of them comes to it. A spare worker beyond them parks.
  /// `leaving`: of those who serve by these numbers as many do not.
  bool enough_serve(std::uint64_t parked, unsigned leaving = 0) const noexcept {
    return monitored_ && workers() >= base_ + static_cast<unsigned>(std::popcount(parked)) + away_.load(sync::relaxed) + leaving;
  }
  /// Whether enough serve without the running worker `w`, and it has nothing that only it may run.
  bool is_superfluous(const worker& w) const noexcept {
    return w.spare && enough_serve(parked_.load(sync::relaxed), 1) && w.pinned_size.load(sync::relaxed) == 0;
  }
  bool park(worker& w) noexcept;
  void retire(worker& w) noexcept;
  void sleep(worker& w, bool retired) noexcept;
  bool fire_timers(worker& w, std::int64_t now) noexcept;
  void pay_wake(worker& w) noexcept;
  void flush(worker& w, bool only_if_due) noexcept;
  void look_at_posted(worker& w) noexcept;
  void wake_monitor() noexcept;
  void wake_if_needed(unsigned leaving = 0) noexcept;
  bool unpark(unsigned index) noexcept;

  struct watch;
  void monitor();
  void be_impatient(watch& seen) noexcept;
  bool look_at_workers(watch& seen, unsigned count) noexcept;
  unsigned count_away(watch& seen, unsigned count) noexcept;
  std::uint64_t patience_of(std::uint64_t turns, std::uint64_t done, std::int64_t elapsed) const noexcept;
  void free_stuck(worker& w) noexcept;
  void set_aside(std::uint64_t who) noexcept;
  void stand_aside(worker& w) noexcept;
  void add_worker(bool spare);

  const hook run_;
  unsigned base_;
  const bool monitored_;
  const int search_rounds_;
  const std::int64_t fine_grain_;
  const std::uint64_t first_patience_;
  const bool lifo_usable_;               // nobody may steal from a slot without a heavy fence
  sync::atomic<const idle_source*> idle_;  // null: futexes only
  worker* workers_[most] = {};           // published by count_: grown by the monitor only
  sync::atomic<std::uint32_t> count_;
  sync::atomic<std::uint64_t> parked_{0, "parked"};  // one bit a worker
  sync::atomic<std::uint32_t> away_;       // awake, but in one thing for so long that another should serve in their place
  sync::atomic<std::uint32_t> searching_{0, "searching"};
  sync::atomic<std::uint32_t> stopping_{0, "stopping"};
  sync::atomic<std::uint64_t> steals_;
  sync::atomic<std::uint32_t> visitors_;   // threads that are no workers of ours and hand us something just now

  sync::spinlock global_lock_;
  runnable* global_first_ = nullptr;
  runnable* global_last_ = nullptr;
  sync::atomic<std::uint64_t> global_size_{0, "global size"};
  sync::atomic<std::uint64_t> global_patience_;    // as worker::patience
  lane high_;
  lane low_;

  sync::thread monitor_thread_;
  sync::futex_word monitor_signal_{0, "monitor signal"};  // 0: ticking; 1: asleep because all is idle
};

}  // namespace coppice::internal
