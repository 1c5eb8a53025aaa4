// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <stdexcept>
#include <thread>

#include "process/mailbox.hpp"
#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct ping { using reply = int; };
struct note { int n; };
struct pass_gate { const watched_gate* g; };

/// Writes down what it handles and what it ends with.
struct server {
  journal* log;
  int handle_call(ping) { return 1; }
  void handle_cast(note n) { log->add(std::to_string(n.n)); }
  void handle_cast(pass_gate p) { p.g->pass(); }
  void terminate(const exit_reason& why) { log->add("terminate " + to_text(why)); }
};

struct trapping : server {
  static constexpr server_options options{.trap_exit = true};
};

/// Ends with another reason than it is told to.
struct stubborn {
  int handle_call(ping) { return 1; }
  void terminate(const exit_reason&) { exit(exit_reason("my own reason")); }
};

}  // namespace

TEST_CASE("GS-145 OL-18 stop runs terminate with the reason and waits until the server is gone, trapping or not") {
  journal log;
  own_world w;
  const auto plain = start<server>({}, &log);
  stop(plain);
  CHECK_FALSE(alive(plain));
  CHECK(log.lines() == lines{"terminate normal"});
  const auto traps = start<trapping>({}, server{&log});
  stop(traps, exit_reason::shutdown);
  CHECK_FALSE(alive(traps));
  const auto named_one = start<server>({.name = "gs145"}, &log);
  stop("gs145", exit_reason("enough"));
  CHECK_FALSE(alive(named_one));
  CHECK(log.lines() == lines{"terminate normal", "terminate shutdown", "terminate enough"});
}

TEST_CASE("GS-145 stop comes after what was asked before it") {
  journal log;
  own_world w;
  const auto s = start<server>({}, &log);
  for (int i = 0; i < 5; ++i) cast(s, note{i});
  stop(s);
  CHECK(log.lines() == lines{"0", "1", "2", "3", "4", "terminate normal"});
}

TEST_CASE("GS-146 a server that ends with another reason: the caller of stop gets that one") {
  own_world w;
  const auto s = start<stubborn>();
  const auto e = error_in([&] { stop(s); });
  REQUIRE(e);
  CHECK(e->is(call_error::ended));
  CHECK(e->reason() == exit_reason("my own reason"));
  CHECK_FALSE(alive(s));
}

TEST_CASE("GS-146 stop of nobody is noproc, of oneself calling_self") {
  struct suicidal {
    struct die { using reply = bool; };
    bool handle_call(die) { return try_stop(self(this)).error().is(call_error::calling_self); }
  };
  journal log;
  own_world w;
  const auto s = start<server>({}, &log);
  stop(s);
  CHECK(error_in([&] { stop(s); })->is(call_error::noproc));
  CHECK(error_in([&] { stop("nobody has this name"); })->is(call_error::noproc));
  CHECK(try_stop("nobody has this name").error().is(call_error::noproc));
  const auto own = start<suicidal>();
  CHECK(call(own, suicidal::die{}));
  CHECK(alive(own));
}

TEST_CASE("GS-146 GS-148 a stop that times out takes effect later all the same") {
  journal log;
  watched_gate g;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  cast(m.server, pass_gate{&g});
  const auto e = error_in([&] { stop(m.server, exit_reason::shutdown, 1ms); });
  REQUIRE(e);
  CHECK(e->is(call_error::timeout));
  CHECK(alive(m.server));
  g.open();
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::shutdown));
  CHECK(log.lines() == lines{"terminate shutdown"});
}

TEST_CASE("GS-148 the timeout covers terminate, too") {
  struct slow_to_end {
    const watched_gate* g;
    void terminate(const exit_reason&) { g->pass(); }
  };
  watched_gate g;
  own_world w;
  const auto m = start_monitor<slow_to_end>({}, &g);
  CHECK(error_in([&] { stop(m.server, exit_reason::normal, 1ms); })->is(call_error::timeout));
  g.open();
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::normal));
}

TEST_CASE("GS-147 a malformed timeout is an argument error, and the server is untouched") {
  journal log;
  own_world w;
  const auto s = start<server>({}, &log);
  CHECK_THROWS_AS(stop(s, exit_reason::normal, -1ms), std::invalid_argument);
  CHECK(call(s, ping{}) == 1);
  CHECK(log.lines().empty());
}

TEST_CASE("GS-149 when stop returns, the pid is dead and its names are free for the next one") {
  journal log;
  own_world w;
  for (int i = 0; i < rounds(500, 20000); ++i) {
    const auto s = start<server>({.name = "gs149"}, &log);
    stop(s);
    REQUIRE_FALSE(alive(s));
    REQUIRE_FALSE(whereis("gs149").has_value());
  }
}

TEST_CASE("GS-149 several who stop one server at once all return when it is gone; those that were too late get noproc") {
  own_world w;
  for (int i = 0; i < rounds(50, 2000); ++i) {
    journal log;
    const auto s = start<server>({}, &log);
    std::atomic<int> bad{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        const auto r = try_stop(s);
        const bool expected = r.has_value() || r.error().is(call_error::noproc) ||
                              (r.error().is(call_error::ended) && r.error().reason().is(exit_reason::normal));
        if (!expected || alive(s)) ++bad;
      });
    for (auto& t : threads) t.join();
    REQUIRE(bad == 0);
    REQUIRE(log.lines() == lines{"terminate normal"});
  }
}

TEST_CASE("GS-149 GS-152 a stop with an abnormal reason is reported, with a quiet one it is not") {
  journal log;
  own_world w;
  for (const exit_reason& why : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason::shutdown_because("node leaves")})
    stop(start<server>({}, &log), why);
  CHECK(w.reports.all().empty());
  const auto s = start<server>({}, &log);
  stop(s, exit_reason("broken"));
  CHECK(w.reports.of("server", s).size() == 1);
  CHECK(w.reports.of("crash", s).size() == 1);
}

TEST_CASE("GS-X5 an urgent stop does not wait behind the queue") {
  journal log;
  watched_gate g;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  cast(m.server, pass_gate{&g});
  REQUIRE(g.is_entered());
  for (int i = 0; i < 100; ++i) cast(m.server, note{i});
  // It cannot be handled before the gate opens; given up by its caller it takes effect all the same (GS-146).
  CHECK(error_in([&] { stop(m.server, exit_reason::shutdown, {.timeout = 1ms, .urgent = true}); })->is(call_error::timeout));
  g.open();
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::shutdown));
  CHECK(log.lines() == lines{"terminate shutdown"});
}

TEST_CASE("GS-98 GS-X5 an urgent stop does not overtake the continuation of what the server has just done") {
  struct begin { using reply = int; };
  struct rest {};
  struct continues {
    journal* log;
    auto handle_call(begin) {
      while (!internal::has_mail(*detail::current_slot())) std::this_thread::yield();   // until the stop has come
      return reply(1, continue_with(rest{}));
    }
    void handle_continue(rest) { log->add("continue"); }
    void terminate(const exit_reason&) { log->add("terminate"); }
  };
  journal log;
  own_world w;
  const auto s = start<continues>({}, &log);
  std::thread caller([&] { CHECK(call(s, begin{}) == 1); });
  CHECK(eventually([&] { return s.id().where()->doing.load(detail::sync::acquire) != nullptr; }));
  stop(s, exit_reason::normal, {.urgent = true});
  caller.join();
  CHECK(log.lines() == lines{"continue", "terminate"});
}

TEST_CASE("GS-X5 a kill does not wait behind the queue either") {
  journal log;
  watched_gate g;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  cast(m.server, pass_gate{&g});
  REQUIRE(g.is_entered());
  for (int i = 0; i < 100; ++i) cast(m.server, note{i});
  exit(m.server, exit_reason::kill);
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::killed));
  CHECK(log.lines().empty());
}
