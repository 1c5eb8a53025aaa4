// SPDX-License-Identifier: Apache-2.0
//
// State machines: timeouts that fire while they are cancelled and set again, events that are postponed from several senders,
// ends in the middle. Each event is handled once and in its sender's order, no timeout comes that was cancelled, none is lost,
// every caller hears something.
#include <coppice/otp/gen_statem.hpp>

#include "sim/runtime/silence.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct piece { int from, number; };
struct buy { using reply = int; int from, number; };
struct hurry {};
struct close_down {};
struct reopens { int time; };
struct lull { int events; };
struct ring { int number; };
struct how_many { using reply = int; };
struct quiet { using reply = bool; };

/// Each piece of work shuts it for a while; whatever comes meanwhile is postponed. Its timeouts carry what was true when they
/// were set.
struct shop {
  struct open { friend bool operator==(open, open) = default; };
  struct shut { int time = 0; friend bool operator==(shut, shut) = default; };
  using all = states<open, shut>;

  int times = 0;                  // it was shut
  int last[2] = {0, 0};           // number of each sender
  int handled = 0;
  int events = 0;                 // of any kind
  int rings_set = 0, rings_heard = 0;

  auto enter(shut& s) { return state_timeout_with(this, duration(1'000), reopens{s.time}); }
  next<shut> handle(open&, piece p) {
    took(p.from, p.number);
    return {shut{++times}, named_timeout_with(this, "ring", duration(1'000), ring{++rings_set})};
  }
  next<> handle(shut&, const piece&) { return ++events, postpone; }
  replies<int, shut> handle(open&, buy b) {
    took(b.from, b.number);
    return {shut{++times}, event_timeout_with(this, duration(500), lull{events}), reply(int{b.number})};
  }
  auto handle(shut&, const buy&) { return ++events, postpone; }
  next<open> handle(shut& s, reopens r) {
    sim::check(r.time == s.time, "a state timeout of an earlier state");
    return ++events, open{};
  }
  next<open> handle(shut&, hurry) { return ++events, open{}; }
  void handle(open&, hurry) { ++events; }
  void handle(auto&, lull l) {
    sim::check(l.events == events, "an event timeout after an event");
    ++events;
  }
  void handle(auto&, ring r) {
    sim::check(r.number == rings_set, "a named timeout that was set again");
    sim::check(rings_heard != r.number, "a timeout came twice");
    rings_heard = r.number;
    ++events;
  }
  next<> handle(auto&, close_down) { return stop(exit_reason("closed")); }
  int handle(auto&, how_many) { return ++events, handled; }
  bool handle(open&, quiet) { return ++events, rings_heard == rings_set; }
  bool handle(shut&, quiet) { return ++events, false; }

 private:
  void took(int from, int number) {
    sim::check(number == last[from] + 1, "an event was lost, doubled or overtaken");
    last[from] = number;
    ++handled;
    ++events;
  }
};

/// Two senders, and somebody who cuts state timeouts short while they fire.
void timers() {
  world w({.workers = 2});
  start_line line(2);
  const auto m = start<shop>();
  {
    runs other([&] {
      w.enter();
      line.pass();
      for (int i = 1; i != 4; ++i) cast(m, piece{1, i});
      sim::check(call(m, buy{1, 4}, infinity) == 4, "another reply");
      cast(m, hurry{});
    }, "sender");
    line.pass();
    cast(m, piece{0, 1});
    cast(m, piece{0, 2});
    cast(m, hurry{});
    sleep_for(duration(1'000));                            // about when a state timeout fires
    cast(m, hurry{});
    cast(m, piece{0, 3});
    cast(m, hurry{});
  }
  while (!call(m, quiet{}, infinity) || call(m, how_many{}, infinity) != 7) sleep_for(duration(2'000));
  stop(m);
}

/// It ends, of itself or by a kill, while callers are postponed: each hears of it.
void ends() {
  const silence nobody_listens;
  world w({.workers = 2});
  start_line line(2);
  const auto m = start<shop>();
  const auto buys = [&m](int from) {
    for (int i = 1; i != 3; ++i) {
      const auto answer = try_call(m, buy{from, i}, infinity);
      sim::check(answer ? *answer == i : answer.error().is(call_error::ended) || answer.error().is(call_error::noproc), "another end");
    }
  };
  const bool kills = sim::random(2) == 0;
  const monitored caller = spawn_monitor([&] { buys(0); });
  {
    runs other([&] {
      w.enter();
      line.pass();
      buys(1);
    }, "caller");
    line.pass();
    if (kills) exit(m.id(), exit_reason::kill);
    else cast(m, close_down{});
  }
  await_end(caller.ref);
  await_end(m.id());
}

const sim::scenario scenarios[] = {{"machine_timers", &timers, whole_program()},
                                   {"machine_ends", &ends, whole_program()}};

}  // namespace
