// SPDX-License-Identifier: Apache-2.0
//
// Machines and event managers under everything at once: callers from threads and processes, postponed calls, timeouts that
// fire while they are cancelled, ends in the middle. For ThreadSanitizer; what is asserted is that every call is answered.
#include <doctest/doctest.h>

#include <coppice/otp/gen_event.hpp>
#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <thread>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct turn_over {};
struct get_in { using reply = int; };
struct wait_for_it { using reply = int; };
struct inner { int n; };
struct poll {};

/// Flips between two states by timeouts of microseconds; calls wait for the other state.
struct flipper {
  struct heads { int n = 0; };
  struct tails { std::vector<from<int>> waiting{}; };
  using all = states<heads, tails>;
  int count = 0;
  auto enter(heads&) { return entered{state_timeout{50us}, named_timeout_with(this, "poll", 70us, poll{})}; }
  auto enter(tails&) { return state_timeout{30us}; }
  next<tails> handle(heads& h, state_timeout) { return {tails{}, next_event(this, inner{h.n})}; }
  next<heads> handle(tails& t, state_timeout) {
    for (auto& w : t.waiting) reply(std::move(w), ++count);
    return {heads{++count}, event_timeout{10us}};
  }
  void handle(auto&, event_timeout) {}
  void handle(auto&, inner i) { count += i.n & 1; }
  next<> handle(auto&, poll) { return {keep, cancel_timeout("poll"), named_timeout_with(this, "poll", 90us, poll{})}; }
  next<heads, tails> handle(heads&, turn_over) { return tails{}; }
  next<heads, tails> handle(tails&, turn_over) { return postpone; }
  auto handle(heads&, get_in) { return postpone; }
  int handle(tails&, get_in) { return ++count; }
  next<> handle(heads&, wait_for_it, from<int>) { return postpone; }
  void handle(tails& t, wait_for_it, from<int> who) { t.waiting.push_back(std::move(who)); }
};

struct bang { int n; };
struct how_many { using reply = int; };
struct listener {
  int seen = 0;
  void handle_event(const bang& b) {
    ++seen;
    if (b.n == 99) throw b.n;
  }
  int handle_call(how_many) { return seen; }
};

}  // namespace

TEST_CASE("machines: calls that are postponed, kept and timed out while timeouts flip the states") {
  own_world w({.workers = 3});
  for (int round = 0; round < 6; ++round) {
    const auto m = start<flipper>();
    std::atomic<int> answered{0};
    const auto work = [&, m](int n) {
      for (int i = 0; i < 60; ++i) {
        if (i % 3 == 0) call(m, get_in{}, infinity);
        else if (i % 3 == 1) call(m, wait_for_it{}, infinity);
        else (void)try_call(m, get_in{}, 1us);
        if ((i + n) % 7 == 0) cast(m, turn_over{});
        if ((i + n) % 17 == 0) (void)sys::get_status(m, infinity);
      }
      ++answered;
    };
    std::vector<monitored> processes;
    for (int p = 0; p < 3; ++p) processes.push_back(spawn_monitor([&work, p] { work(p); }));
    std::thread one([&] {
      runtime_scope in(w.r);
      work(5);
    });
    one.join();
    for (const monitored& p : processes) CHECK(reason_of_end(p.who, p.ref).is(exit_reason::normal));
    CHECK(answered == 4);
    stop(m);
  }
}

TEST_CASE("machines: who waits in one that is stopped or killed is told") {
  own_world w({.workers = 3});
  for (int round = 0; round < 40; ++round) {
    const auto m = start<flipper>();
    std::vector<monitored> callers;
    for (int p = 0; p < 3; ++p)
      callers.push_back(spawn_monitor([m, p] {
        for (;;) {
          const auto r = p == 0 ? try_call(m, wait_for_it{}, infinity) : try_call(m, get_in{}, infinity);
          if (!r) return;
        }
      }));
    if (round % 2 == 0) stop(m, exit_reason::shutdown);
    else exit(m.id(), exit_reason::kill);
    for (const monitored& c : callers) CHECK(reason_of_end(c.who, c.ref).is(exit_reason::normal));
  }
}

TEST_CASE("event managers: handlers come, go and fail while many notify") {
  own_world w({.workers = 3});
  using bangs = event_manager<bang>;
  for (int round = 0; round < 5; ++round) {
    const auto m = start<bangs>();
    std::vector<monitored> all;
    for (int p = 0; p < 3; ++p)
      all.push_back(spawn_monitor([m, p] {
        const std::string id = std::to_string(p);
        for (int i = 0; i < 100; ++i) {
          if (i % 10 == 0) (void)try_add_handler<listener>(m, {.id = id, .own_process = p == 2});
          if (i % 10 == 7) (void)try_delete_handler<listener>(m, {.id = id});
          if (i % 2 == 0) notify(m, bang{i});
          else sync_notify(m, bang{i}, infinity);
          (void)try_call_handler<listener>(m, how_many{}, {.id = id});
        }
      }));
    for (const monitored& c : all) CHECK(reason_of_end(c.who, c.ref).is(exit_reason::normal));
    stop(m);
  }
}
