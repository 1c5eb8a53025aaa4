// SPDX-License-Identifier: Apache-2.0
//
// The worker's order of queues, seen from runnables of the test's own; without the monitor, which would rescue what starves.
#include <doctest/doctest.h>

#include "runtime/scheduler.hpp"
#include "support/eventually.hpp"

#include <atomic>
#include <thread>

using namespace coppice::internal;
using coppice::testing::eventually;

namespace {

struct job : runnable {
  void (*run)(job&) = nullptr;
};

void run_job(runnable* r) noexcept {
  job& j = *static_cast<job*>(r);
  j.run(j);
}

scheduler* sched = nullptr;
std::atomic<int> runs_of_other{0};
std::atomic<bool> on{true};
job pinned;
job other;

}  // namespace

TEST_CASE("pinned work that keeps coming leaves the worker's LIFO slot its turns") {
  scheduler s({.workers = 1, .monitor = false}, &run_job);
  sched = &s;
  other.run = [](job&) { ++runs_of_other; };
  pinned.run = [](job& self) {
    if (!on) return;
    if (runs_of_other == 0) {
      static bool pushed = false;
      if (!pushed) sched->push(&other);
      pushed = true;
    }
    sched->push_pinned(&self, 0);
  };
  s.start();
  s.push_pinned(&pinned, 0);
  CHECK(eventually([] { return runs_of_other.load() > 0; }));
  on = false;
  CHECK(s.stop(coppice::detail::sync::now() + 20'000'000'000));
}

namespace {

struct again : runnable {
  void (scheduler::*back)(runnable*) noexcept = nullptr;
  int runs = 0;
};
std::atomic<int> turns{0};

}  // namespace

TEST_CASE("high before all others, and yet low and normal work get turns while high work never ends") {
  static again high[2], normal, low;
  turns = 0;
  scheduler s({.workers = 1, .monitor = false}, [](runnable* r) noexcept {
    auto& a = *static_cast<again*>(r);
    ++a.runs;
    if (++turns < 6'100) (sched->*a.back)(r);
  });
  sched = &s;
  for (again& h : high) h.back = &scheduler::push_high;
  normal.back = &scheduler::push_last;
  low.back = &scheduler::push_low;
  s.push_low(&low);
  s.push_last(&normal);
  for (again& h : high) s.push_high(&h);
  s.start();
  CHECK(eventually([] { return turns >= 6'100; }));
  CHECK(s.stop(coppice::detail::sync::now() + 20'000'000'000));
  CHECK(high[0].runs + high[1].runs > 5'500);
  CHECK(normal.runs >= 90);
  CHECK(low.runs >= 90);
}

namespace {

std::atomic<std::uint32_t> gate{0};
std::atomic<bool> busy{true};

}  // namespace

TEST_CASE("a spare worker parks when the one it served for is back, however much there is to do") {
  scheduler s({.workers = 1, .fine_grain = 0}, &run_job);     // none is left alone with its queue: work is always in sight
  sched = &s;
  job waits;
  waits.run = [](job&) { gate.wait(0); };
  job endless[4];
  for (job& one : endless)
    one.run = [](job& self) {
      if (busy) sched->push_back(&self);
    };
  s.start();
  s.push(&waits);
  for (job& one : endless) s.push(&one);
  CHECK(eventually([&] { return s.workers() >= 2; }));        // the only one sits in a system call; more where that one lacks a core
  gate = 1;
  gate.notify_all();
  CHECK(eventually([&] { return s.counts().parked == s.workers() - 1; }));
  busy = false;
  CHECK(s.stop(coppice::detail::sync::now() + 20'000'000'000));
}
