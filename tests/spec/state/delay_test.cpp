// SPDX-License-Identifier: Apache-2.0
//
// Delays: DL-1 to DL-5.
#include "spec/state/state_test.hpp"

#include <coppice/state/agent.hpp>
#include <coppice/state/delay.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>

#include <latch>
#include <memory>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE_TEMPLATE("DL-1 the function runs at the first get, once; all get the same value", T, int, big) {
  const world w;
  int runs = 0;
  const delay d([&] { return T(++runs); });
  CHECK_FALSE(d.is_realized());
  CHECK(runs == 0);
  CHECK((d.get() == T(1)));
  CHECK((d.get() == T(1)));
  CHECK(runs == 1);
  CHECK(d.is_realized());
  static_assert(pending_value<delay<T>>);
  in_process([&] { CHECK((d.get() == T(1))); });
}

TEST_CASE("DL-1 with 100 threads and processes that race it runs once") {
  const world w;
  for (int round = 0; round < rounds(3, 100); ++round) {
    std::atomic<int> runs{0}, right{0};
    const delay d([&] {
      std::this_thread::yield();
      return big(++runs + 6);
    });
    const auto ask = [&] {
      if (d.get()->n == 7) ++right;
    };
    std::vector<reference> ends;
    for (int i = 0; i < 50; ++i) ends.push_back(spawn_monitor(ask).ref);
    in_threads(50, [&](int) { ask(); });
    for (const reference r : ends) CHECK(reason_of(r).is(exit_reason::normal));
    CHECK(runs == 1);
    CHECK(right == 100);
  }
}

TEST_CASE("DL-2 what the function throws is thrown at each get, the same exception; it does not run again") {
  int runs = 0;
  std::exception_ptr thrown;
  const delay<int> d([&]() -> int {
    ++runs;
    try {
      throw oops();
    } catch (...) {
      thrown = std::current_exception();
      throw;
    }
  });
  for (int i = 0; i < 3; ++i) {
    try {
      d.get();
      FAIL("got a value");
    } catch (const oops&) {
      CHECK(std::current_exception() == thrown);
    }
  }
  CHECK(runs == 1);
  CHECK(d.is_realized());
}

TEST_CASE("DL-3 force gives the value of a delay, and anything else as it is") {
  const delay d([] { return 5; });
  CHECK(force(d) == 5);
  CHECK(force(6) == 6);
  const std::string s = "x";
  CHECK(&force(s) == &s);
  const delay nothing([] {});
  force(nothing);
  CHECK(nothing.is_realized());
}

TEST_CASE("DL-4 a function that asks for its own delay gets recursive_delay, directly or through others") {
  const delay<int>* self = nullptr;
  const delay<int> d([&] { return self->get() + 1; });
  self = &d;
  CHECK_THROWS_AS(d.get(), recursive_delay);
  CHECK_THROWS_AS(d.get(), recursive_delay);
  const delay<int>* first = nullptr;
  const delay<int> third([&] { return first->get(); });
  const delay<int> second([&] { return third.get(); });
  const delay<int> one([&] { return second.get(); });
  first = &one;
  CHECK_THROWS_AS(one.get(), recursive_delay);
  const delay<int> careful([&]() -> int {
    try {
      return self->get();
    } catch (const recursive_delay&) {
      return 7;
    }
  });
  self = &careful;
  CHECK(careful.get() == 7);
}

TEST_CASE("DL-4 two delays that ask for each other on two stacks: no deadlock") {
  const world w;
  for (int i = 0; i < rounds(30, 3000); ++i) {
    const delay<int>*a = nullptr, *b = nullptr;
    std::latch both(2);
    const delay<int> first([&] {
      both.arrive_and_wait();
      return b->get() + 1;
    });
    const delay<int> second([&] {
      both.arrive_and_wait();
      return a->get() + 1;
    });
    a = &first;
    b = &second;
    std::atomic<int> refused{0};
    const auto ask = [&](const delay<int>& d) {
      try {
        d.get();
      } catch (const recursive_delay&) {
        ++refused;
      }
    };
    std::thread other([&] { ask(second); });
    ask(first);
    other.join();
    CHECK(refused == 2);                           // one is refused, and its exception is the value of both
  }
}

TEST_CASE("DL-5 in a transaction that begins anew a delay runs once, and outside of it") {
  ref<int> r(1), other(0);
  agent<int> a(0);
  int runs = 0, attempts = 0;
  bool inside = true, refused = false;
  std::optional<int> seen;
  const delay d([&] {
    ++runs;
    inside = is_in_transaction();
    seen = *r;
    a.send(inc);
    try {
      transact([&] { r.alter(inc); });
    } catch (const in_transaction&) {
      refused = true;
    }
    return io_guard([] { return 5; });
  });
  transact([&] {
    static_cast<void>(*other);
    r.set(100);
    CHECK(d.get() == 5);
    if (++attempts == 1) std::thread([&] { transact([&] { other.set(1); }); }).join();
    other.alter(inc);
  });
  CHECK(attempts == 2);
  CHECK(runs == 1);
  CHECK_FALSE(inside);
  CHECK(seen == 1);                                // what is not committed is not for all
  CHECK(refused);
  await(a);
  CHECK(*a == 1);
  const delay alone([&] { return transact([&] { return *r; }); });
  CHECK(alone.get() == 100);
}

TEST_CASE("a process that is killed while it runs a delay's function: the next to ask runs it") {
  const world w;
  std::atomic<int> runs{0};
  const delay d([&] {
    if (++runs == 1) sleep_for(infinity);
    return 3;
  });
  const monitored first = spawn_monitor([&] { d.get(); });
  CHECK(eventually([&] { return runs == 1; }));
  const monitored second = spawn_monitor([&] {
    if (d.get() != 3) exit(exit_reason("another value"));
  });
  exit(first.who, exit_reason::kill);
  CHECK(reason_of(first.ref).is(exit_reason::killed));
  CHECK(reason_of(second.ref).is(exit_reason::normal));
  CHECK(runs == 2);
}
