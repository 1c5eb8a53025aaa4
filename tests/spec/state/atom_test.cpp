// SPDX-License-Identifier: Apache-2.0
//
// Atoms: AT-1 to AT-21, of values that are words and of values that are not.
#include "spec/state/state_test.hpp"

#include <coppice/state/reference.hpp>

#include <memory>
#include <optional>
#include <string>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE_TEMPLATE("AT-1 an atom is created with a value, a validator and metadata, and read", T, int, big) {
  atom<T> a(T(7), {.validator = not_negative, .meta = {{"n", 1}}});
  CHECK((*a == T(7)));
  CHECK((a.get() == T(7)));
  CHECK((a.read([](const T& x) { return number(x); }) == 7));
  CHECK((a.meta() == metadata{{"n", 1}}));
  CHECK(a.has_validator());
  atom<T> fresh;
  CHECK((*fresh == T(0)));
}

TEST_CASE("AT-1 any value that can be moved: words, enumerations, pointers, text, what cannot be copied, wide alignment") {
  enum class colour : std::uint8_t { red, green };
  struct alignas(64) wide { int n; };
  struct small { short a, b; bool operator==(const small&) const = default; };
  int target = 0;
  atom<bool> flag(false);
  CHECK(flag.swap([](bool b) { return !b; }));
  atom<double> x(0.5);
  CHECK((x.swap(plus, 0.25) == 0.75));
  atom<colour> c(colour::red);
  CHECK((c.reset(colour::green) == colour::green));
  atom<int*> p(nullptr);
  CHECK((p.reset(&target) == &target));
  atom<small> s(small{1, 2});
  CHECK((s.swap([](small v) { return small{v.b, v.a}; }) == small{2, 1}));
  atom<std::string> text("a");
  CHECK((text.swap([](const std::string& t) { return t + "b"; }) == "ab"));
  CHECK((text->empty() == false));
  atom<std::unique_ptr<int>> owner(std::make_unique<int>(1));
  owner.swap([](const std::unique_ptr<int>& old) { return std::make_unique<int>(*old + 1); });
  CHECK(owner.read([](const std::unique_ptr<int>& o) { return *o; }) == 2);
  atom<wide> w(wide{3});
  CHECK((reinterpret_cast<std::uintptr_t>(&(*w).get()) % 64 == 0));
}

TEST_CASE("AT-1 a view stays as it was, a snapshot also after its atom") {
  static_cast<void>(eventually([] { return internal::reclaim() == 0; }));
  const int before = big::alive;
  snapshot<big> kept;
  {
    atom<big> a(1);
    const auto v = *a;
    a.reset(2);
    a.swap(plus, big(5));
    CHECK((v == big(1)));
    CHECK((*a == big(7)));
    kept = v.keep();
    for (int i = 0; i < 2000; ++i) a.reset(i);
    CHECK((v == big(1)));
  }
  CHECK((kept == big(1)));
  snapshot<big> copy = kept;
  kept = {};
  CHECK(copy->is_whole());
  copy = {};
  CHECK(eventually([&] { return internal::reclaim() == 0 && big::alive == before; }));
}

TEST_CASE("AT-1 a process that waits with views holds back these values and no others") {
  world w;
  static_cast<void>(eventually([] { return internal::reclaim() == 0; }));
  const int before = big::alive;
  atom<big> a(1);
  const pid reader = spawn([&a, test = self()] {
    const auto first = *a;
    const auto second = *a;
    send(test, ready{});
    wait_for_go();
    const auto third = *a;
    CHECK((first == big(1)));
    CHECK((second == big(1)));
    CHECK(second->is_whole());
    CHECK((third == big(5000)));
  });
  const reference end = monitor(reader);
  await_ready();
  for (int i = 1; i <= 5000; ++i) a.reset(i);
  CHECK(eventually([&] { return internal::reclaim() == 0; }));
  CHECK(big::alive <= before + 2);               // the present one, and the one that is looked at
  send(reader, go{});
  CHECK((reason_of(end) == exit_reason::normal));
}

TEST_CASE_TEMPLATE("AT-2 swap sets f(old, args…) and returns it", T, int, big) {
  atom<T> a(T(0));
  CHECK((a.swap([](const T& x) { return x + T(1); }) == T(1)));
  CHECK((*a == T(1)));
  CHECK((a.swap(plus, T(2), T(3)) == T(6)));
}

TEST_CASE_TEMPLATE("AT-3 AT-4 f and the validator run once per attempt, also on a losing one", T, int, big) {
  std::vector<long long> validated;
  atom<T> a(T(0));
  a.set_validator([&](const T& x) { return validated.push_back(number(x)), true; });
  validated.clear();
  int calls = 0;
  const auto now = a.swap([&](const T& x) -> T {
    if (++calls == 1) a.swap(plus, T(10));
    return x + T(1);
  });
  CHECK((now == T(11)));
  CHECK((calls == 2));
  CHECK((validated == std::vector<long long>{10, 1, 11}));
}

TEST_CASE_TEMPLATE("AT-5 a function that throws changes nothing and wakes no watch", T, int, big) {
  seen_changes seen;
  atom<T> a(T(5));
  a.add_watch("w", into(seen));
  CHECK_THROWS_AS(a.swap([](const T&) -> T { throw oops(); }), oops);
  CHECK((*a == T(5)));
  CHECK((seen.size() == 0));
}

TEST_CASE_TEMPLATE("AT-6 a refused value: invalid_state, unchanged, no watch", T, int, big) {
  seen_changes seen;
  atom<T> a(T(0), {.validator = not_negative});
  a.add_watch("w", into(seen));
  CHECK_THROWS_AS(a.swap(minus, T(1)), invalid_state);
  CHECK_THROWS_AS(a.reset(T(-3)), invalid_state);
  CHECK((*a == T(0)));
  CHECK((seen.size() == 0));
}

TEST_CASE("AT-7 swap_vals returns the pair of the winning attempt") {
  atom<int> a(0);
  CHECK((a.swap_vals(plus, 1) == std::pair(0, 1)));
  CHECK((a.swap_vals(plus, 1) == std::pair(1, 2)));
  a.reset(0);
  CHECK((a.swap_vals(plus, 1) == std::pair(0, 1)));
  CHECK((a.swap_vals(plus, 1, 1) == std::pair(1, 3)));
  CHECK((a.swap_vals(plus, 1, 1, 1) == std::pair(3, 6)));
  CHECK((a.swap_vals(plus, 1, 1, 1, 1) == std::pair(6, 10)));
  atom<big> b(0);
  const auto [old, now] = b.swap_vals(plus, big(4));
  CHECK((old == big(0)));
  CHECK((now == big(4)));
}

TEST_CASE_TEMPLATE("AT-8 reset validates, sets, notifies and returns the value", T, int, big) {
  seen_changes seen;
  atom<T> a(T(1), {.validator = not_negative});
  a.add_watch("w", into(seen));
  CHECK((a.reset(T(9)) == T(9)));
  CHECK((*a == T(9)));
  CHECK((seen.all() == std::vector<seen_changes::pair>{{1, 9}}));
}

TEST_CASE_TEMPLATE("AT-9 reset_vals returns what was replaced; refused: unchanged", T, int, big) {
  atom<T> a(T(1), {.validator = not_negative});
  const auto [old, now] = a.reset_vals(T(2));
  CHECK((old == T(1)));
  CHECK((now == T(2)));
  CHECK_THROWS_AS(a.reset_vals(T(-1)), invalid_state);
  CHECK((*a == T(2)));
  a.reset(static_cast<T>(a.reset_vals(T(100)).first));
  CHECK((*a == T(2)));
}

TEST_CASE_TEMPLATE("AT-10 the pairs of resets and swaps chain exactly, however many threads make them", T, int, big) {
  seen_changes seen;
  atom<T> a(T(0));
  a.add_watch("w", into(seen));
  const int each = rounds(300, 30'000);
  in_threads(4, [&](int thread) {
    for (int i = 1; i <= each; ++i) {
      const int unique = thread * each + i;
      if (i % 2 == 0) a.reset(T(unique));
      else a.swap([&](const T&) { return T(unique); });
    }
  });
  std::multiset<long long> olds, news;
  for (const auto& [old, now] : seen.all()) {
    olds.insert(old);
    news.insert(now);
  }
  CHECK((olds.erase(0) == 1));
  const auto last = number(a.get());
  CHECK((news.erase(last) == 1));
  CHECK((olds == news));                           // each value but the first and the last was set once and replaced once
}

TEST_CASE("AT-11 compare_and_set of words goes by equality") {
  seen_changes seen;
  atom<int> a(1000);
  a.add_watch("w", into(seen));
  CHECK_FALSE(a.compare_and_set(999, 1));
  CHECK((*a == 1000));
  CHECK(a.compare_and_set(1000, 1));
  CHECK((*a == 1));
  CHECK((seen.all() == std::vector<seen_changes::pair>{{1000, 1}}));
  atom<double> z(-0.0);
  CHECK(z.compare_and_set(0.0, 2.0));            // equal, with other bits
}
TEST_CASE("AT-11 compare_and_set of other values goes by identity") {
  seen_changes seen;
  atom<big> a(1), b(1);
  a.add_watch("w", into(seen));
  {
    const auto equal = *b;
    CHECK_FALSE(a.compare_and_set(equal, big(2)));
    const auto mine = *a;
    CHECK(a.compare_and_set(mine, big(2)));
    CHECK_FALSE(a.compare_and_set(mine, big(3)));
  }
  const snapshot<big> kept = (*a).keep();
  CHECK(a.compare_and_set(kept, big(4)));
  CHECK((*a == big(4)));
  CHECK((seen.all() == std::vector<seen_changes::pair>{{1, 2}, {2, 4}}));
}

TEST_CASE("AT-12 compare_and_set validates before it compares") {
  atom<int> a(0, {.validator = not_negative});
  CHECK_THROWS_AS(a.compare_and_set(99, -1), invalid_state);
  atom<big> b(0, {.validator = not_negative});
  const snapshot<big> other = (*atom<big>(1)).keep();
  CHECK_THROWS_AS(b.compare_and_set(other, big(-1)), invalid_state);
}

TEST_CASE_TEMPLATE("AT-13 a change to an equal value notifies", T, int, big) {
  seen_changes seen;
  atom<T> a(T(0));
  a.add_watch("w", into(seen));
  a.reset(T(0));
  a.swap([](const T& x) { return x; });
  CHECK((seen.all() == std::vector<seen_changes::pair>{{0, 0}, {0, 0}}));
}

TEST_CASE_TEMPLATE("AT-14 WA-8 a watch that throws: the caller hears of it, the value stays, later watches are skipped", T, int, big) {
  int ran = 0;
  atom<T> a(T(0));
  for (const char* key : {"a", "b", "c"})
    a.add_watch(key, [&](std::string_view, atom<T>&, const T&, const T&) {
      ++ran;
      throw oops();
    });
  CHECK_THROWS_AS(a.swap(plus, T(1)), oops);
  CHECK_THROWS_AS(a.reset(T(2)), oops);
  const auto now = a.get();
  CHECK((now == T(2)));
  CHECK((ran == 2));
}

TEST_CASE_TEMPLATE("AT-15 a watch may swap its own atom: depth first", T, int, big) {
  seen_changes seen;
  atom<T> a(T(0));
  a.add_watch("w", [&](std::string_view, atom<T>& self, const T& old, const T& now) {
    seen.add(number(old), number(now));
    if (number(now) < 3) self.swap(plus, T(1));
  });
  CHECK((a.swap(plus, T(1)) == T(1)));
  CHECK((*a == T(3)));
  CHECK((seen.all() == std::vector<seen_changes::pair>{{0, 1}, {1, 2}, {2, 3}}));
}

TEST_CASE_TEMPLATE("AT-16 n threads with k increments make n times k; each pair is one step", T, int, big) {
  seen_changes seen;
  atom<T> a(T(0));
  a.add_watch("w", into(seen));
  const int each = rounds(500, 50'000);
  in_threads(4, [&](int) {
    for (int i = 0; i < each; ++i) a.swap(plus, T(1));
  });
  CHECK((*a == T(4 * each)));
  std::set<long long> olds;
  for (const auto& [old, now] : seen.all()) {
    CHECK((now == old + 1));
    olds.insert(old);
  }
  CHECK((olds.size() == static_cast<std::size_t>(4 * each)));
  CHECK((*olds.begin() == 0));
  CHECK((*olds.rbegin() == 4 * each - 1));
}

TEST_CASE_TEMPLATE("AT-18 while f, validator or watch wait, others read and change the atom", T, int, big) {
  world w;
  atom<T> a(T(0));
  enum class where { function, validator, watch };
  for (const where at : {where::function, where::validator, where::watch}) {
    a.set_validator({});
    a.reset(T(0));
    a.remove_watch("w");
    std::atomic<int> gate{0};
    const pid test = self();
    const auto stop_here = [&gate, test] {
      if (gate.exchange(1) != 0) return;         // only the first that comes by
      send(test, ready{});
      wait_for_go();
    };
    if (at == where::validator) {
      gate = 1;
      a.set_validator([&](const T& x) {
        if (number(x) == 1) stop_here();
        return true;
      });
      gate = 0;
    }
    if (at == where::watch)
      a.add_watch("w", [&](std::string_view, atom<T>&, const T&, const T& now) {
        if (number(now) == 1) stop_here();
      });
    const monitored p = spawn_monitor([&] {
      const auto now = a.swap([&](const T& x) -> T {
        if (at == where::function) stop_here();
        return x + T(1);
      });
      CHECK((number(now) == (at == where::watch ? 1 : 11)));
    });
    await_ready();
    CHECK((*a == T(at == where::watch ? 1 : 0)));
    for (int i = 0; i < 1000; ++i) a.reset(T(10));    // what the swap looks at is replaced many times over
    CHECK((*a == T(10)));
    send(p.who, go{});
    CHECK((reason_of(p.ref) == exit_reason::normal));
    CHECK((*a == T(at == where::watch ? 10 : 11)));
  }
}

TEST_CASE("AT-19 swaps whose functions change the atom all the time stop no others and break nothing") {
  atom<big> a(0);
  atom<bool> stop(false);
  std::thread restless([&] {
    while (!*stop) {
      int tries = 0;
      a.swap([&](const big& x) -> big {
        if (++tries < 50 && !*stop) a.swap(plus, big(1));
        return x + big(1);
      });
    }
  });
  for (int i = 0; i < 200; ++i) a.swap(plus, big(1));
  CHECK((*a)->is_whole());
  stop.reset(true);
  restless.join();
}

TEST_CASE_TEMPLATE("AT-20 trade and exchange return the old value; clone takes the value alone", T, int, big) {
  seen_changes seen;
  atom<T> a(T(1), {.validator = not_negative, .meta = {{"n", 1}}});
  a.add_watch("w", into(seen));
  CHECK((a.trade(plus, T(4)) == T(1)));
  CHECK((a.exchange(T(8)) == T(5)));
  atom<T> copy = clone(a);
  CHECK((*copy == T(8)));
  CHECK(copy.meta().empty());
  copy.reset(T(-1));
  CHECK((*copy == T(-1)));
  CHECK((*a == T(8)));
  CHECK((seen.size() == 2));
}

TEST_CASE("AT-21 an atom is dereferenceable, settable and swappable, and nothing that blocks") {
  static_assert(dereferenceable<atom<int>> && dereferenceable<atom<big>>);
  static_assert(settable<atom<int>> && settable<atom<big>>);
  static_assert(swappable<atom<int>> && swappable<atom<big>>);
  static_assert(!blocking_dereferenceable<atom<int>>);
  static_assert(!pending_value<atom<int>> && !cancellable<atom<int>>);
}

TEST_CASE("an old value that is replaced by its own destructor's doing is freed, too") {
  struct nest {
    std::shared_ptr<atom<big>> inner{};
    int n = 0;
  };
  static_cast<void>(eventually([] { return internal::reclaim() == 0; }));
  const int before = big::alive;
  {
    atom<nest> a(nest{std::make_shared<atom<big>>(0), 0});
    for (int i = 0; i < 3000; ++i) a.reset(nest{std::make_shared<atom<big>>(i), i});
  }
  CHECK(eventually([&] { return internal::reclaim() == 0; }));
  CHECK((big::alive == before));
}
