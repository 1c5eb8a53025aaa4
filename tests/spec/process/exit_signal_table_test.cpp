// SPDX-License-Identifier: Apache-2.0
//
// The complete table of exit signals, one case a row: PR-20 to PR-29. Each row once for a receiver that does not trap and
// once for one that does.
#include "spec/process/world.hpp"

#include <atomic>

using namespace coppice;
using namespace coppice::testing;

namespace {

const exit_reason custom{"broken"};

/// The receiver of a signal, and what it saw.
struct receiver {
  pid who;
  reference ref;
};

/// What a trapping receiver sends back.
struct seen {
  pid from;
  exit_reason reason;
};

/// A process linked to a new one that ends by `end`. It tells `report` of each EXIT it gets; ends normally on `go`.
template <class F>
receiver linked_to(F end, bool trap, pid& child) {
  const pid test = self();
  struct born { pid who; };
  const monitored m = spawn_monitor([=] {
    send(test, born{spawn_link([=] {
      wait_for_go();
      end();
    })});
    bool on = true;
    while (on)
      receive([&](exit_signal e) { send(test, seen{e.who, e.reason}); }, [&](go) { on = false; });
  }, {.trap_exit = trap});
  child = receive<born>().who;
  return {m.who, m.ref};
}

receiver plain(bool trap) {
  const pid test = self();
  const monitored m = spawn_monitor([=] {
    bool on = true;
    while (on)
      receive([&](exit_signal e) { send(test, seen{e.who, e.reason}); }, [&](go) { on = false; });
  }, {.trap_exit = trap});
  return {m.who, m.ref};
}

/// Nothing has happened to it: it still answers, and ends when told.
void check_untouched(const receiver& r) {
  CHECK(alive(r.who));
  send(r.who, go{});
  CHECK(reason_of(r.ref) == exit_reason::normal);
  CHECK_FALSE(receive<seen>(duration{0}).has_value());
}

/// It ended with `why` and said nothing.
void check_ended(const receiver& r, const exit_reason& why) {
  CHECK(reason_of(r.ref) == why);
  CHECK_FALSE(receive<seen>(duration{0}).has_value());
}

/// It got EXIT{from, why} as a message, exactly one, and lives.
void check_told(const receiver& r, pid from, const exit_reason& why) {
  const seen s = receive<seen>();
  CHECK(s.from == from);
  CHECK(s.reason == why);
  check_untouched(r);
}

}  // namespace

TEST_CASE("PR-20 a linked process ends with normal: nothing happens, or EXIT with normal when trapping") {
  world w;
  pid child;
  const receiver r = linked_to([] {}, false, child);
  const reference end = monitor(child);
  send(child, go{});
  CHECK(reason_of(end) == exit_reason::normal);
  check_untouched(r);
  const receiver t = linked_to([] {}, true, child);
  send(child, go{});
  check_told(t, child, exit_reason::normal);
}

TEST_CASE("PR-21 a linked process ends otherwise: the receiver ends with the same reason, or gets EXIT when trapping") {
  reports quiet;
  world w;
  const exit_reason reasons[] = {exit_reason::shutdown, exit_reason::shutdown_because("enough"), custom, exit_reason::noproc,
                                 exit_reason::timeout};
  for (const exit_reason& why : reasons) {
    CAPTURE(to_text(why));
    pid child;
    const receiver r = linked_to([=] { exit(why); }, false, child);
    send(child, go{});
    check_ended(r, why);
    const receiver t = linked_to([=] { exit(why); }, true, child);
    send(child, go{});
    check_told(t, child, why);
  }
}

TEST_CASE("PR-22 exit(pid, normal) by another process: nothing happens, or EXIT when trapping") {
  world w;
  const receiver r = plain(false);
  exit(r.who, exit_reason::normal);
  check_untouched(r);
  const receiver t = plain(true);
  const pid caller = spawn([=] { exit(t.who, exit_reason::normal); });
  check_told(t, caller, exit_reason::normal);
}

TEST_CASE("PR-23 exit(self(), normal): ends with normal, or EXIT{self, normal} when trapping") {
  world w;
  bool went_on = false;
  CHECK(run([&] {
    exit(self(), exit_reason::normal);
    went_on = true;
    idle();
  }) == exit_reason::normal);
  CHECK_FALSE(went_on);
  in_process([] {
    exit(self(), exit_reason::normal);
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == self());
    CHECK(e.reason == exit_reason::normal);
  }, {.trap_exit = true});
}

TEST_CASE("PR-24 exit(pid, R): the receiver ends with R, or gets EXIT without any link when trapping") {
  world w;
  const exit_reason reasons[] = {exit_reason::shutdown, exit_reason::shutdown_because("enough"), custom, exit_reason::killed};
  for (const exit_reason& why : reasons) {
    CAPTURE(to_text(why));
    const receiver r = plain(false);
    exit(r.who, why);
    check_ended(r, why);
    const receiver t = plain(true);
    const pid caller = spawn([=] { exit(t.who, why); });
    check_told(t, caller, why);
  }
}

TEST_CASE("PR-25 PR-17 exit(pid, kill): ends with killed, trapping or not") {
  world w;
  for (const bool trap : {false, true}) {
    const receiver r = plain(trap);
    exit(r.who, exit_reason::kill);
    check_ended(r, exit_reason::killed);
  }
}

TEST_CASE("PR-26 a linked process called exit(kill) on itself: ends with kill, or gets EXIT{kill}, which is not deadly") {
  reports quiet;
  world w;
  pid child;
  const receiver r = linked_to([] { exit(exit_reason::kill); }, false, child);
  send(child, go{});
  check_ended(r, exit_reason::kill);
  const receiver t = linked_to([] { exit(exit_reason::kill); }, true, child);
  send(child, go{});
  check_told(t, child, exit_reason::kill);
}

TEST_CASE("PR-27 a linked process was killed: ends with killed, or gets EXIT{killed}") {
  world w;
  pid child;
  const receiver r = linked_to([] {}, false, child);
  exit(child, exit_reason::kill);
  check_ended(r, exit_reason::killed);
  const receiver t = linked_to([] {}, true, child);
  exit(child, exit_reason::kill);
  check_told(t, child, exit_reason::killed);
}

TEST_CASE("PR-28 the word kill over a link is an ordinary reason, down a whole chain") {
  reports quiet;
  world w;
  in_process([] {
    // a traps, b does not: c kills itself by word, b dies of it, a is told.
    const pid b = spawn_link([] {
      spawn_link([] { exit(exit_reason::kill); });
      idle();
    });
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == b);
    CHECK(e.reason == exit_reason::kill);
  }, {.trap_exit = true});
}

TEST_CASE("PR-29 exit(pid, R) to a dead pid succeeds and does nothing") {
  world w;
  const pid dead = spawn([] {});
  await_end(dead);
  for (const auto& why : {exit_reason(exit_reason::normal), exit_reason(exit_reason::kill), custom}) CHECK_NOTHROW(exit(dead, why));
  CHECK_NOTHROW(exit(pid{}, custom));
  CHECK_FALSE(alive(dead));
}

TEST_CASE("PR-17 kill, the signal, ends a process that traps, and its monitors see killed") {
  world w;
  const monitored m = spawn_monitor(idle, {.trap_exit = true});
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
}

TEST_CASE("OL-45 exit(pid, reason): of two deadly signals the first decides") {
  world w;
  // A process that is not looking: both signals are in its inbox when it looks.
  std::atomic<bool> looks{false};
  const monitored m = spawn_monitor([&] {
    while (!looks) {}
    idle();
  });
  exit(m.who, exit_reason("first"));
  exit(m.who, exit_reason("second"));
  looks = true;
  CHECK(reason_of(m.ref) == exit_reason("first"));
}

TEST_CASE("OL-46 exit(kill) by a process on itself: others see kill") {
  reports quiet;
  world w;
  CHECK(run([] { exit(exit_reason::kill); }) == exit_reason::kill);
  CHECK(run([] { exit(exit_reason::kill); }, {.trap_exit = true}) == exit_reason::kill);
}

TEST_CASE("OL-47 exit(self(), reason), not trapping, ends the process with that reason at once") {
  reports quiet;
  world w;
  for (const auto& [why, seen] : {std::pair{custom, custom}, std::pair{exit_reason(exit_reason::kill), exit_reason(exit_reason::killed)}}) {
    bool went_on = false;
    CHECK(run([&, reason = why] {
      exit(self(), reason);
      went_on = true;
    }) == seen);
    CHECK_FALSE(went_on);
  }
}
