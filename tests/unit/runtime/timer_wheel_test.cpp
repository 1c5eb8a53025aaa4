// SPDX-License-Identifier: Apache-2.0
//
// timer_wheel: never early, in order, cancelled ones never; compared with a multimap, and raced.
#include "runtime/timer_wheel.hpp"

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace coppice::internal;

constexpr std::int64_t tick = std::int64_t{1} << timer_wheel::tick_shift;
constexpr std::int64_t second = 1'000'000'000;

std::int64_t clock_now = 0;
std::int64_t manual_clock() noexcept { return clock_now; }

// Counts its firings and remembers when and in which order.
struct probe : timer_node {
  static inline int order = 0;

  probe() : timer_node([](timer_node& node) noexcept { static_cast<probe&>(node).fired(); }) {}
  void fired() noexcept {
    ++count;
    at = clock_now;
    place = ++order;
  }
  int count = 0;
  std::int64_t at = -1;
  int place = 0;
};

struct fixture {
  fixture() {
    clock_now = 1000 * second + 12345;
    probe::order = 0;
    wheel = std::make_unique<timer_wheel>(&manual_clock);
  }
  std::size_t go_to(std::int64_t time) {
    clock_now = time;
    std::size_t fired = 0;
    for (bool done = false; !done;) {
      due_timers due;
      done = wheel->advance(clock_now, due);
      fired += due.fire_all();
    }
    return fired;
  }
  std::size_t go(std::int64_t duration) { return go_to(clock_now + duration); }

  std::unique_ptr<timer_wheel> wheel;
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "PR-80 a timer fires not earlier than asked and at most one tick later") {
  for (std::int64_t duration : {std::int64_t{1}, tick - 1, tick, tick + 1, 63 * tick, 64 * tick, 65 * tick, 4096 * tick,
                                second, 3600 * second, 1'000'000 * second}) {
    CAPTURE(duration);
    probe p;
    wheel->start(p, duration);
    CHECK(go(0) == 0);
    const std::int64_t due = clock_now + duration;
    CHECK(go_to(due - 1) == 0);
    CHECK(go_to(due + tick) == 1);
    CHECK(p.count == 1);
    CHECK(go(10 * second) == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "a timer counts from the first look at the clock after its start, however late that is") {
  probe p;
  wheel->start(p, second);
  clock_now += 5 * second;  // nobody advanced the wheel: nobody has read the clock for this timer
  CHECK(go(0) == 0);
  CHECK(go(second - 1) == 0);
  CHECK(go(1 + tick) == 1);
}

TEST_CASE_FIXTURE(fixture, "a clock that was read before the start does not make a timer early") {
  probe p;
  const std::int64_t read_before = clock_now;
  clock_now += second;
  wheel->start(p, second);
  due_timers due;
  CHECK(wheel->advance(read_before, due));
  CHECK(go(second - 1) == 0);
  CHECK(go(1 + tick) == 1);
}

TEST_CASE_FIXTURE(fixture, "a timer of no duration fires at the next look") {
  probe p, q;
  wheel->start(p, 0);
  wheel->start(q, -5);
  CHECK(go(0) == 2);
}

TEST_CASE_FIXTURE(fixture, "PR-83 an absolute deadline fires at its time; one that has passed fires at once") {
  probe p, q, r;
  const std::int64_t begin = clock_now;
  wheel->start_at(p, begin + second);
  wheel->start_at(q, begin - second);
  wheel->start_at(r, -1);
  CHECK(go(0) == 2);
  CHECK(p.count == 0);
  CHECK(go_to(begin + second - 1) == 0);
  CHECK(go_to(begin + second + tick) == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "timers fire in the order of their deadlines, those of one deadline in the order of their starts") {
  std::mt19937_64 random(11);
  std::vector<std::unique_ptr<probe>> probes;
  std::vector<std::int64_t> deadlines;
  for (int i = 0; i != 3000; ++i) {
    probes.push_back(std::make_unique<probe>());
    deadlines.push_back(clock_now + static_cast<std::int64_t>(random() % 64) * tick / 7);
    wheel->start_at(*probes.back(), deadlines.back());
  }
  CHECK(go(second) == 3000);
  std::vector<std::size_t> by_place(probes.size() + 1);
  for (std::size_t i = 0; i != probes.size(); ++i) by_place[static_cast<std::size_t>(probes[i]->place)] = i;
  bool in_order = true;
  for (std::size_t place = 2; place <= probes.size(); ++place) {
    const std::size_t before = by_place[place - 1], now = by_place[place];
    in_order =
        in_order && (deadlines[before] < deadlines[now] || (deadlines[before] == deadlines[now] && before < now));
  }
  CHECK(in_order);
}

TEST_CASE_FIXTURE(fixture, "PR-81 a cancelled timer never fires and says what was left; one that fired is not active") {
  probe fresh, armed, fired, never_started;
  wheel->start(fired, tick);
  wheel->start(armed, second);
  CHECK(timer_wheel::remaining(armed, clock_now) == second);
  CHECK(go(tick) == 0);  // armed here: counts from now
  CHECK(go(2 * tick) == 1);
  wheel->start(fresh, second);

  CHECK(timer_wheel::remaining(armed, clock_now) == second - 2 * tick);
  CHECK(timer_wheel::cancel(armed));
  CHECK(armed.left(clock_now) == second - 2 * tick);
  CHECK(timer_wheel::cancel(fresh));
  CHECK(fresh.left(clock_now) == second);
  CHECK_FALSE(timer_wheel::cancel(fired));
  CHECK_FALSE(timer_wheel::cancel(armed));
  CHECK_FALSE(timer_wheel::cancel(never_started));
  CHECK(timer_wheel::remaining(fired, clock_now) == -1);
  CHECK(timer_wheel::remaining(never_started, clock_now) == -1);
  CHECK(go(10 * second) == 0);
  CHECK(armed.count + fresh.count == 0);
}

TEST_CASE_FIXTURE(fixture, "a timer that is due but not fired yet cannot be cancelled any more") {
  probe p;
  wheel->start(p, 0);
  due_timers due;
  CHECK(wheel->advance(clock_now, due));
  CHECK_FALSE(due.is_empty());
  CHECK_FALSE(timer_wheel::cancel(p));
  CHECK(timer_wheel::remaining(p, clock_now) == -1);
  CHECK(due.fire_all() == 1);
  CHECK(p.count == 1);
}

TEST_CASE_FIXTURE(fixture, "a node can be started again after it fired, and by its own fire function") {
  struct repeating : timer_node {
    explicit repeating(timer_wheel& w)
        : timer_node([](timer_node& node) noexcept {
            auto& self = static_cast<repeating&>(node);
            if (++self.count < 5) self.wheel.start(self, tick);
          }),
          wheel(w) {}
    timer_wheel& wheel;
    int count = 0;
  };
  repeating r(*wheel);
  wheel->start(r, tick);
  for (int i = 0; i != 50; ++i) go(tick);
  CHECK(r.count == 5);
  r.count = 4;
  wheel->start(r, tick);
  go(0);
  go(2 * tick);
  CHECK(r.count == 5);
}

TEST_CASE_FIXTURE(fixture, "a fire function may free its node") {
  static int freed = 0;
  struct own : timer_node {
    own() : timer_node([](timer_node& node) noexcept { delete static_cast<own*>(&node), ++freed; }) {}
  };
  freed = 0;
  for (int i = 0; i != 10; ++i) wheel->start(*new own, i * tick);
  go(0);
  go(second);
  CHECK(freed == 10);
}

TEST_CASE_FIXTURE(fixture, "next_deadline is never, now, or not later than the next timer") {
  probe p, q;
  CHECK(wheel->next_deadline() == sync::never);
  wheel->start(p, second);
  CHECK(wheel->next_deadline() == timer_wheel::due_now);
  const std::int64_t due = clock_now + second;
  go(0);
  CHECK(wheel->next_deadline() > clock_now);
  int looks = 0;
  while (p.count == 0) {
    const std::int64_t next = wheel->next_deadline();
    REQUIRE(next < due + tick);
    REQUIRE(++looks < 8);  // a timer costs a sleeper one look per level at most
    go_to(std::max(next, clock_now));
  }
  CHECK(p.at >= due);
  CHECK(wheel->next_deadline() == sync::never);

  wheel->start(q, second);
  go(0);
  CHECK(timer_wheel::cancel(q));
  CHECK(wheel->next_deadline() == sync::never);
}

TEST_CASE_FIXTURE(fixture, "start says whether somebody may have to be woken") {
  probe p, q, r, s;
  CHECK(wheel->start_at(p, clock_now + 10 * second));
  CHECK_FALSE(wheel->start_at(q, clock_now + 11 * second));
  CHECK(wheel->start(r, second));
  CHECK_FALSE(wheel->start(s, second));
  go(20 * second);
}

TEST_CASE_FIXTURE(fixture, "the longest duration and the latest deadline neither overflow nor fire") {
  probe p, q, r;
  wheel->start(p, sync::never);
  wheel->start_at(q, sync::never);
  wheel->start_at(r, sync::never - tick);
  CHECK(go(0) == 0);
  CHECK(go_to(200LL * 365 * 86400 * second) == 0);
  CHECK(wheel->next_deadline() > clock_now);
  CHECK(timer_wheel::cancel(p));
  CHECK(timer_wheel::cancel(q));
  CHECK(timer_wheel::cancel(r));
  CHECK(wheel->next_deadline() == sync::never);
}

TEST_CASE_FIXTURE(fixture,
                  "very many timers of one tick fire in bounded steps, and can be cancelled between two of them") {
  std::vector<probe> probes(3 * timer_wheel::advance_nodes);
  for (probe& p : probes) wheel->start_at(p, clock_now + second);
  clock_now += 2 * second;
  due_timers first;
  CHECK_FALSE(wheel->advance(clock_now, first));
  CHECK(first.fire_all() <= timer_wheel::advance_nodes);
  CHECK(wheel->next_deadline() == timer_wheel::due_now);
  CHECK(timer_wheel::cancel(probes.back()));
  go(0);
  std::size_t fired = 0;
  for (probe& p : probes) fired += static_cast<std::size_t>(p.count);
  CHECK(fired == probes.size() - 1);
}

TEST_CASE_FIXTURE(fixture, "the wheel agrees with a multimap over random starts, cancels and leaps of time") {
  struct modelled : probe {
    bool active = false;
    std::int64_t deadline = 0;
  };
  std::mt19937_64 random(5);
  std::vector<modelled> timers(400);
  std::multimap<std::int64_t, modelled*> model;  // by deadline
  std::vector<modelled*> fresh;
  const auto forget = [&](modelled& m) {
    m.active = false;
    std::erase(fresh, &m);
    auto [from, to] = model.equal_range(m.deadline);
    for (; from != to; ++from)
      if (from->second == &m) {
        model.erase(from);
        return;
      }
  };
  const auto some_span = [&] { return static_cast<std::int64_t>(random() >> (20 + random() % 44)); };

  for (int round = 0; round != 60'000; ++round) {
    modelled& m = timers[random() % timers.size()];
    const unsigned what = random() % 10;
    if (what < 5 && !m.active) {
      m.active = true;
      m.count = 0;
      if (what < 3) {
        const std::int64_t duration = some_span();
        wheel->start(m, duration);
        m.deadline = -1 - duration;
        fresh.push_back(&m);
      } else {
        m.deadline = clock_now + some_span();
        wheel->start_at(m, m.deadline);
        model.emplace(m.deadline, &m);
      }
    } else if (what < 7) {
      REQUIRE(timer_wheel::cancel(m) == m.active);
      if (m.active) forget(m);
    } else {
      const std::int64_t next = wheel->next_deadline();
      if (!fresh.empty()) REQUIRE(next == timer_wheel::due_now);
      if (!model.empty()) REQUIRE(next <= (model.begin()->first + tick - 1) / tick * tick);
      if (model.empty() && fresh.empty()) REQUIRE(next == sync::never);

      const std::int64_t leap = some_span();
      const std::int64_t to = clock_now + (leap < 4000 * second ? leap : 0);
      clock_now = to;
      for (modelled* f : fresh) {
        f->deadline = to + (-1 - f->deadline);
        model.emplace(f->deadline, f);
      }
      fresh.clear();
      go_to(to);
      while (!model.empty() && (model.begin()->first + tick - 1) / tick * tick <= to) {
        modelled& due = *model.begin()->second;
        REQUIRE(due.count == 1);
        due.active = false;
        model.erase(model.begin());
      }
      for (auto at = model.begin(); at != model.end();) {
        modelled& later = *at->second;
        REQUIRE((later.count == 0 || later.deadline <= to));  // early never; within its last tick it may
        if (later.count != 0) {
          later.active = false;
          at = model.erase(at);
        } else {
          ++at;
        }
      }
    }
  }
}

TEST_CASE("PR-81 of a cancel and an expiry that race exactly one wins, and a node is never fired early or twice") {
  struct raced : timer_node {
    raced() : timer_node([](timer_node& node) noexcept { static_cast<raced&>(node).fired(); }) {}
    void fired() noexcept {
      if (sync::now() < not_before) ++early;
      ++fired_count;
      finished.store(true, std::memory_order_release);
    }
    std::int64_t not_before = 0;  // plain: the wheel must order it
    int fired_count = 0;
    int early = 0;
    std::atomic<bool> finished{false};
  };
  timer_wheel wheels[2];
  std::atomic<bool> over{false};
  std::vector<std::thread> workers;
  for (timer_wheel& w : wheels)
    workers.emplace_back([&] {
      while (!over) {
        w.advance(sync::now());
        (void)w.next_deadline();
        std::this_thread::yield();
      }
    });
  int won = 0, lost = 0, early = 0, wrong = 0;
  std::mt19937 random(9);
  raced nodes[16];
  const int enough = coppice::testing::rounds(500, 50'000);
  for (std::size_t round = 0; won < enough || lost < enough; ++round) {
    raced& n = nodes[round % 16];
    n.fired_count = 0;
    n.finished.store(false, std::memory_order_relaxed);
    const std::int64_t duration = random() % 4 != 0 ? 0 : random() % 20'000;
    n.not_before = sync::now() + duration;
    timer_wheel& w = wheels[random() % 2];
    if (random() % 2 == 0)
      w.start(n, duration);
    else
      w.start_at(n, n.not_before);
    for (unsigned spin = random() % 3000; spin != 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (random() % 8 == 0) std::this_thread::yield();
    if (timer_wheel::cancel(n)) {
      ++won;
      wrong += n.fired_count != 0;
    } else {
      ++lost;
      while (!n.finished.load(std::memory_order_acquire)) std::this_thread::yield();
      wrong += n.fired_count != 1;
    }
  }
  over = true;
  for (std::thread& t : workers) t.join();
  for (raced& n : nodes) early += n.early;
  CHECK(early == 0);
  CHECK(wrong == 0);
}
