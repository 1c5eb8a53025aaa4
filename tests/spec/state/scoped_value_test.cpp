// SPDX-License-Identifier: Apache-2.0
//
// Values that are bound in a scope: AG-11, FU-1, TX-27; and the small references OR-1 to OR-6.
#include "spec/state/state_test.hpp"

#include <coppice/state/agent.hpp>
#include <coppice/state/box.hpp>
#include <coppice/state/delay.hpp>
#include <coppice/state/future.hpp>
#include <coppice/state/local.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>
#include <coppice/state/scoped_value.hpp>
#include <coppice/state/unsynchronized_reference.hpp>
#include <coppice/state/volatile_reference.hpp>
#include <coppice/state/weak.hpp>

#include <memory>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;

namespace {
using text = std::string;
}

TEST_CASE("AG-11 what is bound at the send is seen by the action, its validator, watches and error handler") {
  scoped_value<text> tenant("nobody");
  std::mutex lock;
  std::vector<text> seen;
  const auto note = [&](const char* who) {
    const std::lock_guard held(lock);
    seen.push_back(who + (":" + *tenant));
  };
  agent<int> a(0, {.error_handler = [&](agent<int>&, const std::exception_ptr&) { note("handler"); }});
  a.set_validator([&](int) {
    note("validator");
    return true;
  });
  seen.clear();
  a.add_watch("w", [&](std::string_view, agent<int>&, int, int) { note("watch"); });
  std::binary_semaphore go_on(0);
  a.send_off([&](int x) {
    go_on.acquire();
    return x;
  });
  {
    const value_scope as(tenant, "ann");
    a.send([&](int x) {
      note("action");
      return x + 1;
    });
    a.send([&](int) -> int { throw oops(); });
    const value_scope deeper(tenant, text("bob"));
    a.send_off([&](int x) {
      note("action");
      return x;
    });
    CHECK(*tenant == "bob");
  }
  CHECK(*tenant == "nobody");
  a.send([&](int x) {
    note("action");
    return x;
  });
  go_on.release();                                 // all ran when the scopes were gone
  await(a);
  CHECK(seen == std::vector<text>{"validator:nobody", "watch:nobody", "action:ann", "validator:ann", "watch:ann", "handler:ann",
                                  "action:bob", "validator:bob", "watch:bob", "action:nobody", "validator:nobody", "watch:nobody"});
  CHECK(tenant->size() == 6);
}

TEST_CASE("AG-11 held sends, of actions and transactions, keep what was bound where they were made") {
  scoped_value<int> level(0);
  agent<std::vector<int>> log;
  const auto note = [&](std::vector<int> v) {
    v.push_back(*level);
    return v;
  };
  agent<int> a(0);
  {
    const value_scope one(level, 1);
    a.send([&](int x) {
      log.send(note);
      const value_scope two(level, 2);
      log.send(note);
      return x;
    });
    await(a);
    ref<int> r(0);
    transact([&] {
      const value_scope three(level, 3);
      r.alter(inc);
      log.send(note);
      CHECK(*level == 3);
    });
  }
  log.send(note);
  await(log);
  CHECK(log.get() == std::vector<int>{1, 2, 3, 0});
}

TEST_CASE("FU-1 a future sees what its maker has bound, through nested scopes, and its own inside") {
  scoped_value<int> level(0), other(10);
  std::optional<future<int>> f;
  std::binary_semaphore go_on(0);
  {
    const value_scope one(level, 1);
    const value_scope two(level, 2);
    const value_scope more(other, 20);
    f.emplace([&] {
      go_on.acquire();
      const value_scope three(other, 30);
      return *level * 1000 + *other * 10 + future([&] { return *level; }).get();
    });
  }
  go_on.release();
  CHECK(f->get() == 2302);
}

TEST_CASE("a scope belongs to its thread or process; a delay sees what who runs it has bound") {
  const world w;
  scoped_value<int> level(0);
  const value_scope one(level, 1);
  std::thread([&] { CHECK(*level == 0); }).join();
  in_process([&] {
    CHECK(*level == 0);
    const value_scope two(level, 2);
    yield();
    CHECK(*level == 2);
    const delay d([&] { return *level; });
    CHECK(d.get() == 2);
  });
  CHECK(*level == 1);
}

TEST_CASE("values that were bound are gone with the last who could see them") {
  const int before = big::alive;
  {
    scoped_value<big> level(0);
    agent<int> a(0);
    fixed_executor e(1);
    {
      const value_scope one(level, 1);
      const value_scope two(level, 2);
      a.send_via(e, [&](int x) { return x + static_cast<int>(level->n); });
      a.send_via(e, [&](int) -> int { throw oops(); });
      for (int i = 0; i < 3; ++i) {
        try {
          a.send_via(e, inc);
        } catch (const needs_restart&) {           // it may have failed by now
        }
      }
    }
    CHECK(eventually([&] { return a.error() != nullptr; }));
    CHECK(*a == 2);
    a.restart(0, true);
    future([&] { return level->n; }).get();
  }
  CHECK(eventually([&] { return big::alive == before; }));
}

TEST_CASE_TEMPLATE("OR-1 a box: its value, which never changes", T, int, big) {
  const box<T> b(T(3));
  CHECK((*b == T(3)));
  CHECK((b.get() == T(3)));
  static_assert(dereferenceable<box<T>> && !settable<box<T>> && !std::is_copy_assignable_v<box<T>>);
}

TEST_CASE_TEMPLATE("OR-2 a volatile reference: reset is seen by all, swap is no single step, clone copies", T, int, big) {
  volatile_reference<T> v(T(10));
  CHECK((v.swap(plus, T(10), T(5)) == T(25)));
  CHECK((*v == T(25)));
  CHECK((v.reset(T(1)) == T(1)));
  std::thread([&] { v.reset(T(2)); }).join();
  CHECK((v.get() == T(2)));
  const auto other = clone(v);
  v.reset(T(3));
  CHECK((*other == T(2)));
  CHECK_THROWS_AS(v.swap([](const T&) -> T { throw oops(); }), oops);
  CHECK((*v == T(3)));
  // A change in the middle of a swap is overwritten: there is no second try.
  v.swap([&](const T& x) {
    v.reset(T(100));
    return T(number(x) + 1);
  });
  CHECK((*v == T(4)));
  static_assert(dereferenceable<volatile_reference<T>> && settable<volatile_reference<T>>);
}

TEST_CASE_TEMPLATE("OR-3 an unsynchronized reference: a plain variable with the verbs of the others", T, int, big) {
  unsynchronized_reference<T> u(T(1));
  CHECK((u.reset(T(2)) == T(2)));
  CHECK((u.swap(plus, T(3)) == T(5)));
  const auto other = clone(u);
  CHECK_THROWS_AS(u.swap([](const T&) -> T { throw oops(); }), oops);
  CHECK((*u == T(5)));
  CHECK((*other == T(5)));
  static_assert(settable<unsynchronized_reference<T>>);
}

TEST_CASE_TEMPLATE("OR-4 a local: all read, its owner writes and may pass it on", T, int, big) {
  const world w;
  local<T> mine(T(1));
  CHECK(mine.owner() == self());
  mine.reset(T(2));
  std::thread([&] {
    CHECK((*mine == T(2)));
    CHECK_THROWS_AS(mine.reset(T(3)), not_owner);
    CHECK_THROWS_AS(mine.pass(self()), not_owner);
    auto own = clone(mine);
    CHECK((own.reset(T(9)) == T(9)));
  }).join();
  CHECK((*mine == T(2)));
  const pid me = self();
  const monitored next = spawn_monitor([&] {
    receive<int>();
    mine.reset(T(4));
    mine.pass(pid{});
  });
  mine.pass(next.who);
  CHECK_THROWS_AS(mine.reset(T(5)), not_owner);
  send(next.who, 1);
  CHECK(reason_of(next.ref).is(exit_reason::normal));
  CHECK((*mine == T(4)));
  CHECK_FALSE(mine.owner());
  std::thread([&] { mine.reset(T(6)); }).join();
  mine.reset(T(7));
  local<T> of_another(T(1), me);
  of_another.reset(T(8));
  CHECK((of_another.get() == T(8)));
}

TEST_CASE("OR-5 a weak reference: the value, or nothing once its last holder is gone") {
  auto held = std::make_shared<int>(5);
  const weak<int> w(held);
  CHECK(**w == 5);
  auto second = w.get();
  held.reset();
  CHECK(*w.get() == 5);
  second.reset();
  CHECK(*w == nullptr);
  CHECK(w.get() == nullptr);
}
