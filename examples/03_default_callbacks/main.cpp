// SPDX-License-Identifier: Apache-2.0
//
// A server writes only the callbacks it needs; each missing one has a documented default. Then the forms that take more:
// work after init, an answer that comes later, and an end for want of work.
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <deque>
#include <string>
#include <utility>

using namespace coppice;

// [smallest]
struct counter {
  struct next { using reply = int; };
  int count = 0;
  int handle_call(next) { return ++count; }
};
// [/smallest]

struct take { using reply = std::string; };   // waits until there is an item
struct size { using reply = std::size_t; };
struct put  { std::string item; };
struct load { int how_many; };

// [store]
struct store {
  std::deque<std::string> items;
  std::deque<from<std::string>> waiting;

  auto init(int spares) { return ok(continue_with(load{spares})); }      // start returns; load runs before any message
  void handle_continue(load l) {
    while (l.how_many-- > 0) items.push_back("spare");
  }

  void handle_call(take, from<std::string> caller) {                     // who takes `from` answers through it: now …
    if (items.empty()) return waiting.push_back(std::move(caller));      // … or later
    std::move(caller).reply(std::move(items.front()));
    items.pop_front();
  }
  auto handle_call(size) { return reply(items.size(), 50ms); }           // then 50 ms of silence: handle_info(timeout)

  void handle_cast(put p) {
    if (waiting.empty()) return items.push_back(std::move(p.item));
    std::move(waiting.front()).reply(std::move(p.item));
    waiting.pop_front();
  }
  auto handle_info(timeout) { return stop(exit_reason::normal); }
};
// [/store]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [defaults]
  const auto c = start<counter>();          // no init: the state is counter{}
  call(c, counter::next{});
  send(c.id(), put{"what is this?"});       // no handle_info: one line in the log, and the server goes on
  good &= expect(call(c, counter::next{}) == 2, "a server with one handler");
  stop(c);                                  // no terminate: nothing to do
  // [/defaults]

  // [later]
  const auto [s, watch] = start_monitor<store>({.name = "store"}, 1);
  good &= expect(call(s, take{}) == "spare", "what handle_continue loaded");

  spawn([s] { cast(s, put{"bread"}); });    // the next call waits for this
  good &= expect(call(s, take{}) == "bread", "an answer that came later");

  good &= expect(call(s, size{}) == 0, "the store is empty; nobody asks any more");
  receive([&](const down& d) { good &= expect(d.reason.is(exit_reason::normal), "it ends for want of work"); });
  // [/later]

  return good ? 0 : 1;
}
