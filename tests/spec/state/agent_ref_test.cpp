// SPDX-License-Identifier: Apache-2.0
//
// Agents as processes: EX-60 to EX-66, and what of AG and TX holds for them.
#include "spec/state/state_test.hpp"

#include <coppice/otp/supervisor.hpp>
#include <coppice/state/agent_ref.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/scoped_value.hpp>

#include <latch>
#include <memory>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;

namespace {

using text = std::string;

/// What kind of agent_error `f` ends with, and why; none: `f` succeeds.
struct outcome_of {
  std::optional<agent_error::kind> kind;
  exit_reason why;
};
template <class F>
outcome_of failure(F&& f) {
  try {
    f();
  } catch (const agent_error& e) {
    return {e.code(), e.reason()};
  }
  return {};
}

const auto throws = [](const auto&) -> int { throw oops(); };

}  // namespace

TEST_CASE_TEMPLATE("EX-60 start: the first value is computed in the agent's process; its exception is the error of the start", T, int, big) {
  in_both([] {
    pid where;
    const auto a = start_agent([&] {
      where = self();
      return T(5);
    });
    static_assert(std::is_same_v<decltype(a), const agent_ref<T>>);
    CHECK(where == a.id());
    CHECK(where != self());
    CHECK((get(a) == T(5)));
    stop(a);
    const outcome_of failed = failure([] { start_agent([]() -> T { throw oops(); }); });
    CHECK(failed.kind == agent_error::not_started);
    CHECK(failed.why.text() == "oops");
  });
}

TEST_CASE("EX-60 a start that takes too long is given up; a name that is taken") {
  in_both([] {
    const outcome_of late = failure([] {
      start_agent([] {
        sleep_for(infinity);
        return 1;
      }, {.name = "slow", .timeout = 1ms});
    });
    CHECK(late.kind == agent_error::timeout);
    CHECK_FALSE(whereis("slow"));
    const auto first = start_agent([] { return 1; }, {.name = "counter"});
    CHECK(whereis("counter") == first.id());
    CHECK(failure([] { start_agent([] { return 2; }, {.name = "counter"}); }).kind == agent_error::not_started);
    CHECK(get(agent_ref<int>("counter")) == 1);
    stop(first);
    CHECK_FALSE(whereis("counter"));
  });
}

TEST_CASE("EX-60 linked: parent and agent end together; a start that fails ends nobody; not in a plain thread") {
  const world w;
  CHECK_THROWS_AS(start_agent_link([] { return 0; }), exit_error);
  pid agent_of_dead;
  CHECK(run([&] {
    agent_of_dead = start_agent_link([] { return 0; }).id();
    CHECK(failure([] { start_agent_link([]() -> int { throw oops(); }); }).kind == agent_error::not_started);
    exit(exit_reason("the parent ends"));
  }) == exit_reason("the parent ends"));
  CHECK(eventually([&] { return !alive(agent_of_dead); }));
  const exit_reason why = run([] {
    const auto a = start_agent_link([] { return 0; });
    cast(a, throws);
    sleep_for(infinity);
  });
  CHECK(why.text() == "oops");
}

TEST_CASE_TEMPLATE("EX-61 get, update, get_and_update, cast", T, int, big) {
  in_both([] {
    const auto a = start_agent([] { return T(1); });
    CHECK((get(a, [](const T& x) { return number(x) * 10; }) == 10));
    update(a, [](const T& x) { return T(number(x) + 1); });
    CHECK((get(a) == T(2)));
    CHECK((get_and_update(a, [](const T& x) { return std::pair(text("was ") + std::to_string(number(x)), T(7)); }) == "was 2"));
    cast(a, plus);
    for (int i = 0; i < 100; ++i) cast(a, inc);
    CHECK((get(a) == T(107)));
    get(a, [](const T&) {});
    auto only = get(a, [](const T& x) { return std::make_unique<long long>(number(x)); });
    CHECK(*only == 107);
    auto moved = std::make_unique<int>(3);
    update(a, [m = std::move(moved)](const T&) { return T(*m); });
    CHECK((get(a) == T(3)));
    stop(a);
    cast(a, inc);                                  // the dead swallow it
    cast(agent_ref<T>("nobody"), inc);
  });
}

TEST_CASE("EX-61 failures as of calls: noproc, timeout, calling_self; a late answer is dropped") {
  in_both([] {
    const auto a = start_agent([] { return 1; });
    const auto gone = start_agent([] { return 1; });
    stop(gone);
    CHECK(failure([&] { get(gone); }).kind == agent_error::noproc);
    CHECK(failure([&] { update(gone, inc); }).kind == agent_error::noproc);
    CHECK(failure([&] { get(agent_ref<int>("nobody")); }).kind == agent_error::noproc);
    CHECK(failure([&] { get(agent_ref<int>()); }).kind == agent_error::noproc);
    std::binary_semaphore go_on(0);
    CHECK(failure([&] {
      get(a, [&](int x) {
        go_on.acquire();
        return x;
      }, 1ms);
    }).kind == agent_error::timeout);
    go_on.release();
    CHECK(get(a) == 1);
    const outcome_of itself = get(a, [&](int) { return failure([&] { get(a); }); });
    CHECK(itself.kind == agent_error::calling_self);
    CHECK_THROWS_AS(get(agent_ref<text>(a.id())), state_error);  // another type: refused, and the agent goes on
    CHECK(get(a) == 1);
    stop(a);
    CHECK(flush() == 0);
  });
}

TEST_CASE("EX-62 functions run in the agent, one at a time, in order of each sender; a long one keeps all others") {
  const world w;
  const auto a = start_agent([] { return std::vector<int>(4, -1); });
  std::atomic<int> inside{0}, overlaps{0}, disorder{0}, elsewhere{0};
  in_threads(4, [&](int t) {
    for (int i = 0; i < rounds(200, 20'000); ++i) {
      const auto step = [&, t, i](std::vector<int> v) {
        if (inside.fetch_add(1) != 0) ++overlaps;
        if (self() != a.id()) ++elsewhere;
        if (std::exchange(v[static_cast<std::size_t>(t)], i) != i - 1) ++disorder;
        inside.fetch_sub(1);
        return v;
      };
      if (i % 3 == 0) update(a, step);
      else cast(a, step);
    }
  });
  get(a);
  CHECK(overlaps == 0);
  CHECK(disorder == 0);
  CHECK(elsewhere == 0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> answered{false};
  cast(a, [&](const std::vector<int>& v) {
    go_on.acquire();
    return v;
  });
  std::thread other([&] {
    get(a);
    answered = true;
  });
  CHECK(failure([&] { get(a, [](const auto& v) { return v.size(); }, 2ms); }).kind == agent_error::timeout);
  CHECK_FALSE(answered);
  go_on.release();
  other.join();
  CHECK(answered);
  stop(a);
}

TEST_CASE("EX-63 a function that throws ends the agent; who asked, and all who wait, see the reason") {
  in_both([] {
    for (int verb = 0; verb < 4; ++verb) {
      const auto a = start_agent([] { return 1; });
      const reference end = monitor(a.id());
      std::binary_semaphore go_on(0);
      cast(a, [&](int x) {
        go_on.acquire();
        return x;
      });
      if (verb == 3) cast(a, throws);
      outcome_of queued;
      std::latch about(1);
      std::thread other([&] {
        about.count_down();
        queued = failure([&] { update(a, throws); });
      });
      about.wait();
      go_on.release();
      const outcome_of mine = failure([&] {
        if (verb == 0) get(a, throws);
        else if (verb == 1) update(a, throws);
        else get_and_update(a, [](int) -> std::pair<int, int> { throw oops(); });
      });
      other.join();
      for (const outcome_of& o : {mine, queued}) {
        const bool seen = o.kind == agent_error::ended || o.kind == agent_error::noproc;  // noproc: it asked when all was over
        CHECK(seen);
        if (o.kind == agent_error::ended) CHECK(o.why.text() == "oops");
      }
      CHECK((mine.kind == agent_error::ended || queued.kind == agent_error::ended || verb == 3));
      const exit_reason why = reason_of(end);
      CHECK(why.is(exit_reason::error));
      CHECK(why.text() == "oops");
    }
  });
}

TEST_CASE("EX-63 also by exit, by a validator that refuses, by a watch that throws; others kill it in the middle") {
  const world w;
  auto a = start_agent([] { return 1; });
  CHECK(failure([&] { get(a, [](int) { exit(exit_reason("enough")); }); }).why == exit_reason("enough"));
  a = start_agent([] { return 1; });
  with_agent(a, [](agent<int>& x) { x.set_validator(not_negative); });
  CHECK(failure([&] { update(a, [](int) { return -1; }); }).kind == agent_error::ended);
  a = start_agent([] { return 1; });
  with_agent(a, [](agent<int>& x) { x.add_watch("w", [](std::string_view, agent<int>&, int, int) { throw oops(); }); });
  CHECK(failure([&] { update(a, inc); }).why.text() == "oops");
  a = start_agent([] { return 1; });
  std::atomic<bool> inside{false};
  cast(a, [&](int x) {
    inside = true;
    sleep_for(infinity);
    return x;
  });
  CHECK(eventually([&] { return inside.load(); }));
  exit(a.id(), exit_reason::kill);
  const outcome_of o = failure([&] { get(a); });
  CHECK((o.kind == agent_error::noproc || o.why.is(exit_reason::killed)));
}

TEST_CASE("EX-63 SV-1 SV-20 a failed agent reaches its supervisor, which starts it again; all who use its name go on") {
  const world w;
  const supervisor tree = start_supervisor({.name = "agents",
                                            .children = {agent_child({.name = "hits"}, [](int from) { return from; }, 10),
                                                         agent_child({.name = "names"}, [] { return text("none"); })}});
  const agent_ref<int> hits("hits");
  const agent_ref<text> names("names");
  update(hits, inc);
  update(names, [](const text&) { return text("ann"); });
  CHECK(get(hits) == 11);
  const pid before = hits.id();
  CHECK(failure([&] { update(hits, throws); }).kind == agent_error::ended);
  CHECK(eventually([&] { return hits.id() && hits.id() != before; }));
  CHECK(get(hits) == 10);
  CHECK(get(names) == "ann");
  stop(tree.id());
  CHECK_FALSE(whereis("hits"));
}

TEST_CASE("EX-66 stop waits for what was sent before and for the end; another reason is told; change_code keeps what it cannot change") {
  in_both([] {
    const auto a = start_agent([] { return 1; }, {.name = "stopped"});
    std::atomic<int> seen{0};
    for (int i = 0; i < 10; ++i)
      cast(a, [&](int x) {
        ++seen;
        return x;
      });
    stop(a);
    CHECK(seen == 10);
    CHECK_FALSE(alive(a.id()));
    CHECK_FALSE(whereis("stopped"));
    CHECK(failure([&] { stop(a); }).kind == agent_error::noproc);
    const auto b = start_agent([] { return 1; });
    const reference end = monitor(b.id());
    change_code(b, [](int x) { return x * 100; });
    CHECK(get(b) == 100);
    CHECK_THROWS_AS(change_code(b, throws), oops);
    CHECK(get(b) == 100);
    cast(b, throws);
    const outcome_of other = failure([&] { stop(b); });
    CHECK((other.kind == agent_error::noproc || other.why.text() == "oops"));  // noproc: it was over already
    CHECK(reason_of(end).text() == "oops");
    const auto c = start_agent([] { return 1; });
    const reference quiet = monitor(c.id());
    stop(c, exit_reason::shutdown);
    CHECK(reason_of(quiet).is(exit_reason::shutdown));
    const auto d = start_agent([] { return 1; });
    CHECK(get(d, [&](int) { return failure([&] { stop(d); }).kind; }) == agent_error::calling_self);
    CHECK(suspend_process(d.id()));
    CHECK(failure([&] { get(d, [](int x) { return x; }, 1ms); }).kind == agent_error::timeout);
    CHECK(resume_process(d.id()));
    CHECK(get(d) == 1);
    stop(d);
  });
}

TEST_CASE("AG-13 AG-15 AG-43 a function of an agent's process is an action: what it sends is held, and dropped if it fails") {
  const world w;
  const auto a = start_agent([] { return 0; });
  const auto b = start_agent([] { return 0; });
  agent<int> plain(0);
  std::optional<std::pair<int, int>> during;
  update(a, [&](int x) {
    cast(b, inc);
    plain.send(inc);
    CHECK(is_in_action());
    CHECK_THROWS_AS(await(plain), in_action);
    during.emplace(get(b), *plain);
    return x + 1;
  });
  CHECK((during == std::pair(0, 0)));
  CHECK(get(b) == 1);
  await(plain);
  CHECK(*plain == 1);
  CHECK(failure([&] {
    update(a, [&](int) -> int {
      cast(b, inc);
      plain.send(inc);
      throw oops();
    });
  }).kind == agent_error::ended);
  CHECK(get(b) == 1);
  await(plain);
  CHECK(*plain == 1);
  stop(b);
}

TEST_CASE("TX-38 TX-39 TX-27 in a transaction an agent's process is told at the commit, once, and not asked") {
  const world w;
  const auto a = start_agent([] { return 0; });
  ref<int> first(0), r(0);
  int tries = 0;
  transact([&] {
    cast(a, inc);
    static_cast<void>(*first);
    if (++tries == 1) std::thread([&] { transact([&] { r.set(5); }); }).join();
    r.alter(inc);
  });
  CHECK(tries == 2);
  CHECK(get(a) == 1);
  CHECK_THROWS_AS(transact([&] {
    cast(a, inc);
    throw oops();
  }), oops);
  CHECK_THROWS_AS(transact([&] { static_cast<void>(get(a)); }), in_transaction);
  CHECK_THROWS_AS(transact([&] { update(a, inc); }), in_transaction);
  CHECK_THROWS_AS(transact([&] { stop(a); }), in_transaction);
  CHECK(get(a) == 1);
  stop(a);
}

TEST_CASE("TP-1 TP-5 AG-5 the agent itself: watches, taps, metadata, Clojure's verbs; its actions run in its process") {
  const world w;
  const auto a = start_agent([] { return 0; });
  seen_changes seen;
  const pid me = self();
  agent<int>* inner = nullptr;
  with_agent(a, [&](agent<int>& x) {
    x.add_watch("w", into(seen)).tap(me);
    x.reset_meta({{"n", 1}});
    inner = &x;
    CHECK(x.mode() == error_mode::stop);
    CHECK_THROWS_AS(x.set_mode(error_mode::go_on), state_error);
  });
  update(a, inc);
  CHECK(receive<changed<int>>().now == 1);
  std::atomic<bool> there{false};
  inner->send([&](int x) {
    there = self() == a.id();
    return x + 1;
  });
  inner->send_off(inc);
  await(*inner);
  CHECK(there);
  CHECK(get(a) == 3);
  CHECK(seen.all() == std::vector<seen_changes::pair>{{0, 1}, {1, 2}, {2, 3}});
  CHECK(receive<changed<int>>().now == 2);
  CHECK(receive<changed<int>>().now == 3);
  update(a, [&](int x) {
    inner->send(plus, 10);                         // to itself: behind what waits
    return x + 1;
  });
  CHECK(get(a) == 14);
  CHECK(receive<changed<int>>().now == 4);
  CHECK(receive<changed<int>>().now == 14);
  stop(a);
  receive([](tap_closed) {});
  CHECK_THROWS_AS((agent<int>(0, {.mode = error_mode::stop})), state_error);
}

TEST_CASE("AG-11 what is bound where it was asked is seen in the agent") {
  const world w;
  scoped_value<text> tenant("nobody");
  const auto a = start_agent([] { return text(); });
  {
    const value_scope as(tenant, "ann");
    cast(a, [&](const text& t) { return t + *tenant; });
  }
  cast(a, [&](const text& t) { return t + " " + *tenant; });
  CHECK(get(a) == "ann nobody");
  stop(a);
}

TEST_CASE("nothing is left of agents that end: values, functions, answers") {
  static_cast<void>(eventually([] { return internal::reclaim() == 0; }));
  const int before = big::alive;
  auto held = std::make_shared<int>(1);
  {
    const world w;
    const auto a = start_agent([] { return big(1); });
    std::binary_semaphore go_on(0);
    cast(a, [&](const big& b) {
      go_on.acquire();
      return b;
    });
    for (int i = 0; i < 10; ++i) cast(a, [held](const big& b) { return b; });
    CHECK(failure([&] { get(a, [held](const big& b) { return b; }, 1ms); }).kind == agent_error::timeout);
    exit(a.id(), exit_reason("gone"));
    go_on.release();
    await_end(a.id());
  }
  CHECK(eventually([&] {
    internal::reclaim();
    return held.use_count() == 1 && big::alive == before;
  }));
}

TEST_CASE_TEMPLATE("EX-61 EX-62 the verbs of an agent that is no process: actions that one waits for", T, int, big) {
  in_both([] {
    agent<T> a(T(1));
    seen_changes seen;
    a.add_watch("w", into(seen));
    CHECK((get(a, [](const T& x) { return number(x) * 10; }) == 10));
    CHECK(seen.size() == 0);                       // a look is no change
    update(a, inc);
    CHECK((*a == T(2)));
    CHECK((get_and_update(a, [](const T& x) { return std::pair(text("was ") + std::to_string(number(x)), T(7)); }) == "was 2"));
    for (int i = 0; i < 100; ++i) cast(a, inc);
    CHECK((get(a, [](const T& x) { return x; }) == T(107)));
    CHECK(seen.size() == 102);
    auto only = get(a, [](const T& x) { return std::make_unique<long long>(number(x)); });
    CHECK(*only == 107);
    get(a, [](const T&) {});
    agent<int> other(0);
    update(a, [&](const T& x) {
      other.send(inc);
      CHECK_THROWS_AS(get(other, [](int n) { return n; }), in_action);
      return x;
    });
    await(other);
    CHECK(*other == 1);
    CHECK_THROWS_AS(transact([&] { update(a, inc); }), in_transaction);
  });
}

TEST_CASE("EX-61 EX-63 what a function throws reaches who waits, after the agent's error mode has acted on it") {
  in_both([] {
    agent<int> a(0, {.validator = not_negative});
    CHECK_THROWS_AS(get(a, throws), oops);
    CHECK(a.error() != nullptr);
    CHECK_THROWS_AS(update(a, inc), needs_restart);
    a.restart(3);
    CHECK_THROWS_AS(update(a, [](int) { return -1; }), invalid_state);
    CHECK(*a == 3);
    a.restart(4);
    agent<int> goes_on(0, {.mode = error_mode::go_on});
    CHECK_THROWS_AS(update(goes_on, throws), oops);
    update(goes_on, inc);
    CHECK(*goes_on == 1);
    std::binary_semaphore go_on(0);
    a.send_off([&](int x) {
      go_on.acquire();
      return x;
    });
    const outcome_of late = failure([&] { update(a, inc, 1ms); });
    CHECK(late.kind == agent_error::timeout);
    go_on.release();
    CHECK(get(a, [](int x) { return x; }) == 5);   // it was done all the same
    fixed_executor one(1);
    const executor_scope scope(one);
    one.shutdown();
    CHECK_THROWS_AS(update(a, inc), rejected);
  });
}

TEST_CASE("EX-61 AG-35 AG-42 one whose action is dropped by a restart gets rejected; one whose action is kept is served") {
  for (const bool clear : {false, true}) {
    agent<int> a(0);
    std::binary_semaphore has_begun(0), go_on(0);
    a.send_off([&](int x) {
      has_begun.release();
      go_on.acquire();
      return x;
    });
    has_begun.acquire();
    a.send(throws);
    const detail::action* const newest = a.core().inbox.load(detail::sync::acquire);
    std::atomic<int> result{0};
    std::thread waiter([&] {
      try {
        result = get_and_update(a, [](int x) { return std::pair(x, x + 1); }, infinity);
      } catch (const rejected&) {
        result = -1;
      } catch (const needs_restart&) {
        result = -2;                               // it came too late
      }
    });
    CHECK(eventually([&] { return a.core().inbox.load(detail::sync::acquire) != newest; }));
    go_on.release();
    CHECK(eventually([&] { return a.error() != nullptr; }));
    a.restart(10, clear);
    waiter.join();
    CHECK(result == (clear ? -1 : 10));
  }
}
