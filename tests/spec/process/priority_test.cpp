// SPDX-License-Identifier: Apache-2.0
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include "process/slot.hpp"
#include "support/one_worker.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// Who ran, in the order in which they did.
class journal {
 public:
  void add(std::string who) {
    std::lock_guard held(lock_);
    lines_.push_back(std::move(who));
  }
  std::vector<std::string> lines() const {
    std::lock_guard held(lock_);
    return lines_;
  }

 private:
  mutable std::mutex lock_;
  std::vector<std::string> lines_;
};

struct text { std::string what; };

std::string in_words(const std::vector<int>& numbers) {
  std::string out;
  for (const int n : numbers) out += std::to_string(n) + " ";
  return out;
}

}  // namespace

TEST_CASE("PR-4 PR-86 a process of high priority runs before normal ones that were there first, one of low priority after them") {
  constexpr std::size_t each = 40;
  const one_worker w;
  journal ran;
  const pid starter = spawn([&] {
    const auto one = [&](std::string name, priority level) {
      spawn([&ran, name] { ran.add(name); }, {.priority = level});
    };
    for (std::size_t i = 0; i < each; ++i) one("low", priority::low);
    for (std::size_t i = 0; i < each; ++i) one("normal", priority::normal);
    for (std::size_t i = 0; i < each; ++i) one("high", priority::high);
  });
  await_end(starter);
  REQUIRE(eventually([&] { return ran.lines().size() == 3 * each; }));
  // Not one by one: each of the lower ones gets a turn now and then. But on the whole.
  const auto mean_place = [lines = ran.lines()](std::string_view who) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) sum += lines[i] == who ? i : 0;
    return sum / each;
  };
  CHECK(mean_place("high") + each / 2 < mean_place("normal"));
  CHECK(mean_place("normal") + each / 4 < mean_place("low"));
}

TEST_CASE("PR-4 neither low nor normal priority starves: high ones that never wait leave them turns") {
  std::atomic<bool> on{true};
  std::atomic<int> normal{0}, low{0};
  world w({.workers = 1});
  for (int i = 0; i < 3; ++i) spawn([&] { while (on) yield(); }, {.priority = priority::high});
  spawn([&] { while (on) ++normal, yield(); });
  spawn([&] { while (on) ++low, yield(); }, {.priority = priority::low});
  CHECK(eventually([&] { return normal > 20 && low > 2; }));
  on = false;
}

TEST_CASE("PR-85 PR-86 set_priority returns the previous one; process_info tells it; it holds from the next turn on") {
  world w;
  std::atomic<int> before{-1};
  const pid p = spawn([&] {
    before = static_cast<int>(set_priority(priority::high));
    wait_for_go();
  });
  REQUIRE(eventually([&] { return before.load() >= 0; }));
  CHECK(before == static_cast<int>(priority::normal));
  CHECK(process_info(p)->priority == priority::high);
  send(p, go{});
  await_end(p);
  CHECK_THROWS_AS(set_priority(priority::low), exit_error);
  const pid low = spawn(wait_for_go, {.priority = priority::low});
  CHECK(process_info(low)->priority == priority::low);
}

TEST_CASE("PR-86 the work counter grows with what a process does, and not while it waits") {
  world w;
  const pid p = spawn([] {
    for (;;) {
      wait_for_go();
      for (int i = 0; i < 1'000; ++i) send(self(), 1);
      for (int i = 0; i < 1'000; ++i) receive<int>();
      send(receive<pid>(), ready{});
    }
  });
  CHECK(process_info(p)->work == 0);
  send(p, go{});
  send(p, self());
  receive<ready>();
  REQUIRE(eventually([&] { return process_info(p)->status == process_status::waiting; }));
  const std::uint64_t after_one = process_info(p)->work;
  CHECK(after_one >= 1'000);
  CHECK(process_info(p)->work == after_one);
}

// --- bounded mailboxes -----------------------------------------------------------------------------------------------

namespace {

std::vector<int> all_numbers() {
  std::vector<int> out;
  while (receive([&](int n) { out.push_back(n); }, after(duration{0}, [] {}))) {}
  return out;
}

struct numbers { std::vector<int> what; };

void tell_numbers_when_told() {
  wait_for_go();
  const std::vector<int> got = all_numbers();
  send(receive<pid>(), numbers{got});
}

}  // namespace

TEST_CASE("PR-56 drop_newest: what is too many vanishes, the sender is not told") {
  world w;
  const pid p = spawn(tell_numbers_when_told, {.mailbox_bound = 5, .when_full = when_full::drop_newest});
  for (int i = 0; i < 5; ++i) send(p, i);
  for (int i = 5; i < 20; ++i) CHECK(detail::send_core(p, detail::construct_in(detail::new_node(descriptor_of<int>()), int(i))) == detail::sent::yes);
  CHECK(process_info(p)->queue_length == 5);
  exit(p, exit_reason::kill);
}

TEST_CASE("PR-56 drop_oldest: the newest are kept, in order, also by a process that waits for something else") {
  world w;
  std::atomic<int> destroyed{0};
  struct counts {
    std::atomic<int>* n;
    int value;
    counts(std::atomic<int>& c, int v) : n(&c), value(v) {}
    counts(counts&& o) noexcept : n(std::exchange(o.n, nullptr)), value(o.value) {}
    ~counts() {
      if (n != nullptr) ++*n;
    }
  };
  std::vector<int> got;
  const pid p = spawn([&] {
    while (!receive(when([](const counts& c) { return c.value == 99; }, [&](counts c) { got.push_back(c.value); }))) {}
    while (receive([&](counts c) { got.push_back(c.value); }, after(duration{0}, [] {}))) {}
  }, {.mailbox_bound = 3, .when_full = when_full::drop_oldest});
  for (int i = 0; i < 50; ++i) {
    send(p, counts{destroyed, i});
    REQUIRE(eventually([&] { return process_info(p)->queue_length == std::min<std::size_t>(std::size_t(i) + 1, 3); }));
  }
  CHECK(destroyed == 47);
  send(p, counts{destroyed, 99});
  await_end(p);
  CHECK(in_words(got) == "99 48 49 ");
  CHECK(destroyed == 51);
}

TEST_CASE("PR-56 drop_oldest: while the process computes at most as many again wait; then it has the newest of what was taken") {
  world w;
  std::atomic<bool> computing{false}, go_on{false};
  std::vector<int> got;
  const pid p = spawn([&] {
    computing = true;
    while (!go_on) std::this_thread::yield();
    got = all_numbers();
  }, {.mailbox_bound = 4, .when_full = when_full::drop_oldest});
  REQUIRE(eventually([&] { return computing.load(); }));
  for (int i = 0; i < 100; ++i) send(p, i);
  CHECK(p.where()->counted.load(detail::sync::relaxed) == 8);
  go_on = true;
  await_end(p);
  CHECK(in_words(got) == "4 5 6 7 ");
}

TEST_CASE("PR-56 end_receiver: the process that cannot keep up ends with killed") {
  world w;
  const monitored m = spawn_monitor(wait_for_go, {.mailbox_bound = 3, .when_full = when_full::end_receiver});
  for (int i = 0; i < 3; ++i) send(m.who, i);
  CHECK(alive(m.who));
  send(m.who, 3);
  CHECK(reason_of(m.ref) == exit_reason::killed);
}

// --- the priority lane -----------------------------------------------------------------------------------------------

TEST_CASE("PR-60 in an open priority lane EXIT, DOWN and messages through a priority alias go first, in their own order") {
  world w;
  std::vector<std::string> order;
  const pid p = spawn([&] {
    trap_exit(true);
    CHECK_FALSE(priority_lane(true));
    const alias_ref urgent = priority_alias();
    const alias_ref plain = alias();
    for (int i = 0; i < 3; ++i) send(self(), i);
    send(plain, 3);
    send(urgent, text{"one"});
    const pid child = spawn_link(idle);
    const reference ref = monitor(child);
    exit(child, exit_reason::shutdown);
    static_cast<void>(alive(child));
    while (process_info(self())->queue_length < 7) yield();      // 3 + 1 + one + EXIT + DOWN
    send(urgent, text{"two"});
    static_cast<void>(ref);
    while (receive([&](message& m) { order.push_back(std::string(m.name())); }, after(duration{0}, [] {}))) {}
    CHECK(priority_lane(false));
    send(self(), 7);
    send(urgent, text{"three"});
    while (receive([&](message& m) { order.push_back(std::string(m.name())); }, after(duration{0}, [] {}))) {}
  });
  await_end(p);
  REQUIRE(order.size() == 10);
  CHECK(order[0] == "text");
  const bool exit_first = order[1] == "exit_signal";
  CHECK(order[exit_first ? 2 : 1] == "down");
  CHECK(order[exit_first ? 1 : 2] == "exit_signal");
  CHECK(order[3] == "text");
  for (int i = 4; i < 9; ++i) CHECK(order[static_cast<std::size_t>(i)] == "int");
  CHECK(order[9] == "text");                     // the lane was closed
}

TEST_CASE("PR-60 without an open lane nothing is overtaken; a receive that has looked at everything sees what overtakes") {
  world w;
  std::vector<int> order;
  const pid p = spawn([&] {
    const alias_ref urgent = priority_alias();
    send(self(), 1);
    send(urgent, 2);
    for (int i = 0; i < 2; ++i) receive([&](int n) { order.push_back(n); });
    priority_lane(true);
    for (int i = 0; i < 10; ++i) send(self(), text{"unwanted"});
    send_after(std::chrono::milliseconds(1), self(), go{});
    receive<go>();                               // all ten are looked at now and then while it waits
    send(urgent, 3);
    receive([&](int n) { order.push_back(n); });
  });
  await_end(p);
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("PR-60 a receive that waits finds an urgent message in front of what it has looked at") {
  world w;
  alias_ref urgent;
  std::atomic<bool> has_alias{false};
  std::atomic<int> got{0};
  const pid p = spawn([&] {
    priority_lane(true);
    urgent = priority_alias();
    for (int i = 0; i < 10; ++i) send(self(), text{"unwanted"});
    has_alias = true;
    receive([&](int n) { got = n; });
  });
  REQUIRE(eventually([&] { return has_alias.load() && process_info(p)->status == process_status::waiting; }));
  send(urgent, 5);
  await_end(p);
  CHECK(got == 5);
}
