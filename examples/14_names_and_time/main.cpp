// SPDX-License-Identifier: Apache-2.0
//
// Names, and everything that has to do with time: limits of calls, timeouts of servers, timers, deadlines.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/server_timer.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include <cstdio>
#include <string>

using namespace coppice;

// [heart]
struct heart {
  struct beat {};
  struct beats { using reply = int; };
  int count = 0;

  void init() { start_timer(this, "beat", 5ms, beat{}, repeat); }   // a named timer: other messages do not disturb it
  void handle_info(beat) { ++count; }
  int handle_call(beats) { return count; }
};
// [/heart]

// [slow]
struct slow {
  struct work { using reply = int; duration how_long; };
  int handle_call(work w) {
    sleep_for(w.how_long);                                          // the server waits, no thread does
    return 42;
  }
};
// [/slow]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [names]
  start<heart>({.name = "heart"});
  constexpr named<heart> beating{"heart"};                          // resolved at each use: finds the one that lives now
  good &= expect(call(beating, heart::beats{}) >= 0, "called by name");
  const auto second = try_start<heart>({.name = "heart"});
  good &= expect(!second && second.error().is(start_error::already_started), second.error().what());
  good &= expect(whereis("nobody") == std::nullopt, "whereis says who, or nobody");
  // [/names]

  // [timers]
  while (call(beating, heart::beats{}) < 2) sleep_for(1ms);
  good &= expect(true, "it beats");
  stop(beating);
  good &= expect(!whereis("heart"), "the name went with its holder, and so did the timer");

  const reference late = send_after(1h, self(), std::string("too late"));
  send_after(1ms, self(), std::string("in time"));
  good &= expect(receive<std::string>() == "in time", "a message later");
  good &= expect(cancel_timer(late).has_value(), "one that was cancelled never comes");
  // [/timers]

  // [limits]
  const auto s = start<slow>();
  try {
    call(s, slow::work{1s}, 10ms);
  } catch (const call_error& e) {                                   // timeout after 10 ms: slow <0.9> has not answered …
    good &= expect(e.is(call_error::timeout), e.what());
  }
  good &= expect(!receive<int>(5ms), "a late reply never arrives");
  exit(s, exit_reason::kill);                                       // even in the middle of its sleep; destructors run
  // [/limits]

  return good ? 0 : 1;
}
