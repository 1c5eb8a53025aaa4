// SPDX-License-Identifier: Apache-2.0
//
// What happens when something fails, and who hears of it: exceptions, links, monitors, trapped exits, errors of calls.
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

using namespace coppice;

// [divider]
struct divider {
  struct divide { using reply = int; int what, by; };
  int handle_call(divide d) {
    if (d.by == 0) throw std::domain_error("division by zero");   // ends the server; its caller hears why
    return d.what / d.by;
  }
};
// [/divider]

// [keeper]
struct keeper {                                                   // starts a divider, and a new one when it dies
  static constexpr server_options options{.trap_exit = true};     // without it a linked crash would end the keeper, too
  struct divide { using reply = int; int what, by; };
  server_ref<divider> worker{};
  int restarts = 0;

  void init() { worker = start_link<divider>(); }
  int handle_call(divide d) {
    if (auto r = try_call(worker, divider::divide{d.what, d.by})) return *r;
    return 0;                                                     // decided here, where it is known what 0 means
  }
  void handle_info(exit_signal e) {
    if (e.who != worker) return;
    worker = start_link<divider>();
    ++restarts;
  }
  struct count { using reply = int; };
  int handle_call(count) { return restarts; }
};
// [/keeper]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [errors]
  const auto d = start<divider>();
  try {
    call(d, divider::divide{1, 0});
  } catch (const call_error& e) {                                 // ended: divider <0.4> ended before it answered …
    good &= expect(e.is(call_error::ended) && e.reason().text() == "division by zero", e.what());
  }
  const auto again = try_call(d, divider::divide{4, 2});          // the same as a value
  good &= expect(!again && again.error().is(call_error::noproc), "nobody is there any more");
  // [/errors]

  // [monitor]
  const monitored watched = spawn_monitor([] { throw std::runtime_error("no"); });
  receive([&](const down& x) {
    good &= expect(x.ref == watched.ref && x.reason.type() == "std::runtime_error", "a monitor tells why");
  });
  // [/monitor]

  // [link]
  const monitored pair = spawn_monitor([] {
    spawn_link([] { exit(exit_reason("the disk is full")); });
    receive<int>();                                               // never comes: the link ends this process, too
  });
  receive([&](const down& x) {
    good &= expect(x.ref == pair.ref && x.reason.text() == "the disk is full", "linked processes end together");
  });
  // [/link]

  // [restart]
  const auto k = start<keeper>();
  good &= expect(call(k, keeper::divide{6, 3}) == 2, "six by three");
  good &= expect(call(k, keeper::divide{6, 0}) == 0, "a crash behind the keeper");
  while (call(k, keeper::count{}) == 0) sleep_for(1ms);           // its exit signal is a message like others
  good &= expect(call(k, keeper::divide{8, 2}) == 4, "a new divider");
  stop(k);
  // [/restart]

  return good ? 0 : 1;
}
