// SPDX-License-Identifier: Apache-2.0
//
// Timers of processes: PR-80 to PR-84, OL-76 to OL-80.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include "support/one_worker.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>

using namespace coppice;
using namespace coppice::testing;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

struct tick { int n; };

}  // namespace

TEST_CASE("PR-80 OL-76 OL-77 send_after delivers not earlier than asked; 0 is allowed; from processes and threads") {
  world w;
  const auto check = [] {
    for (const duration wait : {duration{0}, duration{1us}, duration{3ms}, duration{20ms}, duration{-1ms}}) {
      const auto begin = clock_type::now();
      send_after(wait, self(), tick{1});
      receive<tick>();
      CHECK(clock_type::now() - begin >= wait);
    }
  };
  check();
  in_process(check);
}

TEST_CASE("PR-80 start_timer delivers the timer's own reference with the payload, so that stale ones can be told apart") {
  world w;
  in_process([] {
    const reference first = start_timer(duration{1ms}, self(), tick{1});
    const reference second = start_timer(duration{2ms}, self(), tick{2});
    CHECK(first != second);
    for (int i = 0; i < 2; ++i) {
      const auto t = receive<timed_out<tick>>();
      CHECK(t.ref == (t.payload.n == 1 ? first : second));
    }
  });
}

TEST_CASE("PR-80 timers fire in the order of their deadlines") {
  const one_worker w;
  in_process([] {
    for (bool at_once = false; !at_once;) {          // else their deadlines may have another order: once more
      const auto begin = clock_type::now();
      for (const int n : {5, 1, 4, 2, 3}) send_after(n * duration{10ms}, self(), tick{n});
      at_once = clock_type::now() - begin < 5ms;
      for (int n = 1; n <= 5; ++n) {
        const int fired = receive<tick>().n;
        if (at_once) CHECK(fired == n);
      }
    }
  });
}

TEST_CASE("PR-81 OL-80 cancel_timer returns what was left, then the message never arrives; a second time nothing") {
  world w;
  const auto check = [] {
    int destroyed = 0;
    const reference t = send_after(duration{1h}, self(), counted(destroyed));
    const auto peek = read_timer(t);
    CHECK(peek.has_value());
    const auto left = cancel_timer(t);
    CHECK(left.has_value());
    CHECK(*left <= duration{1h});
    CHECK(*left > duration{59min});
    CHECK(*left <= *peek);
    CHECK(destroyed == 1);
    CHECK_FALSE(cancel_timer(t).has_value());
    CHECK_FALSE(read_timer(t).has_value());
    CHECK_FALSE(cancel_timer(reference::make()).has_value());
    CHECK_FALSE(cancel_timer(reference{}).has_value());
    CHECK_FALSE(receive<counted>(duration{0}).has_value());
  };
  check();
  in_process(check);
}

TEST_CASE("PR-81 stop_timer says only whether: then the message never arrives; a second time, and after it has fired, no") {
  world w;
  const auto check = [] {
    int destroyed = 0;
    const reference t = send_after(duration{1h}, self(), counted(destroyed));
    CHECK(stop_timer(t));
    CHECK(destroyed == 1);
    CHECK_FALSE(stop_timer(t));
    CHECK_FALSE(cancel_timer(t).has_value());
    CHECK_FALSE(stop_timer(reference::make()));
    CHECK_FALSE(stop_timer(reference{}));
    const reference fired = send_after(duration{0}, self(), tick{1});
    CHECK(receive<tick>().n == 1);
    CHECK_FALSE(stop_timer(fired));
    CHECK_FALSE(receive<counted>(duration{0}).has_value());
  };
  check();
  in_process(check);
}

TEST_CASE("PR-81 OL-76 cancel after firing is safe and returns nothing; the message may be in the mailbox") {
  world w;
  in_process([] {
    const reference t = send_after(duration{0}, self(), tick{1});
    while (process_info(self())->queue_length == 0) yield();
    CHECK_FALSE(cancel_timer(t).has_value());
    CHECK(receive<tick>(duration{0}).has_value());
  });
}

TEST_CASE("PR-81 of cancel and fire exactly one happens: what was returned as left does not arrive, what was not does") {
  world w;
  const auto check = [] {
    for (int i = 0; i < rounds(300, 30'000); ++i) {
      const reference t = send_after(duration{1us} * (i % 60), self(), tick{i});
      if (i % 2 != 0) yield();
      if (i % 3 == 0 ? stop_timer(t) : cancel_timer(t).has_value()) continue;
      CHECK(receive<tick>().n == i);               // it is there, or on its way
    }
    CHECK_FALSE(receive<tick>(duration{2ms}).has_value());
  };
  in_process(check);
  check();
}

TEST_CASE("PR-82 OL-78 a destination by name is looked up when the timer fires; unknown then: dropped, later timers live on") {
  int destroyed = 0;                                 // it is not read any more when it fires
  world w;
  send_after(duration{1ms}, "nobody", tick{1});
  monitored m;
  for (duration wait = 5ms;; wait *= 4) {            // until there is somebody before it fires
    const reference t = send_after(wait, "somebody", tick{2});
    m = spawn_monitor([test = self()] { send(test, receive<tick>()); }, {.name = "somebody"});
    if (read_timer(t).has_value()) break;
    exit(m.who, exit_reason::kill);
    static_cast<void>(reason_of(m.ref));
    flush();
  }
  CHECK(receive<tick>().n == 2);
  CHECK(reason_of(m.ref) == exit_reason::normal);
  const reference dropped = send_after(duration{1ms}, "nobody", counted(destroyed));
  CHECK(eventually([&] { return !read_timer(dropped).has_value(); }));
  send_after(duration{1ms}, self(), tick{3});
  CHECK(receive<tick>().n == 3);
}

TEST_CASE("PR-82 PR-15 a timer to a pid that ends is discarded with its message") {
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
  const pid p = spawn(idle);
  std::vector<reference> timers;
  for (int i = 0; i < 100; ++i) timers.push_back(send_after(duration{1h}, p, parcel(destroyed)));
  exit(p, exit_reason::kill);
  await_end(p);
  CHECK(destroyed == 100);
  for (const reference t : timers) {
    CHECK_FALSE(read_timer(t).has_value());
    CHECK_FALSE(cancel_timer(t).has_value());
  }
  // To one that is dead already: nothing stays either.
  const reference t = send_after(duration{1h}, p, parcel(destroyed));
  CHECK(destroyed == 101);
  CHECK_FALSE(cancel_timer(t).has_value());
}

TEST_CASE("PR-82 many armed timers leave no memory behind, cancelled or dropped with their receiver") {
  world w;
  const int many = rounds(20'000, 1'000'000);
  const auto round = [&](bool cancel) {
    const pid p = spawn(idle);
    std::vector<reference> all;
    all.reserve(static_cast<std::size_t>(many));
    for (int i = 0; i < many; ++i) all.push_back(send_after(duration{1h} + duration{1us} * i, p, tick{i}));
    if (cancel)
      for (const reference t : all) CHECK(cancel_timer(t).has_value());
    exit(p, exit_reason::kill);
    await_end(p);
    for (const reference t : all) CHECK_FALSE(cancel_timer(t).has_value());
  };
  round(true);
  round(false);
  const std::size_t before = w.r.statistics().reserved_bytes;
  round(true);
  round(false);
  CHECK(w.r.statistics().reserved_bytes <= before + 256 * 1024);
}

TEST_CASE("PR-80 starting a timer for a process that is busy does not wait for it") {
  world w;
  std::atomic<bool> running{false}, on{true};
  const monitored m = spawn_monitor([&] {
    running = true;
    while (on) {}
    CHECK(receive<tick>().n == 1);
  });
  CHECK(eventually([&] { return running.load(); }));
  send_after(duration{0}, m.who, tick{1});
  const reference t = send_after(duration{1h}, m.who, tick{2});
  CHECK(cancel_timer(t).has_value());
  on = false;
  CHECK(reason_of(m.ref) == exit_reason::normal);
}

TEST_CASE("PR-83 absolute deadlines on the monotonic clock: what is left shrinks by what the clock says") {
  world w;
  const auto deadline = clock_type::now() + 1h;
  const reference t = send_after(deadline - clock_type::now(), self(), tick{1});
  const auto left = read_timer(t);
  const auto after = clock_type::now();
  REQUIRE(left.has_value());
  CHECK(after + *left >= deadline - 1ms);
  CHECK(cancel_timer(t).has_value());
}

TEST_CASE("PR-84 OL-79 an interval timer keeps its cadence relative to its start, whatever the handling takes") {
  const one_worker w;                                   // else a shot may be under way while it is cancelled
  in_process([] {
    constexpr duration period = 2ms;
    const auto begin = clock_type::now();
    const reference t = send_every(period, self(), tick{0});
    for (int n = 1; n <= 10; ++n) {
      receive<tick>();
      CHECK(clock_type::now() - begin >= n * period);   // never early; drift would show in the count below
      if (n == 3) sleep_for(5 * period);                // five are due meanwhile, and none is lost
    }
    CHECK(cancel_timer(t).has_value());
    CHECK_FALSE(cancel_timer(t).has_value());
    flush();
    CHECK_FALSE(receive<tick>(3 * period).has_value());
  });
}

TEST_CASE("PR-84 OL-76 an interval of nothing is one of the wheel's ticks, and one of infinity never ends") {
  const one_worker w;                                      // else a shot may be under way while it is cancelled
  std::atomic<bool> over = false;
  const monitored busy_one = spawn_monitor([&] {           // a worker with something to do looks at the wheel at every turn
    while (!over) yield();
  });
  in_process([] {
    const auto begin = clock_type::now();
    const reference busy = send_every(0ms, self(), tick{0});
    for (int n = 0; n < 50; ++n) receive<tick>();
    CHECK(clock_type::now() - begin >= 49 * std::chrono::nanoseconds(1 << 17));
    CHECK(cancel_timer(busy).has_value());
    flush();
    const reference idle = send_every(infinity, self(), tick{1});
    CHECK_FALSE(receive<tick>(20ms).has_value());
    CHECK(cancel_timer(idle).has_value());
  });
  over = true;
  static_cast<void>(reason_of(busy_one.ref));
}

namespace {

/// Its third copy throws: the first is the timer's, the second its first shot.
struct brittle {
  brittle() = default;
  brittle(const brittle&) {
    if (++copies == 3) throw std::runtime_error("on purpose");
  }
  brittle(brittle&&) noexcept {}
  static inline std::atomic<int> copies = 0;
};

}  // namespace

TEST_CASE("PR-84 a message whose copy throws is left out by an interval timer, and what follows comes") {
  const one_worker w;                                   // else a shot may be under way while it is cancelled
  in_process([] {
    const reference t = send_every(1ms, self(), brittle());
    for (int n = 0; n < 3; ++n) receive<brittle>();
    CHECK(brittle::copies >= 5);
    CHECK(cancel_timer(t).has_value());
  });
}

TEST_CASE("PR-84 OL-79 an interval timer ends with its receiver") {
  world w;
  const pid p = spawn([] {
    for (int i = 0; i < 3; ++i) receive<tick>();
  });
  const reference end = monitor(p);
  const reference t = send_every(duration{1ms}, p, tick{0});
  CHECK(reason_of(end) == exit_reason::normal);
  CHECK(eventually([&] { return !read_timer(t).has_value(); }));
  CHECK_FALSE(cancel_timer(t).has_value());
}

TEST_CASE("PR-82 timers of a runtime that has stopped are gone with it, and cancelling them later is safe") {
  flush();
  int destroyed = 0;
  reference by_name, to_thread, every;
  {
    world w;
    by_name = send_after(duration{1h}, "nobody", counted(destroyed));
    to_thread = send_after(duration{1h}, self(), counted(destroyed));
    every = send_every(duration{1h}, self(), tick{0});
  }
  CHECK(destroyed == 2);
  for (const reference t : {by_name, to_thread, every}) {
    CHECK_FALSE(cancel_timer(t).has_value());
    CHECK_FALSE(read_timer(t).has_value());
  }
}
