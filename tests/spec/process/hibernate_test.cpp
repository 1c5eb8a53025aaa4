// SPDX-License-Identifier: Apache-2.0
//
// Hibernation and suspension: PR-89, PR-90.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>

#include "support/one_worker.hpp"

#include <atomic>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-89 hibernate sleeps until the next message, and not at all if one is there; order and state are unchanged") {
  world w;
  in_process([] {
    const pid me = self();
    for (int i = 0; i < 3; ++i) send(me, i);
    hibernate_process();                           // there is a message: at once
    CHECK(process_info(me)->queue_length == 3);
    for (int i = 0; i < 3; ++i) CHECK(receive<int>() == i);
    spawn([me] {
      send(me, 3);
      send(me, 4);
    });
    hibernate_process();
    CHECK(receive<int>() == 3);
    CHECK(receive<int>() == 4);
  });
  CHECK_THROWS_AS(hibernate_process(), exit_error);
}

TEST_CASE("PR-89 a hibernating process answers signals and can be killed") {
  world w;
  const monitored m = spawn_monitor([test = self()] {
    send(test, ready{});
    hibernate_process();
  });
  await_ready();
  CHECK(alive(m.who));
  CHECK(process_info(m.who).has_value());
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
}

TEST_CASE("PR-90 a suspended process takes no message until it is resumed, then all of them in order") {
  world w;
  const pid p = spawn([test = self()] {
    for (;;) send(test, receive<int>());
  });
  send(p, 0);
  CHECK(receive<int>() == 0);
  CHECK(suspend_process(p));
  for (int i = 1; i <= 10; ++i) send(p, i);
  // Each question is answered, so it has had every occasion to go on; it has not.
  for (int i = 0; i < 50; ++i) CHECK(process_info(p)->queue_length == 10);
  CHECK_FALSE(receive<int>(std::chrono::milliseconds(5)).has_value());
  CHECK(resume_process(p));
  for (int i = 1; i <= 10; ++i) CHECK(receive<int>() == i);
}

TEST_CASE("PR-90 it is resumed when it has been resumed as often as it was suspended") {
  world w;
  const pid p = spawn([test = self()] {
    for (;;) send(test, receive<int>());
  });
  CHECK(suspend_process(p));
  CHECK(suspend_process(p));
  send(p, 1);
  CHECK(resume_process(p));
  CHECK(process_info(p)->status == process_status::suspended);
  CHECK_FALSE(receive<int>(std::chrono::milliseconds(5)).has_value());
  CHECK(resume_process(p));
  CHECK(receive<int>() == 1);
  CHECK_FALSE(resume_process(p));
}

TEST_CASE("PR-90 suspended before it began, it does not begin until it is resumed") {
  const one_worker w;
  in_process([] {
    std::atomic<bool> ran{false};
    const monitored m = spawn_monitor([&] { ran = true; });   // the one worker is ours
    CHECK(suspend_process(m.who));
    for (int i = 0; i < 10; ++i) {
      yield();
      CHECK(alive(m.who));
    }
    CHECK_FALSE(ran);
    CHECK(resume_process(m.who));
    CHECK(reason_of(m.ref) == exit_reason::normal);
    CHECK(ran);
  });
}

TEST_CASE("PR-90 signals are delivered while it is suspended, and kill still ends it") {
  world w;
  for (const bool trap : {false, true}) {
    const monitored m = spawn_monitor(idle, {.trap_exit = trap});
    CHECK(suspend_process(m.who));
    const pid linked = spawn([p = m.who, test = self()] {
      link(p);
      send(test, ready{});
      idle();
    });
    await_ready();
    CHECK(process_info(m.who)->links == std::vector<pid>{linked});
    CHECK(process_info(m.who)->status == process_status::suspended);
    exit(m.who, exit_reason::kill);
    CHECK(reason_of(m.ref) == exit_reason::killed);
    CHECK_FALSE(suspend_process(m.who));
    CHECK_FALSE(resume_process(m.who));
  }
}

TEST_CASE("PR-90 a deadline that passes while it is suspended takes effect when it is resumed") {
  world w;
  for (bool suspended = false; !suspended;) {        // on a busy machine its time is up before it is suspended: once more
    const pid p = spawn([test = self()] {
      send(test, ready{});
      receive([](go) {}, after(std::chrono::milliseconds(1), [&] { send(test, 1); }));
    });
    await_ready();
    suspended = suspend_process(p);
    const bool early = receive<int>(std::chrono::milliseconds(20)).has_value();
    suspended = suspended && !early;
    resume_process(p);
    if (!early) CHECK(receive<int>() == 1);
  }
}
