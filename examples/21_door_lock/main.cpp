// SPDX-License-Identifier: Apache-2.0
//
// A door with a code lock, as a state machine: states are types, handlers are overloads. An event that a state does not want
// waits for another state; a door that stands open closes by itself.
#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/otp/transitions.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <string>
#include <utility>

using namespace coppice;

struct button { char digit; };
struct look { using reply = std::string; };
struct let_in { using reply = int; };          // how many have come in; waits until the door is open

// [door]
struct door {
  struct locked { std::string typed{}; };
  struct open {};
  using all = states<locked, open>;                                       // begins in the first
  std::string code;
  duration stays_open = 10s;
  int visitors = 0;

  next<open> handle(locked& s, button b) {                                // from locked it goes to open, or nowhere
    s.typed += b.digit;
    if (s.typed.size() < code.size() || std::exchange(s.typed, {}) != code) return keep;
    return open{};
  }
  auto enter(open&) { return state_timeout{stays_open}; }                 // at each change into this state
  next<locked> handle(open&, state_timeout) { return locked{}; }
  next<> handle(open&, button) { return postpone; }                       // comes back when the door is locked again
  // [/door]

  // [calls]
  std::string handle(locked& s, look) { return "locked, " + std::to_string(s.typed.size()) + " typed"; }
  std::string handle(open&, look) { return "open"; }
  auto handle(locked&, let_in) { return postpone; }                       // the caller waits
  replies<int, locked> handle(open&, let_in) {
    if (++visitors < 3) return visitors;                                  // a plain value: the reply, the state stays
    return {locked{}, reply(visitors)};                                   // three are enough: the reply, and another state
  }
  // [/calls]
};

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [use]
  const auto d = start<door>({.name = "front door"}, "42");
  cast(d, button{'4'});
  good &= expect(call(d, look{}) == "locked, 1 typed", "a digit was typed");
  cast(d, button{'2'});
  good &= expect(call(d, look{}) == "open", "the code opens it");
  // [/use]

  for (int i = 1; i <= 3; ++i) good &= expect(call(d, let_in{}) == i, "somebody comes in");
  good &= expect(call(d, look{}) == "locked, 0 typed", "after three it locks itself");

  // [postponed]
  const pid visitor = spawn([d] { call(d, let_in{}); });                  // waits inside the machine
  const reference gone = monitor(visitor);
  for (const char c : {'4', '2'}) cast(d, button{c});
  receive([&](const down& e) { good &= expect(e.ref == gone && e.reason.is(exit_reason::normal), "who waited got in"); });
  // [/postponed]

  // [shown]
  const auto now = sys::get_state(d);                                     // the data, and the state it is in
  good &= expect(now.data.visitors == 1 + 3 && now.in<door::locked>() != nullptr, "four have come in, and it is locked");
  std::printf("%s\n", to_text(now).c_str());
  std::printf("%s", to_text(transition_table<door, messages<button, let_in>>()).c_str());
  // [/shown]

  return good ? 0 : 1;
}
