// SPDX-License-Identifier: Apache-2.0
//
// timer_wheel under every interleaving, in virtual time: of cancel and expiry one wins, and nothing is early.
#include "runs.hpp"
#include "runtime/timer_wheel.hpp"
#include "sim/driver.hpp"

#include <doctest/doctest.h>

namespace {

namespace sim = coppice::internal::sim;
namespace sync = coppice::detail::sync;
using coppice::internal::due_timers;
using coppice::internal::timer_node;
using coppice::internal::timer_wheel;
using coppice::testing::runs;

struct probe : timer_node {
  probe() : timer_node([](timer_node& node) noexcept { static_cast<probe&>(node).fire(); }) {}
  void fire() {
    sim::check(sync::now() >= not_before.get(), "a timer fired early");
    fired = fired.get() + 1;
    done.store(1, sync::release);
  }
  sync::var<std::int64_t> not_before;
  sync::var<int> fired;
  sync::atomic<int> done;
};

// Two advance at once, as worker and monitor thread may; the owner cancels.
void cancel_against_expiry() {
  timer_wheel wheel;
  probe p;
  const std::int64_t duration = sim::random(2) == 0 ? 0 : 50'000;
  const auto advance = [&] {
    for (int i = 0; i != 2; ++i) wheel.advance(sync::now());
  };
  runs worker(advance, "worker"), monitor(advance, "stall");
  p.not_before = sync::now() + duration;
  wheel.start(p, duration);
  if (timer_wheel::cancel(p)) {
    sim::check(p.fired.get() == 0, "a cancelled timer has fired");
    p.fired = 1;  // ours: a race is reported if it fires now
  } else {
    while (p.done.load(sync::acquire) == 0) sync::relax();
    sim::check(p.fired.get() == 1, "a timer fired twice");
  }
}

void pass(std::int64_t duration) {
  sync::futex_word never_woken;
  sync::futex_wait(never_woken, 0, sync::now() + duration);
}

// A worker that was held up between its look at the clock and the wheel must not make a timer early.
void never_early() {
  constexpr std::int64_t ms = 1'000'000;
  timer_wheel wheel;
  probe p;
  runs worker(
      [&] {
        const std::int64_t now = sync::now();
        pass(2 * ms);
        wheel.advance(now);
        pass(3 * ms + ms / 3);
        wheel.advance(sync::now());
      },
      "worker");
  pass(ms);
  p.not_before = sync::now() + 5 * ms;
  wheel.start(p, 5 * ms);
  worker.join();
  timer_wheel::cancel(p);
}

// A thread starts a timer on a worker's wheel while the worker goes to sleep: one of the two sees the other.
void foreign_start() {
  timer_wheel wheel;
  probe p;
  sync::atomic<int> asleep{0, "asleep"};
  std::int64_t until = 0;
  bool wakes = false;
  {
    runs worker(
        [&] {
          asleep.store(1, sync::relaxed);
          until = wheel.next_deadline();
        },
        "worker");
    p.not_before = 0;
    const bool sooner = wheel.start(p, 10);
    wakes = sooner && asleep.load(sync::relaxed) != 0;
  }
  sim::check(wakes || until == timer_wheel::due_now, "a worker sleeps past a timer that was started on its wheel");
  timer_wheel::cancel(p);
}

const sim::scenario scenarios[] = {{"timer_wheel_cancel", &cancel_against_expiry},
                                   {"timer_wheel_never_early", &never_early},
                                   {"timer_wheel_foreign_start", &foreign_start}};

void check(const char* scenario) {
  const sim::verdict v = sim::seeds(scenario);
  CHECK_MESSAGE(v.passed(), v.report);
}

}  // namespace

TEST_CASE("PR-81 of cancel and expiry exactly one wins") { check("timer_wheel_cancel"); }
TEST_CASE("PR-80 no timer is early, whoever reads the clock when") { check("timer_wheel_never_early"); }
TEST_CASE("timer_wheel: a timer started by another thread and a worker that goes to sleep do not miss each other") {
  check("timer_wheel_foreign_start");
}
