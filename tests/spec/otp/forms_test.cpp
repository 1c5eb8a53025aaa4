// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "spec/otp/otp_test.hpp"

#include <coppice/otp/server_timer.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <chrono>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct get { using reply = int; };
struct tick { int n; };
struct load { int n; };

// --- every return form of a call -------------------------------------------------------------------------------------

enum class form { plain, reply, reply_wait, reply_hibernate, reply_continue, noreply, stop_value, stop, throws, exits, exits_quietly };

struct ask { using reply = int; form how; };

struct forms {
  journal* log;
  int state = 0;
  outcome<int, load> handle_call(ask a) {
    state = 1;
    switch (a.how) {
      case form::plain: return 1;
      case form::reply: return reply(2);
      case form::reply_wait: return reply(3, 1ms);
      case form::reply_hibernate: return reply(4, hibernate);
      case form::reply_continue: return reply(5, continue_with(load{6}));
      case form::stop_value: return stop(exit_reason("done"), 7);
      case form::stop: return stop(exit_reason("done"));
      case form::throws: throw std::runtime_error("broken");
      case form::exits: exit(exit_reason("left"));
      case form::exits_quietly: exit(exit_reason::shutdown);
      case form::noreply: break;
    }
    return 0;
  }
  void handle_continue(load l) { log->add("continue " + std::to_string(l.n)); }
  void handle_info(timeout) { log->add("timeout"); }
  void terminate(const exit_reason& why) { log->add("terminate " + to_text(why) + " in " + std::to_string(state)); }
};

}  // namespace

TEST_CASE("GS-61 reply forms: the reply is sent, then the action applies") {
  journal j;
  const auto s = start<forms>({}, &j);
  CHECK(call(s, ask{form::plain}) == 1);
  CHECK(call(s, ask{form::reply}) == 2);
  CHECK(call(s, ask{form::reply_wait}) == 3);
  CHECK(eventually([&] { return j.has("timeout"); }));
  CHECK(call(s, ask{form::reply_hibernate}) == 4);
  CHECK(call(s, ask{form::reply_continue}) == 5);
  CHECK(call(s, ask{form::plain}) == 1);
  CHECK(j.has("continue 6"));
  stop(s);
}

TEST_CASE("GS-62 noreply forms of call, cast, info and continue") {
  struct quiet {
    struct later { using reply = int; };
    struct poke {};
    journal* log;
    std::optional<from<int>> waiting{};
    outcome<void, load> handle_call(later, from<int> f) {
      waiting.emplace(std::move(f));
      return noreply(continue_with(load{1}));
    }
    auto handle_continue(load) { log->add("continue"); return noreply(1ms); }
    outcome<void> handle_info(timeout) { log->add("timeout"); std::move(*waiting).reply(3); return noreply(); }
    auto handle_cast(poke) { log->add("cast"); return noreply(hibernate); }
  };
  journal j;
  const auto s = start<quiet>({}, &j);
  CHECK(call(s, quiet::later{}) == 3);
  cast(s, quiet::poke{});
  CHECK(eventually([&] { return j.has("cast"); }));
  CHECK(j.lines() == lines{"continue", "timeout", "cast"});
  stop(s);
}

TEST_CASE("GS-64 GS-68 OL-13 OL-14 stop with a value: terminate runs first, then the value goes out, then the server ends") {
  caught_reports reports;
  journal j;
  const auto m = start_monitor<forms>({}, &j);
  CHECK(call(m.server, ask{form::stop_value}) == 7);
  CHECK(j.lines() == lines{"terminate done in 1"});      // before the value came
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("done"));
}

TEST_CASE("GS-64 OL-35 the value is sent even if terminate throws; the exception is then the reason") {
  struct bad_end {
    struct q { using reply = int; };
    auto handle_call(q) { return stop(exit_reason("done"), 7); }
    void terminate(const exit_reason&) { throw std::runtime_error("in terminate"); }
  };
  caught_reports reports;
  const auto m = start_monitor<bad_end>();
  CHECK(call(m.server, bad_end::q{}) == 7);
  CHECK(reason_of_end(m.server, m.ref).text() == "in terminate");
}

TEST_CASE("GS-65 stop without a value: the caller sees the reason, from call, cast, info and continue") {
  struct stopper {
    struct by_cast {};
    struct by_info {};
    struct by_continue {};
    auto handle_cast(by_cast) { return stop(exit_reason("cast")); }
    auto handle_info(by_info) { return stop(exit_reason("info")); }
    auto handle_cast(by_continue) { return noreply(continue_with(load{0})); }
    auto handle_continue(load) { return stop(exit_reason("continue")); }
  };
  caught_reports reports;
  journal j;
  const auto m = start_monitor<forms>({}, &j);
  CHECK(try_call(m.server, ask{form::stop}).error().reason() == exit_reason("done"));
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("done"));
  const auto a = start_monitor<stopper>();
  cast(a.server, stopper::by_cast{});
  CHECK(reason_of_end(a.server, a.ref) == exit_reason("cast"));
  const auto b = start_monitor<stopper>();
  send(b.server, stopper::by_info{});
  CHECK(reason_of_end(b.server, b.ref) == exit_reason("info"));
  const auto c = start_monitor<stopper>();
  cast(c.server, stopper::by_continue{});
  CHECK(reason_of_end(c.server, c.ref) == exit_reason("continue"));
}

TEST_CASE("GS-66 GS-67 GS-131 OL-15 OL-37 an exception or exit ends the server with it, after terminate") {
  struct expected { form how; std::string line; bool quiet; };
  for (const auto& e : {expected{form::throws, "terminate std::runtime_error: broken in 1", false},
                        expected{form::exits, "terminate left in 1", false}, expected{form::exits_quietly, "terminate shutdown in 1", true}}) {
    for (const bool queued : {false, true}) {
      caught_reports reports;
      journal j;
      const auto m = start_monitor<forms>({}, &j);
      const auto r = try_call(m.server, ask{e.how}, call_options{.queued = queued});
      REQUIRE_FALSE(r.has_value());
      CHECK(r.error().is(call_error::ended));
      const auto why = reason_of_end(m.server, m.ref);
      CHECK(why == r.error().reason());
      CHECK(j.lines() == lines{e.line});
      CHECK(reports.any_about(m.server) == !e.quiet);
    }
  }
}

TEST_CASE("GS-67 PR-12 an exit that a handler swallows ends the server all the same") {
  struct swallower {
    struct q { using reply = int; };
    int handle_call(q) {
      try {
        exit(exit_reason("left"));
      } catch (...) {
      }
      return 1;
    }
  };
  caught_reports reports;
  const auto m = start_monitor<swallower>();
  (void)try_call(m.server, swallower::q{});
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("left"));
}

TEST_CASE("GS-69 a thrown form is an exception, not a form") {
  struct thrower {
    struct q { using reply = int; };
    int handle_call(q) { throw reply(1); }
  };
  caught_reports reports;
  const auto s = start<thrower>();
  const auto r = try_call(s, thrower::q{});
  REQUIRE_FALSE(r.has_value());
  CHECK(r.error().reason().is(exit_reason::error));
}

TEST_CASE("GS-66 what is not derived from std::exception ends the server, too") {
  struct thrower {
    struct q { using reply = int; };
    int handle_call(q) { throw 42; }
  };
  caught_reports reports;
  const auto s = start<thrower>();
  CHECK(try_call(s, thrower::q{}).error().reason().is(exit_reason::error));
}

// --- timeouts --------------------------------------------------------------------------------------------------------

namespace {

struct waits {
  struct in { duration wait; };
  struct poke {};
  struct message_in { duration wait; int n; };
  struct message_at { deadline at; };
  struct asleep_for { duration wait; };
  journal* log;
  auto handle_cast(in w) { log->add("armed"); return noreply(w.wait); }
  auto handle_cast(message_in w) { log->add("armed"); return noreply(timeout_with(w.wait, tick{w.n})); }
  auto handle_cast(message_at w) { log->add("armed"); return noreply(timeout_with(w.at, tick{9})); }
  auto handle_cast(asleep_for w) { log->add("armed"); return noreply(hibernate_with(w.wait, tick{8})); }
  void handle_cast(poke) { log->add("poke"); }
  int handle_call(get) { log->add("get"); return 1; }
  void handle_info(timeout) { log->add("timeout"); }
  void handle_info(tick t) { log->add("tick " + std::to_string(t.n)); }
};

/// Casts `m` while the server is held up, with `then` queued behind it.
template <class M, class Then>
void cast_with_something_behind(server_ref<waits> s, M m, Then then) {
  sys::suspend(s);
  cast(s, m);
  cast(s, then);
  sys::resume(s);
}

}  // namespace

TEST_CASE("GS-90 OL-16 a plain timeout fires after silence; any ordinary message cancels it, and it counts once") {
  journal j;
  const auto s = start<waits>({}, &j);
  cast(s, waits::in{1ms});
  CHECK(eventually([&] { return j.has("timeout"); }));
  lines expected{"armed", "timeout"};
  const auto cancels_in_time = [&] {
    cast(s, waits::in{20ms});
    cast(s, waits::poke{});
    CHECK(run_process([] { sleep_for(40ms); }).is(exit_reason::normal));
    CHECK(call(s, get{}) == 1);
    const bool in_time = j.lines().size() == expected.size() + 3;   // else the poke has come too late, and is tried again
    for (const char* line : {"armed", "timeout", "poke", "get"})
      if (!in_time || std::string_view(line) != "timeout") expected.push_back(line);
    REQUIRE(j.lines() == expected);
    return in_time;
  };
  CHECK(eventually(cancels_in_time));
  cast(s, waits::in{infinity});
  CHECK(call(s, get{}) == 1);
  stop(s);
}

TEST_CASE("GS-91 OL-38 a timeout of 0 fires only if nothing is queued") {
  journal j;
  const auto s = start<waits>({}, &j);
  cast_with_something_behind(s, waits::in{0s}, waits::poke{});
  CHECK(call(s, get{}) == 1);
  CHECK(j.lines() == lines{"armed", "poke", "get"});
  cast(s, waits::in{0s});
  CHECK(eventually([&] { return j.has("timeout"); }));
  stop(s);
}

TEST_CASE("GS-92 GS-93 OL-39 system requests disturb neither a plain timeout nor a message timeout: the deadline stays") {
  journal j;
  const auto s = start<waits>({}, &j);
  const auto begin = std::chrono::steady_clock::now();
  cast(s, waits::in{50ms});
  CHECK(eventually([&] {
    (void)sys::state_text(s);
    return j.has("timeout");
  }));
  CHECK(std::chrono::steady_clock::now() - begin >= 50ms);
  cast(s, waits::message_in{50ms, 3});
  CHECK(eventually([&] {
    (void)sys::state_text(s);
    return j.has("tick 3");
  }));
  stop(s);
}

TEST_CASE("GS-93 a message timeout delivers its message; 0 goes before what is queued; deadlines may be absolute") {
  journal j;
  const auto s = start<waits>({}, &j);
  cast(s, waits::message_in{1ms, 1});
  CHECK(eventually([&] { return j.has("tick 1"); }));
  cast_with_something_behind(s, waits::message_in{0s, 2}, waits::poke{});
  CHECK(eventually([&] { return j.has("poke"); }));
  CHECK(j.lines() == lines{"armed", "tick 1", "armed", "tick 2", "poke"});
  cast(s, waits::message_at{deadline::in(1ms)});
  CHECK(eventually([&] { return j.has("tick 9"); }));
  stop(s);
}

TEST_CASE("GS-94 hibernate with a message") {
  journal j;
  const auto s = start<waits>({}, &j);
  cast(s, waits::asleep_for{1ms});
  CHECK(eventually([&] { return j.has("tick 8"); }));
  cast_with_something_behind(s, waits::asleep_for{0s}, waits::poke{});
  CHECK(eventually([&] { return j.has("poke"); }));
  CHECK(j.lines() == lines{"armed", "tick 8", "armed", "tick 8", "poke"});
  stop(s);
}

TEST_CASE("GS-95 the stale tick of a cancelled timeout never reaches the user") {
  journal j;
  const auto s = start<waits>({}, &j);
  for (int i = 0; i < rounds(300, 20000); ++i) {
    cast(s, waits::message_in{std::chrono::microseconds(130 + i % 50), 7});
    sleep_for(std::chrono::microseconds(100 + i % 60));
    cast(s, waits::poke{});                              // whatever came first: after a poke no tick of before
    call(s, get{});
  }
  std::string before;
  for (const auto& line : j.lines()) {
    if (line == "tick 7") CHECK(before == "armed");
    before = line;
  }
  stop(s);
}

TEST_CASE("GS-96 GS-97 hibernation changes neither order nor state; hibernate_after sets in by itself") {
  struct sleeper {
    struct add { using reply = int; int by; };
    struct rest {};
    int total = 0;
    int handle_call(add a) { return total += a.by; }
    auto handle_cast(rest) { return noreply(hibernate); }
  };
  const auto s = start<sleeper>();
  for (int i = 1; i <= 100; ++i) {
    cast(s, sleeper::rest{});
    CHECK(call(s, sleeper::add{1}) == i);
  }
  CHECK(sys::get_state(s).total == 100);
  sys::suspend(s), sys::resume(s);
  CHECK(call(s, sleeper::add{1}) == 101);
  const auto by_itself = start<sleeper>({.hibernate_after = 1ms});
  sleep_for(3ms);
  CHECK(call(by_itself, sleeper::add{5}) == 5);
  sleep_for(3ms);
  CHECK(call(by_itself, sleeper::add{5}) == 10);
  stop(s), stop(by_itself);
}

TEST_CASE("GS-98 GS-99 continue runs before anything that waits, in chains, in the order they were asked for") {
  struct chains {
    journal* log;
    auto init(journal* j) {
      log = j;
      cast(self(this), tick{0});                         // waits until the chain is done
      return ok(continue_with(load{2}));
    }
    outcome<void, load> handle_continue(load l) {
      log->add("continue " + std::to_string(l.n));
      if (l.n == 0) return noreply();
      return noreply(continue_with(load{l.n - 1}));
    }
    auto handle_cast(tick t) {
      log->add("cast " + std::to_string(t.n));
      if (t.n == 1) return noreply(continue_with(load{1}));
      return noreply(continue_with(load{0}));
    }
    int handle_call(get) { log->add("get"); return 1; }
  };
  journal j;
  const auto s = start<chains>({}, &j);
  call(s, get{});
  CHECK(j.lines() == lines{"continue 2", "continue 1", "continue 0", "cast 0", "continue 0", "get"});
  sys::suspend(s);
  cast(s, tick{1});
  cast(s, tick{2});
  sys::resume(s);
  call(s, get{});
  CHECK(j.lines() == lines{"continue 2", "continue 1", "continue 0", "cast 0", "continue 0", "get", "cast 1", "continue 1",
                           "continue 0", "cast 2", "continue 0", "get"});
  stop(s);
}

TEST_CASE("GS-98 after a call the reply is out before continue runs") {
  struct replies_first {
    struct q { using reply = int; };
    const gate* g;
    auto handle_call(q) { return reply(1, continue_with(load{0})); }
    void handle_continue(load) { g->pass(); }
  };
  gate g;
  const auto s = start<replies_first>({}, &g);
  CHECK(call(s, replies_first::q{}) == 1);               // although continue waits for us
  g.open();
  stop(s);
}

// --- named timers ----------------------------------------------------------------------------------------------------

TEST_CASE("GS-X7 named timers run beside each other and beside messages; cancelled and replaced ones never fire") {
  struct timed {
    struct begin {};
    struct cancel { using reply = bool; };
    journal* log;
    int beats = 0;
    void handle_cast(begin) {
      start_timer(this, "once", 1ms, tick{1});
      start_timer(this, "beat", 1ms, tick{2}, repeat);
      start_timer(this, "never", 5ms, tick{3});
      start_timer(this, "never", 1h, tick{4});
    }
    bool handle_call(cancel) { return cancel_timer(this, "never") && !cancel_timer(this, "never"); }
    void handle_info(tick t) {
      log->add("tick " + std::to_string(t.n));
      if (t.n == 2 && ++beats == 5) cancel_timer(this, "beat");
    }
  };
  journal j;
  const auto s = start<timed>({}, &j);
  cast(s, timed::begin{});
  CHECK(eventually([&] { return sys::get_state(s).beats == 5; }));
  sleep_for(8ms);
  CHECK(call(s, timed::cancel{}));
  CHECK(eventually([&] { return j.has("tick 1"); }));
  int ones = 0, twos = 0;
  for (const auto& l : j.lines()) ones += l == "tick 1", twos += l == "tick 2";
  CHECK(ones == 1);
  CHECK(twos == 5);
  CHECK_FALSE(j.has("tick 3"));
  CHECK_FALSE(j.has("tick 4"));
  stop(s);
}

TEST_CASE("GS-X7 a named timer of infinity never fires, and one that repeats after nothing goes on") {
  struct timed {
    int beats = 0;
    void init() {
      start_timer(this, "never", infinity, tick{1});
      start_timer(this, "never again", infinity, tick{1}, repeat);
      start_timer(this, "busy", 0ms, tick{2}, repeat);
    }
    void handle_info(tick t) {
      CHECK(t.n == 2);
      if (++beats == 10) cancel_timer(this, "busy");
    }
  };
  const auto s = start<timed>();
  CHECK(eventually([&] { return sys::get_state(s).beats == 10; }));
  stop(s);
}
