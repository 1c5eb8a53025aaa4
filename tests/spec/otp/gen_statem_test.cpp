// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct button { char digit; };
struct where { using reply = std::string; };
struct knock { using reply = int; int times; };
struct let_in { using reply = void; };
struct lock_now {};

/// The door of the header's page, with a few more events.
struct door {
  struct locked { std::string typed{}; };
  struct open {};
  using all = states<locked, open>;
  std::string code;
  duration stays_open = infinity;
  int visitors = 0;

  next<open> handle(locked& s, button b) {
    s.typed += b.digit;
    if (s.typed.size() < code.size() || std::exchange(s.typed, {}) != code) return keep;
    return open{};
  }
  auto enter(open&) { return state_timeout{stays_open}; }
  next<locked> handle(open&, state_timeout) { return locked{}; }
  next<> handle(open&, button) { return postpone; }
  std::string handle(locked&, where) { return "locked"; }
  std::string handle(open&, where) { return "open"; }
  replies<int, open> handle(locked&, knock k) {
    if (k.times < 3) return k.times;
    return {open{}, reply(k.times * 10)};
  }
  int handle(open&, knock) { return ++visitors; }
  auto handle(locked&, let_in) { return postpone; }
  void handle(open&, let_in) { ++visitors; }
  next<> handle(locked&, lock_now) { return keep; }
  locked handle(open&, lock_now) { return {}; }
};

void type(server_ref<door> d, std::string_view digits) {
  for (const char c : digits) cast(d, button{c});
}

}  // namespace

TEST_CASE("SE-1 a machine is a server: it starts, is called and cast to, has a name, and stops") {
  own_world w;
  const auto d = start<door>({.name = "front door"}, "42");
  CHECK(call(d, where{}) == "locked");
  CHECK(call(named<door>("front door"), where{}) == "locked");
  type(d, "42");
  CHECK(call(d, where{}) == "open");
  cast(d, lock_now{});
  CHECK(call(d, where{}) == "locked");
  auto later = send_request(d, where{});
  CHECK(receive_response(later).value() == "locked");
  stop(d);
  CHECK(try_call(d, where{}).error().is(call_error::noproc));
}

TEST_CASE("SE-2 SE-3 each state has its own handlers; a call may answer and move, answer and stay") {
  own_world w;
  const auto d = start<door>({}, "42");
  CHECK(call(d, knock{1}) == 1);
  CHECK(call(d, where{}) == "locked");
  CHECK(call(d, knock{3}) == 30);
  CHECK(call(d, where{}) == "open");
  CHECK(call(d, knock{3}) == 1);
}

TEST_CASE("SE-12 an event that the state does not want is postponed until the state changes") {
  own_world w;
  const auto d = start<door>({}, "42");
  type(d, "4242");                                          // opens; the last two wait
  CHECK(call(d, where{}) == "open");
  CHECK(sys::get_status(d).postponed == 2);
  cast(d, lock_now{});
  CHECK(call(d, where{}) == "open");                        // they came back and opened it again
  CHECK(sys::get_status(d).postponed == 0);
}

TEST_CASE("SE-12 a call is postponed with its caller") {
  own_world w;
  const auto d = start<door>({}, "42");
  auto waiting = send_request(d, let_in{});
  std::atomic<bool> in{false};
  const monitored m = spawn_monitor([&] {
    call(d, let_in{});                                      // a direct call, put aside
    in = true;
  });
  CHECK(eventually([&] { return sys::get_status(d).postponed == 2; }));
  CHECK(!in.load());
  type(d, "42");
  CHECK(receive_response(waiting).has_value());
  CHECK(reason_of_end(m.who, m.ref).is(exit_reason::normal));
  CHECK(in.load());
  CHECK(sys::get_state(d).data.visitors == 2);
}

TEST_CASE("SE-44 get_state gives the state and the data") {
  own_world w;
  const auto d = start<door>({}, "123");
  type(d, "12");
  const auto now = sys::get_state(d);
  REQUIRE(now.in<door::locked>() != nullptr);
  CHECK(now.in<door::locked>()->typed == "12");
  CHECK(now.data.code == "123");
  CHECK(to_text(now).starts_with("locked{typed: \"12\"} of door{code: \"123\""));
  CHECK(sys::state_text(d) == to_text(now));
  CHECK(sys::get_status(d).behaviour == "gen_statem");
}
