// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "spec/otp/otp_test.hpp"

#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <map>
#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct ask { using reply = int; };
struct who_am_i { using reply = pid; };
struct load { int n; };

struct plain {
  int value = 7;
  int handle_call(ask) { return value; }
  pid handle_call(who_am_i) { return self(this); }
};

enum class how { ok, ignore, fail, stop, stop_quietly, throws, exits, exits_quietly, waits, ok_then_continue };

struct choosy {
  static inline std::atomic<int> terminated{0};
  journal* log = nullptr;
  int loaded = 0;
  init_outcome<load> init(how what, journal* j = nullptr) {
    log = j;
    switch (what) {
      case how::ok: return ok();
      case how::ignore: return ignore;
      case how::fail: return fail(exit_reason("not today"));
      case how::stop: return stop(exit_reason("broken"));
      case how::stop_quietly: return stop();
      case how::throws: throw std::out_of_range("no channel 7");
      case how::exits: exit(exit_reason("left"));
      case how::exits_quietly: exit(exit_reason::shutdown);
      case how::waits: sleep_for(infinity); return ok();
      case how::ok_then_continue: return ok(continue_with(load{3}));
    }
    return ok();
  }
  void handle_continue(load l) { loaded = l.n; }
  int handle_call(ask) { return loaded; }
  void terminate(const exit_reason&) { ++terminated; }
};

struct counts {
  static inline std::atomic<int> made{0};
  void init() { ++made; }
};

}  // namespace

TEST_CASE("GS-1 OL-1 OL-6 start has no link, start_link links to the caller, start_monitor monitors") {
  const auto s = start<plain>();
  CHECK(process_info(s)->links.empty());
  CHECK(call(s, ask{}) == 7);
  stop(s);
  const auto why = run_process([] {
    const auto linked = start_link<plain>();
    CHECK(process_info(linked)->links == std::vector<pid>{self()});
    const auto m = start_monitor<plain>();
    CHECK(process_info(m.server)->monitored_by == std::vector<pid>{self()});
    stop(m.server);
    CHECK(reason_of_end(m.server, m.ref).is(exit_reason::normal));
    stop(linked);
  });
  CHECK(why.is(exit_reason::normal));
  CHECK_THROWS_AS(start_link<plain>(), start_error);
}

TEST_CASE("GS-2 GS-3 init is over when start returns, and ran in the new process") {
  struct slow {
    pid made_in;
    void init() {
      sleep_for(5ms);
      made_in = self();
    }
    pid handle_call(who_am_i) { return made_in; }
  };
  const auto s = start<slow>();
  CHECK(call(s, who_am_i{}) == s.id());
  stop(s);
}

TEST_CASE("GS-4 OL-29 a start ends with ok, ignore or an error; a failed start_monitor leaves no DOWN") {
  caught_reports reports;
  CHECK(try_start<plain>().has_value());
  CHECK(try_start<choosy>({}, how::ignore).error().ignored());
  const auto failed = try_start_monitor<choosy>({}, how::throws);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().is(start_error::failed));
  CHECK(failed.error().reason().type() == "std::out_of_range");
  CHECK(failed.error().reason().text() == "no channel 7");
  CHECK(mailbox_is_empty());
}

TEST_CASE("GS-5 the parent is the caller of start_link and start_monitor, else the server itself") {
  const auto why = run_process([] {
    const auto a = start<plain>();
    const auto l = start_link<plain>();
    const auto m = start_monitor<plain>();
    CHECK(sys::get_status(a).parent == a.id());
    CHECK(sys::get_status(l).parent == self());
    CHECK(sys::get_status(m.server).parent == self());
    stop(a), stop(l), stop(m.server);
  });
  CHECK(why.is(exit_reason::normal));
}

TEST_CASE("GS-6 options: name, label, debug options; a log file that cannot be opened is one log line and the start succeeds") {
  caught_reports reports;
  const auto s = start<plain>({.name = "gs6", .label = "the sixth", .debug = {.statistics = true, .log = 3, .log_to_file = "/nonexistent/x"}});
  const auto status = sys::get_status(s);
  CHECK(status.statistics);
  CHECK(status.log_limit == 3);
  CHECK(status.log_file.empty());
  CHECK(process_info(s)->label == "the sixth");
  CHECK(whereis("gs6") == s.id());
  CHECK(reports.of("sys", s).size() == 1);
  stop(s);
}

TEST_CASE("GS-7 OL-4 OL-28 a start that takes too long kills the half-started process; a linked caller survives and gets no EXIT") {
  caught_reports reports;
  const auto why = run_process([] {
    const auto r = try_start_link<choosy>({.name = "gs7", .timeout = 10ms}, how::waits);
    REQUIRE_FALSE(r.has_value());
    CHECK(r.error().is(start_error::timeout));
    CHECK_FALSE(whereis("gs7").has_value());
    CHECK(mailbox_is_empty());
  });
  CHECK(why.is(exit_reason::normal));
  const auto trapping = run_process([] {
    CHECK_THROWS_AS(start_link<choosy>({.timeout = 10ms}, how::waits), start_error);
    CHECK(mailbox_is_empty());
  }, {.trap_exit = true});
  CHECK(trapping.is(exit_reason::normal));
  CHECK_THROWS_AS(start<plain>({.timeout = -1ms}), std::invalid_argument);
}

TEST_CASE("GS-10 the name is registered before init runs; local, global and via names") {
  struct asker {
    struct q { using reply = bool; };
    bool found = false;
    void init() { found = whereis("gs10") == self(); }
    bool handle_call(q) { return found; }
  };
  const auto s = start<asker>({.name = "gs10"});
  CHECK(call(named<asker>("gs10"), asker::q{}));
  stop(s);

  const auto g = start<plain>({.name = global("gs10")});
  CHECK(call(named<plain>(global("gs10")), ask{}) == 7);
  CHECK_FALSE(whereis("gs10").has_value());
  stop(g);
  CHECK_THROWS_AS(call(named<plain>(global("gs10")), ask{}), call_error);

  struct map_registry {
    std::map<int, pid> held;
    bool register_name(int key, pid who) { return held.emplace(key, who).second; }
    void unregister_name(int key) { held.erase(key); }
    pid whereis(int key) { return held.contains(key) ? held[key] : pid{}; }
  } registry;
  const int key = 10;
  const auto v = start<plain>({.name = via(registry, key)});
  CHECK(call(named<plain>(via(registry, key)), ask{}) == 7);
  CHECK(registry.held[10] == v.id());
  const auto again = try_start<plain>({.name = via(registry, key)});
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().holder() == v.id());
  stop(named<plain>(via(registry, key)));
}

TEST_CASE("GS-11 OL-5 a taken name gives already_started with the holder; init is not run and nothing else happens") {
  caught_reports reports;
  const auto first = start<counts>({.name = "gs11"});
  const auto why = run_process([&] {
    const auto r = try_start_link<counts>({.name = "gs11"});
    REQUIRE_FALSE(r.has_value());
    CHECK(r.error().is(start_error::already_started));
    CHECK(r.error().holder() == first.id());
    CHECK(std::string(r.error().what()).find("\"gs11\" is taken by " + to_text(first.id())) != std::string::npos);
    CHECK(mailbox_is_empty());
  }, {.trap_exit = true});
  CHECK(why.is(exit_reason::normal));
  CHECK(counts::made == 1);
  CHECK(reports.all().empty());
  stop(first);
}

TEST_CASE("GS-11 of 64 threads that start one name at once exactly one wins, and all others name the winner") {
  for (int round = 0; round < rounds(20, 500); ++round) {
    std::vector<std::thread> threads;
    std::vector<pid> winners(64), holders(64);
    for (std::size_t i = 0; i < 64; ++i)
      threads.emplace_back([&, i] {
        if (auto r = try_start<plain>({.name = "gs11 race"})) winners[i] = r->id();
        else holders[i] = r.error().holder();
      });
    for (auto& t : threads) t.join();
    pid winner;
    int won = 0;
    for (const pid w : winners)
      if (w) winner = w, ++won;
    REQUIRE(won == 1);
    for (std::size_t i = 0; i < 64; ++i) REQUIRE((winners[i] || holders[i] == winner));
    stop(winner);
  }
}

TEST_CASE("GS-12 GS-28 after a failed start the name is free and the process gone, whatever the failure") {
  caught_reports reports;
  const how kinds[] = {how::ignore, how::fail, how::stop, how::stop_quietly, how::throws, how::exits, how::exits_quietly};
  for (const how kind : kinds)
    for (int i = 0; i < rounds(200, 10000); ++i) {
      const auto r = try_start<choosy>({.name = "gs12"}, kind);
      REQUIRE_FALSE(r.has_value());
      REQUIRE_FALSE(r.error().is(start_error::already_started));
      REQUIRE_FALSE(whereis("gs12").has_value());
    }
  for (int i = 0; i < rounds(5, 100); ++i) {
    const auto r = try_start<choosy>({.name = "gs12", .timeout = 1ms}, how::waits);
    REQUIRE(r.error().is(start_error::timeout));
    REQUIRE_FALSE(whereis("gs12").has_value());
  }
}

TEST_CASE("GS-13 an empty name is refused before anything is spawned; no name is an explicit value") {
  CHECK(try_start<plain>({.name = ""}).error().is(start_error::bad_name));
  const auto s = start<plain>({.name = {}});
  CHECK(process_info(s)->names.empty());
  stop(s);
}

TEST_CASE("GS-20 GS-21 OL-3 ok enters the loop, with what is to follow") {
  const auto s = start<choosy>({}, how::ok);
  CHECK(call(s, ask{}) == 0);
  const auto c = start<choosy>({}, how::ok_then_continue);
  CHECK(call(c, ask{}) == 3);
  stop(s), stop(c);
  struct timed {
    journal* log;
    auto init(journal* j) { log = j; return ok(1ms); }
    void handle_info(timeout) { log->add("timeout"); }
  };
  journal j;
  const auto t = start<timed>({}, &j);
  CHECK(eventually([&] { return j.has("timeout"); }));
  stop(t);
}

namespace {

struct outcome_of_start {
  start_error::kind kind;
  exit_reason reason;
  bool mailbox_empty;
};

/// Starts a linked choosy in a process; what the starter saw, and how it ended.
std::pair<std::optional<outcome_of_start>, exit_reason> start_linked(how kind, bool trap) {
  std::optional<outcome_of_start> seen;
  const exit_reason why = run_process([&, kind] {
    const auto r = try_start_link<choosy>({}, kind);
    seen = outcome_of_start{r.error().code(), r.error().reason(), mailbox_is_empty()};
  }, {.trap_exit = trap});
  return {seen, why};
}

}  // namespace

TEST_CASE("GS-22 ignore: the process ends normally, no report, no link signal, no EXIT left") {
  caught_reports reports;
  for (const bool trap : {false, true}) {
    const auto [seen, why] = start_linked(how::ignore, trap);
    REQUIRE(seen);
    CHECK(seen->kind == start_error::ignore);
    CHECK(seen->mailbox_empty);
    CHECK(why.is(exit_reason::normal));
  }
  CHECK(reports.all().empty());
}

TEST_CASE("GS-23 GS-153 fail: a silent failure, the linked caller is unaffected") {
  caught_reports reports;
  for (const bool trap : {false, true}) {
    const auto [seen, why] = start_linked(how::fail, trap);
    REQUIRE(seen);
    CHECK(seen->kind == start_error::failed);
    CHECK(seen->reason == exit_reason("not today"));
    CHECK(seen->mailbox_empty);
    CHECK(why.is(exit_reason::normal));
  }
  CHECK(reports.all().empty());
}

TEST_CASE("GS-24 GS-25 GS-26 GS-153 OL-6 stop, exception and exit in init: error, crash report only, and the link hits") {
  struct expected { how kind; exit_reason reason; bool is_error; };
  for (const auto& e : {expected{how::stop, exit_reason("broken"), false}, expected{how::exits, exit_reason("left"), false},
                        expected{how::throws, exit_reason(), true}}) {
    caught_reports reports;
    const auto [seen, why] = start_linked(e.kind, true);
    REQUIRE(seen);
    CHECK(seen->kind == start_error::failed);
    if (e.is_error) CHECK(seen->reason.is(exit_reason::error));
    else CHECK(seen->reason == e.reason);
    CHECK(seen->mailbox_empty);
    CHECK(why.is(exit_reason::normal));
    int crashes = 0, others = 0;
    for (const report& r : reports.all()) (r.kind == "crash" ? crashes : others)++;
    CHECK(crashes == 1);
    CHECK(others == 0);
    const auto [untrapped_seen, untrapped_why] = start_linked(e.kind, false);
    CHECK_FALSE(untrapped_seen);
    CHECK(untrapped_why == seen->reason);
  }
  const auto [quiet, quiet_why] = start_linked(how::stop_quietly, false);
  REQUIRE(quiet);
  CHECK(quiet->reason.is(exit_reason::normal));
  CHECK(quiet_why.is(exit_reason::normal));
}

TEST_CASE("GS-27 GS-136 terminate is never called when init failed") {
  caught_reports reports;
  choosy::terminated = 0;
  for (const how kind : {how::ignore, how::fail, how::stop, how::throws, how::exits}) CHECK_FALSE(try_start<choosy>({}, kind).has_value());
  CHECK_FALSE(try_start<choosy>({.timeout = 1ms}, how::waits).has_value());
  CHECK(choosy::terminated == 0);
}

TEST_CASE("GS-28 a failed init has destroyed the state before start returns") {
  struct counted {
    static int& alive() { static int n = 0; return n; }
    struct member {
      member() { ++alive(); }
      member(const member&) { ++alive(); }
      ~member() { --alive(); }
    } m;
    init_outcome<> init(bool wait) {
      if (wait) sleep_for(1ms);
      return stop(exit_reason("no"));
    }
  };
  caught_reports reports;
  CHECK_FALSE(try_start<counted>({}, false).has_value());
  CHECK(counted::alive() == 0);
  CHECK_FALSE(try_start<counted>({}, true).has_value());
  CHECK(counted::alive() == 0);
}

TEST_CASE("OL-2 arguments are typed: to init, or to the struct") {
  struct pair_server {
    int a;
    std::string b;
    struct q { using reply = std::string; };
    std::string handle_call(q) { return b + std::to_string(a); }
  };
  const auto s = start<pair_server>({}, 4, "x");
  CHECK(call(s, pair_server::q{}) == "x4");
  stop(s);
}

TEST_CASE("GS-100 what fails in continue is a crash of a running server: terminate is called") {
  struct fails_late {
    journal* log;
    auto init(journal* j) { log = j; return ok(continue_with(load{1})); }
    void handle_continue(load) { throw std::runtime_error("late"); }
    void terminate(const exit_reason& why) { log->add(std::string(why.text())); }
  };
  caught_reports reports;
  journal j;
  const auto m = start_monitor<fails_late>({}, &j);
  CHECK(reason_of_end(m.server, m.ref).text() == "late");
  CHECK(j.lines() == lines{"late"});
}

TEST_CASE("GS-182 starting, stopping and ignoring again and again leaks nothing") {
  const auto cycle = [](int times) {
    for (int i = 0; i < times; ++i) {
      const auto s = start<plain>({.name = "gs182"});
      stop(s);
      (void)try_start<choosy>({.name = "gs182"}, how::ignore);
    }
  };
  cycle(1000);
  const auto before = runtime::main().statistics();
  cycle(rounds(20000, 1000000));
  const auto later = runtime::main().statistics();
  CHECK(later.processes <= before.processes);
  CHECK(later.reserved_bytes <= before.reserved_bytes + (1u << 20));
}
