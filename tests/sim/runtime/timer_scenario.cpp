// SPDX-License-Identifier: Apache-2.0
//
// Timers of processes: never early, never after a cancel that said what was left, and no worker sleeps past one.
#include <coppice/process/timer.hpp>

#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct ring { std::int64_t not_before; };

/// Waits for one, which must be due.
void await_ring() {
  const ring r = receive<ring>();
  sim::check(sync::now() >= r.not_before, "a timer was early");
}

void send_in(std::int64_t time, pid to) { send_after(duration(time), to, ring{sync::now() + time}); }

// A thread that is no worker starts timers while the worker goes to sleep: it must not sleep past them.
void foreign_start() {
  world w;
  const pid me = self();
  for (int i = 0; i != 2; ++i) {
    await_end(spawn([] {}));                          // so the worker has just now nothing to do
    send_in(40'000, me);
    send_in(10'000, me);
    for (int k = 0; k != 2; ++k) await_ring();
  }
}

// The same from a process on a worker, whose own wheel it is.
void own_start() {
  world w({.workers = 2});
  const pid a = spawn([] {
    send_in(10'000, self());
    await_ring();
  });
  await_end(a);
}

// Cancel against expiry: what was cancelled does not come, what was not comes once.
void cancel_against_fire() {
  world w;
  constexpr int count = 4;
  const pid me = self();
  reference timers[count];
  for (reference& t : timers) t = send_after(duration(1'000), me, ring{sync::now() + 1'000});
  const std::int64_t tick = std::int64_t{1} << internal::timer_wheel::tick_shift;
  const std::int64_t due = ((sync::now() + 1'000) / tick + 1) * tick;   // the wheel fires them about now
  int late = 0;
  {
    runs canceller([&] {
      w.enter();
      sync::futex_word nobody;
      sync::futex_wait(nobody, 0, due);
      for (const reference& t : timers) late += !cancel_timer(t).has_value();
    }, "canceller");
  }
  for (int i = 0; i != late; ++i) await_ring();
  // Behind any timer of that wheel that is due by now.
  send_in(1'000, me);
  await_ring();
  sim::check(flush() == 0, "a cancelled timer fired");
}

// An addressee that ends takes its timers with it.
void addressee_ends() {
  world w;
  const pid a = spawn([] { receive<ring>(duration(1'000)); });
  const reference timer = send_after(duration(1'000), a, ring{sync::now() + 1'000});
  await_end(a);
  sim::check(!cancel_timer(timer), "a timer of the dead");
}

// The same for one that is killed, whoever asks: who hears that it is dead finds its timers gone.
void addressee_killed() {
  world w;
  const pid a = spawn([] { receive<ring>(); });
  const reference timer = send_after(duration{1h}, a, ring{0});
  exit(a, exit_reason::kill);
  await_end(a);
  sim::check(!cancel_timer(timer), "a timer of the dead");
}

const sim::scenario scenarios[] = {{"timer_foreign_start", &foreign_start, whole_program()},
                                   {"timer_own_start", &own_start, whole_program()},
                                   {"timer_cancel_against_fire", &cancel_against_fire, whole_program()},
                                   {"timer_addressee_ends", &addressee_ends, whole_program()},
                                   {"timer_addressee_killed", &addressee_killed, whole_program()}};

}  // namespace
