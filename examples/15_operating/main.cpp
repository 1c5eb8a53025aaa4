// SPDX-License-Identifier: Apache-2.0
//
// Looking into a running program: reports to a sink of one's own, the state of a server, events, statistics, who lives; and
// a runtime that says who would not end.
#include <coppice/base/log_sink.hpp>
#include <coppice/base/secret.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/runtime.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace coppice;

// [account]
struct account {
  struct deposit { int amount; };
  struct total { using reply = int; };
  secret<std::string> pin{"1234"};                     // prints as *** in reports, traces, states
  int balance = 0;

  void handle_cast(deposit d) {
    if (d.amount < 0) throw std::invalid_argument("a negative deposit");
    balance += d.amount;
  }
  int handle_call(total) const { return balance; }
};
// [/account]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [sink]
  const log_sink sink{.write = [](void*, const report& r) { std::printf("%s\n", r.single_line().c_str()); },
                      .context = nullptr,
                      .least = log_level::notice};
  set_log_sink(&sink);
  // [/sink]

  // [sys]
  const auto a = start<account>({.name = "account"});
  sys::statistics(a, true);
  sys::log(a, 10);                                     // keep the last ten events
  cast(a, account::deposit{5});
  good &= expect(call(a, account::total{}) == 5, "five");
  good &= expect(sys::state_text(a) == "account{pin: ***, balance: 5}", sys::state_text(a).c_str());
  good &= expect(sys::get_statistics(a)->messages_in == 2, "two messages in");
  for (const sys::event& e : sys::get_log(a)) std::printf("     %s\n", to_text(e).c_str());

  sys::suspend(a);                                     // what comes now waits
  cast(a, account::deposit{2});
  sys::replace_state(a, [](account old) { return old.balance = 100, old; });
  sys::resume(a);
  good &= expect(call(a, account::total{}) == 102, "changed while it was suspended");
  // [/sys]

  // [info]
  const auto info = process_info(a);
  good &= expect(info && info->names.front() == "account" && info->queue_length == 0, "who it is");
  good &= expect(processes().size() == 1, "who lives");
  // [/info]

  // [crash]
  const auto poor = start_monitor<account>();
  cast(poor.server, account::deposit{-1});             // the report: callback, reason, state, queue, the last events
  receive([&](const down& d) { good &= expect(d.ref == poor.ref && !d.reason.is_quiet(), "its end was reported"); });
  // [/crash]

  // [runtime]
  runtime world({.workers = 1});                       // a world of its own: names, processes, threads
  start<account>({.name = "account", .in = &world});
  const stop_result stopped = world.stop(10s);         // in bounded time; names those who did not end
  good &= expect(stopped.complete(), "everybody ended");
  // [/runtime]

  set_log_sink(nullptr);
  return good ? 0 : 1;
}
