// SPDX-License-Identifier: Apache-2.0
//
// Messages that a server did not ask for, and those that come from the library itself.
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct ping { using reply = int; };
struct note { int n; };
struct stray { std::string text; };
struct watch { pid who; };
struct arm {};
struct ask { pid whom; };

/// Recognises the response to what it asked.
struct asker {
  journal* log;
  pending<int> asked{};
  int handle_call(ping) { return 1; }
  void handle_cast(ask a) { asked = send_request(server_cast<asker>(a.whom), ping{}); }
  void handle_info(message& m) {
    if (auto r = check_response(m, asked)) log->add(r->has_value() ? "response" : std::string(to_text(r->error().reason())));
    else log->add("other " + std::string(m.name()));
  }
};

/// Traps exits and has no handle_info at all.
struct deaf {
  static constexpr server_options options{.trap_exit = true};
  int handle_call(ping) { return 1; }
  void handle_cast(watch m) { monitor(m.who), link(m.who); }
  auto handle_cast(arm) { return noreply(duration{0}); }
};

}  // namespace

TEST_CASE("GS-120 GS-53 a response comes to handle_info, which recognises it; so does the end of who was asked") {
  journal log;
  own_world w;
  const auto s = start<asker>({}, &log);
  const auto other = start<asker>({}, &log);
  cast(s, ask{other});
  CHECK(eventually([&] { return log.lines().size() == 1; }));
  stop(other);
  cast(s, ask{other});
  CHECK(eventually([&] { return log.lines().size() == 2; }));
  send(s.id(), stray{"x"});
  CHECK(eventually([&] { return log.lines().size() == 3; }));
  CHECK(log.lines() == lines{"response", "noproc", "other stray"});
}

TEST_CASE("GS-121 DOWN, EXIT and timeouts that nobody wants are one line each, too") {
  own_world w;
  const auto s = start<deaf>();
  const pid victim = spawn([] { sleep_for(infinity); });
  cast(s, watch{victim});
  CHECK(call(s, ping{}) == 1);
  exit(victim, exit_reason("gone"));
  CHECK(eventually([&] { return w.reports.of("server", s).size() == 2; }));
  cast(s, arm{});
  CHECK(eventually([&] { return w.reports.of("server", s).size() == 3; }));
  CHECK(call(s, ping{}) == 1);
  send(s.id(), stray{"who wants this"});
  CHECK(call(s, ping{}) == 1);
  const auto seen = w.reports.of("server", s);
  REQUIRE(seen.size() == 4);
  CHECK(field_of(seen[3], "message") == "stray{text: \"who wants this\"}");
}
