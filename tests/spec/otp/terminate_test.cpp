// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <optional>
#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

enum class how { stop, stop_reply, exception, exits, exits_quietly };
struct end { using reply = int; how what; };
struct end_cast { how what; };
struct end_info { how what; };
struct end_continue { how what; };
struct ping { using reply = int; };
struct later { using reply = int; };
struct wait_for_gate { using reply = void; const watched_gate* g; };

/// How its state went away.
struct witness {
  journal* log = nullptr;
  explicit witness(journal* j) : log(j) {}
  witness(witness&& other) noexcept : log(std::exchange(other.log, nullptr)) {}
  ~witness() {
    if (log != nullptr) log->add("destroyed");
  }
};

struct server {
  journal* log;
  witness w{log};
  int changes = 0;
  std::vector<from<int>> waiting{};

  outcome<int> handle_call(end e) {
    ++changes;
    if (e.what == how::stop_reply) return stop(exit_reason("replied"), 5);
    return leave(e.what), stop(exit_reason("stopped"));
  }
  outcome<void, end_continue> handle_cast(end_cast e) { return ++changes, leave(e.what), stop(exit_reason("stopped")); }
  outcome<void> handle_info(end_info e) { return ++changes, leave(e.what), stop(exit_reason("stopped")); }
  outcome<void> handle_continue(end_continue e) { return ++changes, leave(e.what), stop(exit_reason("stopped")); }
  outcome<void, end_continue> handle_cast(end_continue e) { return noreply(continue_with(e)); }
  void handle_call(later, from<int> caller) { waiting.push_back(std::move(caller)); }
  void handle_call(wait_for_gate q) { q.g->pass(); }
  int handle_call(ping) { return changes; }
  void terminate(const exit_reason& why) { log->add("terminate " + to_text(why) + " after " + std::to_string(changes)); }

 private:
  static void leave(how what) {
    if (what == how::exception) throw std::out_of_range("no channel 7");
    if (what == how::exits) exit(exit_reason("left"));
    if (what == how::exits_quietly) exit(exit_reason::normal);
  }
};

struct trapping : server {
  static constexpr server_options options{.trap_exit = true};
};

std::string expected_text(how what) {
  switch (what) {
    case how::stop: return "stopped";
    case how::stop_reply: return "replied";
    case how::exception: return "std::out_of_range: no channel 7";
    case how::exits: return "left";
    case how::exits_quietly: return "normal";
  }
  return {};
}

}  // namespace

TEST_CASE("GS-130 GS-131 GS-66 GS-67 OL-14 OL-15 OL-37 stop forms, exceptions and exits in every callback run terminate with that reason and the state as it was left") {
  own_world w;
  for (const how what : {how::stop, how::exception, how::exits, how::exits_quietly}) {
    for (int kind = 0; kind < 4; ++kind) {
      CAPTURE(static_cast<int>(what));
      CAPTURE(kind);
      journal log;
      const auto m = start_monitor<server>({}, &log);
      switch (kind) {
        case 0: {
          const auto r = try_call(m.server, end{what});
          REQUIRE_FALSE(r.has_value());
          CHECK(r.error().is(call_error::ended));
          CHECK(to_text(r.error().reason()) == expected_text(what));
          break;
        }
        case 1: cast(m.server, end_cast{what}); break;
        case 2: send(m.server, end_info{what}); break;
        case 3: cast(m.server, end_continue{what}); break;
      }
      CHECK(to_text(reason_of_end(m.server, m.ref)) == expected_text(what));
      CHECK(log.lines() == lines{"terminate " + expected_text(what) + " after 1", "destroyed"});
    }
  }
}

TEST_CASE("GS-131 the same when the call is queued behind another handler that waits") {
  own_world w;
  for (const how what : {how::stop, how::exception, how::exits, how::exits_quietly}) {
    journal log;
    watched_gate g;
    const auto m = start_monitor<server>({}, &log);
    auto first = send_request(m.server, wait_for_gate{&g});
    auto second = send_request(m.server, end{what});
    auto third = send_request(m.server, ping{});
    g.open();
    CHECK(wait_response(first).has_value());
    const auto ended = wait_response(second);
    REQUIRE_FALSE(ended.has_value());
    CHECK(to_text(ended.error().reason()) == expected_text(what));
    const auto never_handled = wait_response(third);
    REQUIRE_FALSE(never_handled.has_value());
    CHECK(to_text(never_handled.error().reason()) == expected_text(what));
    CHECK(to_text(reason_of_end(m.server, m.ref)) == expected_text(what));
    CHECK(log.lines() == lines{"terminate " + expected_text(what) + " after 1", "destroyed"});
  }
}

TEST_CASE("GS-64 OL-13 OL-35 stop with a reply: terminate runs first, then the caller gets its value") {
  journal log;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  CHECK(call(m.server, end{how::stop_reply}) == 5);
  CHECK(log.lines().front() == "terminate replied after 1");
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("replied"));
}

TEST_CASE("GS-132 GS-125 a trapping server ends through terminate when its parent sends it EXIT") {
  journal log;
  own_world w;
  const auto why = run_process([&] {
    const auto s = start_link<trapping>({}, server{&log});
    exit(s, exit_reason::shutdown);
    sleep_for(infinity);
  });
  CHECK(why.is(exit_reason::shutdown));         // the link: the child's end comes back
  CHECK(log.lines() == lines{"terminate shutdown after 0", "destroyed"});
}

TEST_CASE("GS-133 stop runs terminate in a server that does not trap, and in a suspended one") {
  journal log;
  own_world w;
  const auto s = start<server>({}, &log);
  sys::suspend(s);
  cast(s, end_cast{how::stop});
  stop(s, exit_reason::shutdown);
  CHECK(log.lines() == lines{"terminate shutdown after 0", "destroyed"});
}

TEST_CASE("GS-134 GS-141 an exit signal ends a server that does not trap without terminate, but its state is destroyed") {
  own_world w;
  for (const exit_reason& why : {exit_reason(exit_reason::shutdown), exit_reason("signal")}) {
    journal log;
    const auto m = start_monitor<server>({}, &log);
    exit(m.server, why);
    CHECK(reason_of_end(m.server, m.ref) == why);
    CHECK(log.lines() == lines{"destroyed"});
  }
}

TEST_CASE("GS-134 GS-141 the same while a handler waits: what it holds on its stack is destroyed, too") {
  struct holder {
    journal* log;
    void handle_call(wait_for_gate q) {
      const witness local(log);
      q.g->pass();
    }
    void terminate(const exit_reason&) { log->add("terminate"); }
  };
  journal log;
  watched_gate never;
  own_world w;
  const auto m = start_monitor<holder>({}, &log);
  auto asked = send_request(m.server, wait_for_gate{&never});
  REQUIRE(never.is_entered());
  exit(m.server, exit_reason("signal"));
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("signal"));
  CHECK(log.lines() == lines{"destroyed"});
  CHECK(wait_response(asked).error().reason() == exit_reason("signal"));
}

TEST_CASE("GS-135 GS-141 kill ends a trapping server without terminate; the state is destroyed") {
  journal log;
  own_world w;
  const auto m = start_monitor<trapping>({}, server{&log});
  exit(m.server, exit_reason::kill);
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::killed));
  CHECK(log.lines() == lines{"destroyed"});
}

TEST_CASE("GS-137 a runtime that stops ends its servers and destroys their state") {
  journal log;
  {
    own_world w;
    (void)start<server>({}, &log);
    (void)start<trapping>({}, server{&log});
    CHECK(w.r.stop(1min).complete());
  }
  int destroyed = 0;
  for (const auto& line : log.lines()) destroyed += line == "destroyed";
  CHECK(destroyed == 2);
}

// --- terminate that fails --------------------------------------------------------------------------------------------

namespace {

enum class fails { throws, exits };

struct fails_to_end {
  fails how_it_fails;
  std::vector<from<int>> waiting{};
  outcome<int> handle_call(end e) {
    if (e.what == how::stop_reply) return stop(exit_reason("replied"), 5);
    if (e.what == how::exception) throw std::out_of_range("first");
    return stop(exit_reason("stopped"));
  }
  void handle_call(later, from<int> caller) { waiting.push_back(std::move(caller)); }
  void terminate(const exit_reason&) {
    if (how_it_fails == fails::throws) throw std::logic_error("terminate failed");
    exit(exit_reason("left in terminate"));
  }
};

}  // namespace

TEST_CASE("GS-138 OL-36 what terminate throws or exits with replaces the reason: for monitors, callers, links and the report") {
  own_world w;
  for (const fails kind : {fails::throws, fails::exits})
    for (const how what : {how::stop, how::exception}) {
      const std::string expected = kind == fails::throws ? "std::logic_error: terminate failed" : "left in terminate";
      pid who;
      std::string seen_by_link;
      const auto ended = run_process([&] {
        const auto s = start_link<fails_to_end>({}, kind);
        who = s.id();
        const auto ref = monitor(s);
        auto waiting = send_request(s, later{});
        const auto r = try_call(s, end{what});
        REQUIRE_FALSE(r.has_value());
        CHECK(to_text(r.error().reason()) == expected);
        CHECK(to_text(wait_response(waiting).error().reason()) == expected);
        CHECK(to_text(reason_of_end(s, ref)) == expected);
        seen_by_link = to_text(receive<exit_signal>().reason);
      }, {.trap_exit = true});
      CHECK(ended.is(exit_reason::normal));
      CHECK(seen_by_link == expected);
      const auto reports = w.reports.of("server", who);
      REQUIRE(reports.size() == 1);
      CHECK(field_of(reports.front(), "why") == expected);
    }
}

TEST_CASE("GS-138 GS-64 OL-35 stop with a reply: the value is sent even if terminate fails, which is then the exit reason") {
  own_world w;
  for (const fails kind : {fails::throws, fails::exits}) {
    const auto m = start_monitor<fails_to_end>({}, kind);
    CHECK(call(m.server, end{how::stop_reply}) == 5);
    const std::string expected = kind == fails::throws ? "std::logic_error: terminate failed" : "left in terminate";
    CHECK(to_text(reason_of_end(m.server, m.ref)) == expected);
  }
}

TEST_CASE("GS-138 a server without terminate ends all the same, and what terminate returns is ignored") {
  struct returns {
    int terminate(const exit_reason&) { return 7; }
  };
  struct has_none {};
  own_world w;
  stop(start<returns>());
  stop(start<has_none>());
  CHECK(w.reports.all().empty());
}

TEST_CASE("GS-139 OL-27 terminate may wait; a kill cuts it short") {
  struct waits {
    journal* log;
    const watched_gate* g;
    void terminate(const exit_reason&) {
      const witness local(log);
      log->add("terminate");
      g->pass();
      log->add("done");
    }
  };
  journal log;
  watched_gate open, never;
  own_world w;
  open.open();
  stop(start<waits>({}, &log, &open));
  CHECK(log.lines() == lines{"terminate", "done", "destroyed"});
  const auto m = start_monitor<waits>({}, &log, &never);
  CHECK(try_stop(m.server, exit_reason::normal, 5ms).error().is(call_error::timeout));
  CHECK(eventually([&] { return log.lines().size() == 4; }));
  exit(m.server, exit_reason::kill);
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::killed));
  CHECK(log.lines() == lines{"terminate", "done", "destroyed", "terminate", "destroyed"});
}

TEST_CASE("GS-140 messages that are still queued are not handled after terminate; waiting callers get the exit reason") {
  journal log;
  watched_gate g;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  auto holds = send_request(m.server, wait_for_gate{&g});
  auto kept = send_request(m.server, later{});
  cast(m.server, end_cast{how::stop});
  auto queued = send_request(m.server, ping{});
  send(m.server, end_info{how::stop});
  g.open();
  CHECK(wait_response(holds).has_value());
  CHECK(wait_response(kept).error().reason() == exit_reason("stopped"));
  CHECK(wait_response(queued).error().reason() == exit_reason("stopped"));
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("stopped"));
  CHECK(log.lines() == lines{"terminate stopped after 1", "destroyed"});
}

TEST_CASE("GS-141 terminate runs before the destructors of the state") {
  journal log;
  own_world w;
  stop(start<server>({}, &log));
  CHECK(log.lines() == lines{"terminate normal after 0", "destroyed"});
}
