// SPDX-License-Identifier: Apache-2.0
//
// Futures and promises: FU-1 to FU-6, PM-1 to PM-4, DR-1 and DR-2, OR-6.
#include "spec/state/state_test.hpp"

#include <coppice/state/agent.hpp>
#include <coppice/state/future.hpp>
#include <coppice/state/promise.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>

#include <latch>
#include <memory>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;
using namespace std::chrono_literals;

namespace {

using text = std::string;

template <class X>
concept can_wait_with_limit = requires(const X& x, typename X::value_type v) { x.get(duration{1}, v); };
template <class X>
concept can_clone = requires(const X& x) { clone(x); };

struct refusing : executor {
  bool execute(job) override { return false; }
};

}  // namespace

TEST_CASE_TEMPLATE("FU-1 a future starts at once, whether or not anybody asks; all get the same value", T, int, big) {
  in_both([] {
    std::latch started(1);
    std::binary_semaphore go_on(0);
    future f([&] {
      started.count_down();
      go_on.acquire();
      return T(42);
    });
    started.wait();
    CHECK_FALSE(f.is_realized());
    const future<T> same = f;
    go_on.release();
    CHECK((f.get() == T(42)));
    CHECK((same.get() == T(42)));
    CHECK(same == f);
    CHECK(f.is_realized());
    CHECK(f.is_done());
  });
}

TEST_CASE("FU-1 many wait for one future, processes and threads; a value that is no word is one value for all") {
  const world w;
  for (int round = 0; round < rounds(20, 1000); ++round) {
    std::binary_semaphore go_on(0);
    future f([&] {
      go_on.acquire();
      return big(7);
    });
    std::atomic<int> right{0};
    std::atomic<const big*> where{nullptr};
    const auto wait = [&] {
      const snapshot<big> value = f.get();
      const big* first = nullptr;
      if (!where.compare_exchange_strong(first, &*value) && first != &*value) return;
      if (value->is_whole() && *value == big(7)) ++right;
    };
    std::vector<reference> ends;
    for (int i = 0; i < 8; ++i) ends.push_back(spawn_monitor(wait).ref);
    std::thread t(wait);
    go_on.release();
    t.join();
    for (const reference r : ends) CHECK(reason_of(r).is(exit_reason::normal));
    CHECK(right == 9);
  }
}

TEST_CASE("FU-1 the executor may be given; by default it is that of send_off, by scope, too") {
  struct counting : executor {
    int jobs = 0;
    bool execute(job t) override {
      ++jobs;
      t.run(t.context);
      return true;
    }
  } mine, in_scope;
  CHECK(future(mine, [] { return 3; }).get() == 3);
  CHECK(mine.jobs == 1);
  const executor_scope scope(mine, in_scope);
  future done([] {});
  done.get();
  CHECK(in_scope.jobs == 1);
  static_assert(std::is_same_v<decltype(done), future<void>>);
}

TEST_CASE("FU-1 a future may wait in a process of the scheduler; what was held is released before its value is there") {
  const world w;
  scheduler_executor processes;
  auto held = std::make_shared<int>(1);
  std::vector<future<int>> all;
  for (int i = 0; i < 50; ++i)
    all.emplace_back(processes, [i, held] {
      sleep_for(duration{1000});
      return i;
    });
  int sum = 0;
  for (const auto& f : all) sum += f.get();
  CHECK(sum == 49 * 50 / 2);
  CHECK(held.use_count() == 1);
}

TEST_CASE("FU-2 what the function throws is thrown at each get, the same exception") {
  in_both([] {
    std::exception_ptr thrown;
    future f([&]() -> int {
      try {
        throw oops();
      } catch (...) {
        thrown = std::current_exception();
        throw;
      }
    });
    for (int i = 0; i < 2; ++i) {
      try {
        static_cast<void>(i == 0 ? f.get() : f.get(0ms, 1));
        FAIL("got a value");
      } catch (const oops&) {
        CHECK(std::current_exception() == thrown);
      }
    }
    CHECK(f.is_realized());
    CHECK_THROWS_AS(future([] { throw 42; }).get(), int);
  });
}

TEST_CASE_TEMPLATE("FU-3 DR-2 a get with a limit gives the other value when it is not there in time; 0 and negative are a look", T, int, big) {
  in_both([] {
    std::binary_semaphore go_on(0);
    future f([&] {
      go_on.acquire();
      return T(1);
    });
    CHECK((f.get(2ms, T(9)) == T(9)));
    CHECK((f.get(0s, T(9)) == T(9)));
    CHECK((f.get(-1h, T(9)) == T(9)));
    CHECK_FALSE(f.wait_for(1us));
    go_on.release();
    CHECK((f.get(20s, T(9)) == T(1)));
    CHECK((f.get(0s, T(9)) == T(1)));
    CHECK((f.get(-1h, T(9)) == T(1)));
    CHECK((f.get(infinity, T(9)) == T(1)));
    CHECK(f.wait_for(0s));
  });
}

TEST_CASE("FU-4 cancel: once, then get throws; who waits is released; not after the end") {
  in_both([] {
    std::binary_semaphore go_on(0);
    std::latch started(1), over(1);
    future f([&] {
      started.count_down();
      go_on.acquire();
      over.count_down();
      return 1;
    });
    started.wait();
    std::atomic<bool> released{false};
    std::thread waiter([&] {
      try {
        f.get();
      } catch (const cancelled&) {
        released = true;
      }
    });
    CHECK(f.cancel());
    waiter.join();
    CHECK(released);
    CHECK_FALSE(f.cancel());
    CHECK(f.is_cancelled());
    CHECK(f.is_done());
    CHECK(f.is_realized());
    CHECK_THROWS_AS(f.get(), cancelled);
    CHECK_THROWS_AS(f.get(1ms, 5), cancelled);
    go_on.release();
    over.wait();
    CHECK_THROWS_AS(f.get(), cancelled);           // the late result is dropped
    future done([] { return 1; });
    done.get();
    CHECK_FALSE(done.cancel());
    CHECK_FALSE(done.is_cancelled());
    CHECK(done.get() == 1);
  });
}

TEST_CASE("FU-4 a future that is cancelled before it began does not run") {
  fixed_executor one(1);
  std::binary_semaphore go_on(0);
  std::atomic<bool> ran{false};
  future first(one, [&] { go_on.acquire(); });
  future second(one, [&] { ran = true; });
  CHECK(second.cancel());
  go_on.release();
  future(one, [] {}).get();                        // behind them
  CHECK_FALSE(ran);
}

TEST_CASE("FU-4 of cancel and the end one wins") {
  for (int i = 0; i < rounds(300, 30'000); ++i) {
    std::atomic<bool> about{false};
    future f([&] {
      about = true;
      return 1;
    });
    while (!about) {}
    if (f.cancel()) CHECK_THROWS_AS(f.get(), cancelled);
    else CHECK(f.get() == 1);
  }
}

TEST_CASE("FU-5 cancelling asks by a stop token; a function that waits with it goes on at once") {
  std::atomic<int> seen{0};
  std::latch started(2);
  future polls([&](stop_token stop) {
    started.count_down();
    while (!stop.is_stop_requested()) std::this_thread::yield();
    ++seen;
  });
  future waits([&](const stop_token& stop) {
    started.count_down();
    if (stop.wait_for(1h)) ++seen;
    return 3;
  });
  static_assert(std::is_same_v<decltype(waits), future<int>>);
  started.wait();
  CHECK(polls.cancel());
  CHECK(waits.cancel());
  CHECK(eventually([&] { return seen == 2; }));
  future alone([](stop_token stop) { return stop.wait_for(1us); });
  CHECK_FALSE(alone.get());
}

TEST_CASE("FU-6 AG-48 AG-10 an executor that takes no work: rejected, and nothing is left behind") {
  refusing never;
  auto held = std::make_shared<int>(1);
  CHECK_THROWS_AS(future(never, [held] { return *held; }), rejected);
  CHECK(held.use_count() == 1);
  fixed_executor send(1), off(1);
  const executor_scope scope(send, off);
  shutdown_agents();
  CHECK_THROWS_AS(future([] {}), rejected);
  CHECK_THROWS_AS((future<int>([] { return 1; })), rejected);
}

TEST_CASE("AG-19 TX-7 TX-4 a future is inside of nothing: it sees what is committed, its sends go out at once, it starts in each attempt") {
  ref<int> r(0), other(0);
  agent<int> a(0), b(0);
  std::atomic<int> started{0};
  bool first = true;
  transact([&] {
    static_cast<void>(*other);
    r.set(5);
    future f([&] {
      ++started;
      b.send(inc);
      return std::pair(*r, is_in_transaction());
    });
    CHECK((*f.get() == std::pair(0, false)));
    if (std::exchange(first, false)) std::thread([&] { transact([&] { other.set(1); }); }).join();
    other.alter(inc);
  });
  CHECK(started == 2);
  await(b);
  CHECK(*b == 2);
  std::atomic<bool> arrived{false};
  a.send([&](int x) {
    future([&] { b.send(inc); }).get();
    arrived = eventually([&] { return *b == 3; });
    return x;
  });
  await(a);
  CHECK(arrived);
}

TEST_CASE("a process that is killed while it waits for a future, or while it computes one, leaves everything in order") {
  const world w;
  std::binary_semaphore go_on(0);
  future f([&] {
    go_on.acquire();
    return 1;
  });
  const monitored waiter = spawn_monitor([&] { f.get(); });
  exit(waiter.who, exit_reason::kill);
  CHECK(reason_of(waiter.ref).is(exit_reason::killed));
  go_on.release();
  CHECK(f.get() == 1);
  scheduler_executor processes;
  std::atomic<bool> known{false};
  pid worker;
  future endless(processes, [&] {
    worker = self();
    known = true;
    sleep_for(infinity);
    return 1;
  });
  CHECK(eventually([&] { return known.load(); }));
  exit(worker, exit_reason::kill);
  CHECK_THROWS_AS(endless.get(), cancelled);
}

TEST_CASE_TEMPLATE("PM-1 a promise: get waits until it is delivered", T, int, big) {
  in_both([] {
    promise<T> p;
    CHECK_FALSE(p.is_realized());
    CHECK((p.get(1ms, T(9)) == T(9)));
    std::thread t([&] { p.deliver(T(3)); });
    CHECK((p.get() == T(3)));
    t.join();
    CHECK(p.is_realized());
    CHECK((p.get(-1s, T(9)) == T(3)));
    CHECK((p.get_future().get() == T(3)));
  });
}

TEST_CASE("PM-2 the first delivery wins, also of 16 at once") {
  promise<int> p;
  CHECK(p.deliver(1));
  CHECK_FALSE(p.deliver(2));
  CHECK(p.get() == 1);
  for (int i = 0; i < rounds(20, 1000); ++i) {
    promise<big> many;
    std::atomic<int> won{0}, winner{-1};
    in_threads(16, [&](int n) {
      if (!many.deliver(big(n))) return;
      ++won;
      winner = n;
    });
    CHECK(won == 1);
    CHECK((many.get() == big(winner)));
  }
}

TEST_CASE("PM-3 an empty value can be delivered") {
  promise<std::shared_ptr<int>> p;
  CHECK(p.deliver(nullptr));
  CHECK(p.is_realized());
  CHECK(*p.get(1ms, std::make_shared<int>(5)) == nullptr);
  promise<void> done;
  CHECK_FALSE(done.get_future().wait_for(0s));
  CHECK(done.deliver());
  CHECK_FALSE(done.deliver());
  done.get();
}

TEST_CASE("PM-4 a promise that goes away undelivered releases those who wait") {
  in_both([] {
    for (int i = 0; i < rounds(20, 1000); ++i) {
      std::optional<promise<int>> p(std::in_place);
      const future<int> f = p->get_future();
      std::atomic<int> broken{0};
      std::thread t([&] {
        try {
          f.get();
        } catch (const broken_promise&) {
          ++broken;
        }
      });
      p.reset();
      t.join();
      CHECK(broken == 1);
      CHECK_THROWS_AS(f.get(), broken_promise);
      CHECK(f.is_realized());
      CHECK_FALSE(f.is_cancelled());
    }
    promise<int> replaced;
    const future<int> old = replaced.get_future();
    replaced = promise<int>();
    CHECK_THROWS_AS(old.get(), broken_promise);
    promise<int> moved = std::move(replaced);
    CHECK_THROWS_AS(replaced.deliver(1), state_error);  // NOLINT(bugprone-use-after-move): that is the point
    CHECK(moved.deliver(1));
    future<int> kept_one = [] {
      promise<int> p;
      p.deliver(4);
      return p.get_future();
    }();
    CHECK(kept_one.get() == 4);
    promise<int> unwanted;
    CHECK(unwanted.get_future().cancel());
    CHECK_FALSE(unwanted.deliver(1));
  });
}

TEST_CASE("DR-1 AT-21 OR-6 waits with a limit are of futures and promises alone; a future is no reference to be cloned") {
  static_assert(can_wait_with_limit<future<int>> && can_wait_with_limit<promise<int>>);
  static_assert(!can_wait_with_limit<atom<int>> && !can_wait_with_limit<ref<int>> && !can_wait_with_limit<agent<int>>);
  static_assert(blocking_dereferenceable<future<text>> && blocking_dereferenceable<promise<text>>);
  static_assert(!dereferenceable<future<int>> && !dereferenceable<promise<int>>);
  static_assert(pending_value<future<int>> && pending_value<promise<int>> && !pending_value<atom<int>>);
  static_assert(cancellable<future<int>> && !cancellable<promise<int>>);
  static_assert(can_clone<atom<int>> && !can_clone<future<int>> && !can_clone<agent<int>>);
  static_assert(!std::is_copy_constructible_v<agent<int>> && !std::is_copy_constructible_v<promise<int>>);
}

TEST_CASE("nothing of a future is left when its handles are gone: big values, cancelled, thrown away, undelivered") {
  const int before = big::alive;
  {
    future<big> f([] { return big(1); });
    static_cast<void>(f.get(infinity, big(2)));
    std::binary_semaphore go_on(0);
    std::latch started(1);
    std::atomic<bool> over{false};
    future<big> late([&] {
      started.count_down();
      go_on.acquire();
      over = true;
      return big(3);
    });
    started.wait();
    late.cancel();
    go_on.release();
    CHECK(eventually([&] { return over.load(); }));
    promise<big> p;
    p.deliver(big(4));
    p.deliver(big(5));
  }
  CHECK(eventually([&] { return big::alive == before; }));
}
