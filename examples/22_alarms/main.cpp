// SPDX-License-Identifier: Apache-2.0
//
// An event manager: handlers come and go, each event reaches all of them, and one that fails takes nobody along.
#include <coppice/otp/gen_event.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace coppice;

struct fire  { int floor; };
struct flood { std::string where; };

// [handlers]
using alarms = event_manager<fire, flood>;             // the events it takes

struct counter {                                       // a handler: its state, and what it does with events
  struct total { using reply = int; };
  int fires = 0, floods = 0;
  void handle_event(fire)  { ++fires; }
  void handle_event(flood) { ++floods; }
  int handle_call(total) { return fires + floods; }
  int terminate(const handler_end&) { return fires; }  // what delete_handler returns
};

struct sprinkler {
  int water;
  handler_outcome handle_event(const fire& f) {        // no overload for flood: ignored
    if (f.floor > 9) throw std::out_of_range("the hose ends on floor 9");
    if (--water == 0) return remove_handler;           // it has done its part
    return keep;
  }
};
// [/handlers]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int main() {
  bool good = true;

  // [use]
  const auto m = start<alarms>({.name = "alarms"});
  add_handler<sprinkler>(m, {.id = "east"}, 1);
  add_handler<sprinkler>(m, {.id = "west"}, 100);
  add_handler<counter>(m);

  notify(m, flood{"cellar"});                          // returns at once
  sync_notify(m, fire{3});                             // returns when all have handled it
  good &= expect(call_handler<counter>(m, counter::total{}) == 2, "one fire, one flood");
  good &= expect(which_handlers(m).size() == 2, "the east sprinkler is empty and gone");
  // [/use]

  // [failure]
  const log_sink quiet{[](void*, const report& r) { std::printf("     report: %s\n", r.headline.c_str()); }, nullptr, log_level::error};
  const log_sink* before = set_log_sink(&quiet);
  sync_notify(m, fire{12});                            // the west sprinkler throws: reported, removed
  set_log_sink(before);
  good &= expect(which_handlers(m).size() == 1, "it is gone");
  good &= expect(delete_handler<counter>(m) == 2, "the counter saw that fire, too");
  // [/failure]

  // [own_process]
  add_handler<counter>(m, {.own_process = true});      // beside the manager: a slow one holds nobody up
  sync_notify(m, fire{1});                             // waits for it all the same
  good &= expect(call_handler<counter>(m, counter::total{}) == 1, "it counts in a process of its own");
  // [/own_process]

  stop(m);
  return good ? 0 : 1;
}
