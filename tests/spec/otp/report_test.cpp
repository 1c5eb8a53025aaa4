// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/base/secret.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

enum class how { stop, exception, exits, stop_quietly, exits_quietly };
struct fail_call { using reply = int; how what; };
struct fail_cast { how what; };
struct fail_info { how what; };
struct hold { const watched_gate* g; };
struct add { using reply = int; int by; };
struct login { using reply = bool; std::string user; secret<std::string> password; };

outcome<int> fail_by(how what) {
  switch (what) {
    case how::stop: return stop(exit_reason("broken"));
    case how::exception: throw std::out_of_range("no channel 7");
    case how::exits: exit(exit_reason("left"));
    case how::stop_quietly: return stop();
    case how::exits_quietly: exit(exit_reason::shutdown_because("enough"));
  }
  return 0;
}

struct fragile {
  int total = 3;
  int handle_call(add a) { return total += a.by; }
  outcome<int> handle_call(fail_call f) { return fail_by(f.what); }
  outcome<void> handle_cast(fail_cast f) { return (void)fail_by(f.what), stop(exit_reason(f.what == how::stop ? "broken" : "")); }
  outcome<void> handle_info(fail_info f) { return (void)fail_by(f.what), stop(exit_reason("broken")); }
  void handle_cast(hold h) { h.g->pass(); }
};

struct quiet_trapper {
  static constexpr server_options options{.trap_exit = true};
};

struct unprintable {
  struct part {
    friend std::string to_text(const part&) { throw std::runtime_error("cannot print"); }
  } p;
  void handle_cast(fail_cast) { throw std::out_of_range("the reason"); }
};

/// The reports about `who` at error level, in order.
std::vector<report> errors_about(const caught_reports& reports, pid who) {
  std::vector<report> out;
  for (const report& r : reports.all())
    if (r.level == log_level::error && r.headline.find(to_text(who)) != std::string::npos) out.push_back(r);
  return out;
}

std::string all_text(const caught_reports& reports) {
  std::string text;
  for (const report& r : reports.all()) text += r.text() + r.single_line() + r.json();
  return text;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("GS-150 an abnormal end after init: one server report, then one crash report, with what a reader needs") {
  own_world w;
  const auto m = start_monitor<fragile>({.name = "gs150"});
  CHECK(call(m.server, add{2}) == 5);
  CHECK_FALSE(try_call(m.server, fail_call{how::exception}).has_value());
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::error));
  const auto seen = errors_about(w.reports, m.server);
  REQUIRE(seen.size() == 2);
  const report& server = seen[0];
  CHECK(server.kind == "server");
  CHECK(seen[1].kind == "crash");
  CHECK(contains(server.headline, "fragile"));
  CHECK(contains(server.headline, "\"gs150\""));
  CHECK(contains(server.headline, to_text(m.server.id())));
  CHECK(contains(server.headline, "handle_call(fail_call{what: exception})"));
  CHECK(field_of(server, "why") == "std::out_of_range: no channel 7");
  CHECK(field_of(server, "state") == "fragile{total: 5}");
  CHECK(server.time != 0);
  CHECK(field_of(seen[1], "why") == "std::out_of_range: no channel 7");
}

TEST_CASE("GS-150 the report names the callback and the message in casts and info messages, too") {
  own_world w;
  const auto cast_to = start_monitor<fragile>();
  cast(cast_to.server, fail_cast{how::stop});
  (void)reason_of_end(cast_to.server, cast_to.ref);
  const auto sent_to = start_monitor<fragile>();
  send(sent_to.server, fail_info{how::exits});
  (void)reason_of_end(sent_to.server, sent_to.ref);
  const auto first = w.reports.of("server", cast_to.server), second = w.reports.of("server", sent_to.server);
  REQUIRE(first.size() == 1);
  REQUIRE(second.size() == 1);
  CHECK(contains(first[0].headline, "handle_cast(fail_cast"));
  CHECK(contains(second[0].headline, "handle_info(fail_info"));
  CHECK(field_of(second[0], "why") == "left");
}

TEST_CASE("GS-150 what waits in the queue and the sys log, if it is on, are part of the report") {
  watched_gate g;
  own_world w;
  const auto m = start_monitor<fragile>();
  sys::log(m.server, 2);
  auto asked = send_request(m.server, add{1});
  CHECK(wait_response(asked).value() == 4);
  cast(m.server, hold{&g});
  REQUIRE(g.is_entered());
  cast(m.server, fail_cast{how::exception});
  auto lost1 = send_request(m.server, add{7});
  auto lost2 = send_request(m.server, add{7});
  g.open();
  (void)reason_of_end(m.server, m.ref);
  const auto seen = w.reports.of("server", m.server);
  REQUIRE(seen.size() == 1);
  CHECK(field_of(seen[0], "queue") == "2 messages: add{by: 7} ×2");
  lines events;
  for (const auto& f : seen[0].fields)
    if (f.name == "event") events.push_back(f.value);
  REQUIRE(events.size() == 2);
  CHECK(events[0] == "new state fragile{total: 4}");
  CHECK(events[1].starts_with("got cast fail_cast"));
}

TEST_CASE("GS-151 the client of a call that fails is named; casts and info messages have none") {
  own_world w;
  pid client;
  const auto m = start_monitor<fragile>();
  (void)run_process([&] {
    client = self();
    (void)try_call(m.server, fail_call{how::exception});
  });
  (void)reason_of_end(m.server, m.ref);
  REQUIRE(w.reports.of("server", m.server).size() == 1);
  CHECK(contains(field_of(w.reports.of("server", m.server)[0], "asked by"), to_text(client)));
  const auto other = start_monitor<fragile>();
  cast(other.server, fail_cast{how::exception});
  (void)reason_of_end(other.server, other.ref);
  REQUIRE(w.reports.of("server", other.server).size() == 1);
  CHECK(field_of(w.reports.of("server", other.server)[0], "asked by").empty());
}

TEST_CASE("GS-151 a client that has died meanwhile is called dead") {
  struct waits_and_fails {
    struct q { using reply = int; const watched_gate* g; };
    int handle_call(q request) { return request.g->pass(), throw std::runtime_error("too late"), 0; }
  };
  watched_gate g;
  own_world w;
  const auto m = start_monitor<waits_and_fails>();
  const auto client = spawn_monitor([&] { (void)try_call(m.server, waits_and_fails::q{&g}); });
  REQUIRE(g.is_entered());
  exit(client.who, exit_reason::kill);
  (void)reason_of_end(client.who, client.ref);
  g.open();
  (void)reason_of_end(m.server, m.ref);
  REQUIRE(w.reports.of("server", m.server).size() == 1);
  CHECK(contains(field_of(w.reports.of("server", m.server)[0], "asked by"), "dead"));
}

TEST_CASE("GS-152 quiet reasons leave no report: stop forms, exit in callbacks, stop(), the parent's EXIT") {
  own_world w;
  for (const how what : {how::stop_quietly, how::exits_quietly}) {
    const auto a = start_monitor<fragile>();
    CHECK(try_call(a.server, fail_call{what}).error().reason().is_quiet());
    (void)reason_of_end(a.server, a.ref);
    if (what == how::stop_quietly) continue;
    const auto b = start_monitor<fragile>();
    cast(b.server, fail_cast{what});
    CHECK(reason_of_end(b.server, b.ref).is_quiet());
    const auto c = start_monitor<fragile>();
    send(c.server, fail_info{what});
    CHECK(reason_of_end(c.server, c.ref).is_quiet());
  }
  stop(start<fragile>(), exit_reason::shutdown);
  (void)run_process([] {
    const auto s = start_link<quiet_trapper>();
    exit(s, exit_reason::shutdown);
    sleep_for(infinity);
  });
  CHECK(w.reports.all().empty());
}

TEST_CASE("GS-154 a stop form with an abnormal reason is reported without a trace") {
  own_world w;
  const auto m = start_monitor<fragile>();
  CHECK_FALSE(try_call(m.server, fail_call{how::stop}).has_value());
  (void)reason_of_end(m.server, m.ref);
  const auto seen = w.reports.of("server", m.server);
  REQUIRE(seen.size() == 1);
  CHECK(field_of(seen[0], "why") == "broken");
  CHECK(field_of(seen[0], "thrown in").empty());
}

TEST_CASE("GS-155 a report is a structured value with single-line and multi-line text, whose length and depth are limited") {
  struct nested { std::vector<nested> inner; };
  struct heavy {
    std::vector<int> many = std::vector<int>(100'000, 7);
    std::string long_text = std::string(100'000, 'x');
    nested deep{};
    void init() {
      for (int i = 0; i < 100; ++i) {
        nested outer;
        outer.inner.push_back(std::move(deep));
        deep = std::move(outer);
      }
    }
    void handle_cast(fail_cast) { throw std::runtime_error("first line\nsecond line"); }
  };
  own_world w;
  const auto m = start_monitor<heavy>();
  cast(m.server, fail_cast{how::exception});
  (void)reason_of_end(m.server, m.ref);
  const auto seen = w.reports.of("server", m.server);
  REQUIRE(seen.size() == 1);
  const std::string state = field_of(seen[0], "state");
  CHECK(state.size() < 5000);
  CHECK(contains(state, "…"));
  CHECK_FALSE(contains(seen[0].single_line(), "\n"));
  CHECK(std::ranges::count(seen[0].text(), '\n') >= 3);
  CHECK(contains(seen[0].json(), "\"kind\""));
}

TEST_CASE("GS-155 a state that cannot be printed, or a sink that throws, does not disturb a dying server") {
  own_world w;
  const auto m = start_monitor<unprintable>();
  cast(m.server, fail_cast{how::exception});
  CHECK(reason_of_end(m.server, m.ref).type() == "std::out_of_range");
  REQUIRE(w.reports.of("server", m.server).size() == 1);
  CHECK(contains(field_of(w.reports.of("server", m.server)[0], "state"), "<printing failed>"));

  static const log_sink throwing{[](void*, const report&) { throw std::runtime_error("sink"); }, nullptr, log_level::debug};
  const log_sink* before = set_log_sink(&throwing);
  const auto other = start_monitor<unprintable>();
  cast(other.server, fail_cast{how::exception});
  CHECK(reason_of_end(other.server, other.ref).type() == "std::out_of_range");
  set_log_sink(before);
}

// --- format_status ---------------------------------------------------------------------------------------------------

namespace {

struct discreet {
  std::string password = "swordfish";
  int calls = 0;
  int handle_call(add a) { return calls += a.by; }
  void handle_cast(fail_cast) { throw std::runtime_error("wrong: swordfish"); }
  void format_status(server_status& status) const {
    status.state = "calls: " + std::to_string(calls);
    if (!status.message.empty()) status.message = "(a message)";
    if (!status.reason.empty()) status.reason = "(a reason)";
    for (auto& e : status.log) e = "(an event)";
  }
};

struct clumsy {
  std::string password = "swordfish";
  int handle_call(add) { return 0; }
  void handle_cast(fail_cast) { throw std::runtime_error("broken"); }
  void format_status(server_status&) const { throw std::logic_error("format_status is broken"); }
};

}  // namespace

TEST_CASE("GS-156 format_status rewrites state, message, reason and log of get_status and of the server report") {
  own_world w;
  const auto m = start_monitor<discreet>();
  sys::log(m.server, 3);
  CHECK(call(m.server, add{1}) == 1);
  const auto status = sys::get_status(m.server);
  CHECK(status.formatted.state == "calls: 1");
  CHECK(status.formatted.message.empty());
  CHECK(status.formatted.reason.empty());
  CHECK(status.formatted.log == lines{"(an event)", "(an event)", "(an event)"});
  CHECK(sys::state_text(m.server) == "calls: 1");
  cast(m.server, fail_cast{how::exception});
  (void)reason_of_end(m.server, m.ref);
  const auto seen = w.reports.of("server", m.server);
  REQUIRE(seen.size() == 1);
  CHECK(field_of(seen[0], "state") == "calls: 1");
  CHECK(field_of(seen[0], "why") == "(a reason)");
  CHECK(field_of(seen[0], "event") == "(an event)");
  CHECK(contains(seen[0].headline, "handle_cast((a message))"));
  CHECK_FALSE(contains(seen[0].text(), "swordfish"));
}

TEST_CASE("GS-157 a format_status that throws: a note in its place, never the raw data, and nobody suffers") {
  own_world w;
  const auto m = start_monitor<clumsy>();
  sys::log(m.server, 1);
  CHECK(call(m.server, add{1}) == 0);
  const auto status = sys::get_status(m.server);
  CHECK(contains(status.formatted.state, "format_status failed"));
  CHECK(status.formatted.log == lines{"(format_status failed)"});
  CHECK(call(m.server, add{1}) == 0);
  cast(m.server, fail_cast{how::exception});
  CHECK(reason_of_end(m.server, m.ref).text() == "broken");
  const auto seen = w.reports.of("server", m.server);
  REQUIRE(seen.size() == 1);
  CHECK(contains(field_of(seen[0], "state"), "format_status failed"));
  CHECK(field_of(seen[0], "why") == "std::runtime_error: broken");
  CHECK_FALSE(contains(all_text(w.reports), "swordfish"));
}

TEST_CASE("GS-158 a secret is shown nowhere: states, statuses, traces, logs, reports, errors") {
  struct vault {
    secret<std::string> key{"swordfish"};
    std::map<int, secret<int>> pins{{1, 4711}};
    bool handle_call(login l) { return l.password.reveal() == key.reveal(); }
    void handle_cast(hold h) { h.g->pass(); }
    void handle_cast(fail_cast) { throw std::runtime_error("broken"); }
  };
  own_world w;
  const auto m = start_monitor<vault>();
  sys::trace(m.server, true);
  sys::log(m.server, 10);
  CHECK(call(m.server, login{"ann", {"swordfish"}}));
  CHECK_FALSE(call(m.server, login{"bob", {"swordfish2"}}));
  std::string shown = sys::state_text(m.server) + sys::get_status(m.server).formatted.state;
  for (const auto& e : sys::get_log(m.server)) shown += to_text(e);
  CHECK(contains(shown, "***"));
  CHECK(contains(shown, "ann"));
  watched_gate g;
  cast(m.server, hold{&g});
  REQUIRE(g.is_entered());
  shown += error_in([&] { (void)call(m.server, login{"ann", {"swordfish"}}, 1ms); })->what();
  cast(m.server, fail_cast{how::exception});
  auto lost = send_request(m.server, login{"ann", {"swordfish"}});
  g.open();
  (void)reason_of_end(m.server, m.ref);
  shown += all_text(w.reports);
  CHECK(contains(shown, "queue"));
  CHECK_FALSE(contains(shown, "swordfish"));
  CHECK_FALSE(contains(shown, "4711"));
}
