// SPDX-License-Identifier: Apache-2.0
//
// Result places: a task's end, its owner's wait, a time limit and the owner's loss of interest want the same place; lists of
// them; and whole tasks whose owner, or who themselves, are killed meanwhile.
#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/task_group.hpp>
#include <coppice/otp/task_supervisor.hpp>
#include <coppice/process/process_info.hpp>

#include "process/result_place.hpp"
#include "sim/runtime/world.hpp"

#include <algorithm>
#include <array>
#include <ranges>
#include <vector>

namespace {

using namespace coppice;
using namespace coppice::testing;
using detail::result_place;

/// A value whose end is counted.
struct counted_value {
  counted_value(sync::atomic<int>& e, int n) : ends(&e), number(n) {}
  counted_value(counted_value&& other) noexcept : ends(std::exchange(other.ends, nullptr)), number(other.number.get()) {}
  ~counted_value() {
    if (ends != nullptr) ends->fetch_add(1, sync::relaxed);
  }
  sync::atomic<int>* ends;
  sync::var<int> number;
};

/// A place of the scenario's own thread, whose task is played by another thread.
result_place* open_place() { return detail::new_place(detail::result_type_of<counted_value>, false); }
void play_task(result_place& p, sync::atomic<int>& ends, int value) {
  ::new (detail::value_in(p)) counted_value(ends, value);
  detail::mark_value(p);
  internal::complete_place(p, exit_reason::normal);
}
int number_in(result_place& p) { return static_cast<counted_value*>(detail::value_in(p))->number; }

// A wait that may be too short, then one that is not; the next place is the same block again.
void end_against_wait() {
  world w;
  start_line line(3);
  sync::atomic<int> ends{0, "values' ends"};
  std::array<result_place*, 2> places{};
  signpost opened[2];
  const auto task_of = [&](std::size_t i) {
    return [&, i] {
      w.enter();
      line.pass();
      opened[i].wait();
      play_task(*places[i], ends, static_cast<int>(i));
    };
  };
  runs one(task_of(0)), two(task_of(1));
  detail::here();
  line.pass();
  for (std::size_t i = 0; i != 2; ++i) {
    places[i] = open_place();
    opened[i].set();
    if (!detail::await_place(places[i], duration(100 * sim::random(8)))) sim::check(detail::await_place(places[i], infinity), "no result");
    sim::check(number_in(*places[i]) == static_cast<int>(i), "another task's value");
    detail::drop_place(places[i]);
  }
  one.join();
  two.join();
  sim::check(ends.load(sync::relaxed) == 2, "a value was lost, or destroyed twice");
}

// The owner gives up while the task ends, several times.
void end_against_loss() {
  constexpr std::size_t rounds = 6;
  world w;
  start_line line(2);
  sync::atomic<int> ends{0, "values' ends"};
  std::array<result_place*, rounds> places{};
  sync::atomic<int> opened{0, "opened"};
  runs task([&] {
    w.enter();
    line.pass();
    for (std::size_t i = 0; i != rounds; ++i) {
      while (opened.load(sync::acquire) <= static_cast<int>(i)) sync::relax();
      play_task(*places[i], ends, 1);
    }
  });
  detail::here();
  line.pass();
  for (result_place*& p : places) {
    p = open_place();
    result_place* mine = p;
    opened.fetch_add(1, sync::release);
    if (sim::random(2) == 0) static_cast<void>(detail::await_place(mine, duration(100 * sim::random(3))));
    detail::drop_place(mine);
  }
  task.join();
  sim::check(ends.load(sync::relaxed) == rounds, "a value was lost, or destroyed twice");
}

// Many at once, with limits of number and time, until all have come.
void many_against_ends() {
  world w;
  start_line line(3);
  sync::atomic<int> ends{0, "values' ends"};
  std::array<result_place*, 4> places{};
  for (auto& p : places) p = open_place();
  const auto tasks_of = [&](std::size_t first) {
    return [&, first, a = places[first], b = places[first + 1]] {
      w.enter();
      line.pass();
      play_task(*a, ends, static_cast<int>(first));
      play_task(*b, ends, static_cast<int>(first) + 1);
    };
  };
  runs one(tasks_of(0)), two(tasks_of(2));
  detail::here();
  line.pass();
  for (std::size_t limit = 1; limit <= places.size(); ++limit) {
    const duration time = sim::random(3) == 0 ? duration(100 * sim::random(4)) : infinity;
    static_cast<void>(detail::await_places(places, time, limit, detail::many_mode::results));
  }
  if (sim::random(2) == 0) static_cast<void>(detail::await_place(places[sim::random(4)], duration(100 * sim::random(4))));
  sim::check(detail::await_places(places, infinity, places.size(), detail::many_mode::values).in_time, "no time limit, and it passed");
  for (std::size_t i = 0; i != places.size(); ++i) {
    sim::check(number_in(*places[i]) == static_cast<int>(i), "another task's value");
    detail::drop_place(places[i]);
  }
  one.join();
  two.join();
  sim::check(ends.load(sync::relaxed) == 4, "a value was lost, or destroyed twice");
}

// --- whole tasks -----------------------------------------------------------------------------------------------------

struct never {};

// An owner with linked tasks is killed at any moment: nobody is left (the world checks), no value is lost.
void owner_killed() {
  world w;
  start_line line(2);
  sync::atomic<int> made{0, "values made"}, ends{0, "values' ends"};
  const auto value = [&] {
    made.fetch_add(1, sync::relaxed);
    return counted_value(ends, 3);
  };
  const pid owner = spawn([&] {
    auto quick = async(value);
    auto lasting = async([] { receive<never>(); });
    auto dropped = async(value);
    { auto gone = std::move(dropped); }
    sim::check(quick.await(infinity).number == 3, "another task's value");
    lasting.await(infinity);
  });
  const reference ended = monitor(owner);
  runs killer([&] {
    w.enter();
    line.pass();
    exit(owner, exit_reason::kill);
  }, "killer");
  line.pass();
  await_end(ended);
  killer.join();
  for (const pid p : processes()) await_end(p);
  sim::check(made.load(sync::relaxed) == ends.load(sync::relaxed), "a value was lost, or destroyed twice");
}

// An owner that traps exits awaits tasks that fail, are killed, or time out: it learns by the handle, never by its mailbox.
void task_dies() {
  world w;
  start_line line(2);
  const reference ended = monitor(spawn([&] {
    trap_exit(true);
    auto killed = async([] { receive<never>(); });
    runs killer([&, who = killed.id()] {
      w.enter();
      line.pass();
      exit(who, exit_reason::kill);
    }, "killer");
    line.pass();
    auto failing = async([] { exit(exit_reason("mine")); });
    auto r = killed.yield(duration(100 * sim::random(4)));
    if (!r) r = killed.shutdown();
    if (r) sim::check(r->error().reason().is(exit_reason::killed), "another task's reason");
    sim::check(failing.yield(infinity)->error().reason() == exit_reason("mine"), "another task's reason");
    killer.join();
    sim::check(flush() == 0, "something of a task is in the mailbox");
  }));
  await_end(ended);
}

// A group's owner is killed while its tasks run and end: its scope is left only when they have.
void group_killed() {
  world w;
  start_line line(2);
  sync::var<int> running{0};                     // not atomic: the end of each task is before the end of the scope
  const pid owner = spawn([&] {
    struct scope {
      sync::var<int>& running;
      ~scope() { sim::check(running == 0, "a task outlives its scope"); }
    } outer{running};
    task_group group;
    static_cast<void>(group.async([&] {
      running = running + 1;
      struct left {
        sync::var<int>& running;
        ~left() { running = running - 1; }
      } mark{running};
      receive<never>();
    }));
    static_cast<void>(group.async([] { return 1; }));
    group.await_all();
  });
  const reference ended = monitor(owner);
  runs killer([&] {
    w.enter();
    line.pass();
    exit(owner, exit_reason::kill);
  }, "killer");
  line.pass();
  await_end(ended);
  killer.join();
  for (const pid p : processes()) await_end(p);
}

// A stream of four, read to its end or not, ordered or not, with elements that take too long or are killed, on two workers.
void stream_read() {
  world w({.workers = 2});
  const bool ordered = sim::random(2) == 0;
  const unsigned enough = 1 + sim::random(5);
  const duration time = sim::random(3) == 0 ? duration(500 * sim::random(4)) : infinity;
  const reference ended = monitor(spawn([&] {
    sync::atomic<int> runs_now{0, "running"};
    unsigned got = 0;
    for (auto& r : async_stream(std::views::iota(0, 4), [&](int n) {
           runs_now.fetch_add(1, sync::relaxed);
           struct left {
             sync::atomic<int>& count;
             ~left() { count.fetch_sub(1, sync::relaxed); }
           } mark{runs_now};
           if (n == 2 && time != infinity) receive<never>();
           return n;
         }, {.max_concurrency = 2, .ordered = ordered, .timeout = time, .on_timeout = stream_options::kill_task})) {
      if (r) sim::check(!ordered || *r == static_cast<int>(got), "out of order");
      else sim::check(time != infinity && r.error().reason().is(exit_reason::timeout), "a failure that nobody caused");
      if (++got == enough) break;
    }
    sim::check(got == (enough > 4 ? 4 : enough), "a result is missing");
    sim::check(runs_now.load(sync::relaxed) == 0, "a task outlives its stream");
    sim::check(flush() == 0, "something of a task is in the mailbox");
  }));
  await_end(ended);
}

// The reader is killed at any moment.
void stream_killed() {
  world w;
  start_line line(2);
  sync::var<int> running{0};
  const pid reader = spawn([&] {
    struct scope {
      sync::var<int>& running;
      ~scope() { sim::check(running == 0, "a task outlives its stream"); }
    } outer{running};
    for (auto& r : async_stream(std::views::iota(0, 3), [&](int n) {
           running = running + 1;
           struct left {
             sync::var<int>& running;
             ~left() { running = running - 1; }
           } mark{running};
           if (n == 1) receive<never>();
         }, {.max_concurrency = 1, .timeout = infinity}))
      r.value();
  });
  const reference ended = monitor(reader);
  runs killer([&] {
    w.enter();
    line.pass();
    exit(reader, exit_reason::kill);
  }, "killer");
  line.pass();
  await_end(ended);
  killer.join();
  for (const pid p : processes()) await_end(p);
}

/// Linked tasks fail, on another worker, while their owner starts more: it does not trap exits, ends by that and sees nothing.
void linked_fails() {
  world w({.workers = 2});
  bool seen = false;
  const auto owner = spawn_monitor([&] {
    std::vector<task<void>> tasks;
    const auto has_left = [](const task<void>& t) {            // looks past `alive`, which takes in what has come
      const slot& s = *t.id().where();
      return s.serial.load(sync::acquire) == 0 && s.word.load(sync::acquire) == 0;
    };
    const auto one_has_ended = [&] { return std::ranges::any_of(tasks, has_left); };
    for (int i = 0; i != 5; ++i) {
      tasks.push_back(async([] { exit(exit_reason("broken")); }));
      for (int turn = 0; turn != 50 && !one_has_ended(); ++turn) sync::relax();
    }
    for (auto& t : tasks) seen = seen || t.yield(infinity).has_value();
  });
  sim::check(await_down(owner.ref).text() == "broken", "the failure of a linked task did not end its owner");
  sim::check(!seen, "an owner that ends by a failure saw it");
  for (const pid p : processes()) await_end(p);
}

/// Tasks that a supervisor starts wait until their owner knows them.
void permitted() {
  world w({.workers = 2});
  const task_supervisor s = start_task_supervisor();
  const auto owner = spawn_monitor([&] {
    std::vector<task<int>> tasks;
    for (int i = 0; i != 3; ++i) {
      tasks.push_back(s.async([i] { return 2 * i; }));
      tasks.push_back(s.async_nolink([i] { return 2 * i + 1; }));
    }
    for (int i = 0; i != 6; ++i) sim::check(tasks[static_cast<std::size_t>(i)].await(infinity) == i, "another result");
  });
  sim::check(await_down(owner.ref).is(exit_reason::normal), "an owner failed");
  stop(s.id());
}

const sim::scenario scenarios[] = {{"result_linked_fails", &linked_fails, whole_program()},
                                   {"result_permitted", &permitted, whole_program()},
                                   {"result_end_against_wait", &end_against_wait, whole_program()},
                                   {"result_end_against_loss", &end_against_loss, whole_program()},
                                   {"result_many_against_ends", &many_against_ends, whole_program()},
                                   {"result_owner_killed", &owner_killed, whole_program()},
                                   {"result_task_dies", &task_dies, whole_program()},
                                   {"result_group_killed", &group_killed, whole_program()},
                                   {"result_stream_read", &stream_read, whole_program()},
                                   {"result_stream_killed", &stream_killed, whole_program()}};

}  // namespace
