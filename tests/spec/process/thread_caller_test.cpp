// SPDX-License-Identifier: Apache-2.0
//
// Plain threads as callers: OL-43, OL-82, OL-83.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("OL-82 a plain thread has a pid, sends, receives, monitors and names itself as a process does") {
  world w;
  std::thread([&] {
    const runtime_scope here(w.r);
    const pid me = self();
    CHECK(me);
    CHECK(me == self());
    CHECK(alive(me));
    const monitored m = spawn_monitor([me] { send(me, 1); });
    CHECK(receive<int>() == 1);
    CHECK(reason_of(m.ref) == exit_reason::normal);
    register_name("thread", me);
    CHECK(whereis("thread") == me);
    const pid p = spawn([] { send("thread", 2); });
    CHECK(receive<int>() == 2);
    await_end(p);
    send_after(std::chrono::milliseconds(1), me, 3);
    CHECK(receive<int>() == 3);
    unregister_name("thread");
  }).join();
}

TEST_CASE("OL-82 what only a process can do is an error in a plain thread") {
  world w;
  const pid p = spawn(idle);
  CHECK_THROWS_AS(link(p), exit_error);
  CHECK_THROWS_AS(unlink(p), exit_error);
  CHECK_THROWS_AS(spawn_link(idle), exit_error);
  CHECK_THROWS_AS(exit(exit_reason::normal), exit_error);
  CHECK_THROWS_AS(trap_exit(true), exit_error);
  CHECK(processes() == std::vector<pid>{p});
}

TEST_CASE("OL-82 nothing ends a plain thread: any exit signal is a message to it, kill too") {
  world w;
  const exit_reason reasons[] = {exit_reason::normal, exit_reason("x"), exit_reason::kill};
  for (const exit_reason& why : reasons) {
    const pid by = spawn([to = self(), why] { exit(to, why); });
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == by);
    CHECK(e.reason == why);
  }
  CHECK(alive(self()));
  CHECK_FALSE(suspend_process(self()));
}

TEST_CASE("OL-82 a thread that ends is dead like a process: monitors fire, its mail is destroyed, its names are free") {
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
  pid who;
  std::atomic<bool> known{false}, on{false};
  std::thread t([&] {
    const runtime_scope here(w.r);
    who = self();
    register_name("passing", who);
    known = true;
    while (!on) {}
  });
  CHECK(eventually([&] { return known.load(); }));
  for (int i = 0; i < 10; ++i) send(who, parcel(destroyed));
  const reference ref = monitor(who);
  on = true;
  t.join();
  CHECK(reason_of(ref) == exit_reason::normal);
  CHECK(destroyed == 10);
  CHECK_FALSE(alive(who));
  CHECK_FALSE(whereis("passing").has_value());
  send(who, parcel(destroyed));
  CHECK(destroyed == 11);
}

TEST_CASE("OL-83 work from outside reaches a process as messages, whatever thread it comes from") {
  world w;
  constexpr int threads = 6;
  const int each = rounds(2'000, 200'000);
  std::atomic<int> inside{0}, total{0};
  const pid p = spawn([&] {
    for (;;)
      receive([&](int) {
        if (++inside != 1) std::terminate();         // one at a time
        ++total;
        --inside;
      });
  });
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&] {
      for (int i = 0; i < each; ++i) send(p, i);
    });
  for (auto& t : all) t.join();
  CHECK(eventually([&] { return total == threads * each; }));
}

TEST_CASE("OL-82 a thread that waits is woken by message and by deadline, many times over") {
  world w;
  const int many = rounds(2'000, 100'000);
  const pid echo = spawn([test = self()] {
    for (;;) send(test, receive<int>() + 1);
  });
  for (int i = 0; i < many; ++i) {
    send(echo, i);
    CHECK(receive<int>() == i + 1);
    if (i % 100 == 0) CHECK_FALSE(receive<int>(std::chrono::microseconds(50)).has_value());
  }
}
