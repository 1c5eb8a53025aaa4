// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/task.hpp>
#include <coppice/otp/task_child.hpp>
#include <coppice/otp/task_message.hpp>
#include <coppice/process/process_info.hpp>

#include <memory>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "spec/otp/own_world.hpp"
#include "support/one_worker.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct go {};
struct price_unknown : std::runtime_error {
  explicit price_unknown(int a) : std::runtime_error("no price"), article(a) {}
  int article;
};

void wait_for_go() { receive<go>(); }
[[noreturn]] void wait_for_ever() {
  for (;;) receive<go>();
}

bool nothing_left() { return mailbox_is_empty() && process_info(self())->monitors.empty() && process_info(self())->links.empty(); }

/// Runs `body` in a process of a world of its own; it must come to its end.
template <class F>
void in_process(F body, const spawn_options& options = {}) {
  own_world w;
  const exit_reason why = run_process(std::move(body), options);
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
}

/// The same on one worker: there whose end has been heard of has left its result, too.
template <class F>
void in_process_on_one_worker(F body) {
  const caught_reports reports;
  const one_worker w;
  const exit_reason why = run_process(std::move(body));
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
}

/// A value that can only be moved, and counts its ends.
struct tracked {
  explicit tracked(std::shared_ptr<int> c) : count(std::move(c)) {}
  tracked(tracked&&) = default;
  tracked& operator=(tracked&&) = default;
  ~tracked() {
    if (count) ++*count;
  }
  std::shared_ptr<int> count;
};

}  // namespace

// --- the value -------------------------------------------------------------------------------------------------------

TEST_CASE("EX-1 async starts a process that is linked to its owner and returns a handle") {
  in_process([] {
    auto t = async([] { wait_for_go(); });
    CHECK(t);
    CHECK(t.id() != self());
    CHECK(alive(t.id()));
    const auto mine = process_info(self());
    CHECK(mine->links == std::vector<pid>{t.id()});
    CHECK(process_info(t.id())->links == std::vector<pid>{self()});
    CHECK(process_info(t.id())->ancestors.front() == self());
    send(t.id(), go{});
    t.await();
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-2 EX-3 a task gives its value once and ends; nothing of it stays with the owner") {
  in_process([] {
    auto t = async([] { return std::make_unique<int>(7); });
    const pid who = t.id();
    CHECK(*t.await() == 7);
    CHECK_FALSE(alive(who));
    CHECK_FALSE(t);
    CHECK(t.id() == pid{});
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-3 an owner that traps exits gets no EXIT of its tasks, however they end") {
  in_process([] {
    trap_exit(true);
    CHECK(async([] { return 1; }).await() == 1);
    auto bad = async([]() -> int { throw std::runtime_error("broken"); });
    CHECK_THROWS_AS(bad.await(), task_failed);
    auto killed = async([] { wait_for_ever(); });
    exit(killed.id(), exit_reason::kill);
    CHECK(killed.yield()->error().reason().is(exit_reason::killed));
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-3 OL-63 a second await of the same task fails at once") {
  in_process([] {
    auto t = async([] { return 1; });
    t.await();
    CHECK_THROWS_WITH_AS(t.await(infinity), "await: nothing will come: the result was taken or given up before", task_timeout);
  });
}

TEST_CASE("EX-1 values of every kind: void, move-only, over-sized, over-aligned") {
  in_process([] {
    async([] {}).await();
    auto big = async([] { return std::array<int, 400>{1, 2, 3}; }).await();
    CHECK(big[2] == 3);
    struct alignas(64) wide { int n; };
    auto t = async([] { return wide{5}; });
    auto w = t.await();
    CHECK(w.n == 5);
    CHECK(reinterpret_cast<std::uintptr_t>(&w) % 64 == 0);
    const std::string text = "a text that lies on the heap, for it is long";
    CHECK(async([text] { return text; }).await() == text);
  });
}

TEST_CASE("EX-2 the function and its captures are gone when await returns") {
  in_process([] {
    auto count = std::make_shared<int>(0);
    async([held = tracked(count)] {}).await();
    CHECK(*count == 1);
    CHECK(count.use_count() == 1);
  });
}

TEST_CASE("EX-2 a result that nobody takes is destroyed, whoever comes last") {
  auto count = std::make_shared<int>(0);
  in_process([count] {
    {
      auto t = async([count] { return tracked(count); });
      const reference ended = monitor(t.id());
      static_cast<void>(reason_of_end(t.id(), ended));
    }                                            // done, then given up
    CHECK(*count == 1);
    auto t = async([count] {
      wait_for_go();
      return tracked(count);
    });
    const pid who = t.id();
    const reference ended = monitor(who);
    { auto given_up = std::move(t); }            // given up, then done
    send(who, go{});
    static_cast<void>(reason_of_end(who, ended));
  });
  CHECK(eventually([&] { return *count == 2 && count.use_count() == 1; }));
}

TEST_CASE("OL-62 await parks the process, or the thread, that waits") {
  own_world w({.workers = 1});
  CHECK(async([] { return async([] { return async([] { return 5; }).await() + 1; }).await() + 1; }).await() == 7);
}

TEST_CASE("OL-64 tasks compose by awaiting one in another; the handle is the inner task's") {
  in_process([] {
    auto sum = async([] {
      auto a = async([] { return 1; }), b = async([] { return 2; });
      return a.await() + b.await();
    });
    auto twice = async([&] { return 2; });
    CHECK(sum.await() * twice.await() == 6);
  });
}

TEST_CASE("OL-65 a task is a process of its own") {
  in_process([] {
    const pid me = self();
    auto t = async([] { return self(); });
    const pid who = t.id();
    const pid said = t.await();
    CHECK(said == who);
    CHECK(said != me);
  });
}

TEST_CASE("EX-15 a completed task has a value and no process; all operations work") {
  in_process([] {
    CHECK(completed(3).await() == 3);
    auto t = completed(std::string("x"));
    CHECK(t.id() == pid{});
    CHECK(t.yield(duration{0})->value() == "x");
    CHECK_FALSE(t.yield(infinity));
    auto s = completed(4);
    CHECK(s.shutdown()->value() == 4);
    auto i = completed(5);
    CHECK(i.ignore()->value() == 5);
    completed().await();
    std::vector<task<int>> many;
    many.push_back(completed(1));
    many.push_back(async([] { return 2; }));
    CHECK(await_many(many) == std::vector<int>{1, 2});
    CHECK(nothing_left());
  });
}

// --- failures --------------------------------------------------------------------------------------------------------

TEST_CASE("EX-4 OL-62 await of a failed task throws its reason; the original exception can be had") {
  in_process([] {
    auto t = async_nolink([]() -> int { throw price_unknown(12); });
    const pid who = t.id();
    try {
      t.await();
      FAIL("it has not failed");
    } catch (const task_failed& e) {
      CHECK(e.reason().is(exit_reason::error));
      CHECK(e.reason().text() == "no price");
      CHECK(e.who() == who);
      CHECK(std::string(e.what()).find("task " + to_text(who) + " failed: ") == 0);
      CHECK(std::string(e.what()).find("no price") != std::string::npos);
      try {
        e.rethrow();
      } catch (const price_unknown& original) {
        CHECK(original.article == 12);
      }
    }
    CHECK_FALSE(t);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-4 a task that ends normally without a value has failed, too") {
  in_process([] {
    auto t = async([]() -> int { exit(exit_reason::normal); });
    const pid who = t.id();
    try {
      t.await();
      FAIL("it has not failed");
    } catch (const task_failed& e) {
      CHECK(e.reason().is(exit_reason::normal));
      CHECK(e.what() == "task " + to_text(who) + " ended without a result");
      CHECK(e.exception() == nullptr);
      CHECK_THROWS_AS(e.rethrow(), task_failed);
    }
  });
}

TEST_CASE("EX-4 uncaught, the failure is the owner's reason") {
  own_world w;
  const exit_reason why = run_process([] { async_nolink([] { throw price_unknown(1); }).await(); });
  CHECK(why.is(exit_reason::error));
  CHECK(why.text() == "no price");
  const exit_reason quiet = run_process([] { async([] { exit(exit_reason::normal); }).await(); });
  CHECK(quiet.is(exit_reason::error));
  CHECK(quiet.text().find("ended without a result") != std::string_view::npos);
}

TEST_CASE("EX-4 exits travel to the owner as reasons") {
  in_process([] {
    auto t = async_nolink([] { exit(exit_reason("no channel left")); });
    CHECK(t.yield()->error().reason() == exit_reason("no channel left"));
  });
}

TEST_CASE("EX-5 the failure of a linked task ends an owner that does not trap exits, and it never sees it") {
  own_world w;
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> seen{false};
    const exit_reason why = run_process([&] {
      auto t = async([] { throw price_unknown(1); });
      try {
        if (i % 2 == 0) t.await();
        else wait_for_ever();
      } catch (const task_failed&) {
        seen = true;
      }
    });
    CHECK(why.text() == "no price");
    CHECK_FALSE(seen);
  }
}

TEST_CASE("EX-5 nor does it see a failure that was there before it asked") {
  own_world w;
  for (int i = 0; i < 60; ++i) {
    std::atomic<bool> seen{false};
    const exit_reason why = run_process([&] {
      std::vector<task<int>> all;
      all.push_back(async([]() -> int { throw price_unknown(1); }));
      // Long enough for it to end, as a rule, and without a wait, which would hear of that.
      for (const auto begin = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - begin < 500us;) {}
      try {
        if (i % 2 == 0) all.front().await();
        else await_many(all);
      } catch (const task_failed&) {
        seen = true;
      }
    });
    CHECK(why.text() == "no price");
    CHECK_FALSE(seen);
  }
}

TEST_CASE("EX-5 async_nolink: the failure is seen by the owner and does not end it") {
  in_process([] {
    auto t = async_nolink([] { throw price_unknown(1); });
    CHECK_THROWS_AS(t.await(), task_failed);
    CHECK(process_info(self())->links.empty());
  });
}

TEST_CASE("EX-5 from a plain thread a task is not linked: the failure is seen by await") {
  own_world w;
  auto t = async([]() -> int { throw price_unknown(3); });
  CHECK_THROWS_AS(t.await(), task_failed);
  CHECK(async([] { return 4; }).await() == 4);
  CHECK(mailbox_is_empty());
}

TEST_CASE("EX-6 a time limit: await throws, the task runs on, linked, and may be asked again") {
  in_process([] {
    auto t = async([] {
      wait_for_go();
      return 5;
    });
    const pid who = t.id();
    try {
      t.await(1ms);
      FAIL("it has come");
    } catch (const task_timeout& e) {
      CHECK(e.who() == who);
      CHECK(e.reason().is(exit_reason::timeout));
      CHECK(e.what() == "await: " + to_text(who) + " has no result after 1 ms");
    }
    CHECK(alive(who));
    CHECK(process_info(self())->links == std::vector<pid>{who});
    CHECK(mailbox_is_empty());
    send(who, go{});
    CHECK(t.await() == 5);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-6 uncaught, the time limit is the owner's reason, and ends its task") {
  own_world w;
  pid who;
  const exit_reason why = run_process([&] {
    auto t = async([] { wait_for_ever(); });
    who = t.id();
    t.await(1ms);
  });
  CHECK(why.is(exit_reason::timeout));
  CHECK(eventually([&] { return !alive(who); }));
}

TEST_CASE("EX-7 only the owner may ask") {
  own_world w;
  std::optional<task<int>> handed;
  pid keeper = spawn([&, parent = self()] {
    handed.emplace(async([] { return 1; }));
    send(parent, go{});
    wait_for_go();
  });
  wait_for_go();
  CHECK_THROWS_AS(handed->await(), exit_error);
  CHECK_THROWS_AS(handed->yield(duration{0}), exit_error);
  CHECK_THROWS_AS(handed->shutdown(), exit_error);
  CHECK_THROWS_AS(handed->ignore(), exit_error);
  std::vector<task<int>> many;
  many.push_back(std::move(*handed));
  CHECK_THROWS_AS(await_many(many), exit_error);
  CHECK_THROWS_AS(yield_many(many), exit_error);
  try {
    many[0].await();
  } catch (const exit_error& e) {
    CHECK(std::string(e.what()) == "a task's result: only its owner " + to_text(keeper) + " may; the caller is " + to_text(self()));
  }
  CHECK(many[0]);
  many.clear();                                  // who destroys it need not be the owner
  send(keeper, go{});
  static_cast<void>(end_of(keeper));
}

TEST_CASE("EX-8 the owner's end ends its tasks with its reason, unless it was normal") {
  own_world w;
  struct told {
    pid who;
    exit_reason why;
  };
  const auto ends_with = [&](auto last_words) {
    pid who;
    const pid tester = self();
    const exit_reason end = run_process([&] {
      auto t = async([tester, owner = self()] {
        trap_exit(true);
        send(owner, go{});
        receive([&](exit_signal e) { send(tester, told{e.who, e.reason}); }, [](go) {});
      });
      who = t.id();
      wait_for_go();
      last_words();
    });
    static_cast<void>(end);
    return who;
  };
  ends_with([] { exit(exit_reason("no more")); });
  const told bad = receive<told>();
  CHECK(bad.why == exit_reason("no more"));
  const pid goes_on = ends_with([] {});
  CHECK(alive(goes_on));
  CHECK(mailbox_is_empty());
  send(goes_on, go{});
  static_cast<void>(end_of(goes_on));
  const pid shut = ends_with([] { exit(exit_reason::shutdown); });
  CHECK(receive<told>().why.is(exit_reason::shutdown));
  static_cast<void>(end_of(shut));
}

// --- yield, shutdown, ignore -----------------------------------------------------------------------------------------

TEST_CASE("EX-9 yield: a value, a reason, or nothing yet; after it was taken nothing") {
  in_process([] {
    auto t = async_nolink([] {
      wait_for_go();
      return 5;
    });
    CHECK_FALSE(t.yield(1ms));
    CHECK_FALSE(t.yield(duration{0}));
    send(t.id(), go{});
    CHECK(t.yield()->value() == 5);
    CHECK_FALSE(t.yield(infinity));
    auto bad = async_nolink([] { throw price_unknown(1); });
    auto result = bad.yield();
    CHECK(result->error().reason().text() == "no price");
    CHECK_THROWS_AS(result->value(), task_failed);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-10 shutdown: nothing for a task that ended by our signal") {
  in_process([] {
    auto t = async([] { wait_for_ever(); });
    const pid who = t.id();
    CHECK_FALSE(t.shutdown());
    CHECK_FALSE(alive(who));
    CHECK_FALSE(t);
    auto k = async([] { wait_for_ever(); });
    CHECK_FALSE(k.shutdown(brutal_kill));
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-10 shutdown: the value if there was one, also of a task that finishes instead of ending") {
  in_process([] {
    auto t = async([] { return 1; });
    const pid who = t.id();
    static_cast<void>(reason_of_end(who, monitor(who)));
    CHECK(t.shutdown()->value() == 1);
    auto stubborn = async([parent = self()] {
      trap_exit(true);
      send(parent, go{});
      receive<exit_signal>();
      return 2;
    });
    receive<go>();
    CHECK(stubborn.shutdown()->value() == 2);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-10 shutdown: the reason of any other end; killed after the time; noproc for an empty handle") {
  in_process([] {
    auto failed = async_nolink([] { throw price_unknown(1); });
    const pid who = failed.id();
    static_cast<void>(reason_of_end(who, monitor(who)));
    CHECK(failed.shutdown()->error().reason().text() == "no price");
    auto stubborn = async([parent = self()] {
      trap_exit(true);
      send(parent, go{});
      wait_for_ever();
    });
    receive<go>();
    CHECK(stubborn.shutdown(1ms)->error().reason().is(exit_reason::killed));
    CHECK(stubborn.shutdown()->error().reason().is(exit_reason::noproc));
    auto other = async_nolink([parent = self()] {
      trap_exit(true);
      send(parent, go{});
      receive<exit_signal>();
      exit(exit_reason("busy"));
    });
    receive<go>();
    CHECK(other.shutdown()->error().reason() == exit_reason("busy"));
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-11 yield or else shutdown never loses a value") {
  in_process([] {
    std::atomic<int> made{0};
    int got = 0;
    const int rounds_wanted = rounds(2'000, 100'000);
    for (int i = 0; i < rounds_wanted; ++i) {
      auto t = async([&] {
        ++made;
        return 1;
      });
      auto r = t.yield(duration{i % 3});
      if (!r) r = t.shutdown();
      if (r) got += r->value();
    }
    CHECK(got <= made);
    CHECK(got >= made - 0);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-12 ignore: unlinks and gives the result up; the task goes on, later awaits time out") {
  in_process([] {
    auto t = async([] {
      wait_for_go();
      throw price_unknown(1);
    });
    const pid who = t.id();
    const reference ended = monitor(who);
    CHECK_FALSE(t.ignore());
    CHECK(process_info(self())->links.empty());
    CHECK_THROWS_AS(t.await(infinity), task_timeout);
    send(who, go{});
    CHECK(reason_of_end(who, ended).text() == "no price");     // and we live
    auto done = async([] { return 3; });
    const pid d = done.id();
    static_cast<void>(reason_of_end(d, monitor(d)));
    CHECK(done.ignore()->value() == 3);
    CHECK_FALSE(done.ignore());
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-1 unlink works for a task's link, from both sides") {
  in_process([] {
    auto t = async([] {
      wait_for_go();
      throw price_unknown(1);
    });
    unlink(t.id());
    send(t.id(), go{});
    CHECK_THROWS_AS(t.await(), task_failed);
    auto own = async([parent = self()] {
      unlink(parent);
      throw price_unknown(1);
    });
    CHECK_THROWS_AS(own.await(), task_failed);
    CHECK(process_info(self())->links.empty());
  });
}

// --- start, callers, reports -----------------------------------------------------------------------------------------

TEST_CASE("EX-16 start and start_link: no result, no handle") {
  own_world w;
  std::atomic<int> ran{0};
  const pid alone = start([&] { ++ran; });
  static_cast<void>(end_of(alone));
  CHECK(eventually([&] { return ran == 1; }));
  CHECK_THROWS_AS(start_link([] {}), exit_error);              // a plain thread has no link
  const exit_reason why = run_process([&] {
    start_link([] { throw price_unknown(2); });
    wait_for_ever();
  });
  CHECK(why.text() == "no price");
}

TEST_CASE("EX-16 a task as a child: temporary by default, started from the spec's own function and arguments") {
  const child_spec spec = task_child({.id = "warm up", .name = "warmer"}, [](pid to, int n) {
    receive<go>();
    send(to, n);
  }, self(), 7);
  CHECK(spec.restart == temporary);
  CHECK(spec.id == "warm up");
  CHECK(task_child({.restart = permanent}, [] {}).restart == permanent);
  in_process([&] {
    for (int round = 0; round < 2; ++round) {                  // the spec can be used again
      const started_child made = detail::start_child(spec);
      REQUIRE(made.is(started_child::started));
      CHECK(process_info(made.who())->links == std::vector<pid>{self()});
      CHECK(whereis("warmer") == made.who());
      const started_child taken = detail::start_child(spec);
      CHECK(taken.is(started_child::already_started));
      CHECK(taken.who() == made.who());
      const reference ended = monitor(made.who());
      send(made.who(), go{});
      CHECK(reason_of_end(made.who(), ended).is(exit_reason::normal));
    }
  });
  CHECK(receive<int>() == 7);
  CHECK(receive<int>() == 7);
}

TEST_CASE("EX-17 a task's callers are its owner and that one's callers") {
  own_world w;
  const exit_reason why = run_process([] {
    const pid me = self();
    auto outer = async([me] {
      const pid middle = self();
      auto inner = async([=] { return process_info(self())->callers; });
      return inner.await() == std::vector<pid>{middle, me} && process_info(middle)->callers == std::vector<pid>{me};
    });
    CHECK(outer.await());
    CHECK(process_info(me)->callers.empty());
  });
  CHECK(why.is(exit_reason::normal));
}

TEST_CASE("EX-17 EX-18 a failure is logged once, with label, starter, callers, function and reason") {
  own_world w;
  pid owner, who;
  const exit_reason end = run_process([&] {
    owner = self();
    auto t = async_nolink([] { throw price_unknown(2); }, {.label = "prices"});
    who = t.id();
    CHECK_THROWS_AS(t.await(), task_failed);
  });
  CHECK(end.is(exit_reason::normal));
  const auto reports = w.reports.of("crash", who);
  REQUIRE(reports.size() == 1);
  const report& r = reports[0];
  CHECK(r.level == log_level::error);
  CHECK(r.headline.find("task " + to_text(who)) == 0);
  CHECK(field_of(r, "why").find("no price") != std::string::npos);
  CHECK(field_of(r, "label") == "prices");
  CHECK(field_of(r, "started from") == to_text(owner));
  CHECK(field_of(r, "callers") == to_text(owner));
  CHECK(field_of(r, "function").find("lambda") != std::string::npos);
}

TEST_CASE("EX-18 quiet ends are not logged") {
  own_world w;
  const exit_reason end = run_process([&] {
    async_nolink([] { exit(exit_reason::shutdown); }).yield();
    async_nolink([] { exit(exit_reason::normal); }).yield();
    async_nolink([] { exit(exit_reason::shutdown_because("enough")); }).yield();
    auto k = async_nolink([] { wait_for_ever(); });
    k.shutdown();
  });
  CHECK(end.is(exit_reason::normal));
  CHECK(w.reports.all().empty());
}

// --- the result as a message -----------------------------------------------------------------------------------------

namespace {

struct lookup {
  using reply = int;
  int article;
};
struct report_count { using reply = std::string; };

/// Asks a task for each request and answers when its message comes.
struct shop {
  struct open { reference ref; from<int> asker; };
  std::vector<open> pending{};
  int values = 0;
  int downs = 0;

  void handle_call(lookup q, from<int> asker) {
    const monitored t = async_message(this, [q] {
      if (q.article < 0) throw price_unknown(q.article);
      return q.article * 10;
    });
    pending.push_back({t.ref, std::move(asker)});
  }
  std::string handle_call(report_count) { return std::to_string(values) + " values, " + std::to_string(downs) + " downs"; }
  void handle_info(task_reply<int> r) {
    ++values;
    demonitor_and_flush(r.ref);
    answer(r.ref, r.value);
  }
  void handle_info(down d) {
    ++downs;
    answer(d.ref, -1);
  }
  void answer(reference ref, int value) {
    for (auto& p : pending)
      if (p.ref == ref) {
        std::move(p.asker).reply(value);
        p = std::move(pending.back());
        pending.pop_back();
        return;
      }
  }
};

}  // namespace

TEST_CASE("EX-19 a server gets value and DOWN as typed messages with the task's reference") {
  own_world w;
  const auto s = start<shop>();
  CHECK(call(s, lookup{4}) == 40);
  CHECK(call(s, lookup{-1}) == -1);
  CHECK(call(s, lookup{5}) == 50);
  CHECK(call(s, report_count{}) == "2 values, 1 downs");
  stop(s);
}

namespace {

struct ask_price {
  int article;
};
/// Its protocol lists what tasks send: the form without `this` does.
struct listed_shop {
  using protocol = messages<ask_price, task_reply<int>>;
  pid tester;
  void handle_cast(ask_price q) { async_message([q] { return q.article + 1; }); }
  void handle_info(task_reply<int> r) {
    demonitor_and_flush(r.ref);
    send(tester, r.value);
  }
};
}  // namespace

TEST_CASE("EX-19 a server whose protocol lists the message gets it without naming itself") {
  own_world w;
  const auto s = start<listed_shop>({}, self());
  cast(s, ask_price{4});
  CHECK(receive<int>() == 5);
  stop(s);
  CHECK(w.reports.all().empty());
}

TEST_CASE("EX-19 after demonitor neither the value nor the DOWN comes") {
  in_process([] {
    const monitored t = async_message([] {
      wait_for_go();
      return 1;
    });
    demonitor_and_flush(t.ref);
    const reference ended = monitor(t.who);
    send(t.who, go{});
    static_cast<void>(reason_of_end(t.who, ended));
    CHECK(nothing_left());
    const monitored v = async_message([] {});
    CHECK(receive<task_reply<void>>().ref == v.ref);
    CHECK(receive<down>().ref == v.ref);
  });
}

// --- many ------------------------------------------------------------------------------------------------------------

TEST_CASE("EX-13 await_many: values in the order of the tasks; an empty list at once; other messages stay") {
  in_process([] {
    send(self(), go{});
    std::vector<task<int>> tasks;
    CHECK(await_many(tasks).empty());
    for (int i = 0; i < 100; ++i)
      tasks.push_back(async([i] {
        for (int n = 0; n < 100 - i; ++n) yield();
        return i;
      }));
    const auto values = await_many(tasks);
    REQUIRE(values.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
    CHECK_FALSE(tasks[0]);
    CHECK(receive<go>(duration{0}));
    std::vector<task<void>> nothing;
    nothing.push_back(async([] {}));
    await_many(nothing);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-13 await_many: the first failure is thrown at once, the others go on and keep their results") {
  in_process([] {
    std::vector<task<int>> tasks;
    tasks.push_back(async([] {
      wait_for_go();
      return 1;
    }));
    tasks.push_back(async_nolink([]() -> int { throw price_unknown(2); }));
    tasks.push_back(async([] { return 3; }));
    CHECK_THROWS_AS(await_many(tasks, infinity), task_failed);
    CHECK(tasks[0]);
    CHECK_FALSE(tasks[1]);
    CHECK(alive(tasks[0].id()));
    send(tasks[0].id(), go{});
    CHECK(tasks[0].await() == 1);
    CHECK(tasks[2].await() == 3);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-13 await_many: one time for all; what was taken before fails it at once") {
  in_process_on_one_worker([] {
    std::vector<task<int>> tasks;
    for (int i = 0; i < 3; ++i)
      tasks.push_back(async([i] {
        if (i != 1) wait_for_go();
        return i;
      }));
    const pid first = tasks[0].id();
    static_cast<void>(end_of(tasks[1].id()));
    try {
      await_many(tasks, 2ms);
      FAIL("they have come");
    } catch (const task_timeout& e) {
      CHECK(e.who() == first);
      CHECK(std::string(e.what()).find("await: " + to_text(first) + " and 1 more have no result after 2 ms") == 0);
    }
    send(tasks[0].id(), go{});
    send(tasks[2].id(), go{});
    CHECK(await_many(tasks) == std::vector<int>{0, 1, 2});
    CHECK_THROWS_AS(await_many(tasks, infinity), task_timeout);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-14 yield_many: results in the order of the tasks, nothing for those that run") {
  in_process_on_one_worker([] {
    std::vector<task<int>> tasks;
    tasks.push_back(async([] { return 1; }));
    tasks.push_back(async_nolink([]() -> int { throw price_unknown(2); }));
    tasks.push_back(async([] {
      wait_for_go();
      return 3;
    }));
    for (int i = 0; i < 2; ++i) static_cast<void>(end_of(tasks[static_cast<std::size_t>(i)].id()));
    const auto results = yield_many(tasks, {.timeout = 20ms});
    REQUIRE(results.size() == 3);
    CHECK(results[0]->value() == 1);
    CHECK(results[1]->error().reason().text() == "no price");
    CHECK_FALSE(results[2]);
    CHECK(tasks[2]);
    send(tasks[2].id(), go{});
    CHECK(tasks[2].await() == 3);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-14 yield_many: all or `limit` answers end it early, and on_timeout does not apply") {
  in_process([] {
    std::vector<task<int>> tasks;
    for (int i = 0; i < 4; ++i)
      tasks.push_back(async([i] {
        if (i >= 2) wait_for_go();
        return i;
      }));
    const auto results = yield_many(tasks, {.timeout = infinity, .limit = 2, .on_timeout = yield_many_options::kill_task});
    CHECK(results[0]->value() == 0);
    CHECK(results[1]->value() == 1);
    CHECK_FALSE(results[2]);
    CHECK(alive(tasks[2].id()));
    for (int i = 2; i < 4; ++i) send(tasks[static_cast<std::size_t>(i)].id(), go{});
    CHECK(yield_many(tasks, {.timeout = infinity})[3]->value() == 3);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-14 yield_many: on_timeout ignores or kills those that run") {
  in_process([] {
    std::vector<task<void>> tasks;
    for (int i = 0; i < 2; ++i) tasks.push_back(async([] { wait_for_go(); }));
    const pid one = tasks[0].id(), two = tasks[1].id();
    yield_many(tasks, {.timeout = 1ms, .on_timeout = yield_many_options::ignore_task});
    CHECK(alive(one));
    CHECK(alive(two));
    CHECK_FALSE(tasks[0]);
    CHECK(process_info(self())->links.empty());
    const reference ended = monitor(one);
    send(one, go{});
    send(two, go{});
    static_cast<void>(reason_of_end(one, ended));
    std::vector<task<void>> more;
    more.push_back(async([] { wait_for_ever(); }));
    const pid killed = more[0].id();
    CHECK_FALSE(yield_many(more, {.timeout = 1ms, .on_timeout = yield_many_options::kill_task})[0]);
    CHECK_FALSE(alive(killed));
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-13 EX-14 many waits one after another leave every handle sound") {
  in_process([] {
    for (int round = 0; round < rounds(300, 10'000); ++round) {
      std::vector<task<int>> tasks;
      for (int i = 0; i < 8; ++i) tasks.push_back(async([i] { return i; }));
      int sum = 0;
      std::size_t got = 0;
      while (got < 8) {
        for (auto& r : yield_many(tasks, {.timeout = duration{round % 2}, .limit = 3}))
          if (r) {
            sum += r->value();
            ++got;
          }
      }
      CHECK(sum == 28);
    }
    CHECK(nothing_left());
  });
}

// --- hard cases ------------------------------------------------------------------------------------------------------

TEST_CASE("EX-8 an owner that is killed in await leaves no task behind") {
  own_world w;
  const pid tester = self();
  const pid owner = spawn([tester] {
    auto t = async([tester] {
      send(tester, self());
      wait_for_ever();
    });
    t.await(infinity);
  });
  const pid who = receive<pid>();
  const reference ended = monitor(who);
  exit(owner, exit_reason::kill);
  CHECK(reason_of_end(who, ended).is(exit_reason::killed));
  static_cast<void>(end_of(owner));
}

TEST_CASE("EX-2 a million tasks whose handles are dropped leave nothing") {
  in_process([] {
    for (int i = 0; i < rounds(20'000, 1'000'000); ++i) {
      static_cast<void>(async([] { return 1; }));
      if (i % 64 == 0) yield();
    }
    async([] {}).await();
    CHECK(process_info(self())->memory_bytes < 100'000);              // of those that lived at once; all of them would take 16 bytes each
  });
}

TEST_CASE("EX-1 a runtime that stops, or is full, refuses a task and keeps nothing of it") {
  runtime r({.workers = 1, .max_processes = 1});
  runtime_scope scope(r);
  auto count = std::make_shared<int>(0);
  const exit_reason why = run_process([&] {
    CHECK_THROWS_AS(static_cast<void>(async([held = tracked(count)] {})), exit_error);
    CHECK(process_info(self())->links.empty());
  });
  CHECK(why.is(exit_reason::normal));
  CHECK(count.use_count() == 1);
}

TEST_CASE("EX-1 a move of the function that throws fails async and keeps nothing") {
  struct fragile {
    fragile() = default;
    fragile(const fragile&) = delete;
    fragile(fragile&& other) : moves(other.moves + 1) {
      if (moves == 2) throw std::runtime_error("cannot be moved");
    }
    int operator()() { return 1; }
    int moves = 0;
  };
  in_process([] {
    CHECK_THROWS_WITH(static_cast<void>(async(fragile{})), "cannot be moved");
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-1 a task whose result is awaited does not become a server") {
  in_process([] {
    auto t = async_nolink([]() -> int { enter_loop(shop{}); });
    CHECK_THROWS_AS(t.await(), task_failed);
  });
}
