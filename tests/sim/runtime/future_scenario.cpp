// SPDX-License-Identifier: Apache-2.0
//
// Futures, promises, delays: who delivers against who waits, cancels, destroys, and asks first.
#include <coppice/state/delay.hpp>
#include <coppice/state/future.hpp>
#include <coppice/state/parallel_map.hpp>
#include <coppice/state/promise.hpp>
#include <coppice/state/state_error.hpp>

#include "runtime/epoch.hpp"
#include "sim/runtime/world.hpp"
#include "state/thread_pool.hpp"

#include <memory>

namespace {

using namespace coppice;
using namespace coppice::testing;

void begin() {
  whole_program().before();
  internal::limits_of_epochs = {.boxes = 2, .batches = 2};
  internal::limits_of_pools.spins = 1;
}
void finish() { internal::drop_program_state(); }
sim::scenario_options with_futures() {
  sim::scenario_options o = whole_program();
  o.before = &begin;
  o.finish = &finish;
  return o;
}

/// Two deliver, two wait: one delivery wins, and both who wait see it whole.
void two_deliver() {
  {
    promise<std::pair<long, long>> p;
    start_line line(3);
    sync::atomic<int> won{0, "won"};
    const auto deliver = [&](long n) {
      if (p.deliver(std::pair(n, n))) won.fetch_add(static_cast<int>(n), sync::relaxed);
    };
    const auto wait = [&] {
      const auto value = p.get();
      sim::check(value->first == value->second, "a value was seen before it was whole");
      const int by = won.load(sync::relaxed);
      sim::check(by == 0 || by == value->first, "another delivery won");
    };
    runs one([&] {
      detail::here();
      line.pass();
      deliver(1);
      wait();
    });
    runs two([&] {
      detail::here();
      line.pass();
      wait();
    });
    detail::here();
    line.pass();
    deliver(2);
    one.join();
    two.join();
    const int by = won.load(sync::relaxed);
    sim::check(by == 1 || by == 2, "not exactly one delivery won");
    sim::check(p.get()->first == by, "the winner's value is not the value");
  }
  internal::reclaim();
}

/// A future ends while it is cancelled and waited for.
void cancelled_at_the_end() {
  {
    fixed_executor pool(1);
    future f(pool, [] { return 7; });
    start_line line(2);
    runs one([&] {
      detail::here();
      line.pass();
      try {
        sim::check(f.get() == 7, "another value");
        sim::check(!f.is_cancelled(), "it has a value and was cancelled");
      } catch (const cancelled&) {
        sim::check(f.is_cancelled(), "refused, and not cancelled");
      }
    });
    detail::here();
    line.pass();
    const bool did = f.cancel();
    one.join();
    sim::check(did == f.is_cancelled(), "cancel said otherwise");
  }
  internal::reclaim();
}

/// A promise goes away while one waits.
void gone_undelivered() {
  {
    auto p = std::make_unique<promise<int>>();
    runs one([f = p->get_future()] {
      detail::here();
      try {
        f.get();
        sim::check(false, "a value out of nothing");
      } catch (const broken_promise&) {
      }
    });
    p.reset();
    one.join();
  }
  internal::reclaim();
}

/// Two ask a delay for its value; its function runs once.
void two_ask() {
  {
    sync::atomic<int> runs_of_it{0, "runs"};
    const delay d([&] { return runs_of_it.fetch_add(1, sync::relaxed) + 5; });
    start_line line(2);
    const auto ask = [&] {
      detail::here();
      line.pass();
      sim::check(d.get() == 5, "another value");
    };
    runs one(ask);
    ask();
    one.join();
    sim::check(runs_of_it.load(sync::relaxed) == 1, "it ran twice");
  }
  internal::reclaim();
}

/// Two delays ask for each other on two stacks: one is refused, and both come to an end.
void ring_of_delays() {
  {
    const delay<int>*a = nullptr, *b = nullptr;
    const delay<int> first([&] { return b->get(); });
    const delay<int> second([&] { return a->get(); });
    a = &first;
    b = &second;
    const auto ask = [](const delay<int>& d) {
      detail::here();
      try {
        d.get();
        sim::check(false, "a value out of nothing");
      } catch (const recursive_delay&) {
      }
    };
    runs one([&] { ask(second); });
    ask(first);
    one.join();
  }
  internal::reclaim();
}

/// A loop over results is left early: nothing runs any more when it is.
void left_early() {
  {
    fixed_executor pool(1);
    sync::atomic<int> inside{0, "inside"};
    const int in[] = {1, 2, 3};
    for (int x : parallel_map(in, [&](int n) {
           inside.fetch_add(1, sync::relaxed);
           sync::relax();
           inside.fetch_sub(1, sync::relaxed);
           return n;
         }, {.ahead = 2, .by = &pool})) {
      sim::check(x == 1, "out of order");
      break;
    }
    sim::check(inside.load(sync::relaxed) == 0, "a call runs on when its range is gone");
  }
  internal::reclaim();
}

const sim::scenario scenarios[] = {{"future_two_deliver", &two_deliver, with_futures()},
                                   {"future_cancelled_at_the_end", &cancelled_at_the_end, with_futures()},
                                   {"future_gone_undelivered", &gone_undelivered, with_futures()},
                                   {"future_two_ask_a_delay", &two_ask, with_futures()},
                                   {"future_ring_of_delays", &ring_of_delays, with_futures()},
                                   {"future_left_early", &left_early, with_futures()}};

}  // namespace
