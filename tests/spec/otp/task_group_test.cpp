// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/task_group.hpp>
#include <coppice/process/process_info.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct go {};
void wait_for_go() { receive<go>(); }
[[noreturn]] void wait_for_ever() {
  for (;;) receive<go>();
}

bool nothing_left() { return mailbox_is_empty() && process_info(self())->monitors.empty() && process_info(self())->links.empty(); }

template <class F>
void in_process(F body, const spawn_options& options = {}) {
  own_world w;
  const exit_reason why = run_process(std::move(body), options);
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
}

/// Says when its scope is left.
struct scope_end {
  std::atomic<int>& left;
  ~scope_end() { ++left; }
};

}  // namespace

TEST_CASE("EX-8 the end of a group's scope ends and awaits its tasks: they may refer to the scope") {
  in_process([] {
    std::atomic<int> left{0};
    std::vector<pid> all;
    {
      std::vector<int> kept(3);
      task_group group;
      for (int i = 0; i < 3; ++i) {
        auto t = group.async([&, i, parent = self()] {
          const scope_end mark{left};
          kept[static_cast<std::size_t>(i)] = 1;
          send(parent, go{});
          wait_for_ever();
        });
        all.push_back(t.id());
      }
      for (int i = 0; i < 3; ++i) wait_for_go();
      CHECK(group.size() == 3);
    }
    CHECK(left == 3);
    for (const pid p : all) CHECK_FALSE(alive(p));
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-8 a group's tasks are awaited through their handles, during the group and after it") {
  in_process([] {
    task<int> kept;
    {
      task_group group;
      auto fast = group.async([] { return 1; });
      kept = group.async([] { return 2; });
      CHECK(fast.await() == 1);
      CHECK_FALSE(group.async([] { wait_for_ever(); }).yield(1ms));
      group.async([] { return 4; }).await();
      static_cast<void>(end_of(kept.id()));
    }
    CHECK(kept.await() == 2);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-8 an exception that leaves the scope ends the tasks first") {
  in_process([] {
    std::atomic<int> left{0};
    try {
      task_group group;
      static_cast<void>(group.async([&, parent = self()] {
        const scope_end mark{left};
        send(parent, go{});
        wait_for_ever();
      }));
      wait_for_go();
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
      CHECK(left == 1);
    }
  });
}

TEST_CASE("EX-8 an owner that is killed leaves its scope only when its tasks have ended") {
  for (int workers = 1; workers <= 2; ++workers) {
    own_world w({.workers = static_cast<unsigned>(workers)});
    std::atomic<int> left{0};
    int left_before_scope = -1;
    const pid tester = self();
    const monitored owner = spawn_monitor([&, tester] {
      struct last {
        std::atomic<int>& left;
        int& seen;
        ~last() { seen = left; }
      } note{left, left_before_scope};
      task_group group;
      for (int i = 0; i < 4; ++i)
        static_cast<void>(group.async([&, tester] {
          const scope_end mark{left};
          send(tester, go{});
          wait_for_ever();
        }));
      group.await_all();
    });
    for (int i = 0; i < 4; ++i) wait_for_go();
    exit(owner.who, exit_reason::kill);
    CHECK(reason_of_end(owner.who, owner.ref).is(exit_reason::killed));
    CHECK(left_before_scope == 4);
  }
}

TEST_CASE("EX-8 a task that does not end in time is killed") {
  in_process([] {
    const task_group_options options{.shutdown = 1ms};
    pid who;
    {
      task_group group(options);
      auto t = group.async([parent = self()] {
        trap_exit(true);
        send(parent, go{});
        wait_for_ever();
      });
      who = t.id();
      wait_for_go();
    }
    CHECK_FALSE(alive(who));
    CHECK_THROWS_AS(task_group(task_group_options{.shutdown = duration{-1}}), std::invalid_argument);
  });
}

TEST_CASE("EX-8 a task that needs less than it may is not killed") {
  in_process([] {
    for (int i = 0; i < 50; ++i) {
      std::atomic<bool> in_order{false};
      {
        task_group group({.shutdown = infinity});
        const auto slow = group.async([&, parent = self()] {
          trap_exit(true);
          send(parent, go{});
          receive<exit_signal>();
          for (int k = 0; k < 10; ++k) yield();
          in_order = true;
        });
        wait_for_go();
      }
      CHECK(in_order);
    }
  });
}

TEST_CASE("EX-6 EX-8 cancel tells those that run, whoever ended before, and in which order") {
  in_process([] {
    task_group group;
    const auto until_told = [parent = self()] {
      trap_exit(true);
      send(parent, go{});
      receive([](go) {}, [](exit_signal) {});
    };
    auto first = group.async(until_told), middle = group.async(until_told), last = group.async(until_told);
    for (int i = 0; i < 3; ++i) wait_for_go();                 // who does not trap exits yet would end of them
    send(first.id(), go{});
    CHECK(eventually([&] { return group.size() == 2; }));
    send(last.id(), go{});
    CHECK(eventually([&] { return group.size() == 1; }));
    group.cancel();
    CHECK_NOTHROW(middle.await(10s));
    CHECK(group.size() == 0);
  });
}

TEST_CASE("EX-4 the failure of a group's task does not end the owner; await_all throws the first and ends the rest") {
  in_process([] {
    task_group group;
    auto lasting = group.async([parent = self()] {
      send(parent, go{});
      wait_for_ever();
    });
    wait_for_go();
    const pid who = lasting.id();
    static_cast<void>(group.async([] { throw std::runtime_error("first"); }));
    try {
      group.await_all();
      FAIL("it has not failed");
    } catch (const task_failed& e) {
      CHECK(e.reason().text() == "first");
    }
    CHECK_FALSE(alive(who));
    CHECK(group.size() == 0);
    CHECK_FALSE(lasting.yield(infinity)->has_value());
    group.await_all();                                         // told once
    static_cast<void>(group.async([] {}));
    group.await_all();
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-4 a failure that was taken through its handle is not thrown again") {
  in_process([] {
    task_group group;
    auto t = group.async([] { throw std::runtime_error("mine"); });
    CHECK_THROWS_AS(t.await(), task_failed);
    auto k = group.async([] { wait_for_ever(); });
    CHECK_FALSE(k.shutdown(brutal_kill));
    auto late = group.async([] {
      wait_for_go();
      throw std::runtime_error("ignored");
    });
    send(late.id(), go{});
    late.ignore();
    group.await_all();
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-6 await_all has a time limit and may be asked again; cancel tells all to end") {
  in_process([] {
    task_group group;
    for (int i = 0; i < 3; ++i) static_cast<void>(group.async([] { wait_for_ever(); }));
    CHECK_THROWS_AS(group.await_all(1ms), task_timeout);
    CHECK(group.size() == 3);
    group.cancel();
    CHECK_THROWS_AS(group.await_all(), task_failed);           // they ended without a value: shutdown
    CHECK(group.size() == 0);
  });
}

TEST_CASE("EX-7 a group is its owner's") {
  own_world w;
  task_group group;
  CHECK(run_process([&] {
    CHECK_THROWS_AS(static_cast<void>(group.async([] {})), exit_error);
    CHECK_THROWS_AS(group.await_all(), exit_error);
    CHECK_THROWS_AS(group.cancel(), exit_error);
    CHECK_THROWS_AS(group.size(), exit_error);
  }).is(exit_reason::normal));
  int n = 0;
  static_cast<void>(group.async([&] { n = 3; }));
  group.await_all();
  CHECK(n == 3);
}

TEST_CASE("EX-13 EX-14 many at once, tasks of groups and others mixed") {
  in_process([] {
    task_group group;
    std::vector<task<int>> tasks;
    for (int i = 0; i < 10; ++i)
      tasks.push_back(i % 2 == 0 ? group.async([i] { return i; }) : async([i] {
        yield();
        return i;
      }));
    tasks.push_back(group.async([] {
      wait_for_go();
      return 10;
    }));
    const auto some = yield_many(tasks, {.timeout = infinity, .limit = 10});
    int sum = 0, missing = 0;
    for (const auto& r : some) r ? sum += r->value() : ++missing;
    CHECK(sum == 45);
    CHECK(missing == 1);
    CHECK(group.size() == 1);
    send(tasks[10].id(), go{});
    CHECK(tasks[10].await() == 10);
    group.await_all();
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-8 a group in a server's state ends with the server") {
  struct nursery {
    struct grow { using reply = pid; };
    task_group group{};
    pid handle_call(grow) {
      auto t = group.async([] { wait_for_ever(); });
      return t.id();
    }
  };
  own_world w;
  const auto s = start<nursery>();
  std::vector<pid> all;
  for (int i = 0; i < 3; ++i) all.push_back(call(s, nursery::grow{}));
  stop(s);
  for (const pid p : all) CHECK_FALSE(alive(p));
  const auto killed = start<nursery>();
  const pid one = call(killed, nursery::grow{});
  const reference ended = monitor(killed.id());
  exit(killed.id(), exit_reason::kill);
  CHECK(reason_of_end(killed.id(), ended).is(exit_reason::killed));
  CHECK_FALSE(alive(one));
}

namespace {
struct leaf_server {
  static constexpr server_options options{.leaf = true};
  struct ask { using reply = bool; };
  bool handle_call(ask) {
    try {
      task_group group;
    } catch (const exit_error& e) {
      return e.reason().is(exit_reason::blocking_in_leaf);
    }
    return false;
  }
};
}  // namespace

TEST_CASE("EX-8 a leaf handler cannot have a group: its end waits") {
  own_world w;
  const auto s = start<leaf_server>();
  CHECK(call(s, leaf_server::ask{}));
  stop(s);
}

TEST_CASE("EX-2 groups whose tasks failed, and whom nobody asked, keep nothing") {
  own_world w;
  const auto fail_often = [&] {
    CHECK(run_process([] {
            for (int i = 0; i < 20'000; ++i) {
              task_group group;
              const auto t = group.async([] { exit(exit_reason("in vain")); });
              while (group.size() != 0) yield();
            }
          }).is(exit_reason::normal));
  };
  fail_often();
  const std::size_t before = w.r.statistics().reserved_bytes;
  fail_often();
  CHECK(w.r.statistics().reserved_bytes < before + 1'000'000);        // each place takes more than 64 bytes
}

TEST_CASE("EX-2 a group that starts tasks for ever keeps nothing of those that have ended") {
  in_process([] {
    task_group group;
    for (int i = 0; i < rounds(20'000, 1'000'000); ++i) {
      static_cast<void>(group.async([] { return 1; }));
      if (i % 16 == 0) yield();
    }
    group.await_all();
    CHECK(group.size() == 0);
  });
}
