// SPDX-License-Identifier: Apache-2.0
//
// A runtime stops in bounded time and names whoever refuses to die. Several runtimes at once: OL-23.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("OL-23 stop ends every process with shutdown, and no process starts any more") {
  runtime r({.workers = 2});
  const runtime_scope scope(r);
  flush();
  std::vector<reference> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(spawn_monitor(idle).ref);
  const stop_result result = r.stop(std::chrono::minutes(1));
  CHECK(result.complete());
  for (const reference ref : refs) CHECK(reason_of(ref) == exit_reason::shutdown);
}

TEST_CASE("OL-23 a process that traps is killed after half the time; its destructors run") {
  struct sets {
    std::atomic<bool>& what;
    ~sets() { what = true; }
  };
  for (duration limit = 100ms;; limit *= 10) {     // half of it may be short on a busy machine: once more, with more
    const auto destroyed = std::make_shared<std::atomic<bool>>(false);   // shared: a process that is late goes on after us
    runtime r({.workers = 2});
    const runtime_scope scope(r);
    flush();
    const monitored m = spawn_monitor([=, test = self()] {
      const sets s{*destroyed};
      send(test, ready{});
      for (;;) receive([](message&) {});
    }, {.trap_exit = true});
    await_ready();
    const bool complete = r.stop(limit).complete();
    if (!complete && limit < 100s) continue;
    REQUIRE(complete);
    CHECK(reason_of(m.ref) == exit_reason::killed);
    CHECK(*destroyed);
    return;
  }
}

TEST_CASE("OL-23 a process may not be born while the runtime stops: spawn fails with system_limit") {
  std::optional<runtime> r;
  r.emplace(runtime_options{.workers = 2});
  std::optional<runtime_scope> scope;
  scope.emplace(*r);
  flush();
  std::atomic<bool> refused{false};
  const monitored m = spawn_monitor([&, test = self()] {
    send(test, ready{});
    receive<exit_signal>();                        // the stop has begun
    try {
      spawn(idle);
    } catch (const exit_error& e) {
      refused = e.reason().is(exit_reason::system_limit);
    }
  }, {.trap_exit = true});
  await_ready();
  CHECK(r->stop(std::chrono::minutes(1)).complete());
  CHECK(reason_of(m.ref) == exit_reason::normal);
  CHECK(refused);
}

TEST_CASE("OL-23 stop names whoever refuses to die, in bounded time") {
  struct flags { std::atomic<bool> running{false}, on{true}; };
  for (duration limit = 50ms;; limit *= 10) {      // it may be short for the good one on a busy machine: once more, with more
    const auto shared = std::make_shared<flags>();  // the process goes on after the test
    runtime r({.workers = 2});
    const runtime_scope scope(r);
    const pid stubborn = spawn([=] {
      shared->running = true;
      while (shared->on) {}
    });
    const pid good = spawn(idle);
    CHECK(eventually([&] { return shared->running.load(); }));
    const stop_result result = r.stop(limit);
    shared->on = false;
    CHECK_FALSE(result.complete());
    if (result.refused.size() == 2 && limit < 50s) continue;
    REQUIRE(result.refused.size() == 1);
    CHECK(result.refused[0].find(to_text(stubborn)) != std::string::npos);
    CHECK(result.refused[0].find("process") != std::string::npos);
    CHECK_FALSE(alive(good));
    return;
  }
}

TEST_CASE("OL-23 many runtimes come and go, also at the same time, and leave no memory behind") {
  const auto live = [](int n) {
    for (int i = 0; i < n; ++i) {
      world w({.workers = 1});
      for (int k = 0; k < 20; ++k) spawn(idle, {.name = std::to_string(k)});
      send_after(std::chrono::hours(1), "0", 1);
      in_process([] {
        CHECK(processes().size() == 21);
        CHECK(whereis("7").has_value());
      });
    }
  };
  live(5);
  std::size_t before = 0;
  {
    world w;
    before = w.r.statistics().reserved_bytes;
  }
  std::vector<std::thread> all;
  const int many = rounds(15, 1'000);
  for (int t = 0; t < 3; ++t) all.emplace_back([&] { live(many); });
  for (auto& t : all) t.join();
  world w;
  CHECK(w.r.statistics().reserved_bytes <= before + 2 * 1024 * 1024);   // the threads' own caches
}

TEST_CASE("OL-23 the statistics count processes and threads") {
  world w;
  CHECK(w.r.statistics().processes == 0);
  CHECK(w.r.statistics().workers >= 2);
  std::vector<pid> all;
  for (int i = 0; i < 10; ++i) all.push_back(spawn(idle));
  CHECK(w.r.statistics().processes == 10);
  CHECK(processes().size() == 10);
  for (const pid p : all) exit(p, exit_reason::kill);
  for (const pid p : all) await_end(p);
  CHECK(eventually([&] { return w.r.statistics().processes == 0; }));
}

TEST_CASE("OL-23 stopping while others send, monitor and time processes of the runtime is safe") {
  for (int round = 0; round < rounds(10, 500); ++round) {
    std::vector<pid> targets;
    std::atomic<bool> on{true};
    std::vector<std::thread> all;
    {
      world w;
      for (int i = 0; i < 20; ++i) targets.push_back(spawn(idle));
      for (int t = 0; t < 2; ++t)
        all.emplace_back([&] {
          for (std::size_t i = 0; on; ++i) {
            const pid p = targets[i % targets.size()];
            send(p, 1);
            if (i % 16 == 0) demonitor_and_flush(monitor(p));
            if (i % 64 == 0) static_cast<void>(alive(p));
          }
        });
      CHECK(w.r.stop(std::chrono::minutes(1)).complete());
      on = false;
      for (auto& t : all) t.join();
    }
  }
}

TEST_CASE("OL-23 PR-82 timers that other threads start and cancel while the runtime stops are safe, and those of later runtimes right") {
  for (int round = 0; round < rounds(20, 1'000); ++round) {
    std::vector<pid> targets;
    std::atomic<bool> on{true};
    std::vector<std::thread> all;
    {
      world w;
      for (int i = 0; i < 20; ++i) targets.push_back(spawn(idle));
      for (int t = 0; t < 2; ++t)
        all.emplace_back([&] {
          for (std::size_t i = 0; on; ++i) {
            const reference one = send_after(std::chrono::hours(1), targets[i % targets.size()], 1);
            const reference two = send_every(std::chrono::hours(1), targets[(i + 7) % targets.size()], 1);
            static_cast<void>(read_timer(one));
            static_cast<void>(cancel_timer(one));
            static_cast<void>(cancel_timer(two));
          }
        });
      CHECK(w.r.stop(std::chrono::minutes(1)).complete());
    }
    {
      world next;                                // its workers may get the wheels of the one before
      const auto begin = std::chrono::steady_clock::now();
      send_after(std::chrono::milliseconds(2), self(), ready{});
      receive<ready>();
      CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(2));
    }
    on = false;
    for (auto& t : all) t.join();
  }
}
