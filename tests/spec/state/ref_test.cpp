// SPDX-License-Identifier: Apache-2.0
//
// Refs: RF-1 to RF-12, and what VA, ME, WA, TP say of them.
#include "spec/state/state_test.hpp"

#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>

using namespace coppice;
using namespace coppice::testing;

namespace {
using pairs = std::vector<seen_changes::pair>;

/// Commits `value` from another thread, while the caller is inside of a transaction.
template <class T>
void commit_elsewhere(ref<T>& r, T value) {
  std::thread([&] { transact([&] { r.set(value); }); }).join();
}
}  // namespace

TEST_CASE_TEMPLATE("RF-1 VA-2 ME-1 a ref is created with its options and read anywhere; uncommitted values are not shown", T, int, big) {
  ref<T> r(T(0), {.validator = not_negative, .meta = {{"n", 1}}, .min_history = 1, .max_history = 5});
  CHECK(r.meta() == metadata{{"n", 1}});
  CHECK(r.min_history() == 1);
  CHECK(r.max_history() == 5);
  CHECK_THROWS_AS((ref<T>(T(-1), {.validator = not_negative})), invalid_state);
  ref<T> plain(T(3));
  CHECK(plain.min_history() == 0);
  CHECK(plain.max_history() == 10);
  transact([&] {
    r.set(T(9));
    CHECK((*r == T(9)));
    std::thread([&] {
      CHECK((*r == T(0)));
      transact([&] { CHECK((*r == T(0))); });
    }).join();
  });
  CHECK((*r == T(9)));
}

TEST_CASE("RF-2 outside of a transaction nothing is changed, but all is looked at") {
  ref<int> r(1);
  CHECK_THROWS_AS(r.alter(inc), no_transaction);
  CHECK_THROWS_AS(r.set(2), no_transaction);
  CHECK_THROWS_AS(r.commute(inc), no_transaction);
  CHECK_THROWS_AS(r.ensure(), no_transaction);
  CHECK(*r == 1);
  CHECK(r.history_count() == 0);
  seen_changes seen;
  r.add_watch("w", into(seen));
  r.set_validator(not_negative);
  r.reset_meta({{"n", 2}});
  CHECK(r.meta() == metadata{{"n", 2}});
}

TEST_CASE("RF-3 what the operations return") {
  ref<int> r(1);
  transact([&] {
    CHECK(r.alter(plus, 4) == 5);
    CHECK(r.set(7) == 7);
    CHECK(r.commute(inc) == 8);
    CHECK(r.ensure() == 8);
  });
  CHECK(transact([&] { return *r; }) == 8);
  static_assert(std::is_void_v<decltype(transact([] {}))>);
  transact([] {});
  CHECK(*transact([] { return std::make_unique<int>(3); }) == 3);
}

TEST_CASE("RF-4 a new ref has no history; looking and ensuring change nothing and wake no watch") {
  seen_changes seen;
  ref<int> r(1);
  r.add_watch("w", into(seen));
  CHECK(r.history_count() == 0);
  transact([&] { static_cast<void>(*r); });
  transact([&] { r.ensure(); });
  CHECK(r.history_count() == 0);
  CHECK(seen.size() == 0);
}

TEST_CASE("RF-5 history grows to its least without being asked; at most 0 it never grows") {
  ref<int> r(0, {.min_history = 2});
  std::vector<unsigned> counts;
  for (int i = 1; i <= 4; ++i) {
    transact([&] { r.set(i); });
    counts.push_back(r.history_count());
  }
  CHECK(counts == std::vector<unsigned>{1, 2, 2, 2});
  ref<int> none(0, {.max_history = 0});
  int tries = 0;
  transact([&] {
    if (++tries < 3) {
      static_cast<void>(transact([&] { return *r; }));
      commit_elsewhere(none, tries);
    }
    static_cast<void>(*none);
  });
  CHECK(tries == 3);
  transact([&] { none.set(9); });
  CHECK(none.history_count() == 0);
}

TEST_CASE("RF-6 a reader that needs a version that is not kept begins anew, and history grows with the next commit") {
  ref<int> first(1), r(0);
  int tries = 0;
  const int seen = transact([&] {
    ++tries;
    static_cast<void>(*first);
    if (tries == 1) commit_elsewhere(r, 5);
    return *r;
  });
  CHECK(tries == 2);
  CHECK(seen == 5);
  CHECK(r.history_count() == 0);
  transact([&] { r.set(6); });
  CHECK(r.history_count() == 1);
  transact([&] { r.set(7); });
  CHECK(r.history_count() == 1);
}

TEST_CASE("RF-7 a version that is kept needs no second attempt") {
  ref<int> first(1), r(0, {.min_history = 2});
  transact([&] { r.set(1); });
  transact([&] { r.set(2); });
  int tries = 0;
  const int seen = transact([&] {
    ++tries;
    static_cast<void>(*first);
    commit_elsewhere(r, 5);
    return *r;
  });
  CHECK(tries == 1);
  CHECK(seen == 2);
}

TEST_CASE("RF-8 the limits of history are read and set at any time") {
  ref<int> r(0);
  CHECK(&r.min_history(3).max_history(1) == &r);
  CHECK(r.min_history() == 3);
  CHECK(r.max_history() == 1);
  for (int i = 0; i < 5; ++i) transact([&] { r.set(i); });
  CHECK(r.history_count() == 3);
}

TEST_CASE("RF-9 both looks of one completed attempt agree") {
  ref<int> first(0), r(0);
  int tries = 0;
  transact([&] {
    ++tries;
    const int a = *r;
    if (tries == 1) commit_elsewhere(r, 1);
    const int again = *r;
    CHECK(again == a);
  });
  CHECK(tries == 2);
}

TEST_CASE("RF-10 a ref that holds a callable can be called") {
  struct adder {
    int n;
    int operator()(int x) const { return x + n; }
  };
  ref<adder> r(adder{2});
  CHECK(r(40) == 42);
}

TEST_CASE("RF-11 refs are ordered by their creation; RF-12 a clone has the value and nothing else") {
  ref<int> a(1, {.validator = not_negative, .meta = {{"n", 1}}, .min_history = 4}), b(2);
  CHECK(a < b);
  CHECK_FALSE(b < a);
  ref<int> c = clone(a);
  CHECK(b < c);
  CHECK(*c == 1);
  CHECK(c.meta().empty());
  CHECK(c.min_history() == 0);
  CHECK_FALSE(c.has_validator());
}
TEST_CASE("RF-12 a clone has the value and nothing else") {
  seen_changes seen;
  ref<big> a(1);
  a.add_watch("w", into(seen));
  ref<big> b = clone(a);
  transact([&] { b.set(5); });
  CHECK((*a == big(1)));
  CHECK(seen.size() == 0);
}

TEST_CASE("AT-21 DR-1 a ref is dereferenceable and settable and has no reads with a limit") {
  static_assert(dereferenceable<ref<int>> && settable<ref<big>> && !swappable<ref<int>>);
  static_assert(!blocking_dereferenceable<ref<int>> && !pending_value<ref<int>>);
}

TEST_CASE("TP-1 a tap on a ref gets one item for each transaction") {
  world w;
  ref<int> r(0);
  r.tap(self());
  transact([&] {
    r.set(1);
    r.set(2);
  });
  const auto c = receive<changed<int>>();
  CHECK(c.old == 0);
  CHECK(c.now == 2);
  CHECK(flush() == 0);
}

TEST_CASE("views in a transaction stay valid: of old values, of own ones, over a retry") {
  const auto settled = [] { return internal::reclaim() == 0; };
  CHECK(eventually(settled));
  const int before = big::alive;
  {
    ref<big> a(1), b(1);
    snapshot<big> kept;
    int tries = 0;
    transact([&] {
      ++tries;
      const auto old = *a;
      const auto mine = a.alter(plus, big(1));
      if (tries == 1) {
        commit_elsewhere(b, big(5));
        kept = mine.keep();
      }
      a.alter(plus, big(1));
      try {
        static_cast<void>(b.alter(plus, big(1)));
      } catch (...) {
        CHECK((old == big(1)));
        CHECK((mine == big(2)));
        CHECK(mine->is_whole());
        throw;
      }
    });
    CHECK(tries == 2);
    CHECK((*a == big(3)));
    CHECK((*b == big(6)));
    CHECK((kept == big(2)));
  }
  CHECK(eventually([&] { return internal::reclaim() == 0 && big::alive == before; }));
}
