// SPDX-License-Identifier: Apache-2.0
//
// Event managers: events from several senders while handlers come, are swapped, crash and go. Who stays sees each event once and
// in its sender's order; of one that is swapped no event is lost; sync_notify comes back, after everybody has seen its event.
#include <coppice/otp/gen_event.hpp>
#include <coppice/process/process_info.hpp>

#include "sim/runtime/silence.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct bell { int from, number; };
struct flare { int number; };
using alarms = event_manager<bell, flare>;
struct how_many { using reply = int; };

/// Each event of each sender once and in order, from `last` on.
struct listener {
  int last[2] = {0, 0};
  void init() {}
  void init(std::optional<listener> before) {
    if (before) *this = *before;
  }
  void handle_event(const bell& b) {
    sim::check(b.number == last[b.from] + 1, "an event was lost, doubled or overtaken");
    last[b.from] = b.number;
  }
  int handle_call(how_many) const { return last[0] + last[1]; }
  listener terminate(const handler_end&) { return *this; }
};
/// The same class of work in another one, which can take its place.
struct successor : listener {};

struct faller {
  void handle_event(const bell& b) {
    if (b.number == 2) throw 1;
  }
};

/// In a process of its own; answers for what it has seen.
struct distant {
  sync::atomic<int>* seen;
  bool falls;
  void handle_event(const flare& f) {
    seen->store(f.number, sync::relaxed);
    if (falls) throw 1;
  }
};

/// Handlers crash, are deleted and swapped between the events of two senders.
void come_and_go() {
  const silence nobody_listens;
  world w({.workers = 2});
  start_line line(2);
  const auto m = start<alarms>();
  add_handler<listener>(m);
  add_handler<faller>(m);
  add_handler<listener>(m, {.id = "swapped"});
  {
    runs other([&] {
      w.enter();
      line.pass();
      for (int i = 1; i != 4; ++i) notify(m, bell{1, i});
    }, "sender");
    const pid changer = spawn([m] {
      swap_handler<listener, successor>(m, {.old_id = "swapped", .id = "new"});
      (void)try_delete_handler<faller>(m);
    });
    line.pass();
    notify(m, bell{0, 1});
    sync_notify(m, bell{0, 2}, infinity);
    sim::check(call_handler<listener>(m, how_many{}) >= 2, "sync_notify came back before its event was handled");
    await_end(changer);
  }
  sim::check(call_handler<listener>(m, how_many{}) == 5, "an event was lost");
  sim::check(call_handler<successor>(m, how_many{}, {.id = "new"}) == 5, "a swap lost an event");
  sim::check(which_handlers(m).size() == 2, "a handler that failed is still there");
  stop(m);
}

/// sync_notify waits for handlers in processes of their own, one of which fails, and may be killed before.
void distant_handlers() {
  const silence nobody_listens;
  sync::atomic<int> first{0, "first"}, second{0, "second"};
  world w({.workers = 2});
  const auto m = start<alarms>();
  add_handler<distant>(m, {.id = "a", .own_process = true}, &first, false);
  add_handler<distant>(m, {.id = "b", .own_process = true}, &second, true);
  for (int i = 1; i != 3; ++i) {
    sync_notify(m, flare{i}, infinity);
    sim::check(first.load(sync::relaxed) == i, "sync_notify came back before its event was handled");
  }
  sim::check(second.load(sync::relaxed) >= 1, "sync_notify passed a handler over");
  stop(m);
  for (std::vector<pid> left; !(left = processes()).empty();)
    for (const pid p : left) await_end(p);
}

/// Who supervises a handler is killed: the handler goes; who has one deleted hears of it once.
void supervised() {
  const silence nobody_listens;
  world w({.workers = 2});
  const auto m = start<alarms>();
  const monitored doomed = spawn_monitor([m] {
    add_sup_handler<listener>(m, {.id = "doomed"});
    receive<how_many>();
  });
  const monitored told = spawn_monitor([m] {
    add_sup_handler<listener>(m, {.id = "told"});
    delete_handler<listener>(m, {.id = "told"});
    const handler_exit e = receive<handler_exit>();
    sim::check(e.reason.is(exit_reason::normal) && e.handler.id == "told", "told of another end");
    sim::check(flush() == 0, "told twice");
  });
  notify(m, bell{0, 1});
  exit(doomed.who, exit_reason::kill);
  for (int i = 0; i != 2; ++i) receive([&](down d) { sim::check(d.ref == doomed.ref || d.ref == told.ref, "another DOWN"); });
  while (!which_handlers(m, infinity).empty()) sleep_for(duration(1'000));
  stop(m);
}

const sim::scenario scenarios[] = {{"event_come_and_go", &come_and_go, whole_program()},
                                   {"event_distant_handlers", &distant_handlers, whole_program()},
                                   {"event_supervised", &supervised, whole_program()}};

}  // namespace
