// SPDX-License-Identifier: Apache-2.0
//
// Identity and spawning: PR-1 to PR-6, OL-20 to OL-24, OL-42, OL-44, OL-48, OL-55.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>

#include <atomic>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_set>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-1 a pid is a small value: copied, hashed, ordered, printed") {
  world w;
  static_assert(std::is_trivially_copyable_v<pid> && sizeof(pid) <= 16);
  const pid a = spawn(idle), b = spawn(idle);
  const pid copy = a;
  CHECK(copy == a);
  CHECK(a != b);
  CHECK(((a < b) != (b < a)));
  CHECK(std::hash<pid>{}(copy) == std::hash<pid>{}(a));
  CHECK(std::unordered_set<pid>{a, b, copy}.size() == 2);
  CHECK(std::set<pid>{a, b, copy}.size() == 2);
  CHECK(to_text(a) == to_text(copy));
  CHECK(to_text(a) != to_text(b));
  CHECK(to_text(a).starts_with("<0."));
  CHECK_FALSE(static_cast<bool>(pid{}));
  CHECK(to_text(pid{}) == "<none>");
}

TEST_CASE("PR-1 a pid is never given to a second process, also when its place is used again") {
  world w;
  std::unordered_set<pid> seen;
  const int many = rounds(20'000, 1'000'000);
  for (int i = 0; i < many; ++i) {
    const monitored m = spawn_monitor([] {});
    CHECK_MESSAGE(seen.insert(m.who).second, "given twice: ", to_text(m.who));
    CHECK(reason_of(m.ref) == exit_reason::normal);
  }
}

TEST_CASE("PR-1 a message to a dead process reaches no other, and holding its pid keeps nothing alive") {
  world w;
  int destroyed = 0;
  const pid dead = spawn([c = counted(destroyed)] {});
  await_end(dead);
  CHECK(destroyed == 1);
  // The places of the dead are used again; old pids are still refused.
  std::vector<pid> heirs;
  const pid test = self();
  for (int i = 0; i < 100; ++i) heirs.push_back(spawn([test] { receive([](go) {}, [test](int n) { send(test, n); }); }));
  for (int i = 0; i < 100; ++i) send(dead, 7);
  for (const pid p : heirs) send(p, go{});
  for (const pid p : heirs) await_end(p);
  CHECK_FALSE(receive<int>(duration{0}).has_value());
}

TEST_CASE("PR-2 OL-20 spawn returns at once and the function runs asynchronously") {
  world w;
  in_process([] {
    // The child waits for what its parent does only after spawn has returned.
    const pid parent = self();
    const pid child = spawn([parent] {
      wait_for_go();
      send(parent, 1);
    });
    CHECK(alive(child));
    send(child, go{});
    const int answer = receive<int>();
    CHECK(answer == 1);
  });
}

TEST_CASE("PR-2 nothing that the function does makes spawn fail") {
  reports quiet;
  world w;
  CHECK_NOTHROW(await_end(spawn([] { throw std::runtime_error("at once"); })));
  CHECK_NOTHROW(await_end(spawn([] { exit(exit_reason::kill); })));
  CHECK_NOTHROW(await_end(spawn([] { throw 1; })));
}

TEST_CASE("PR-2 the process limit is an error of spawn itself, system_limit, and spawn works again below it") {
  world w({.workers = 2, .max_processes = 10});
  std::vector<pid> all;
  for (int i = 0; i < 10; ++i) all.push_back(spawn(idle));
  bool refused = false;
  try {
    spawn(idle);
  } catch (const exit_error& e) {
    refused = true;
    CHECK(e.reason().is(exit_reason::system_limit));
    CHECK(std::string_view(e.what()).find("max_processes") != std::string_view::npos);
  }
  CHECK(refused);
  CHECK_THROWS_AS(spawn_monitor(idle), exit_error);
  CHECK(w.r.statistics().processes == 10);
  exit(all.back(), exit_reason::kill);
  await_end(all.back());
  CHECK(eventually([&] { return w.r.statistics().processes == 9; }));
  CHECK_NOTHROW(spawn(idle));
}

TEST_CASE("PR-3 a child that dies in its first instruction is reported with its true reason, linked or monitored") {
  reports quiet;
  world w;
  const exit_reason why("at once");
  for (int i = 0; i < 200; ++i) {
    const monitored m = spawn_monitor([&] { exit(why); });
    CHECK(reason_of(m.ref) == why);
  }
  in_process([&] {
    for (int i = 0; i < 200; ++i) {
      const pid child = spawn_link([&] { exit(why); });
      const exit_signal e = receive<exit_signal>();
      CHECK(e.who == child);
      CHECK(e.reason == why);
    }
  }, {.trap_exit = true});
}

TEST_CASE("PR-4 the options: name, label, trap flag, stack size, runtime") {
  world w;
  runtime other({.workers = 1});
  const pid a = spawn(idle, {.name = "a", .label = "the first", .trap_exit = true});
  CHECK(whereis("a") == a);
  const auto info = process_info(a);
  REQUIRE(info);
  CHECK(info->names == std::vector<std::string>{"a"});
  CHECK(info->label == "the first");
  CHECK(info->traps_exits);
  // Each stack size works, and holds what it promises.
  for (const std::size_t bytes : {std::size_t{16} * 1024, std::size_t{64} * 1024, std::size_t{256} * 1024, std::size_t{1024} * 1024})
    in_process([bytes] {
      volatile char used[8 * 1024] = {};
      used[sizeof used - 1] = 1;
      CHECK(used[sizeof used - 1] == 1);
      CHECK(bytes != 0);
    }, {.stack_bytes = bytes});
  in_process([] {
    volatile char used[700 * 1024] = {};
    for (std::size_t i = 0; i < sizeof used; i += 1024) used[i] = 1;
    CHECK(used[0] == 1);
  }, {.stack_bytes = std::size_t{1024} * 1024});
  const pid b = spawn(idle, {.name = "a", .in = &other});
  CHECK(whereis("a") == a);
  {
    runtime_scope there(other);
    CHECK(whereis("a") == b);
  }
  exit(a, exit_reason::kill);                    // no stop would end it by shutdown
}

TEST_CASE("PR-5 alive: false is final, and signals that the caller sent before are taken into account") {
  world w;
  for (int i = 0; i < rounds(300, 20'000); ++i) {
    const pid p = spawn(idle, {.trap_exit = i % 2 == 0});
    CHECK(alive(p));
    exit(p, exit_reason::kill);
    CHECK_FALSE(alive(p));
    CHECK_FALSE(alive(p));
  }
  CHECK_FALSE(alive(pid{}));
  in_process([] {
    CHECK(alive(self()));
    const pid p = spawn(idle);
    exit(p, exit_reason::shutdown);
    CHECK_FALSE(alive(p));
  });
}

TEST_CASE("PR-5 two processes may ask whether the other lives at the same time") {
  world w;
  const auto ask = [] {
    const pid other = receive<pid>();
    for (int i = 0; i < 2000; ++i) static_cast<void>(alive(other));
  };
  const monitored a = spawn_monitor(ask), b = spawn_monitor(ask);
  send(a.who, b.who);
  send(b.who, a.who);
  CHECK(reason_of(a.ref) == exit_reason::normal);
  CHECK(reason_of(b.ref) == exit_reason::normal);
}

TEST_CASE("PR-6 a process records its ancestors, nearest first, and a crash report shows them") {
  reports kept;
  world w;
  struct family { pid child; std::vector<pid> ancestors; };
  const pid test = self();
  pid grandparent, parent;
  in_process([&, test] {
    grandparent = self();
    in_process([&, test] {
      parent = self();
      const pid child = spawn([] {
        wait_for_go();
        throw std::runtime_error("lost");
      });
      send(test, family{child, process_info(child)->ancestors});
      send(child, go{});
      await_end(child);
    });
  });
  const family f = receive<family>();
  CHECK(f.ancestors == std::vector<pid>{parent, grandparent});
  const auto list = kept.take();
  REQUIRE(list.size() == 1);
  CHECK(field(list[0], "ancestors") == to_text(parent) + " " + to_text(grandparent));
}

TEST_CASE("OL-21 a value that the function returns is dropped; an exception becomes a reason that keeps it") {
  reports quiet;
  world w;
  CHECK(run([] { return 7; }) == exit_reason::normal);
  const exit_reason why = run([] { throw std::out_of_range("no channel 7"); });
  CHECK(why.is(exit_reason::error));
  CHECK(why.text() == "no channel 7");
  CHECK(why.type().find("out_of_range") != std::string_view::npos);
}

TEST_CASE("OL-23 several runtimes in one program, each with its own processes, names and limits") {
  world w;
  runtime other({.workers = 1, .max_processes = 1});
  const pid a = spawn(idle, {.name = "x"});
  const pid b = spawn(idle, {.name = "x", .in = &other});
  CHECK(a != b);
  CHECK_THROWS_AS(spawn(idle, {.in = &other}), exit_error);
  CHECK(processes() == std::vector<pid>{a});
  {
    runtime_scope there(other);
    CHECK(processes() == std::vector<pid>{b});
    CHECK(whereis("x") == b);
  }
  // Messages, links and monitors reach across.
  const pid test = self();
  const monitored m = spawn_monitor([=] {
    link(b);
    send(test, 1);
    idle();
  });
  CHECK(receive<int>() == 1);
  CHECK(other.stop(std::chrono::minutes(1)).complete());
  CHECK(reason_of(m.ref) == exit_reason::shutdown);
  CHECK(alive(a));
}

TEST_CASE("OL-42 a process runs any callable without arguments; it owns what it captured") {
  world w;
  static_assert(process_body<void (*)()>);
  static_assert(!process_body<void (*)(int)>);
  static_assert(!process_body<int>);
  int destroyed = 0;
  struct movable {
    std::unique_ptr<int> p;
    counted c;
    void operator()() { CHECK(*p == 5); }
  };
  in_process(movable{std::make_unique<int>(5), counted(destroyed)});
  CHECK(destroyed == 1);
  // Large and over-aligned states have room, too.
  struct alignas(64) large {
    char bytes[10'000] = {};
    void operator()() const {
      CHECK(reinterpret_cast<std::uintptr_t>(this) % 64 == 0);
      CHECK(bytes[9'999] == 0);
    }
  };
  in_process(large{});
}

TEST_CASE("OL-44 an exiting process is not alive although its function has not returned") {
  world w;
  std::atomic<bool> unwinding{false}, on{false};
  struct slow {
    std::atomic<bool>&unwinding, &on;
    ~slow() {
      unwinding = true;
      while (!on) {}
    }
  };
  const pid test = self();
  const monitored m = spawn_monitor([&] {
    const slow s{unwinding, on};
    idle_for(test);
  });
  await_ready();
  exit(m.who, exit_reason::kill);
  CHECK(eventually([&] { return unwinding.load(); }));
  // It cannot answer while it unwinds; whoever asks waits until it is gone for good.
  std::thread asks([&] { CHECK_FALSE(alive(m.who)); });
  on = true;
  asks.join();
  CHECK(reason_of(m.ref) == exit_reason::killed);
}

TEST_CASE("OL-24 OL-48 where the name in the options is taken the function is not run and nothing is left behind") {
  world w;
  const pid holder = spawn(idle, {.name = "taken"});
  int destroyed = 0;
  bool ran = false;
  std::string text;
  try {
    spawn([&ran, c = counted(destroyed)] { ran = true; }, {.name = "taken"});
  } catch (const exit_error& e) {
    text = e.what();
  }
  CHECK(text.find(to_text(holder)) != std::string::npos);
  CHECK(destroyed == 1);
  CHECK(processes() == std::vector<pid>{holder});
  CHECK_THROWS_AS(spawn_monitor([&] { ran = true; }, {.name = "taken"}), exit_error);
  in_process([&] {
    CHECK_THROWS_AS(spawn_link([&] { ran = true; }, {.name = "taken"}), exit_error);
    CHECK(process_info(self())->links.empty());
  });
  CHECK(flush() == 0);
  CHECK_FALSE(ran);
  CHECK(whereis("taken") == holder);
}

namespace {

void chain(int left, pid last) {
  if (left == 0)
    send(last, go{});
  else
    spawn([=] { chain(left - 1, last); });
}

}  // namespace

TEST_CASE("OL-55 a process keeps nothing of its parent alive: in a chain where each spawns the next, memory stays flat") {
  world w;
  const pid test = self();
  spawn([=] { chain(10'000, test); });
  receive<go>();
  const std::size_t before = w.r.statistics().reserved_bytes;
  spawn([=] { chain(rounds(100'000, 1'000'000), test); });
  receive<go>();
  CHECK(w.r.statistics().reserved_bytes <= before + 256 * 1024);
  CHECK(eventually([&] { return w.r.statistics().processes == 0; }));
}

TEST_CASE("PR-2 many processes start and stop: memory stays flat") {
  world w;
  const auto round = [](int n) {
    for (int i = 0; i < n; ++i) {
      const monitored m = spawn_monitor([] {}, {.name = "short", .label = "lived"});
      static_cast<void>(reason_of(m.ref));
    }
  };
  round(2'000);
  const std::size_t before = w.r.statistics().reserved_bytes;
  round(rounds(20'000, 1'000'000));
  CHECK(w.r.statistics().reserved_bytes <= before + 256 * 1024);
}
