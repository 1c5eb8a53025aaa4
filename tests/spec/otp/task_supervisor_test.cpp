// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/task_supervisor.hpp>
#include <coppice/process/process_info.hpp>

#include <memory>
#include <ranges>
#include <stdexcept>
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

/// Runs `body(supervisor)` in a process of a world of its own; it must come to its end.
template <class F>
void under_supervisor(F body, const task_supervisor_spec& spec = {}) {
  own_world w;
  const task_supervisor s = start_task_supervisor(spec);
  const exit_reason why = run_process([&] { body(s); });
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
  if (alive(s.id())) stop(s.id());
  CHECK(eventually([] { return processes().empty(); }));
}

}  // namespace

TEST_CASE("SV-130 EX-101 a supervisor of tasks is a dynamic supervisor: temporary children with 5 s for their end; a child itself") {
  own_world w;
  const task_supervisor s = start_task_supervisor({.name = "jobs"});
  CHECK(whereis("jobs") == s.id());
  const pid who = s.start_child([] { wait_for_ever(); });
  const child_spec spec = dynamic_supervisor(s).get_childspec(who);
  CHECK(spec.restart == temporary);
  CHECK(spec.shutdown == shutdown_time(5s));
  CHECK(spec.type == child_type::worker);
  const pid quick = s.start_child([] { wait_for_ever(); }, {.shutdown = brutal_kill, .label = "quick"});
  CHECK(dynamic_supervisor(s).get_childspec(quick).shutdown == shutdown_time(brutal_kill));
  CHECK(process_info(quick)->label == "quick");
  stop(s.id());
  CHECK_FALSE(alive(who));
  const child_spec as_child = child(task_supervisor_spec{.name = "jobs"});
  CHECK(as_child.id == "jobs");
  CHECK(as_child.type == child_type::supervisor);
  CHECK(as_child.shutdown == shutdown_time(infinity));
  const supervisor top = start_supervisor({.children = {as_child}});
  CHECK(task_supervisor("jobs").async_nolink([] { return 3; }).await() == 3);
  stop(top.id());
}

TEST_CASE("SV-131 start_child: fire and forget, linked to the supervisor and not to the caller") {
  under_supervisor([](const task_supervisor& s) {
    auto owned = std::make_unique<int>(5);
    const pid who = s.start_child([owned = std::move(owned), parent = self()] {
      wait_for_go();
      send(parent, *owned);
      throw std::runtime_error("gone");
    });
    CHECK(process_info(who)->links == std::vector<pid>{s.id()});
    CHECK(process_info(self())->links.empty());
    CHECK(process_info(who)->callers == std::vector<pid>{self()});
    CHECK(process_info(who)->ancestors.front() == s.id());
    const reference ended = monitor(who);
    send(who, go{});
    CHECK(receive<int>() == 5);
    CHECK(reason_of_end(who, ended).text() == "gone");
    CHECK(alive(s.id()));
    CHECK(eventually([&] { return s.count_children().active == 0; }));
    CHECK(nothing_left());
  });
}

TEST_CASE("SV-131 a task may be started again, from a copy of its function") {
  own_world w;
  const task_supervisor s = start_task_supervisor();
  std::atomic<int> runs{0};
  const pid tester = self();
  s.start_child([&runs, tester, own = 0]() mutable {
    ++own;                                                     // each start has a fresh copy
    if (++runs < 3) throw std::runtime_error("again");
    send(tester, own);
  }, {.restart = transient});
  CHECK(receive<int>() == 1);
  CHECK(runs == 3);
  CHECK(eventually([&] { return s.children().empty(); }));
  CHECK_THROWS_AS(s.start_child([p = std::make_unique<int>(1)] {}, {.restart = permanent}), std::invalid_argument);
  stop(s.id());
}

TEST_CASE("SV-132 async under a supervisor: awaitable, linked to the caller and to the supervisor") {
  under_supervisor([](const task_supervisor& s) {
    auto t = s.async([] {
      wait_for_go();
      return std::make_unique<int>(7);
    });
    const pid who = t.id();
    CHECK(s.children() == std::vector<pid>{who});
    CHECK(process_info(self())->links == std::vector<pid>{who});
    CHECK(process_info(who)->callers == std::vector<pid>{self()});
    send(who, go{});
    CHECK(*t.await() == 7);
    CHECK(nothing_left());
    auto failing = s.async_nolink([]() -> int { throw std::runtime_error("no"); });
    CHECK_THROWS_AS(failing.await(), task_failed);
    CHECK(nothing_left());
  });
  own_world w;
  const task_supervisor s = start_task_supervisor();
  const exit_reason why = run_process([&] { s.async([] { throw std::runtime_error("both"); }).await(); });
  CHECK(why.text() == "both");
  CHECK(s.async([] { return 4; }).await() == 4);               // from a plain thread
  stop(s.id());
}

TEST_CASE("SV-132 EX-8 the owner's abnormal end ends its linked task, not one without a link") {
  own_world w;
  const task_supervisor s = start_task_supervisor();
  pid linked, free;
  CHECK(run_process([&] {
    auto a = s.async([] { wait_for_ever(); });
    auto b = s.async_nolink([] { wait_for_ever(); });
    linked = a.id();
    free = b.id();
    exit(exit_reason("over"));
  }) == exit_reason("over"));
  CHECK(eventually([&] { return !alive(linked); }));
  CHECK(alive(free));
  stop(s.id());
  CHECK_FALSE(alive(free));
}

TEST_CASE("SV-133 max_children: async, async_nolink and streams throw, start_child returns the error") {
  under_supervisor([](const task_supervisor& s) {
    const pid first = s.start_child([] { wait_for_ever(); });
    const auto refused = s.try_start_child([] {});
    CHECK(refused.error().is(supervisor_error::max_children));
    CHECK_THROWS_AS(s.start_child([] {}), supervisor_error);
    CHECK_THROWS_AS(static_cast<void>(s.async([] {})), supervisor_error);
    CHECK_THROWS_AS(static_cast<void>(s.async_nolink([] {})), supervisor_error);
    const auto read_all = [&] {
      for (auto& r : s.async_stream(std::vector<int>{1, 2}, [](int n) { return n; })) r.value();
    };
    CHECK_THROWS_AS(read_all(), supervisor_error);
    CHECK(process_info(self())->links.empty());
    s.terminate_child(first);
    CHECK(s.async([] { return 2; }).await() == 2);
    CHECK(nothing_left());
  }, {.max_children = 1});
}

TEST_CASE("SV-133 no such supervisor: the error says so, and nothing is kept") {
  own_world w;
  auto count = std::make_shared<int>(0);
  const task_supervisor nobody("nobody here");
  CHECK_THROWS_AS(static_cast<void>(nobody.async([count] {})), supervisor_error);
  CHECK_THROWS_AS(nobody.start_child([count] {}), supervisor_error);
  CHECK(count.use_count() == 1);
}

TEST_CASE("SV-134 a caller that dies while it asks leaves no task that runs") {
  own_world w;
  for (int round = 0; round < rounds(30, 1'000); ++round) {
    const task_supervisor s = start_task_supervisor();
    std::atomic<bool> asks{false}, may_run{false}, ran{false};
    suspend_process(s.id());                                   // the request waits
    const monitored caller = spawn_monitor([&] {
      asks = true;
      auto t = s.async_nolink([&] { ran = true; });
      may_run = true;                                          // perhaps after the task
      t.await();
    });
    CHECK(eventually([&] { return asks.load(); }));
    if (round % 2 == 0) {
      exit(caller.who, exit_reason::kill);
      resume_process(s.id());
    } else {
      resume_process(s.id());
      exit(caller.who, exit_reason::kill);
    }
    static_cast<void>(reason_of_end(caller.who, caller.ref));
    CHECK(eventually([&] { return s.count_children().active == 0; }));
    CHECK_FALSE((ran && !may_run));
    stop(s.id());
  }
}

TEST_CASE("SV-135 streams with their tasks under the supervisor") {
  under_supervisor([](const task_supervisor& s) {
    int sum = 0;
    std::atomic<int> seen{0};
    for (auto& r : s.async_stream(std::views::iota(1, 21), [&](int n) {
           seen = std::max<int>(seen, static_cast<int>(process_info(self())->links.size()));
           return n;
         }, {.max_concurrency = 3}))
      sum += r.value();
    CHECK(sum == 210);
    int failed = 0;
    for (auto& r : s.async_stream_nolink(std::vector<int>{1, 2, 3}, [](int n) {
           if (n == 2) throw std::runtime_error("two");
           return n;
         }, {.zip_input_on_exit = true}))
      if (!r) {
        ++failed;
        CHECK(r.error().element() == 2);
      }
    CHECK(failed == 1);
    for (auto& r : s.async_stream(std::views::iota(0), [](int n) {
           if (n != 0) wait_for_ever();
           return n;
         }, {.max_concurrency = 4, .timeout = infinity})) {
      CHECK(r.value() == 0);
      break;
    }
    CHECK(eventually([&] { return s.children().empty(); }));
    CHECK(nothing_left());
  });
}

TEST_CASE("SV-136 children and terminate_child") {
  under_supervisor([](const task_supervisor& s) {
    CHECK(s.children().empty());
    auto t = s.async_nolink([] { wait_for_ever(); });
    const pid other = s.start_child([] { wait_for_ever(); });
    CHECK(s.children().size() == 2);
    s.terminate_child(t.id());
    CHECK(t.yield(infinity)->error().reason().is(exit_reason::shutdown));
    CHECK(s.children() == std::vector<pid>{other});
    CHECK(s.try_terminate_child(self()).error().is(supervisor_error::not_found));
  });
}

TEST_CASE("SV-137 stopping the supervisor stops the tasks; who awaits them sees shutdown") {
  own_world w;
  const task_supervisor s = start_task_supervisor();
  const pid tester = self();
  const monitored linked = spawn_monitor([&] {
    auto t = s.async([] { wait_for_ever(); });
    send(tester, go{});
    t.await(infinity);
  });
  const monitored free = spawn_monitor([&] {
    auto t = s.async_nolink([] { wait_for_ever(); });
    send(tester, go{});
    const auto r = t.yield(infinity);
    exit(r->error().reason().is(exit_reason::shutdown) ? exit_reason("saw shutdown") : exit_reason("saw something else"));
  });
  wait_for_go();
  wait_for_go();
  stop(s.id());
  CHECK(reason_of_end(linked.who, linked.ref).is(exit_reason::shutdown));
  CHECK(reason_of_end(free.who, free.ref) == exit_reason("saw shutdown"));
}
