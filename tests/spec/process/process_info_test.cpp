// SPDX-License-Identifier: Apache-2.0
//
// Flags, inspection, labels and local values: PR-85 to PR-88, OL-48, OL-53.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-85 OL-48 setting a flag returns its previous value; outside a process it is an error") {
  world w;
  in_process([] {
    CHECK_FALSE(trap_exit(true));
    CHECK(trap_exit(true));
    CHECK(trap_exit(false));
    CHECK_FALSE(trap_exit(false));
  });
  in_process([] { CHECK(trap_exit(false)); }, {.trap_exit = true});
  CHECK_THROWS_AS(trap_exit(true), exit_error);
}

TEST_CASE("PR-85 signals that came before the flag was set are judged by the old flag") {
  world w;
  std::atomic<bool> on{false};
  const monitored m = spawn_monitor([&] {
    while (!on) {}
    trap_exit(true);
    receive<exit_signal>();
  });
  exit(m.who, exit_reason("before"));
  on = true;
  CHECK(reason_of(m.ref) == exit_reason("before"));
}

TEST_CASE("PR-86 OL-53 process_info tells queue length, links, monitors, names, label, trap flag, ancestors, memory") {
  world w;
  const pid test = self();
  struct family { pid child, linked, watched; };
  const pid parent = spawn([=] {
    const pid watched = spawn(idle);
    const pid linked = spawn(idle);
    const pid child = spawn([=] {
      link(linked);
      monitor(watched);
      label("the child");
      send(test, ready{});
      wait_for_go();
    }, {.name = "child", .trap_exit = true});
    register_name("also", child);
    send(test, family{child, linked, watched});
    idle();
  });
  await_ready();
  const family f = receive<family>();
  for (int i = 0; i < 4; ++i) send(f.child, i);
  const reference ref = monitor(f.child);
  const auto info = process_info(f.child);
  REQUIRE(info.has_value());
  CHECK(info->who == f.child);
  CHECK(info->name == "process");
  CHECK(info->names == std::vector<std::string>{"child", "also"});
  CHECK(info->label == "the child");
  CHECK(info->queue_length == 4);
  CHECK(info->links == std::vector<pid>{f.linked});
  CHECK(info->monitors == std::vector<pid>{f.watched});
  CHECK(info->monitored_by == std::vector<pid>{test});
  CHECK(info->traps_exits);
  CHECK(info->ancestors == std::vector<pid>{parent});
  CHECK(info->callers.empty());
  CHECK(info->memory_bytes > 100);
  CHECK(process_info(f.watched)->monitored_by == std::vector<pid>{f.child});
  CHECK(process_info(f.linked)->links == std::vector<pid>{f.child});
  CHECK(demonitor(ref));
  exit(f.child, exit_reason::kill);              // no stop would end it by shutdown
}

TEST_CASE("PR-86 OL-53 the status: waiting, running, suspended; a dead process has none") {
  world w;
  const pid p = spawn(idle);
  CHECK(eventually([&] { return process_info(p)->status == process_status::waiting; }));
  // Messages that it does not want leave it waiting.
  const pid q = spawn([] { wait_for_go(); });
  send(q, 1);
  CHECK(eventually([&] { return process_info(q)->status == process_status::waiting; }));
  suspend_process(p);
  CHECK(process_info(p)->status == process_status::suspended);
  resume_process(p);
  in_process([] { CHECK(process_info(self())->status == process_status::running); });
  std::atomic<bool> running{false};
  const monitored busy = spawn_monitor([&] {
    running = true;
    while (running) yield();
  });
  CHECK(eventually([&] { return running.load(); }));
  CHECK(eventually([&] { return process_info(busy.who)->status == process_status::running; }));
  running = false;
  CHECK(reason_of(busy.ref) == exit_reason::normal);
  CHECK_FALSE(process_info(busy.who).has_value());
  CHECK_FALSE(process_info(pid{}).has_value());
}

TEST_CASE("PR-86 many may ask at once while the target works, and none of them stops it for long") {
  world w;
  const int many = rounds(500, 50'000);
  const pid test = self();
  const pid target = spawn([test] {
    for (;;) {
      const int n = receive<int>();
      label(std::to_string(n));
      send(test, n);
    }
  }, {.name = "target"});
  std::atomic<bool> on{true};
  std::vector<std::thread> askers;
  for (int t = 0; t < 3; ++t)
    askers.emplace_back([&] {
      while (on) {
        const auto info = process_info(target);
        if (!info || info->names != std::vector<std::string>{"target"}) std::terminate();
      }
    });
  for (int i = 0; i < many; ++i) {
    send(target, i);
    CHECK(receive<int>() == i);
  }
  on = false;
  for (auto& t : askers) t.join();
  CHECK(process_info(target)->label == std::to_string(many - 1));
}

TEST_CASE("PR-87 a label is free text, shown in reports and info, and costs nothing in the name tables") {
  reports kept;
  world w;
  CHECK(run([] {
    label("connection from 10.0.0.7");
    CHECK(process_info(self())->label == "connection from 10.0.0.7");
    CHECK(process_info(self())->names.empty());
    CHECK_FALSE(whereis("connection from 10.0.0.7").has_value());
    throw std::runtime_error("x");
  }).is(exit_reason::error));
  const auto list = kept.take();
  REQUIRE(list.size() == 1);
  CHECK(field(list[0], "label") == "connection from 10.0.0.7");
  in_process([] {
    label("x");
    label("");
    CHECK(process_info(self())->label.empty());
  });
}

TEST_CASE("PR-88 process-local values exist, belong to one process, and die with it") {
  world w;
  struct counter { int n; };
  struct holder {
    std::shared_ptr<int> alive;
  };
  const auto shared = std::make_shared<int>(1);
  in_process([=] {
    CHECK(get_local<counter>() == nullptr);
    put_local(counter{1});
    put_local(holder{shared});
    REQUIRE(get_local<counter>() != nullptr);
    get_local<counter>()->n = 5;
    in_process([] { CHECK(get_local<counter>() == nullptr); });
    yield();
    CHECK(get_local<counter>()->n == 5);
    put_local(counter{6});                         // replaces
    CHECK(get_local<counter>()->n == 6);
    CHECK(shared.use_count() >= 3);
  });
  CHECK(shared.use_count() == 1);
  // A plain thread has its own.
  std::thread([&] {
    put_local(holder{shared});
    CHECK(shared.use_count() == 2);
  }).join();
  CHECK(shared.use_count() == 1);
}

TEST_CASE("PR-88 a value whose destructor looks for others finds nothing that is gone") {
  world w;
  struct other { int n; };
  struct looks {
    bool on = true;
    looks() = default;
    looks(looks&& o) noexcept : on(std::exchange(o.on, false)) {}
    ~looks() {
      if (!on) return;
      static_cast<void>(get_local<other>());
      put_local(other{2});
    }
  };
  in_process([] {
    put_local(other{1});
    put_local(looks{});
  });
}
