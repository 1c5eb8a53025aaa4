// SPDX-License-Identifier: Apache-2.0
//
// The channel allocator of Erlang's design principles: a server owns a pool of channels; clients take one and give it back.
// Callers see three functions; the messages are the server's own business.
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <string>
#include <utility>

// [server]
#include <coppice/otp/gen_server.hpp>
#include <set>

using namespace coppice;

struct ch3 {
  static constexpr named<ch3> server{"ch3"};
  static auto start_link()      { return coppice::start_link<ch3>({.name = server}); }
  static int  alloc()           { return call(server, want{}); }
  static void free(int channel) { cast(server, give_back{channel}); }
 private:
  struct want      { using reply = int; };
  struct give_back { int channel; };
 public:
  std::set<int> idle{1, 2, 3};
  outcome<int> handle_call(want) {
    if (idle.empty()) return stop(exit_reason("no channel left"));
    return idle.extract(idle.begin()).value();
  }
  void handle_cast(give_back m) { idle.insert(m.channel); }
};
// [/server]

// [client]
void client() {
  ch3::start_link();                       // returns when the server is ready; a taken name, a failing init: start_error
  const int a = ch3::alloc();
  const int b = ch3::alloc();
  std::printf("allocated %d and %d\n", a, b);
  ch3::free(a);
  std::printf("allocated %d again\n", ch3::alloc());
  stop(ch3::server);                       // returns when the server is gone and its name is free
}
// [/client]

// [greedy]
void greedy_client() {
  ch3::start_link();
  for (;;) std::printf("allocated %d\n", ch3::alloc());
}
// [/greedy]

/// Runs `body` as a process and waits for its end. Returns: why it ended.
exit_reason run_process(void (*body)()) {
  const monitored process = spawn_monitor(body);
  exit_reason why;
  receive(when([&](const down& d) { return d.ref == process.ref; }, [&](down d) { why = std::move(d.reason); }));
  return why;
}

int main() {
  if (!run_process(client).is(exit_reason::normal)) return 1;

  // The fourth request finds no channel: the server stops, its caller gets the reason as an exception and ends with it.
  const exit_reason why = run_process(greedy_client);
  std::printf("the greedy client ended: %s\n", to_text(why).c_str());
  if (!why.text().ends_with("no channel left")) return 1;

  // Nobody has the name any more. Who does not want an exception asks with try_call.
  try {
    ch3::alloc();
    return 1;
  } catch (const call_error& e) {
    std::printf("%s\n", e.what());
    return e.is(call_error::noproc) ? 0 : 1;
  }
}
