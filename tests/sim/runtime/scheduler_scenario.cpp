// SPDX-License-Identifier: Apache-2.0
//
// The scheduler alone, with things to run that are no processes: parking and waking, stop, and what the monitor thread takes
// from a stuck worker.
#include "runtime/scheduler.hpp"

#include "sim/runtime/task.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;
using internal::scheduler;

/// Runs once; says so.
struct errand final : task {
  sync::var<int> prepared;       // reported as a race unless the queues publish it
  sync::var<int> times;
  signpost done;

  void run() override {
    sim::check(prepared.get() == 7, "a thing ran before it was complete");
    times = times.get() + 1;
    sim::check(times.get() == 1, "a thing ran twice");
    done.set();
  }
};

/// Runs a piece of the scenario on a worker.
template <class Body>
struct piece final : task {
  explicit piece(Body b) : body(std::move(b)) {}
  Body body;
  void run() override { body(); }
};

struct crew {
  explicit crew(const internal::scheduler_options& o) : sched(o, &run_task) { sched.start(); }
  ~crew() { sim::check(sched.stop(sync::never), "a worker did not leave"); }
  scheduler sched;
};

// A plain thread pushes to workers that are about to sleep.
void push_to(const internal::scheduler_options& workers) {
  errand e[3];
  crew c(workers);
  for (errand& one : e) {
    one.prepared = 7;
    c.sched.push(&one);
    if (sim::random(2) == 0) one.done.wait();
  }
  for (errand& one : e) one.done.wait();
}

void push_from_thread() { push_to({.workers = 1 + sim::random(2), .monitor = false, .search_rounds = 1}); }

// The same to workers that were left alone: what they may leave to one another must not be left to sleepers. No monitor thread comes
// to the rescue.
void left_to_sleepers() { push_to({.workers = 1 + sim::random(2), .monitor = false, .search_rounds = 1, .patience = 100}); }

// A worker keeps one thing for itself; the other one must be taken by the worker that is about to sleep.
void push_from_worker() {
  errand kept, offered;
  crew c({.workers = 2, .monitor = false, .search_rounds = 1});
  signpost over;
  piece starter([&] {
    offered.prepared = 7;
    c.sched.push(&offered);
    kept.prepared = 7;
    c.sched.push(&kept);              // takes the place of the one before, which anybody may have now
    offered.done.wait();
    over.set();
  });
  c.sched.push(&starter);
  over.wait();
  kept.done.wait();
}

// For one worker alone.
void push_pinned() {
  errand e[2];
  crew c({.workers = 2, .monitor = false, .search_rounds = 1});
  for (unsigned i = 0; i != 2; ++i) {
    e[i].prepared = 7;
    c.sched.push_pinned(&e[i], i);
  }
  for (errand& one : e) one.done.wait();
}

// Things of high and low priority from a plain thread, to workers that go to sleep: each is run, once.
void lanes() {
  errand e[4];
  crew c({.workers = 2, .monitor = false, .search_rounds = 1});
  for (int i = 0; i != 4; ++i) {
    e[i].prepared = 7;
    if (i % 2 == 0) c.sched.push_high(&e[i]);
    else c.sched.push_low(&e[i]);
    if (i == 1)
      for (int k = 0; k != 2; ++k) e[k].done.wait();      // so the workers have just now nothing to do
  }
  for (int k = 2; k != 4; ++k) e[k].done.wait();
}

// A plain thread starts a timer while the worker whose wheel it uses goes to sleep.
void foreign_timer() {
  struct alarm final : internal::timer_node {
    alarm() : timer_node([](timer_node& node) noexcept { static_cast<alarm&>(node).rung.set(); }) {}
    signpost rung;
  };
  errand e[3];
  alarm a[3];
  crew c({.workers = 1, .monitor = false, .search_rounds = 1});
  for (int i = 0; i != 3; ++i) {
    e[i].prepared = 7;
    c.sched.push(&e[i]);
    e[i].done.wait();                 // so the worker has just now nothing to do
    c.sched.start_timer_at(a[i], sync::now() + 10'000);
    a[i].rung.wait();
  }
}

// Nothing to do, and no sleeper is forgotten.
void stop_idle() {
  errand e;
  crew c({.workers = 2, .monitor = true, .search_rounds = 1});
  if (sim::random(2) == 0) return;
  e.prepared = 7;
  c.sched.push(&e);
  e.done.wait();
}

// A worker sits in one thing for good: what it holds, in its slot and in its queue, is run by others, once each.
void stuck_worker() {
  errand held[3];
  crew c({.workers = 2, .monitor = true, .search_rounds = 1});
  signpost over;
  piece stuck([&] {
    for (errand& one : held) {
      one.prepared = 7;
      c.sched.push(&one);
    }
    for (errand& one : held) one.done.wait();
    over.set();
  });
  c.sched.push(&stuck);
  over.wait();
}

// The only worker is stuck: a spare one is started.
void spare_worker() {
  errand held;
  crew c({.workers = 1, .monitor = true, .search_rounds = 1});
  signpost over;
  piece stuck([&] {
    held.prepared = 7;
    c.sched.push(&held);
    held.done.wait();
    over.set();
  });
  c.sched.push(&stuck);
  over.wait();
}

// The worker whose place a spare one has taken comes back: one of the two is too many, and parks. What it held is run all the same.
void spare_retires() {
  errand held;
  errand last[3];
  crew c({.workers = 1, .monitor = true, .search_rounds = 1});
  signpost over;
  sync::var<int> turns;
  task* again = nullptr;
  piece stuck([&] {
    held.prepared = 7;
    c.sched.push(&held);
    held.done.wait();
  });
  piece often([&] {                    // on the spare one until the other is back
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 300'000);
    const int turn = turns;
    turns = turn + 1;
    if (turn == 8) {
      for (errand& one : last) {
        one.prepared = 7;
        c.sched.push(&one);
      }
      over.set();
    } else if (turn % 2 == 0) {
      c.sched.push(again);
    } else {
      c.sched.push_back(again);
    }
  });
  again = &often;
  c.sched.push(&stuck);
  c.sched.push(&often);
  held.done.wait();
  over.wait();
  for (errand& one : last) one.done.wait();
}

// A worker looks stuck and is not: it and the monitor thread want the same things.
void almost_stuck() {
  errand held[2];
  crew c({.workers = 2, .monitor = true, .search_rounds = 1});
  piece slow([&] {
    for (errand& one : held) {
      one.prepared = 7;
      c.sched.push(&one);
    }
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 2'000'000);   // two looks of the monitor thread
  });
  c.sched.push(&slow);
  for (errand& one : held) one.done.wait();
}

// Workers whose pieces are small are left alone with what they hold, and made to stand aside in turn; then one sits in one thing
// for good. All is run, once, and what it held as well.
void left_alone() {
  errand offered[6];
  errand held[2];
  crew c({.workers = 2, .monitor = true, .search_rounds = 1, .fine_grain = 1'000'000'000});
  signpost over;
  sync::var<int> turns;
  task* again = nullptr;
  piece stuck([&] {
    for (errand& one : held) {
      one.prepared = 7;
      c.sched.push(&one);
    }
    for (errand& one : held) one.done.wait();
    over.set();
  });
  piece often([&] {
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 600'000);
    const int turn = turns;
    turns = turn + 1;
    if (turn < 6) {
      offered[turn].prepared = 7;
      c.sched.push_back(&offered[turn]);
    }
    if (turn == 7) c.sched.push_back(&stuck);
    else c.sched.push_yielded(again);
  });
  again = &often;
  c.sched.push(&often);
  over.wait();
  for (errand& one : offered) one.done.wait();
}

// A worker's slot alone: its owner fills and empties it while a thief wants what lies there.
void slot_and_thief() {
  struct thing {
    sync::var<int> prepared{0};
    sync::var<int> taken{0};
  };
  thing things[3];
  internal::lifo_slot<thing> slot;
  const auto got = [](thing* t) {
    if (t == nullptr) return;
    sim::check(t->prepared == 7, "a thing is seen before it is ready");
    t->taken = t->taken + 1;
  };
  runs thief([&] {
    for (int i = 0; i != 2; ++i) got(slot.steal());
  });
  for (thing& t : things) {
    t.prepared = 7;
    got(slot.put(&t));
    if (sim::random(2) == 0) got(slot.take());
  }
  thief.join();
  got(slot.take());
  for (thing& t : things) sim::check(t.taken == 1, "a thing was lost, or taken twice");
}

const sim::scenario scenarios[] = {{"scheduler_slot_and_thief", &slot_and_thief},
                                   {"scheduler_push_from_thread", &push_from_thread, whole_program()},
                                   {"scheduler_push_from_worker", &push_from_worker, whole_program()},
                                   {"scheduler_push_pinned", &push_pinned, whole_program()},
                                   {"scheduler_lanes", &lanes, whole_program()},
                                   {"scheduler_foreign_timer", &foreign_timer, whole_program()},
                                   {"scheduler_stop_idle", &stop_idle, whole_program()},
                                   {"scheduler_stuck_worker", &stuck_worker, whole_program()},
                                   {"scheduler_spare_worker", &spare_worker, whole_program()},
                                   {"scheduler_spare_retires", &spare_retires, whole_program()},
                                   {"scheduler_almost_stuck", &almost_stuck, whole_program()},
                                   {"scheduler_left_alone", &left_alone, whole_program()},
                                   {"scheduler_left_to_sleepers", &left_to_sleepers, whole_program()}};

}  // namespace
