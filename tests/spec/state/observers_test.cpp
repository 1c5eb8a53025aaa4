// SPDX-License-Identifier: Apache-2.0
//
// What hangs on a reference: validators VA, metadata ME, watches WA, taps TP. Here on atoms; refs and agents have theirs beside
// their own tests.
#include "spec/state/state_test.hpp"

#include <algorithm>

using namespace coppice;
using namespace coppice::testing;

namespace {
struct odd_one {};                               // no std::exception
using pairs = std::vector<seen_changes::pair>;
}  // namespace

TEST_CASE("VA-1 a validator accepts by true; false gives invalid_state, which says of what") {
  atom<int> a(2, {.validator = [](int x) { return x % 2 == 0; }});
  CHECK(a.reset(4) == 4);
  try {
    a.reset(5);
    FAIL("5 was accepted");
  } catch (const invalid_state& e) {
    CHECK(std::string(e.what()) == "atom: the validator refused the new value");
  }
  atom<int> without(1);
  CHECK_FALSE(without.has_validator());
  without.reset(-1);
}

TEST_CASE("VA-2 the first value is validated; no object is made when it is refused") {
  const int before = big::alive;
  CHECK_THROWS_AS(atom<int>(-1, {.validator = not_negative}), invalid_state);
  CHECK_THROWS_AS(atom<big>(big(-1), {.validator = not_negative}), invalid_state);
  CHECK(big::alive == before);
}

TEST_CASE("VA-3 a new validator must accept the present value, else the former stays") {
  atom<int> a(-5);
  CHECK_THROWS_AS(a.set_validator(not_negative), invalid_state);
  CHECK_FALSE(a.has_validator());
  a.reset(1);
  a.set_validator(not_negative);
  CHECK_THROWS_AS(a.set_validator([](int x) { return x > 1; }), invalid_state);
  CHECK_THROWS_AS(a.set_validator([](int) -> bool { throw oops(); }), oops);
  CHECK_THROWS_AS(a.reset(-1), invalid_state);
  a.reset(0);
}

TEST_CASE("VA-4 without a validator any value is accepted") {
  atom<int> a(1, {.validator = not_negative});
  a.set_validator({});
  CHECK_FALSE(a.has_validator());
  CHECK(a.reset(-1) == -1);
}

TEST_CASE("VA-5 what a validator throws comes through as it is") {
  atom<int> a(0);
  a.set_validator([](int x) { if (x == 1) throw oops(); if (x == 2) throw odd_one(); return true; });
  CHECK_THROWS_AS(a.reset(1), oops);
  CHECK_THROWS_AS(a.swap(plus, 2), odd_one);
  CHECK(*a == 0);
}

TEST_CASE_TEMPLATE("VA-6 first the validator, then the value is visible, then the watches", T, int, big) {
  std::vector<std::string> order;
  atom<T> a(T(0));
  a.set_validator([&](const T& x) {
    order.push_back("validator " + std::to_string(number(x)) + " beside " + std::to_string(number(a.get())));
    return true;
  });
  order.clear();
  a.add_watch("w", [&](std::string_view, atom<T>& of, const T&, const T&) { order.push_back("watch beside " + std::to_string(number(of.get()))); });
  a.swap(plus, T(1));
  CHECK(order == std::vector<std::string>{"validator 1 beside 0", "watch beside 1"});
}

TEST_CASE("VA-7 validators and watches hang on the reference: resets and metadata keep them") {
  seen_changes seen;
  atom<int> a(0, {.validator = not_negative});
  a.add_watch("w", into(seen));
  a.reset(1);
  a.reset_meta({{"n", 1}});
  CHECK_THROWS_AS(a.reset(-1), invalid_state);
  a.reset(2);
  CHECK(seen.all() == pairs{{0, 1}, {1, 2}});
}

TEST_CASE("VA-3 validators may be exchanged while others change the value") {
  atom<big> a(0);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    while (!stop) a.swap(plus, big(1));
  });
  for (int i = 0; i < rounds(2000, 200'000); ++i) a.set_validator(i % 3 == 0 ? detail::validator_function<big>{} : [i](const big& b) { return b.is_whole() && i >= 0; });
  stop = true;
  changer.join();
}

TEST_CASE("ME-1 metadata are empty at first") {
  atom<int> a(0), b(0, {.meta = {{"n", 1}, {"text", "x"}, {"on", true}, {"part", 0.5}}});
  CHECK(a.meta().empty());
  CHECK(b.meta().size() == 4);
  CHECK(std::get<std::int64_t>(*b.meta().find("n")) == 1);
  CHECK(std::get<std::string>(*b.meta().find("text")) == "x");
  CHECK(std::get<bool>(*b.meta().find("on")));
  CHECK(std::get<double>(*b.meta().find("part")) == 0.5);
  CHECK(b.meta().find("m") == nullptr);
}

TEST_CASE("ME-2 alter_meta changes in one step and calls its function once; reset_meta replaces") {
  atom<int> a(0, {.meta = {{"n", 1}}});
  CHECK(a.alter_meta([](metadata m) { return std::move(m).set("m", 2); }) == metadata{{"n", 1}, {"m", 2}});
  CHECK(a.reset_meta({{"z", 1}}) == metadata{{"z", 1}});
  CHECK(a.meta() == metadata{{"z", 1}});
  a.reset_meta({{"n", 0}});
  std::atomic<int> calls{0};
  in_threads(4, [&](int) {
    for (int i = 0; i < 200; ++i)
      a.alter_meta([&](metadata m) {
        ++calls;
        return m.set("n", std::get<std::int64_t>(*m.find("n")) + 1), m;
      });
  });
  CHECK(calls == 800);
  CHECK(a.meta() == metadata{{"n", 800}});
  CHECK_THROWS_AS(a.alter_meta([](const metadata&) -> metadata { throw oops(); }), oops);
  CHECK(a.meta() == metadata{{"n", 800}});
}

TEST_CASE("ME-2 the function of alter_meta may wait: others wait for it and readers do not") {
  world w;
  atom<int> a(0, {.meta = {{"n", 1}}});
  const monitored slow = spawn_monitor([&a, test = self()] {
    a.alter_meta([&](metadata m) {
      send(test, ready{});
      wait_for_go();
      return std::move(m).set("slow", true);
    });
  });
  await_ready();
  const monitored next = spawn_monitor([&a] { a.alter_meta([](metadata m) { return std::move(m).set("next", true); }); });
  CHECK(a.meta() == metadata{{"n", 1}});
  send(slow.who, go{});
  CHECK(reason_of(slow.ref) == exit_reason::normal);
  CHECK(reason_of(next.ref) == exit_reason::normal);
  CHECK(a.meta() == metadata{{"n", 1}, {"slow", true}, {"next", true}});
}

TEST_CASE("ME-3 metadata run no validator and no watch and leave the value alone") {
  seen_changes seen;
  int validated = 0;
  atom<int> a(3);
  a.set_validator([&](int) { return ++validated, true; });
  a.add_watch("w", into(seen));
  validated = 0;
  a.alter_meta([](metadata m) { return std::move(m).set("x", 1); });
  a.reset_meta({});
  CHECK(validated == 0);
  CHECK(seen.size() == 0);
  CHECK(*a == 3);
}

TEST_CASE("WA-1 a watch gets key, reference, old and new; a used key replaces") {
  atom<int> a(1);
  std::vector<std::string> calls;
  CHECK(&a.add_watch("k", [&](std::string_view, atom<int>&, int, int) { calls.push_back("first"); }) == &a);
  a.add_watch("k", [&](std::string_view key, atom<int>& of, int old, int now) {
    calls.push_back(std::string(key) + (&of == &a ? " mine " : " other's ") + std::to_string(old) + " " + std::to_string(now));
  });
  a.reset(2);
  CHECK(calls == std::vector<std::string>{"k mine 1 2"});
}

TEST_CASE("WA-2 a removed watch is not called; an unknown key is no error") {
  seen_changes seen;
  atom<int> a(0);
  CHECK(&a.remove_watch("nobody") == &a);
  a.add_watch("k", into(seen));
  CHECK(&a.remove_watch("k") == &a);
  a.remove_watch("k");
  a.reset(1);
  CHECK(seen.size() == 0);
}

TEST_CASE("WA-3 the watches of a notification are those at its start") {
  seen_changes added, removed;
  atom<int> a(0);
  a.add_watch("first", [&](std::string_view, atom<int>& of, int, int) {
    of.add_watch("added", into(added));
    of.remove_watch("removed");
    of.remove_watch("first");
  });
  a.add_watch("removed", into(removed));
  a.reset(1);
  CHECK(added.size() == 0);
  CHECK(removed.all() == pairs{{0, 1}});
  a.reset(2);
  CHECK(added.all() == pairs{{1, 2}});
  CHECK(removed.size() == 1);
}

TEST_CASE("WA-4 all watches of a reference are called") {
  std::set<std::string> called;
  atom<int> a(0);
  for (const char* key : {"x", "y", "z"}) a.add_watch(key, [&](std::string_view k, atom<int>&, int, int) { called.insert(std::string(k)); });
  a.reset(1);
  CHECK(called == std::set<std::string>{"x", "y", "z"});
}

TEST_CASE("WA-5 a watch sees the new value, or a newer one") {
  atom<int> a(0);
  std::atomic<int> wrong{0};
  a.add_watch("w", [&](std::string_view, atom<int>& of, int, int now) { if (*of < now) ++wrong; });
  in_threads(3, [&](int) {
    for (int i = 0; i < 2000; ++i) a.swap(inc);
  });
  CHECK(wrong == 0);
}

TEST_CASE("WA-6 WA-7 an atom's watches run in the thread that changes it, several at a time") {
  world w;
  atom<int> a(0);
  std::vector<pid> where(2);
  a.add_watch("w", [&](std::string_view, atom<int>&, int, int now) {
    where[static_cast<std::size_t>(now) - 1] = self();
    send(now == 1 ? where[0] : where[1], ready{});  // to itself: each is inside the watch
    await_ready();
    if (now == 1) wait_for_go();                    // the first one waits inside until the second has been here
  });
  const monitored first = spawn_monitor([&] { a.reset(1); });
  CHECK(eventually([&] { return *a == 1; }));
  const monitored second = spawn_monitor([&] { a.reset(2); });
  CHECK(reason_of(second.ref) == exit_reason::normal);
  send(first.who, go{});
  CHECK(reason_of(first.ref) == exit_reason::normal);
  CHECK(where == std::vector<pid>{first.who, second.who});
}

TEST_CASE("TP-1 TP-4 a tap sends each change once; twice the same counts once; untap stops it") {
  world w;
  atom<big> a(0);
  a.tap(self());
  a.tap(self());
  a.swap(plus, big(1));
  auto c = receive<changed<big>>();
  CHECK(c.old == big(0));
  CHECK(c.now == big(1));
  a.untap(self());
  a.untap(self());
  a.reset(5);
  a.tap(self());
  a.reset(6);
  c = receive<changed<big>>();
  CHECK(c.old == big(5));
  a.untap_all();
  a.reset(7);
  CHECK(flush() == 0);
}

TEST_CASE("TP-2 a tap never blocks whoever changes: the items pile up in the mailbox") {
  world w;
  atom<int> a(0);
  a.tap(self());
  for (int i = 0; i < 5000; ++i) a.swap(inc);
  for (int i = 0; i < 5000; ++i) {
    const auto c = receive<changed<int>>();
    REQUIRE(c.old == i);
    REQUIRE(c.now == i + 1);
  }
}

TEST_CASE("TP-3 several processes tap one reference, each gets every item in order") {
  world w;
  atom<int> a(0);
  std::vector<monitored> readers;
  for (int r = 0; r < 3; ++r)
    readers.push_back(spawn_monitor([test = self()] {
      send(test, ready{});
      for (int i = 0; i < 500; ++i) {
        const auto c = receive<changed<int>>();
        if (c.old != i || c.now != i + 1) exit(exit_reason::error);
      }
    }));
  for (const monitored& r : readers) {
    await_ready();
    a.tap(r.who);
  }
  for (int i = 0; i < 500; ++i) a.swap(inc);
  for (const monitored& r : readers) CHECK(reason_of(r.ref) == exit_reason::normal);
}

TEST_CASE("TP-5 who taps hears that the reference is gone, unless it is to be kept open; the dead hear nothing") {
  world w;
  const pid dead = spawn([] {});
  await_end(dead);
  {
    atom<int> a(0);
    a.tap(self());
    a.tap(dead);
    a.reset(1);
  }
  CHECK(receive<changed<int>>().now == 1);
  CHECK(receive<tap_closed>(duration{0}).has_value());
  {
    atom<int> a(0);
    a.tap(self(), {.keep_open = true});
  }
  CHECK(flush() == 0);
}

TEST_CASE("TP-7 what is refused is sent to nobody") {
  world w;
  atom<int> a(0, {.validator = [](int x) { return x % 2 == 0; }});
  a.tap(self());
  CHECK_THROWS_AS(a.swap(plus, 1), invalid_state);
  CHECK(flush() == 0);
  a.swap(plus, 2);
  const auto c = receive<changed<int>>();
  CHECK(c.old == 0);
  CHECK(c.now == 2);
}
