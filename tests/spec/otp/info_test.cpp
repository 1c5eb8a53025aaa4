// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <thread>

#include "spec/otp/otp_test.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct note { int n; };
struct go { using reply = int; };

/// Writes down whatever comes, and how it ends. Traps exits.
struct trapping {
  static constexpr server_options options{.trap_exit = true};
  using protocol = messages<note>;
  journal* log;
  void handle_info(note n) { log->add("note " + std::to_string(n.n)); }
  void handle_info(down d) { log->add("down " + to_text(d.reason)); }
  void handle_info(exit_signal e) { log->add("exit " + to_text(e.reason)); }
  void handle_info(message& m) { log->add("message " + std::string(m.name())); }
  int handle_call(go) { return 1; }
  void terminate(const exit_reason& why) { log->add("terminate " + to_text(why)); }
};

struct untrapping {
  journal* log;
  void handle_info(note) {}
  int handle_call(go) { return 1; }
  void terminate(const exit_reason&) { log->add("terminate"); }
};

struct deaf {
  int handle_call(go) { return 1; }
};

struct fragile {
  using protocol = messages<note>;
  void handle_info(note) { throw std::runtime_error("bad note"); }
};

}  // namespace

TEST_CASE("GS-120 everything that is no call, cast or system message goes to handle_info") {
  struct odd {};
  journal j;
  const auto s = start<trapping>({}, &j);
  send(s.id(), note{1});                                 // by pid: its protocol lists it
  send(s, note{2});                                      // by class
  send(s.id(), odd{});
  send_after(1ms, s.id(), note{3});
  CHECK(eventually([&] { return j.has("note 3"); }));
  const auto watched = start<deaf>();
  CHECK(run_process([&] {
    exit(s.id(), exit_reason("from a stranger"));
  }).is(exit_reason::normal));
  CHECK(eventually([&] { return j.has("exit from a stranger"); }));
  CHECK(j.lines() == lines{"note 1", "note 2", "message odd", "note 3", "exit from a stranger"});
  stop(watched), stop(s);
}

TEST_CASE("GS-121 OL-25 without a handle_info one line is logged and the server carries on; an exception of a user's is a crash") {
  caught_reports reports;
  const auto s = start<deaf>();
  send(s.id(), note{7});
  CHECK(call(s, go{}) == 1);
  const auto about = reports.of("server", s);
  REQUIRE(about.size() == 1);
  CHECK(about[0].level == log_level::error);
  CHECK(field_of(about[0], "message") == "note{n: 7}");
  stop(s);
  const auto m = start_monitor<fragile>();
  send(m.server.id(), note{1});
  CHECK(reason_of_end(m.server, m.ref).text() == "bad note");
}

TEST_CASE("GS-125 OL-17 OL-30 the parent's EXIT ends a trapping server through terminate, whatever the reason") {
  for (const auto& reason : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason("parent broke")}) {
    caught_reports reports;
    journal j;
    pid server;
    std::atomic<bool> ready{false};
    gate g;
    const monitored parent = spawn_monitor([&, reason] {
      server = start_link<trapping>({}, &j);
      ready = true;
      g.pass();
      exit(reason);
    });
    CHECK(eventually([&] { return ready.load(); }));
    const reference ref = monitor(server);
    g.open();
    CHECK(reason_of_end(server, ref) == reason);
    CHECK(j.lines() == lines{"terminate " + to_text(reason)});
    CHECK(reason_of_end(parent.who, parent.ref) == reason);
  }
}

TEST_CASE("GS-126 an EXIT from anybody else, the one who used plain start included, is an ordinary message") {
  journal j;
  server_ref<trapping> s;
  CHECK(run_process([&] {
    s = start<trapping>({}, &j);
    link(s);
    call(s, go{});                                       // so that the link is there
  }).is(exit_reason::normal));
  CHECK(eventually([&] { return j.has("exit normal"); }));
  CHECK(call(s, go{}) == 1);
  stop(s);
}

TEST_CASE("GS-127 the parent's EXIT is taken in mailbox order") {
  journal j;
  pid server;
  CHECK(run_process([&] {
    const auto s = start_link<trapping>({}, &j);
    server = s;
    for (int i = 1; i <= 3; ++i) send(s, note{i});
  }).is(exit_reason::normal));
  CHECK(eventually([&] { return j.has("terminate normal"); }));
  CHECK(j.lines() == lines{"note 1", "note 2", "note 3", "terminate normal"});
}

TEST_CASE("GS-128 GS-134 OL-30 a server that does not trap dies of exit signals at once, without terminate; a normal parent leaves it running") {
  caught_reports reports;
  journal j;
  server_ref<untrapping> s;
  CHECK(run_process([&] { s = start_link<untrapping>({}, &j); }).is(exit_reason::normal));
  CHECK(call(s, go{}) == 1);
  const reference ref = monitor(s);
  exit(s, exit_reason("shot"));
  CHECK(reason_of_end(s, ref) == exit_reason("shot"));
  pid child;
  CHECK(run_process([&] {
    child = start_link<untrapping>({}, &j);
    exit(exit_reason("broken"));
  }) == exit_reason("broken"));
  CHECK_FALSE(alive(child));
  CHECK(j.lines().empty());
}

TEST_CASE("GS-128 an exit signal does not wait behind the queue") {
  struct busy {
    struct hold { const gate* g; };
    void handle_cast(hold h) { h.g->pass(); }
    void handle_cast(note) {}
  };
  caught_reports reports;
  gate never;
  const auto m = start_monitor<busy>();
  cast(m.server, busy::hold{&never});
  for (int i = 0; i < 100; ++i) cast(m.server, note{i});
  exit(m.server, exit_reason("now"));
  CHECK(reason_of_end(m.server, m.ref) == exit_reason("now"));
}

TEST_CASE("GS-128 PR-55 an exit signal that a handler takes in while a caller runs it ends the server all the same") {
  struct looks {
    struct q { using reply = int; gate* in; gate* on; bool arms; };
    outcome<int> handle_call(q a) {
      a.in->open();
      while (!a.on->is_open()) {}                        // no wait: the caller's own thread runs this
      demonitor(reference::make());                      // looks at the inbox
      if (a.arms) return reply(1, 10s);
      return 1;
    }
  };
  caught_reports reports;
  for (const bool arms : {false, true}) {
    const auto m = start_monitor<looks>();
    gate in, on;
    std::thread killer([&] {
      while (!in.is_open()) {}
      exit(m.server, exit_reason("shot"));
      on.open();
    });
    (void)try_call(m.server, looks::q{&in, &on, arms});
    killer.join();
    CHECK(reason_of_end(m.server, m.ref) == exit_reason("shot"));
  }
}

TEST_CASE("GS-129 a suspended server still reacts to its parent's EXIT") {
  journal j;
  pid server;
  CHECK(run_process([&] {
    const auto s = start_link<trapping>({}, &j);
    server = s;
    sys::suspend(s);
    send(s, note{1});
  }).is(exit_reason::normal));
  CHECK(eventually([&] { return !alive(server); }));
  CHECK(j.lines() == lines{"terminate normal"});
}

// --- enter_loop ------------------------------------------------------------------------------------------------------

namespace {

struct loop_server {
  static constexpr server_options options{.trap_exit = true};
  journal* log;
  int total;
  int handle_call(go) { return ++total; }
  void handle_info(timeout) { log->add("timeout"); }
  void handle_continue(note n) { log->add("continue " + std::to_string(n.n)); }
  void handle_cast(note n) { total += n.n; }
  void terminate(const exit_reason& why) { log->add("terminate " + to_text(why)); }
};

struct last_words {
  journal* log;
  ~last_words() { log->add("unwound"); }
};

}  // namespace

TEST_CASE("GS-175 a process becomes a server without init: state, mailbox, name and pid stay") {
  journal j;
  const pid p = spawn([&] {
    const last_words w{&j};
    enter_loop(loop_server{&j, 40}, continue_with(note{1}), "gs175");
  }, {.name = "gs175"});
  const auto s = server_cast<loop_server>(p);
  cast(s, note{1});
  CHECK(call(s, go{}) == 42);
  CHECK(call(named<loop_server>("gs175"), go{}) == 43);
  CHECK(sys::get_state(s).total == 43);
  CHECK(j.lines() == lines{"unwound", "continue 1"});
  stop(s);
  CHECK(j.has("terminate normal"));

  const pid timed = spawn([&] { enter_loop(loop_server{&j, 0}, 1ms); });
  CHECK(eventually([&] { return j.has("timeout"); }));
  stop(timed);
}

TEST_CASE("GS-175 a name that is not its own, a plain thread and a server cannot enter the loop") {
  caught_reports reports;
  journal j;
  CHECK(run_process([&] { enter_loop(loop_server{&j, 0}, "not mine"); }) == exit_reason("process_not_registered"));
  CHECK_THROWS_AS(enter_loop(loop_server{&j, 0}), exit_error);
}

TEST_CASE("GS-175 a process that is killed on the way into the loop destroys the state once") {
  caught_reports reports;
  journal j;
  struct counted {
    journal* log;
    explicit counted(journal* l) : log(l) { log->add("+"); }
    counted(counted&& o) noexcept : log(o.log) { log->add("+"); }
    ~counted() { log->add("-"); }
  };
  struct holder {
    counted c;
  };
  struct hangs {
    ~hangs() {
      try {
        sleep_for(infinity);
      } catch (...) {
      }
    }
  };
  const monitored m = spawn_monitor([&] {
    const hangs h;
    enter_loop(holder{counted(&j)});
  });
  exit(m.who, exit_reason::kill);
  CHECK(reason_of_end(m.who, m.ref).is(exit_reason::killed));
  int balance = 0;
  for (const auto& l : j.lines()) balance += l == "+" ? 1 : -1;
  CHECK(balance == 0);
}
