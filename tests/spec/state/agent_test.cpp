// SPDX-License-Identifier: Apache-2.0
//
// Agents: AG-1 to AG-50, and the sends of transactions TX-27 to TX-35.
#include "spec/state/state_test.hpp"

#include <coppice/state/agent.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>

#include <latch>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;
using namespace std::chrono_literals;

namespace {

using pairs = std::vector<seen_changes::pair>;
using text = std::string;

/// An action that adds a word.
auto add(text word) {
  return [word](const text& t) { return t.empty() ? word : t + " " + word; };
}
const auto fail_now = [](const auto& x) -> std::decay_t<decltype(x)> { throw oops(); };

/// Waits until `a` has failed.
template <class T>
void await_failure(agent<T>& a) { CHECK(eventually([&] { return a.error() != nullptr; })); }
template <class E>
bool is_a(const std::exception_ptr& e) {
  try {
    if (e != nullptr) std::rethrow_exception(e);
  } catch (const E&) {
    return true;
  } catch (...) {
  }
  return false;
}
/// Keeps an executor's thread until it is opened.
class gate {
 public:
  void open(int count = 1) { door_.release(count); }
  auto action() {
    return [this](const auto& x) {
      door_.acquire();
      return x;
    };
  }

 private:
  std::counting_semaphore<1000> door_{0};
};

}  // namespace

TEST_CASE_TEMPLATE("AG-1 VA-2 ME-1 options and their defaults", T, int, big) {
  const auto handler = [](agent<T>&, const std::exception_ptr&) {};
  agent<T> plain(T(1)), handled(T(1), {.error_handler = handler}), explicitly(T(1), {.error_handler = handler, .mode = error_mode::fail}),
      all(T(1), {.validator = not_negative, .meta = {{"n", 1}}, .mode = error_mode::go_on});
  CHECK(plain.mode() == error_mode::fail);
  CHECK(handled.mode() == error_mode::go_on);
  CHECK(explicitly.mode() == error_mode::fail);
  CHECK(all.mode() == error_mode::go_on);
  CHECK(all.meta() == metadata{{"n", 1}});
  CHECK_THROWS_AS((agent<T>(T(-1), {.validator = not_negative})), invalid_state);
}

TEST_CASE("AG-2 AG-4 a handler that is set later leaves the mode; the mode is an enumeration") {
  agent<int> a(0);
  a.set_error_handler([](agent<int>&, const std::exception_ptr&) {});
  CHECK(a.mode() == error_mode::fail);
  static_assert(std::is_enum_v<error_mode> && !std::is_convertible_v<int, error_mode>);
}

TEST_CASE_TEMPLATE("AG-3 a look never blocks: the last value that is complete, inside of an action the one before", T, int, big) {
  agent<T> a(T(1));
  gate g;
  long long inside = -1;
  a.send([&](const T& x) {
    inside = number(a.get());
    return T(number(x) + 1);
  });
  await(a);
  CHECK(inside == 1);
  a.send(g.action());
  CHECK((*a == T(2)));
  g.open();
  a.send(fail_now);
  await_failure(a);
  CHECK((*a == T(2)));
  static_assert(dereferenceable<agent<int>> && !blocking_dereferenceable<agent<int>>);
}

TEST_CASE("AG-5 sends return the agent at once; args are given to the function") {
  agent<int> a(1);
  CHECK(&a.send(minus, 10, 100) == &a);
  CHECK(&a.send_off(plus, 0) == &a);
  CHECK(&a.send_via(send_executor(), plus, 0) == &a);
  await(a);
  CHECK(*a == -109);
}

TEST_CASE_TEMPLATE("AG-6 actions of an agent never overlap and keep the order of each sender, over both executors", T, text) {
  agent<text> a("");
  text expected;
  for (int i = 0; i < 200; ++i) {
    if (i % 2 == 0) a.send(add(std::to_string(i)));
    else a.send_off(add(std::to_string(i)));
    expected += (i == 0 ? "" : " ") + std::to_string(i);
  }
  await(a);
  CHECK(a.get() == expected);
  agent<std::vector<int>> last(std::vector<int>(4, -1));
  std::atomic<int> running{0}, overlaps{0}, disorder{0};
  in_threads(4, [&](int t) {
    for (int i = 0; i < rounds(500, 50'000); ++i)
      last.send([&, t, i](std::vector<int> v) {
        if (running.fetch_add(1) != 0) ++overlaps;
        if (std::exchange(v[static_cast<std::size_t>(t)], i) != i - 1) ++disorder;
        running.fetch_sub(1);
        return v;
      });
  });
  await(last);
  CHECK(overlaps == 0);
  CHECK(disorder == 0);
}

TEST_CASE("AG-7 each action is one task of its executor: agents take turns") {
  fixed_executor one(1);
  std::mutex lock;
  text order;
  gate g;
  agent<int> blocker(0), a(0), b(0);
  blocker.send_via(one, g.action());
  for (agent<int>* x : {&a, &b})
    for (int i = 0; i < 3; ++i)
      x->send_via(one, [&, x](int n) {
        std::lock_guard held(lock);
        order += (x == &a ? "A" : "B") + std::to_string(n) + " ";
        return n + 1;
      });
  g.open();
  CHECK(eventually([&] { return *a == 3 && *b == 3; }));
  CHECK(order == "A0 B0 A1 B1 A2 B2 ");
}

TEST_CASE("AG-8 blocked actions fill the executor of send; send_off gets on") {
  const unsigned threads = std::thread::hardware_concurrency() + 2;
  fixed_executor own(threads);
  const executor_scope scope(own);
  gate g;
  std::vector<std::unique_ptr<agent<int>>> all;
  for (unsigned i = 0; i < threads; ++i) {
    all.push_back(std::make_unique<agent<int>>(0));
    all.back()->send(g.action());
  }
  agent<int> late(0), off(0);
  late.send(inc);
  off.send_off(inc);
  CHECK(eventually([&] { return *off == 1; }));
  CHECK(*late == 0);
  g.open(static_cast<int>(threads));
  CHECK(eventually([&] { return *late == 1; }));
}

TEST_CASE("AG-9 the executor is chosen at the send: by scope, by program") {
  struct counting : executor {
    std::atomic<int> tasks{0};
    bool execute(job t) override {
      ++tasks;
      t.run(t.context);
      return true;
    }
  } in_scope, of_program;
  agent<int> a(0);
  {
    const executor_scope scope(in_scope, in_scope);
    a.send(inc);
    a.send_off(inc);
    std::thread([&] { a.send(inc); }).join();     // the scope is the thread's own
  }
  CHECK(in_scope.tasks == 2);
  executor& before = send_executor();
  set_send_executor(of_program);
  std::thread([&] { a.send(inc); }).join();
  set_send_executor(before);
  CHECK(eventually([&] { return of_program.tasks >= 1; }));
  await(a);
  CHECK(*a == 4);
}

TEST_CASE("AG-10 an executor that refuses: the sender hears of it, the agent goes on") {
  struct refusing : executor {
    bool execute(job) override { return false; }
  } never;
  agent<int> a(0);
  CHECK_THROWS_AS(a.send_via(never, inc), rejected);
  CHECK(a.error() == nullptr);
  a.send(plus, 10);
  await(a);
  CHECK(*a == 10);
}

TEST_CASE("AG-12 a null function is refused at the send") {
  agent<int> a(0);
  int (*none)(const int&) = nullptr;
  CHECK_THROWS_AS(a.send(none), state_error);
  CHECK(*a == 0);
}

TEST_CASE("AG-13 AG-14 what an action sends is held until it is over, and goes out in order behind what waits") {
  agent<int> a(0), b(0);
  gate g;
  a.send([&](int x) {
    b.send(inc);
    g.action()(0);
    return x + 1;
  });
  CHECK(*b == 0);
  g.open();
  await(a);
  await(b);
  CHECK(*a == 1);
  CHECK(*b == 1);
  agent<text> order("");
  std::latch sent(1), queued(1);
  order.send([&](const text&) {
    order.send(add("2"));
    order.send(add("3"));
    sent.count_down();
    queued.wait();
    return text("1");
  });
  sent.wait();
  order.send(add("x"));
  queued.count_down();
  CHECK(eventually([&] { return order.get() == "1 x 2 3"; }));
}

TEST_CASE("AG-15 an action that fails drops what it has sent: by throwing, by its validator, by a watch; in both modes") {
  for (const error_mode mode : {error_mode::fail, error_mode::go_on}) {
    agent<int> b(0);
    agent<int> a(0, {.validator = not_negative, .mode = mode});
    const auto again = [&] {
      if (mode == error_mode::fail) {
        await_failure(a);
        a.restart(0);
      }
    };
    a.send([&](int) -> int {
      b.send(inc);
      throw oops();
    });
    again();
    a.send([&](int) {
      b.send(inc);
      return -1;
    });
    again();
    a.add_watch("w", [](std::string_view, agent<int>&, int, int) { throw oops(); });
    a.send([&](int) {
      b.send(inc);
      return 7;
    });
    if (mode == error_mode::fail) await_failure(a);
    else await(a);
    await(b);
    CHECK(*b == 0);
  }
}

TEST_CASE("AG-16 AG-17 release_pending sends at once what is held; later sends are held anew") {
  agent<int> a(0), b(0), c(0);
  std::atomic<int> first{-1}, second{-1};
  gate g;
  a.send([&](int x) {
    b.send(inc);
    c.send(inc);
    c.send(inc);
    first = static_cast<int>(release_pending());
    second = static_cast<int>(release_pending());
    g.action()(0);
    return x;
  });
  CHECK(eventually([&] { return *b == 1 && *c == 2; }));
  CHECK(first == 3);
  CHECK(second == 0);
  g.open();
  await(a);
  a.send([&](int) -> int {
    b.send(inc);
    release_pending();
    b.send(plus, 100);
    throw oops();
  });
  await_failure(a);
  await(b);
  CHECK(*b == 2);
}

TEST_CASE("AG-18 release_pending does nothing outside of an action, in an error handler, in a transaction") {
  CHECK(release_pending() == 0);
  agent<int> b(0);
  std::atomic<int> handled{-1}, in_transaction_{-1};
  agent<int> a(0, {.error_handler = [&](agent<int>&, const std::exception_ptr&) { handled = static_cast<int>(release_pending()); }});
  a.send(fail_now);
  a.send([&](int x) {
    transact([&] {
      b.send(inc);
      in_transaction_ = static_cast<int>(release_pending());
    });
    return x;
  });
  await(a);
  CHECK(handled == 0);
  CHECK(in_transaction_ == 0);
}

TEST_CASE("AG-19 holding is per thread") {
  agent<int> a(0), b(0);
  gate g;
  a.send([&](int x) {
    std::thread([&] { b.send(inc); }).join();
    g.action()(0);
    return x;
  });
  CHECK(eventually([&] { return *b == 1; }));
  g.open();
}

TEST_CASE("AG-20 WA-6 what a watch sends is held, too, behind what the action sent; AG-22 it runs in the action") {
  agent<text> order("");
  agent<int> a(0);
  std::atomic<bool> same{false};
  a.add_watch("w", [&](std::string_view, agent<int>& of, int, int) {
    same = is_current(of) && is_in_action() && current_agent<int>() == &of;
    order.send(add("watch"));
  });
  a.send([&](int x) {
    order.send(add("action"));
    return x + 1;
  });
  await(a);
  await(order);
  CHECK(same);
  CHECK(order.get() == "action watch");
}

TEST_CASE("AG-21 sends in an error handler go out at once") {
  agent<int> b(0);
  std::atomic<bool> arrived{false};
  agent<int> a(0, {.error_handler = [&](agent<int>&, const std::exception_ptr&) {
                     b.send(inc);
                     arrived = eventually([&] { return *b == 1; });
                   }});
  a.send(fail_now);
  await(a);
  CHECK(arrived);
}

TEST_CASE("AG-22 AG-23 AG-24 the current agent: in action, validator, watch and handler; nowhere else, not afterwards") {
  CHECK(current_agent<int>() == nullptr);
  fixed_executor one(1);
  std::atomic<int> right{0}, wrong{0};
  agent<int>* expected = nullptr;
  const auto look = [&] { (current_agent<int>() == expected ? right : wrong)++; };
  agent<int> a(0, {.error_handler = [&](agent<int>&, const std::exception_ptr&) { look(); }});
  expected = &a;
  a.set_validator([&](int x) { if (x == 1) look(); return x != 2; });
  a.add_watch("w", [&](std::string_view, agent<int>&, int, int) { look(); });
  a.send_via(one, [&](int) {
    look();
    std::thread([&] { if (is_in_action()) ++wrong; }).join();
    return 1;
  });
  a.send_via(one, [](int) { return 2; });          // refused: the handler looks
  await(a);
  CHECK(right == 4);
  std::atomic<bool> left_behind{true};
  one.execute({[](void* c) noexcept { *static_cast<std::atomic<bool>*>(c) = is_in_action(); }, &left_behind});
  CHECK(eventually([&] { return !left_behind; }));
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("AG-25 AG-26 mode fail: unchanged, failed, the rest is kept and not run; whatever was thrown", T, int, big) {
  agent<T> a(T(1), {.validator = not_negative});
  gate g;
  a.send(g.action());
  a.send([](const T&) -> T { throw 42; });
  a.send(plus, T(1));
  g.open();
  await_failure(a);
  CHECK(is_a<int>(a.error()));
  CHECK((*a == T(1)));
  CHECK_THROWS_AS(a.send(plus, T(1)), needs_restart);
  a.restart(T(10));
  await(a);
  CHECK((*a == T(11)));
  a.send(minus, T(100));
  await_failure(a);
  CHECK(is_a<invalid_state>(a.error()));
}

TEST_CASE("AG-27 sends to a failed agent throw with the cause, also in transactions and actions") {
  agent<int> a(0);
  a.send(fail_now);
  await_failure(a);
  try {
    a.send(inc);
    FAIL("sent");
  } catch (const needs_restart& e) {
    CHECK(is_a<oops>(e.cause()));
  }
  CHECK_THROWS_AS(a.send_off(inc), needs_restart);
  agent<int> b(0);
  b.send([&](int x) {
    a.send(inc);
    return x + 1;
  });
  await_failure(b);
  CHECK(is_a<needs_restart>(b.error()));
}

TEST_CASE("AG-28 a held send to an agent that failed meanwhile waits for its restart") {
  agent<int> target(0), a(0);
  std::latch held(1), go_on(1);
  a.send([&](int x) {
    target.send(inc);
    held.count_down();
    go_on.wait();
    return x + 1;
  });
  held.wait();
  target.send(fail_now);
  await_failure(target);
  go_on.count_down();
  await(a);
  CHECK(a.error() == nullptr);
  CHECK(*target == 0);
  target.restart(10);
  await(target);
  CHECK(*target == 11);
}

TEST_CASE("AG-29 mode go_on: as if the action had not been; the handler is called once for each failure") {
  std::atomic<int> handled{0};
  agent<int> with(0, {.error_handler = [&](agent<int>& of, const std::exception_ptr& e) {
                        if (is_a<oops>(e) && of.error() == nullptr) ++handled;
                      }});
  agent<int> without(0, {.mode = error_mode::go_on});
  for (agent<int>* a : {&with, &without}) {
    a->send(inc).send(fail_now).send(fail_now).send(inc);
    await(*a);
    CHECK(**a == 2);
    CHECK(a->error() == nullptr);
  }
  CHECK(handled == 2);
}

TEST_CASE("AG-30 AG-31 mode fail with a handler: first the handler, then it is failed; what the handler throws is ignored") {
  std::atomic<int> calls{0};
  std::atomic<bool> not_yet{false}, not_restarted{false};
  agent<int> a(3, {.error_handler = [&](agent<int>& of, const std::exception_ptr&) {
                     ++calls;
                     not_yet = of.error() == nullptr && *of == 3;
                     of.send(plus, 100);
                     try {
                       of.restart(1);
                     } catch (const state_error&) {
                       not_restarted = true;
                     }
                     throw oops();
                   },
                   .mode = error_mode::fail});
  a.send(fail_now);
  await_failure(a);
  CHECK(calls == 1);
  CHECK(not_yet);
  CHECK(not_restarted);
  a.restart(5);
  await(a);
  CHECK(*a == 105);
  agent<int> b(0, {.error_handler = [](agent<int>&, const std::exception_ptr&) { throw 1; }});
  b.send(fail_now).send(inc);
  await(b);
  CHECK(*b == 1);
}

TEST_CASE("AG-32 a new mode revives no agent; a new handler is not called for an old failure") {
  agent<int> a(0);
  a.send(fail_now);
  await_failure(a);
  std::atomic<int> calls{0};
  a.set_mode(error_mode::go_on).set_error_handler([&](agent<int>&, const std::exception_ptr&) { ++calls; });
  CHECK(a.error() != nullptr);
  CHECK_THROWS_AS(a.send(inc), needs_restart);
  CHECK(calls == 0);
  a.restart(0);
}

TEST_CASE_TEMPLATE("AG-33 TP-6 VA-7 restart: only of failed ones, validated, heard of by no watch, tap or handler", T, int, big) {
  world w;
  seen_changes seen;
  agent<T> a(T(1), {.validator = not_negative});
  a.add_watch("w", into(seen));
  a.tap(self());
  CHECK_THROWS_AS(a.restart(T(2)), state_error);
  a.send(fail_now);
  await_failure(a);
  CHECK_THROWS_AS(a.restart(T(-1)), invalid_state);
  CHECK(is_a<oops>(a.error()));
  CHECK((*a == T(1)));
  const auto now = a.restart(T(5));
  CHECK((now == T(5)));
  CHECK(a.error() == nullptr);
  CHECK(seen.size() == 0);
  CHECK(flush() == 0);
  a.send(plus, T(1));
  await(a);
  CHECK(seen.all() == pairs{{5, 6}});
  CHECK((receive<changed<T>>().now == T(6)));
}

TEST_CASE("AG-34 AG-35 restart keeps what is queued, or clears it") {
  for (const bool clear : {false, true}) {
    agent<int> a(0);
    gate g;
    a.send(g.action()).send(fail_now).send(inc).send(inc);
    g.open();
    await_failure(a);
    CHECK(a.restart(10, clear) == 10);
    await(a);
    CHECK(*a == (clear ? 10 : 12));
    a.send(inc);
    await(a);
    CHECK(*a == (clear ? 11 : 13));
  }
}

TEST_CASE("AG-36 of restarts at the same time one succeeds") {
  for (int i = 0; i < rounds(50, 5000); ++i) {
    agent<int> a(0);
    a.send(fail_now);
    await_failure(a);
    std::atomic<int> done{0}, refused{0};
    in_threads(3, [&](int n) {
      try {
        a.restart(n);
        ++done;
      } catch (const state_error&) {
        ++refused;
      }
    });
    CHECK(done == 1);
    CHECK(refused == 2);
  }
}

TEST_CASE("AG-37 the example of the beginning") {
  agent<int> a(0, {.validator = not_negative});
  a.send(inc);
  await(a);
  CHECK(*a == 1);
  a.send(dec);
  await(a);
  CHECK(*a == 0);
  a.send(dec);
  await_failure(a);
  CHECK(*a == 0);
  CHECK_THROWS_AS(a.send(inc), needs_restart);
  CHECK(a.restart(5) == 5);
  a.send(inc);
  await(a);
  CHECK(*a == 6);
}

TEST_CASE("AG-38 a watch that throws makes the action a failed one after its change") {
  agent<int> a(0);
  a.add_watch("w", [](std::string_view, agent<int>&, int, int) { throw oops(); });
  a.send(inc);
  await_failure(a);
  CHECK(*a == 1);
  std::atomic<bool> told{false};
  agent<int> b(0, {.error_handler = [&](agent<int>&, const std::exception_ptr& e) { told = is_a<oops>(e); }});
  b.add_watch("w", [](std::string_view, agent<int>&, int, int) { throw oops(); });
  b.send(inc);
  await(b);
  CHECK(*b == 1);
  CHECK(b.error() == nullptr);
  CHECK(told);
}

TEST_CASE("AG-39 AG-7 who awaits runs what has not begun, if the executor lends; else it waits for the executor's thread") {
  fixed_executor pool(1);
  const executor_scope scope(pool, pool);
  gate g;
  agent<int> blocker(0), a(0);
  std::thread::id ran_on[2];
  blocker.send(g.action());
  for (std::thread::id& id : ran_on)
    a.send([&id](int n) {
      id = std::this_thread::get_id();
      return n + 1;
    });
  await(a);                                      // the only thread of the pool is kept: nobody else can have run them
  CHECK(*a == 2);
  CHECK(ran_on[0] == std::this_thread::get_id());
  CHECK(ran_on[1] == std::this_thread::get_id());
  g.open();
  await(blocker);
  fixed_executor other(1);
  a.send_via(other, [&ran_on](int n) {
    ran_on[0] = std::this_thread::get_id();
    return n + 1;
  });
  await(a);                                      // it is neither `send`'s executor nor `send_off`'s
  CHECK(*a == 3);
  CHECK(ran_on[0] != std::this_thread::get_id());
}

TEST_CASE("AG-42 an action that fails on the thread that awaits: it goes on waiting, until a restart") {
  fixed_executor pool(1);
  const executor_scope scope(pool, pool);
  for (const bool clear : {false, true}) {
    gate g;
    agent<int> blocker(0), a(0);
    blocker.send(g.action());
    a.send([](int n) { return n + 1; });
    a.send(fail_now);
    std::atomic<bool> is_over{false};
    std::thread restarter([&] {
      await_failure(a);
      g.open();                                  // the marker needs the pool's thread
      await(blocker);
      CHECK_FALSE(is_over);
      a.restart(10, clear);
    });
    if (clear) CHECK_THROWS_AS(await(a), rejected);
    else await(a);
    is_over = true;
    restarter.join();
    CHECK(*a == 10);
  }
}

TEST_CASE("AG-39 sends that were awaited at once, and then one that is not: it runs without an await") {
  fixed_executor pool(2);
  const executor_scope scope(pool, pool);
  agent<int> a(0);
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 5; ++i) {
      a.send(inc);
      await(a);
    }
    a.send(inc);
    CHECK(eventually([&] { return *a == (round + 1) * 6; }));
  }
}

TEST_CASE("AG-39 AG-40 await waits for what was sent before, of several agents; of none it returns") {
  world w;
  await();
  CHECK(await_for(1s));
  agent<int> a(0), b(0);
  const auto check = [&] {
    const int before = *a;
    for (int i = 0; i < 100; ++i) {
      a.send(inc);
      b.send_off(inc);
    }
    await(a, b, a);
    CHECK(*a >= before + 100);
  };
  check();
  in_process(check);
  CHECK(*a == 200);
  CHECK(*b == 200);
}

TEST_CASE("AG-41 AG-42 await of a failed agent throws; of one that fails meanwhile it waits for the restart") {
  agent<int> a(0);
  a.send(fail_now);
  await_failure(a);
  CHECK_THROWS_AS(await(a), needs_restart);
  CHECK_THROWS_AS(await_for(1s, a), needs_restart);
  for (const bool clear : {false, true}) {
    a.restart(0);
    std::binary_semaphore has_begun(0), go_on(0);
    a.send([&](int x) {
      has_begun.release();
      go_on.acquire();
      return x;
    });
    has_begun.acquire();
    a.send(fail_now);
    CHECK_FALSE(await_for(1ms, a));
    const detail::action* const newest = a.core().inbox.load(detail::sync::acquire);
    std::atomic<int> result{-1};
    std::thread waiter([&] {
      try {
        result = await_for(20s, a) ? 1 : 0;
      } catch (const rejected&) {
        result = 2;
      } catch (const needs_restart&) {
        result = 3;                               // it came too late
      }
    });
    CHECK(eventually([&] { return a.core().inbox.load(detail::sync::acquire) != newest; }));
    go_on.release();
    await_failure(a);
    a.restart(0, clear);
    waiter.join();
    CHECK(result == (clear ? 2 : 1));
    a.send(fail_now);
    await_failure(a);
  }
}

TEST_CASE("AG-43 await is refused in an action, a watch, a handler and a transaction") {
  agent<int> other(0);
  std::atomic<int> refused{0};
  const auto try_it = [&] {
    try {
      await(other);
    } catch (const in_action&) {
      ++refused;
    }
    try {
      await_for(1ms, other);
    } catch (const in_action&) {
      ++refused;
    }
  };
  agent<int> a(0, {.error_handler = [&](agent<int>&, const std::exception_ptr&) { try_it(); }});
  a.add_watch("w", [&](std::string_view, agent<int>&, int, int) { try_it(); });
  a.send([&](int x) { return try_it(), x; }).send(fail_now);
  await(a);
  CHECK(refused == 6);
  transact([&] { CHECK_THROWS_AS(await(other), in_transaction); });
}

TEST_CASE("AG-44 the marker of await runs no validator and no watch; the watches before it are over") {
  std::atomic<int> validated{0}, watched{0};
  agent<int> a(0);
  a.set_validator([&](int) { return ++validated, true; });
  validated = 0;
  a.add_watch("w", [&](std::string_view, agent<int>&, int, int) {
    std::this_thread::sleep_for(5ms);
    ++watched;
  });
  a.send(inc);
  await(a);
  CHECK(watched == 1);
  await(a);
  CHECK(validated == 1);
  CHECK(watched == 1);
}

TEST_CASE("AG-47 however much was queued when an executor began to refuse, it runs, on no more stack than one action") {
  struct closing : executor {
    job first;
    bool closed = false;
    bool execute(job t) override {
      if (closed) return false;
      first = t;
      return true;
    }
  } e;
  agent<int> a(0);
  constexpr int many = 200'000;
  for (int i = 0; i < many; ++i) a.send_via(e, inc);
  e.closed = true;
  e.first.run(e.first.context);
  CHECK(*a == many);
}

TEST_CASE("AG-45 AG-47 AG-48 AG-49 shutdown: what was sent before runs, later sends and awaits are refused, private executors go on") {
  fixed_executor one(1), off(1), own(1);
  agent<int> a(0), b(0), c(0);
  const executor_scope scope(one, off);
  gate g;
  a.send(g.action()).send(inc).send(inc);
  b.send(inc);
  shutdown_agents();
  CHECK_THROWS_AS(a.send(inc), rejected);
  CHECK_THROWS_AS(a.send_off(inc), rejected);
  CHECK_THROWS_AS(await(a), rejected);
  c.send_via(own, inc);
  g.open();
  CHECK(eventually([&] { return *a == 2 && *b == 1 && *c == 1; }));
  CHECK(a.error() == nullptr);
}

TEST_CASE("AG-46 await_for takes a duration and says whether it was in time") {
  agent<int> a(0);
  gate g;
  a.send(g.action());
  static_assert(std::is_same_v<decltype(await_for(1ms, a)), bool>);
  CHECK_FALSE(await_for(2ms, a));
  CHECK_FALSE(await_for(0ms, a));
  g.open();
  CHECK(await_for(20s, a));
}

TEST_CASE("AG-50 who has heard that a job is over may destroy its executor, whether the one who handed it over is back or not") {
  const auto run_and_destroy = [](auto make) {
    std::atomic<bool> over{false};
    std::thread sender;
    {
      auto by = make();
      sender = std::thread([&over, by = by.get()] {
        CHECK(by->execute({[](void* flag) noexcept { static_cast<std::atomic<bool>*>(flag)->store(true); }, &over}));
      });
      while (!over) std::this_thread::yield();
    }
    sender.join();
  };
  for (int round = 0; round < rounds(300, 10'000); ++round) {
    run_and_destroy([] { return std::make_unique<fixed_executor>(1); });
    run_and_destroy([] { return std::make_unique<growing_executor>(); });
  }
}

TEST_CASE("AG-50 executors end at once when nothing is left, and run what they have taken") {
  std::atomic<int> ran{0};
  {
    fixed_executor e(2);
    growing_executor f;
    for (int i = 0; i < 100; ++i) {
      e.execute({[](void* c) noexcept { ++*static_cast<std::atomic<int>*>(c); }, &ran});
      f.execute({[](void* c) noexcept { ++*static_cast<std::atomic<int>*>(c); }, &ran});
    }
  }
  CHECK(ran == 200);
}

TEST_CASE("actions may run in processes of the scheduler, and wait there") {
  world w;
  scheduler_executor processes;
  agent<int> a(0);
  for (int i = 0; i < 50; ++i)
    a.send_via(processes, [](int x) {
      sleep_for(duration{1000});
      return x + 1;
    });
  await(a);
  CHECK(*a == 50);
}

TEST_CASE("TX-27 TX-28 sends of a transaction go out once, in order, after the commit, or not at all") {
  ref<int> first(0), r(0);
  agent<text> a("");
  int tries = 0;
  transact([&] {
    a.send(add("x"));
    a.send(add("y"));
    static_cast<void>(*first);
    if (++tries == 1) std::thread([&] { transact([&] { r.set(5); }); }).join();
    r.alter(inc);
    CHECK(a.get().empty());
  });
  CHECK(tries == 2);
  await(a);
  CHECK(a.get() == "x y");
  CHECK_THROWS_AS(transact([&] {
    a.send(add("z"));
    throw oops();
  }), oops);
  await(a);
  CHECK(a.get() == "x y");
}

TEST_CASE("TX-29 a send in a function of commute counts once") {
  ref<int> r(0);
  agent<int> a(0);
  transact([&] {
    r.commute([&](int x) {
      a.send(inc);
      return x + 1;
    });
  });
  await(a);
  CHECK(*a == 1);
}

TEST_CASE("TX-30 a transaction in an action: its sends are held by the action, and are lost if that fails") {
  ref<int> r(0);
  agent<int> a(0), b(0);
  a.send([&](int x) {
    transact([&] {
      r.alter(inc);
      b.send(inc);
    });
    return x + 1;
  });
  await(a);
  await(b);
  CHECK(*b == 1);
  a.send([&](int) -> int {
    transact([&] {
      r.alter(inc);
      b.send(inc);
    });
    throw oops();
  });
  await_failure(a);
  await(b);
  CHECK(*r == 2);
  CHECK(*b == 1);
}

TEST_CASE("TX-31 a send to a failed agent aborts the transaction") {
  ref<int> r(0);
  agent<int> a(0);
  a.send(fail_now);
  await_failure(a);
  CHECK_THROWS_AS(transact([&] {
    r.set(1);
    a.send(inc);
  }), needs_restart);
  CHECK(*r == 0);
}

TEST_CASE("TX-32 commit, then watches, then sends; a watch's own send goes out before those of the transaction") {
  ref<int> r(0);
  agent<text> a("");
  r.add_watch("w", [&](std::string_view, ref<int>& of, int, int) {
    CHECK(*of == 1);
    CHECK(a.get().empty());
    a.send(add("watch"));
  });
  transact([&] {
    a.send(add("body"));
    r.set(1);
  });
  await(a);
  CHECK(a.get() == "watch body");
}

TEST_CASE("TX-33 TX-35 sends go out once, also when a watch throws or starts a transaction that begins anew") {
  ref<int> r(0), s(0);
  agent<int> a(0);
  bool first = true;
  r.add_watch("w", [&](std::string_view, ref<int>&, int, int) {
    transact([&] {
      static_cast<void>(*s);
      if (std::exchange(first, false)) std::thread([&] { transact([&] { s.set(5); }); }).join();
      s.alter(inc);
    });
    throw oops();
  });
  CHECK_THROWS_AS(transact([&] {
    r.set(1);
    a.send(inc);
  }), oops);
  await(a);
  CHECK(*a == 1);
  CHECK(*s == 6);
}
