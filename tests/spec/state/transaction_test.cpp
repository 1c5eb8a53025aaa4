// SPDX-License-Identifier: Apache-2.0
//
// Transactions: TX-1 to TX-37 without the sends, which stand with the agents.
#include "spec/state/state_test.hpp"

#include <coppice/state/ref.hpp>

#include "state/transaction.hpp"

#include <barrier>
#include <latch>

using namespace coppice;
using namespace coppice::testing;
using namespace std::chrono_literals;

namespace {

using pairs = std::vector<seen_changes::pair>;

template <class F>
void elsewhere(F&& f) {
  std::thread(static_cast<F&&>(f)).join();
}
template <class T>
void commit_elsewhere(ref<T>& r, T value) {
  elsewhere([&] { transact([&] { r.set(value); }); });
}
/// Makes another's transaction younger than those that have begun.
void let_time_pass() {
  ref<int> other(0);
  elsewhere([&] { transact([&] { other.set(1); }); });
}

}  // namespace

TEST_CASE_TEMPLATE("TX-1 a transaction sees one instant, and its own writes", T, int, big) {
  ref<T> r(T(1)), other(T(0), {.min_history = 1});
  transact([&] {
    r.set(T(5));
    CHECK((r.alter([](const T& x) { return x + x; }) == T(10)));
    CHECK((*r == T(10)));
  });
  CHECK((*r == T(10)));
  transact([&] { other.set(T(1)); });
  transact([&] {
    static_cast<void>(*r);
    commit_elsewhere(other, T(7));
    CHECK((*other == T(1)));
  });
}

TEST_CASE("TX-2 sums over accounts that others transfer between are always the same, inside of transactions and outside") {
  constexpr int accounts = 20;
  std::vector<std::unique_ptr<ref<int>>> bank;
  for (int i = 0; i < accounts; ++i) bank.push_back(std::make_unique<ref<int>>(100));
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread auditor([&] {
    while (!stop) {
      const int sum = transact([&] {
        int s = 0;
        for (auto& r : bank) s += **r;
        return s;
      });
      if (sum != accounts * 100) ++wrong;
    }
  });
  in_threads(2, [&](int t) {
    unsigned dice = static_cast<unsigned>(t) + 1;
    for (int i = 0; i < rounds(20'000, 2'000'000); ++i) {
      dice = dice * 1664525 + 1013904223;
      ref<int>& from = *bank[dice / 7 % accounts];
      ref<int>& to = *bank[dice / 1000 % accounts];
      transact([&] {
        from.alter(minus, 1);
        to.alter(plus, 1);
      });
    }
  });
  stop = true;
  auditor.join();
  CHECK(wrong == 0);
}

TEST_CASE("TX-2 outside of transactions who has seen one half of a commit sees the other") {
  ref<int> a(0), b(0);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!stop) {
      const int x = *a;
      const int y = *b;
      if (y < x) ++wrong;
    }
  });
  for (int i = 1; i < rounds(50'000, 5'000'000); ++i)
    transact([&] {
      a.set(i);
      b.set(i);
    });
  stop = true;
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("TX-3 no increment is lost, by alter or by commute", T, int, big) {
  ref<T> a(T(0)), c(T(0));
  const int each = rounds(200, 20'000);
  in_threads(8, [&](int) {
    for (int i = 0; i < each; ++i) {
      transact([&] { a.alter(plus, T(1)); });
      transact([&] { c.commute(plus, T(1)); });
    }
  });
  CHECK((*a == T(8 * each)));
  CHECK((*c == T(8 * each)));
}

TEST_CASE("TX-4 who meets a commit that came after its snapshot runs the whole body again") {
  ref<int> r(0);
  int tries = 0;
  transact([&] {
    const int seen = *r;
    if (++tries == 1) commit_elsewhere(r, 100);
    r.set(seen + 1);
  });
  CHECK(tries == 2);
  CHECK(*r == 101);
}

TEST_CASE("TX-5 an exception aborts: nothing changes, it reaches the caller, the body does not run again") {
  ref<int> a(0), b(0);
  int tries = 0;
  CHECK_THROWS_AS(transact([&] {
    ++tries;
    a.set(1);
    b.commute(inc);
    throw oops();
  }), oops);
  CHECK(tries == 1);
  CHECK(*a == 0);
  CHECK(*b == 0);
  CHECK_THROWS_AS(transact([&] { a.alter([](int) -> int { throw 3; }); }), int);
  transact([&] { a.set(2); });                   // nothing is left locked
  CHECK(*a == 2);
}

TEST_CASE("TX-6 a transaction inside another is a part of it") {
  ref<int> r(0);
  transact([&] {
    r.set(1);
    try {
      transact([&] {
        r.set(2);
        throw oops();
      });
    } catch (const oops&) {}
    CHECK(transact([&] { return *r + 1; }) == 3);
  });
  CHECK(*r == 2);
}

TEST_CASE("TX-7 a transaction is its own thread's alone") {
  world w;
  ref<int> r(0);
  transact([&] {
    r.set(1);
    elsewhere([&] {
      CHECK(*r == 0);
      CHECK_THROWS_AS(r.set(5), no_transaction);
      CHECK_FALSE(is_in_transaction());
    });
    in_process([&] { CHECK_FALSE(is_in_transaction()); });
    CHECK(is_in_transaction());
  });
  CHECK_FALSE(is_in_transaction());
}

namespace {
/// Two transactions read both refs, wait for each other once, and take one from their own if the sum allows.
void skew(ref<int>& a, ref<int>& b, bool ensured) {
  std::barrier meet(2);
  in_threads(2, [&](int i) {
    bool first = true;
    transact([&] {
      ref<int>& mine = i == 0 ? a : b;
      ref<int>& other = i == 0 ? b : a;
      const int sum = *mine + (ensured ? other.ensure() : *other);
      if (std::exchange(first, false)) meet.arrive_and_wait();
      if (sum >= 2) mine.alter(dec);
    });
  });
}
}  // namespace

TEST_CASE("TX-8 write skew is allowed") {
  ref<int> a(1), b(1);
  skew(a, b, false);
  CHECK(*a + *b == 0);
}
TEST_CASE("TX-9 ensure prevents it") {
  for (int i = 0; i < rounds(20, 1000); ++i) {
    ref<int> a(1), b(1);
    skew(a, b, true);
    CHECK(*a + *b == 1);
  }
}

TEST_CASE("TX-10 what is ensured is committed by no other until the end; several may ensure the same") {
  for (const bool commuted : {false, true}) {
    ref<int> r(1);
    std::latch ensured(2), asked(1);
    std::atomic<bool> over{false};
    std::atomic<int> violated{0};
    const auto hold = [&](int) {
      transact([&] {
        CHECK(r.ensure() == 1);
        ensured.count_down();
        asked.wait();
        std::this_thread::sleep_for(120ms);      // longer than one wait of the other
        if (*r != 1) ++violated;
        over = true;
      });
    };
    std::thread one([&] { hold(0); }), two([&] { hold(1); });
    ensured.wait();
    asked.count_down();
    transact([&] {
      if (commuted) r.commute(inc);
      else r.alter(inc);
    });
    CHECK(over);
    one.join();
    two.join();
    CHECK(violated == 0);
    CHECK(*r == 2);
  }
}

TEST_CASE("TX-11 ensure of what was committed since begins anew; ensure and alter go together in both orders") {
  ref<int> first(0), r(0);
  int tries = 0;
  transact([&] {
    static_cast<void>(*first);
    if (++tries == 1) commit_elsewhere(r, 4);
    const int ensured = r.ensure();
    CHECK(ensured == 4);
  });
  CHECK(tries == 2);
  transact([&] {
    r.ensure();
    r.alter(inc);
    CHECK(r.ensure() == 5);
  });
  CHECK(*r == 5);
  transact([&] { r.set(6); });
}

TEST_CASE("TX-12 the younger of two writers waits for the older") {
  ref<int> r(0);
  std::latch older_writes(1);
  std::thread older([&] {
    transact([&] {
      r.alter(plus, 1);
      older_writes.count_down();
      std::this_thread::sleep_for(30ms);
    });
  });
  older_writes.wait();
  let_time_pass();
  int tries = 0;
  transact([&] {
    ++tries;
    r.alter(plus, 10);
  });
  CHECK(*r == 11);
  CHECK(tries == 1);                             // it knew nothing yet: it waited in place
  older.join();
}

TEST_CASE("TX-13 an older transaction takes the ref from a younger one that runs for long") {
  ref<int> a(0), r(0);
  std::latch older_began(1), younger_writes(1);
  std::atomic<bool> older_done{false};
  int older_tries = 0, younger_tries = 0;
  std::thread older([&] {
    transact([&] {
      ++older_tries;
      static_cast<void>(*a);                     // it has seen something: it does not just move on
      older_began.count_down();
      younger_writes.wait();
      r.alter(plus, 1);
    });
    older_done = true;
  });
  older_began.wait();
  let_time_pass();
  transact([&] {
    ++younger_tries;
    r.alter(plus, 10);
    if (younger_tries == 1) {
      younger_writes.count_down();
      while (!older_done) std::this_thread::sleep_for(1ms);
    }
    static_cast<void>(*a);                       // here it notices
  });
  older.join();
  CHECK(older_tries == 1);
  CHECK(younger_tries == 2);
  CHECK(*r == 11);
}

TEST_CASE("TX-14 a body that conflicts each time ends with retry_limit, and changes nothing") {
  ref<int> r(0), other(0);
  int tries = 0;
  CHECK_THROWS_AS(transact([&] {
    ++tries;
    other.set(1);
    static_cast<void>(*r);
    commit_elsewhere(r, tries);
    r.alter(inc);
  }, {.attempts = 20}), retry_limit);
  CHECK(tries == 20);
  CHECK(*other == 0);
  transact([&] { other.set(2); });
  CHECK(transact_options{}.attempts == 10'000);
}

TEST_CASE("TX-15 a body that catches everything loses no update and commits no half") {
  ref<int> r(0), other(0);
  int tries = 0;
  transact([&] {
    ++tries;
    const int seen = *r;
    if (tries == 1) commit_elsewhere(r, 100);
    other.alter(inc);
    for (int i = 0; i < 2; ++i) {
      try {
        r.set(seen + 1);
      } catch (...) {}
    }
    try {
      other.alter(inc);
      static_cast<void>(*other);
    } catch (...) {}
  });
  CHECK(tries == 2);
  CHECK(*r == 101);
  CHECK(*other == 2);
}
TEST_CASE("TX-15 a body that turns the signal into an exception of its own runs again") {
  ref<int> r(0);
  int tries = 0;
  transact([&] {
    const int seen = *r;
    if (++tries == 1) commit_elsewhere(r, 7);
    try {
      r.set(seen + 1);
    } catch (...) {
      throw oops();
    }
  });
  CHECK(tries == 2);
  CHECK(*r == 8);
}

TEST_CASE("TX-16 io_guard refuses inside of a transaction and runs outside; ensure_io asks for it") {
  CHECK(io_guard([] { return 5; }) == 5);
  int runs = 0;
  transact([&] {
    CHECK_THROWS_WITH_AS(io_guard([&] { ++runs; }), "i/o in a transaction: its body may run more than once", in_transaction);
    CHECK_THROWS_WITH_AS(io_guard([&] { ++runs; }, "no printing here"), "no printing here", in_transaction);
  });
  CHECK(runs == 0);
  CHECK_THROWS_AS(ensure_io(), state_error);
  io_guard([] {
    ensure_io();
    elsewhere([] { CHECK_THROWS_AS(ensure_io(), state_error); });
  });
  CHECK_THROWS_AS(ensure_io(), state_error);
}

TEST_CASE("TX-17 only the last value is validated; a refusal aborts all") {
  ref<int> a(0, {.validator = not_negative}), b(0);
  transact([&] {
    a.set(-5);
    a.set(5);
  });
  CHECK(*a == 5);
  int tries = 0;
  CHECK_THROWS_AS(transact([&] {
    ++tries;
    b.set(1);
    a.set(-1);
  }), invalid_state);
  CHECK(tries == 1);
  CHECK(*a == 5);
  CHECK(*b == 0);
  a.set_validator([](int x) -> bool { if (x == 9) throw oops(); return true; });
  CHECK_THROWS_AS(transact([&] { a.set(9); }), oops);
}

TEST_CASE("TX-18 all validators run before any ref changes; one that looks at another ref sees the transaction's value") {
  ref<int> a(0), b(0);
  int seen_inside = -1, seen_outside = -1;
  a.set_validator([&](int x) {
    if (x == 0) return true;
    seen_inside = *b;
    elsewhere([&] { seen_outside = *b; });
    return true;
  });
  transact([&] {
    b.set(2);
    a.set(1);
  });
  CHECK(seen_inside == 2);
  CHECK(seen_outside == 0);
}

TEST_CASE_TEMPLATE("TX-19 TX-20 commute works on the last committed value, and is seen afterwards", T, int, big) {
  ref<T> first(T(0)), r(T(0), {.min_history = 1});
  transact([&] { r.set(T(0)); });
  transact([&] {
    static_cast<void>(*first);
    commit_elsewhere(r, T(100));
    CHECK((*r == T(0)));
    CHECK((r.commute(plus, T(1)) == T(101)));
    CHECK((*r == T(101)));
    r.commute(plus, T(1));
    CHECK((*r == T(102)));
  });
  CHECK((*r == T(102)));
}

TEST_CASE("TX-21 at the commit commutes run again on what is committed then, in order") {
  ref<int> r(0);
  int calls = 0;
  transact([&] { r.commute([&](int x) { return ++calls, x + 1; }); });
  CHECK(calls == 2);
  transact([&] {
    CHECK(r.commute(inc) == 2);
    commit_elsewhere(r, 100);
  });
  CHECK(*r == 101);
  ref<std::string> text("");
  transact([&] {
    for (const char* s : {"a", "b", "c"}) text.commute([s](const std::string& t) { return t + s; });
  });
  CHECK(text.get() == "abc");
}

namespace {
/// A wait for a ref at a commit has no end here: a slow machine must not make one begin anew (TX-22).
struct patience {
  std::int64_t before = std::exchange(internal::limits_of_transactions.wait, std::int64_t{3'600'000'000'000});
  ~patience() { internal::limits_of_transactions.wait = before; }
};
}  // namespace

TEST_CASE("TX-22 a younger transaction that meets an older one over a commuted ref waits, and does not begin anew") {
  const patience until_here;
  ref<int> r(0);
  std::atomic<int> tries{0}, runs{0};
  std::atomic<bool> owned{false}, comes{false};
  in_threads(2, [&](int i) {
    if (i == 0) {
      transact([&] {
        ++tries;
        r.commute([&](int x) {
          if (++runs == 2) {                                 // at the commit: the ref is ours until we return
            owned = true;
            while (!comes) std::this_thread::yield();
            for (int turn = 0; turn < 5'000; ++turn) std::this_thread::yield();   // it is at its commit, or soon will be
          }
          return x + 1;
        });
      });
    } else {
      while (!owned) std::this_thread::yield();
      transact([&] {
        ++tries;
        r.commute(inc);
        comes = true;
      });
    }
  });
  CHECK(tries == 2);
  CHECK(*r == 2);
}

TEST_CASE("TX-22 commutes of two transactions do not have one another begin anew") {
  const patience until_here;
  ref<int> r(0);
  std::atomic<int> tries{0};
  in_threads(2, [&](int) {
    transact([&] {
      ++tries;
      r.commute(inc);
      while (tries < 2) std::this_thread::yield();           // both are under way; who begins anew does not wait for ever
    });
  });
  CHECK(tries == 2);
  CHECK(*r == 2);
}

TEST_CASE("TX-23 set and alter after commute are refused; alter has called its function by then") {
  ref<int> r(0), other(0);
  int calls = 0;
  CHECK_THROWS_AS(transact([&] {
    other.set(1);
    r.commute(inc);
    r.set(5);
  }), set_after_commute);
  CHECK_THROWS_AS(transact([&] {
    r.commute(inc);
    r.alter([&](int x) { return ++calls, x; });
  }), set_after_commute);
  CHECK(calls == 1);
  CHECK(*other == 0);
  transact([&] {
    r.commute(inc);
    CHECK_THROWS_AS(r.set(5), set_after_commute);
  });
  CHECK(*r == 1);
}

TEST_CASE("TX-24 commute after alter is applied once") {
  ref<int> r(0);
  int calls = 0;
  transact([&] {
    r.alter(plus, 10);
    CHECK(r.commute([&](int x) { return ++calls, x + 1; }) == 11);
  });
  CHECK(*r == 11);
  CHECK(calls == 1);
}

TEST_CASE("TX-25 a function of commute that throws at the commit aborts everything") {
  ref<int> a(0), b(0);
  int calls = 0;
  CHECK_THROWS_AS(transact([&] {
    a.set(1);
    b.commute([&](int x) -> int { if (++calls == 2) throw oops(); return x + 1; });
  }), oops);
  CHECK(calls == 2);
  CHECK(*a == 0);
  CHECK(*b == 0);
  transact([&] {
    a.set(2);
    b.set(2);
  });
}

TEST_CASE("TX-26 ensure and commute of the same ref; TX-21 a commute may commute others") {
  ref<int> r(0), other(0);
  transact([&] {
    r.ensure();
    r.commute(inc);
  });
  CHECK(*r == 1);
  transact([&] {
    r.commute([&](int x) {
      other.commute(plus, 10);
      return x + 1;
    });
  });
  CHECK(*r == 2);
  CHECK(*other == 20);                           // once at each run of the function
}
TEST_CASE("TX-26 ensure and commute of the same ref: what others commit in between has it begin anew") {
  ref<int> r(0), first(0);
  int tries = 0;
  transact([&] {
    static_cast<void>(*first);
    if (++tries == 1) commit_elsewhere(r, 5);
    r.ensure();
    r.commute(inc);
  });
  CHECK(tries == 2);
  CHECK(*r == 6);
}

TEST_CASE("AT-17 an atom in a transaction is changed at once, and again with each run") {
  atom<int> a(0);
  ref<int> r(0);
  CHECK_THROWS_AS(transact([&] {
    a.swap(inc);
    r.set(1);
    throw oops();
  }), oops);
  CHECK(*a == 1);
  CHECK(*r == 0);
  int tries = 0;
  transact([&] {
    a.swap(inc);
    static_cast<void>(*r);
    if (++tries == 1) commit_elsewhere(r, 5);
    r.alter(inc);
  });
  CHECK(*a == 3);
}

TEST_CASE_TEMPLATE("TX-33 a watch hears once of a transaction: the value before and the last one", T, int, big) {
  seen_changes seen;
  ref<T> r(T(0));
  r.add_watch("w", into(seen));
  transact([&] {
    r.set(T(1));
    r.set(T(5));
    r.set(T(9));
  });
  transact([&] { r.set(T(9)); });
  CHECK(seen.all() == pairs{{0, 9}, {9, 9}});
}
TEST_CASE("TX-33 a watch that throws: committed, all watches run, the first exception leaves") {
  ref<int> a(0), b(0);
  int ran = 0;
  for (ref<int>* r : {&a, &b})
    for (const char* key : {"x", "y"})
      r->add_watch(key, [&](std::string_view, ref<int>&, int, int) {
        ++ran;
        throw oops();
      });
  CHECK_THROWS_AS(transact([&] {
    a.set(1);
    b.set(2);
  }), oops);
  CHECK(ran == 4);
  CHECK(*a == 1);
  CHECK(*b == 2);
}

TEST_CASE("TX-34 WA-6 in a watch no transaction runs; it may start one, in the thread of the transaction, after the commit") {
  ref<int> r(0), s(0);
  const auto me = std::this_thread::get_id();
  r.add_watch("w", [&](std::string_view, ref<int>& of, int, int now) {
    CHECK(std::this_thread::get_id() == me);
    CHECK(*of == now);
    CHECK_FALSE(is_in_transaction());
    io_guard([] {});
    transact([&] { s.alter(plus, now); });
  });
  transact([&] { r.set(5); });
  CHECK(*s == 5);
}

TEST_CASE("TX-36 add_watch inside of a transaction counts for its commit, and is not undone by its end") {
  seen_changes seen;
  ref<int> r(0);
  transact([&] {
    r.set(1);
    r.add_watch("w", into(seen));
  });
  CHECK(seen.all() == pairs{{0, 1}});
  CHECK_THROWS_AS(transact([&] {
    r.add_watch("v", into(seen));
    throw oops();
  }), oops);
  transact([&] { r.set(2); });
  CHECK(seen.size() == 3);
}

TEST_CASE("TX-37 while watches run, others commit the same refs") {
  ref<int> r(0);
  bool once = true;
  r.add_watch("w", [&](std::string_view, ref<int>&, int, int) {
    if (std::exchange(once, false)) commit_elsewhere(r, 50);
  });
  transact([&] { r.set(1); });
  CHECK(*r == 50);
}

TEST_CASE("a transaction of a process may wait in its body; one that is killed in it gives all back") {
  world w;
  ref<int> r(0), other(0);
  const monitored p = spawn_monitor([&, test = self()] {
    transact([&] {
      r.alter(inc);
      send(test, ready{});
      wait_for_go();
    });
  });
  await_ready();
  CHECK(*r == 0);
  exit(p.who, exit_reason::kill);
  CHECK(reason_of(p.ref) == exit_reason::killed);
  transact([&] { r.alter(plus, 5); });
  CHECK(*r == 5);
  const monitored q = spawn_monitor([&, test = self()] {
    transact([&] {
      const auto seen = *other;
      r.alter(plus, 1 + seen);
      send(test, ready{});
      wait_for_go();
    });
  });
  await_ready();
  send(q.who, go{});
  CHECK(reason_of(q.ref) == exit_reason::normal);
  CHECK(*r == 6);
}

TEST_CASE("TX-12 many processes that wait for one writer all get their turn") {
  world w;
  ref<int> r(0);
  const monitored holder = spawn_monitor([&, test = self()] {
    transact([&] {
      r.alter(inc);
      send(test, ready{});
      wait_for_go();
    });
  });
  await_ready();
  std::vector<monitored> all;
  for (int i = 0; i < 100; ++i) all.push_back(spawn_monitor([&] { transact([&] { r.alter(inc); }); }));
  send(holder.who, go{});
  for (const monitored& m : all) CHECK(reason_of(m.ref) == exit_reason::normal);
  CHECK(*r == 101);
}

TEST_CASE("RF-6 a long reader beside busy writers ends: its snapshot is registered after three faults") {
  std::vector<std::unique_ptr<ref<int>>> all;
  for (int i = 0; i < 50; ++i) all.push_back(std::make_unique<ref<int>>(0));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int n = 0; !stop; ++n)
      transact([&] {
        all[static_cast<std::size_t>(n) % 50]->alter(plus, 1);
        all[static_cast<std::size_t>(n * 7 + 1) % 50]->alter(minus, 1);
      });
  });
  int tries = 0;
  const int sum = transact([&] {
    ++tries;
    int s = 0;
    for (auto& r : all) {
      s += **r;
      std::this_thread::sleep_for(50us);
    }
    return s;
  });
  stop = true;
  writer.join();
  CHECK(sum == 0);
  CHECK(tries < 10);
  transact([&] { for (auto& r : all) r->set(0); });
  transact([&] { for (auto& r : all) r->set(0); });
  for (auto& r : all) CHECK(r->history_count() <= 10);
}

TEST_CASE("a transaction over many refs finds its own values") {
  std::vector<std::unique_ptr<ref<int>>> all;
  for (int i = 0; i < 500; ++i) all.push_back(std::make_unique<ref<int>>(i));
  transact([&] {
    for (auto& r : all) r->alter(plus, 1);
    for (auto& r : all) r->alter(plus, 1);
    for (int i = 0; i < 500; ++i) CHECK(**all[static_cast<std::size_t>(i)] == i + 2);
  });
  CHECK(**all[499] == 501);
}
