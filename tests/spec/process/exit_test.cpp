// SPDX-License-Identifier: Apache-2.0
//
// How a process ends, and what is done at its end: PR-10 to PR-18, OL-61.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include "support/one_worker.hpp"

#include <atomic>
#include <stdexcept>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-10 the function returns: reason normal, no report") {
  reports kept;
  world w;
  CHECK(run([] {}) == exit_reason::normal);
  CHECK(kept.take().empty());
}

TEST_CASE("PR-11 an uncaught exception: reason error with its type and text") {
  reports kept;
  world w;
  struct channel_lost : std::runtime_error {
    channel_lost() : std::runtime_error("channel 7 is lost") {}
  };
  const exit_reason why = run([] { throw channel_lost(); });
  CHECK(why.is(exit_reason::error));
  CHECK_FALSE(why.is_quiet());
  CHECK(why.text() == "channel 7 is lost");
  CHECK(why.type().find("channel_lost") != std::string_view::npos);
  CHECK(to_text(why).find("channel 7 is lost") != std::string::npos);
}

TEST_CASE("PR-11 an exception that is not derived from std::exception is a reason error, too") {
  reports kept;
  world w;
  struct odd { int x = 1; };
  for (const exit_reason& why : {run([] { throw 7; }), run([] { throw odd{}; }), run([] { throw "text"; })}) {
    CHECK(why.is(exit_reason::error));
    CHECK_FALSE(why.type().empty());
  }
  CHECK(kept.take().size() == 3);
}

TEST_CASE("PR-12 exit(reason) ends the process with exactly that reason and unwinds its stack") {
  reports quiet;
  world w;
  for (const exit_reason& why : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason("broken"),
                                 exit_reason::shutdown_because("enough"), exit_reason(exit_reason::killed)}) {
    int destroyed = 0;
    bool went_on = false;
    CHECK(run([&] {
      const counted c(destroyed);
      try {
        exit(why);
      } catch (const std::exception&) {
        went_on = true;                          // it must not derive from std::exception
      }
      went_on = true;
    }) == why);
    CHECK(destroyed == 1);
    CHECK_FALSE(went_on);
  }
}

TEST_CASE("PR-12 a catch(...) that swallows the unwinding does not keep the process alive") {
  reports quiet;
  world w;
  const exit_reason why("meant");
  // It ends at the next suspension point, whatever that is …
  void (*const points[])() = {[] { receive<int>(); },
                              [] { static_cast<void>(receive<int>(duration{0})); },
                              [] { sleep_for(std::chrono::hours(1)); },
                              [] { yield(); },
                              [] { hibernate_process(); }};
  for (const auto point : points) {
    bool swallowed = false, went_on = false;
    CHECK(run([&] {
      try {
        exit(why);
      } catch (...) {
        swallowed = true;
      }
      point();
      went_on = true;
    }) == why);
    CHECK(swallowed);
    CHECK_FALSE(went_on);
  }
  // … also when that is swallowed time and again, and when the function simply returns or throws something else.
  int swallowed = 0;
  CHECK(run([&] {
    for (int i = 0; i < 3; ++i) try {
        i == 0 ? exit(why) : static_cast<void>(receive<int>());
      } catch (...) {
        ++swallowed;
      }
  }) == why);
  CHECK(swallowed == 3);
  CHECK(run([&] {
    try {
      exit(why);
    } catch (...) {
      throw std::runtime_error("another");
    }
  }) == why);
}

TEST_CASE("PR-12 PR-18 a catch(...) that swallows a kill: the next wait raises it again") {
  world w;
  int swallowed = 0;
  const pid test = self();
  const monitored m = spawn_monitor([&] {
    for (int i = 0; i < 3; ++i) try {
        idle_for(test);
      } catch (...) {
        ++swallowed;
      }
    idle();
  });
  await_ready();
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
  CHECK(swallowed == 3);
}

TEST_CASE("PR-13 an exception is always a failure: no thrown value counts as a returned one") {
  reports quiet;
  world w;
  CHECK(run([] { throw exit_reason(exit_reason::normal); }).is(exit_reason::error));
  CHECK(run([]() -> int { throw 0; }).is(exit_reason::error));
  const exit_reason why = run([] { throw exit_error(exit_reason::normal, "odd"); });
  CHECK(why.is(exit_reason::error));
}

TEST_CASE("PR-14 an abnormal end is reported once, with pid, names, label, ancestors, reason, mailbox, links and trap flag") {
  reports kept;
  world w;
  pid crasher, parent;
  in_process([&] {
    parent = self();
    crasher = spawn_link([] {
      wait_for_go();
      throw std::runtime_error("channel 7 is lost");
    }, {.name = "ch3", .label = "allocator", .trap_exit = true});
    register_name("ch3_too", crasher);
    for (const int n : {41, 42, 43, 44}) send(crasher, n);
    send(crasher, go{});
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == crasher);
  }, {.trap_exit = true});
  const auto list = kept.take();
  REQUIRE(list.size() == 1);
  const report& r = list[0];
  CHECK(r.level == log_level::error);
  CHECK(r.kind == "crash");
  CHECK(r.headline.find(to_text(crasher)) != std::string::npos);
  CHECK(r.text().find("ch3") != std::string::npos);
  CHECK(r.text().find("ch3_too") != std::string::npos);
  CHECK(field(r, "why").find("channel 7 is lost") != std::string::npos);
  CHECK(field(r, "label") == "allocator");
  CHECK(field(r, "ancestors") == to_text(parent));
  CHECK(field(r, "links") == to_text(parent));
  CHECK(field(r, "traps exits") == "yes");
  CHECK(field(r, "queue") == "4 messages: 41, 42, 43");
}

TEST_CASE("PR-14 quiet reasons and deaths by a signal from outside produce no report; exit with an abnormal reason does") {
  reports kept;
  world w;
  for (const exit_reason& why : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason::shutdown_because("x")})
    CHECK(run([&] { exit(why); }) == why);
  for (const exit_reason& why : {exit_reason(exit_reason::kill), exit_reason("broken")}) {
    const pid p = spawn(idle);
    exit(p, why);
    await_end(p);
  }
  CHECK(kept.take().empty());
  CHECK(run([] { exit(exit_reason("own")); }) == exit_reason("own"));
  CHECK(kept.take().size() == 1);
}

TEST_CASE("PR-15 whoever has received DOWN or EXIT finds none of the dead's names") {
  reports quiet;
  world w;
  in_process([] {
    for (int i = 0; i < rounds(300, 20'000); ++i) {
      const pid p = spawn_link([] {
        register_name("second", self());
        wait_for_go();
        if (receive<int>() % 2 != 0) throw 1;
      }, {.name = "first"});
      const reference ref = i % 3 == 0 ? monitor(p) : reference{};
      send(p, i);
      send(p, go{});
      if (ref)
        receive([](down) {});
      else
        receive([](exit_signal) {});
      CHECK_FALSE(whereis("first").has_value());
      CHECK_FALSE(whereis("second").has_value());
      if (ref)
        receive([](exit_signal) {});
    }
  }, {.trap_exit = true});
}

TEST_CASE("PR-15 a name that a dying process tries to take is not left behind") {
  world w;
  struct registers {
    bool on = true;
    registers() = default;
    registers(registers&& other) noexcept : on(std::exchange(other.on, false)) {}
    ~registers() {
      if (!on || !alive(self())) return;
      try {
        register_name("of_the_dead", self());
      } catch (const exit_error&) {
      }
    }
  };
  CHECK(run([r = registers()] {}) == exit_reason::normal);
  CHECK_FALSE(whereis("of_the_dead").has_value());
  CHECK_NOTHROW(register_name("of_the_dead", spawn(idle)));
}

TEST_CASE("PR-15 OL-53 the state's destructor has run when the death is known, and a dead process has no info") {
  world w;
  int destroyed = 0;
  const monitored m = spawn_monitor([c = counted(destroyed)] { wait_for_go(); });
  send(m.who, go{});
  CHECK(reason_of(m.ref) == exit_reason::normal);
  CHECK(destroyed == 1);
  CHECK_FALSE(process_info(m.who).has_value());
}

TEST_CASE("PR-16 messages still in the mailbox of an ended process are destroyed, each exactly once") {
  world w;
  std::atomic<int> destroyed{0};
  struct parcel {
    std::atomic<int>* count;
    explicit parcel(std::atomic<int>& c) : count(&c) {}
    parcel(parcel&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    ~parcel() {
      if (count != nullptr) ++*count;
    }
  };
  struct large {
    parcel p;
    char bytes[2'000];
  };
  for (const bool kill : {false, true}) {
    destroyed = 0;
    const monitored m = spawn_monitor(wait_for_go);
    for (int i = 0; i < 50; ++i) send(m.who, parcel(destroyed));
    for (int i = 0; i < 50; ++i) send(m.who, large{parcel(destroyed), {}});
    if (kill)
      exit(m.who, exit_reason::kill);
    else
      send(m.who, go{});
    for (int i = 0; i < 50; ++i) send(m.who, parcel(destroyed));   // before its end, or behind it
    static_cast<void>(reason_of(m.ref));
    send(m.who, parcel(destroyed));
    CHECK(eventually([&] { return destroyed == 151; }));
  }
}

TEST_CASE("PR-16 a message whose destructor sends is destroyed, too, however many there are") {
  world w;
  struct echo {
    pid to;
    explicit echo(pid p) : to(p) {}
    echo(echo&& other) noexcept : to(std::exchange(other.to, pid{})) {}
    ~echo() {
      if (to) send(to, 1);
    }
  };
  const int many = 10'000;                       // more than one turn's budget
  const monitored m = spawn_monitor(wait_for_go);
  for (int i = 0; i < many; ++i) send(m.who, echo(self()));
  send(m.who, go{});
  CHECK(reason_of(m.ref) == exit_reason::normal);
  int got = 0;
  while (receive<int>(duration{0})) ++got;
  CHECK(got == many);
}

TEST_CASE("PR-18 the stack of a killed process is unwound at its suspension point, deep down, destructors included") {
  world w;
  std::atomic<int> destroyed{0};
  struct frame {
    std::atomic<int>& count;
    ~frame() { ++count; }
    static void down(int n, pid test, std::atomic<int>& c) {
      const frame f{c};
      if (n > 0) down(n - 1, test, c);
      send(test, ready{});
      wait_for_go();
    }
  };
  const monitored m = spawn_monitor([&, test = self()] { frame::down(20, test, destroyed); });
  await_ready();
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
  CHECK(destroyed == 21);
}

TEST_CASE("PR-18 a process that never suspends is not ended by kill before it does") {
  world w;
  std::atomic<bool> running{false}, on{true};
  bool came_out = false;
  const monitored m = spawn_monitor([&] {
    running = true;
    while (on) {}
    came_out = true;
    idle();
  });
  CHECK(eventually([&] { return running.load(); }));
  exit(m.who, exit_reason::kill);
  CHECK_FALSE(receive([](down) {}, after(duration{0}, [] {})));
  on = false;
  CHECK(reason_of(m.ref) == exit_reason::killed);
  CHECK(came_out);
}

TEST_CASE("PR-18 a destructor that waits during the unwinding gets an error, and the unwinding goes on") {
  world w;
  std::atomic<int> refused{0}, destroyed{0};
  struct waits {
    std::atomic<int>&refused, &destroyed;
    ~waits() {
      try {
        sleep_for(std::chrono::hours(1));
      } catch (const exit_error&) {
        ++refused;
      }
      try {
        receive<int>();
      } catch (const exit_error&) {
        ++refused;
      }
      try {
        yield();
      } catch (const exit_error&) {
        ++refused;
      }
      ++destroyed;
    }
  };
  const monitored m = spawn_monitor([&, test = self()] {
    const waits outer{refused, destroyed};
    const waits inner{refused, destroyed};
    idle_for(test);
  });
  await_ready();
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
  CHECK(destroyed == 2);
  CHECK(refused == 6);
}

TEST_CASE("PR-18 a state whose destructor waits gets an error, after a normal end and after a kill") {
  world w;
  static std::atomic<int> refused;
  refused = 0;
  struct waits {
    bool on = true;
    waits() = default;
    waits(waits&& other) noexcept : on(std::exchange(other.on, false)) {}
    ~waits() {
      if (!on) return;
      try {
        receive<int>();
      } catch (const exit_error&) {
        ++refused;
      }
    }
  };
  CHECK(run([x = waits()] {}) == exit_reason::normal);
  CHECK(refused == 1);
  const monitored m = spawn_monitor([x = waits(), test = self()] { idle_for(test); });
  await_ready();
  exit(m.who, exit_reason::kill);
  CHECK(reason_of(m.ref) == exit_reason::killed);
  CHECK(refused == 2);
}

TEST_CASE("PR-18 a process that is killed before it began does not run at all") {
  const one_worker w;
  bool ran = false;
  int destroyed = 0;
  in_process([&] {
    const monitored m = spawn_monitor([&ran, c = counted(destroyed)] { ran = true; });   // the one worker is ours
    exit(m.who, exit_reason::kill);
    CHECK(reason_of(m.ref) == exit_reason::killed);
  });
  CHECK_FALSE(ran);
  CHECK(destroyed == 1);
}

TEST_CASE("PR-18 an exception in flight is kept apart from those of other processes") {
  reports quiet;
  world w;
  // Each process waits inside a catch and then throws on what it had caught.
  std::vector<monitored> all;
  for (int i = 0; i < 20; ++i)
    all.push_back(spawn_monitor([i] {
      try {
        throw std::runtime_error(std::to_string(i));
      } catch (...) {
        wait_for_go();
        throw;
      }
    }));
  for (std::size_t i = all.size(); i-- > 0;) send(all[i].who, go{});
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(reason_of(all[i].ref).text() == std::to_string(i));
}

TEST_CASE("OL-61 receive in a process that was told to exit does not return: it unwinds") {
  world w;
  bool returned = false;
  std::atomic<bool> ready{false};
  const monitored m = spawn_monitor([&] {
    while (!ready) {}
    receive<go>();
    returned = true;
  });
  exit(m.who, exit_reason("leave"));
  send(m.who, go{});                             // there when it looks, behind the signal
  ready = true;
  CHECK(reason_of(m.ref) == exit_reason("leave"));
  CHECK_FALSE(returned);
}
