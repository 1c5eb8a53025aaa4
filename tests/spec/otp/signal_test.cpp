// SPDX-License-Identifier: Apache-2.0
//
// Processes that never wait, and what becomes of calls that are given up in the middle of something.
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <atomic>
#include <stdexcept>

#include "spec/otp/own_world.hpp"
#include "support/one_worker.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct add { using reply = int; int by; };
struct put { int value; };

struct counter {
  int total = 0;
  int handle_call(add a) { return total += a.by; }
  void handle_cast(put p) { total += p.value; }
};

/// Counts the living.
struct counted {
  static std::atomic<int>& living() {
    static std::atomic<int> n{0};
    return n;
  }
  counted() { ++living(); }
  counted(const counted&) { ++living(); }
  counted(counted&&) noexcept { ++living(); }
  counted& operator=(const counted&) = default;
  ~counted() { --living(); }
};

struct marks_end {
  std::atomic<bool>& ended;
  ~marks_end() { ended = true; }
};

}  // namespace

TEST_CASE("PR-18 PR-55 kill ends a process that does nothing but call idle servers; its destructors run") {
  std::atomic<bool> ended{false};
  std::atomic<bool> runs{false};
  own_world w;
  const auto server = start<counter>();
  const monitored m = spawn_monitor([&, server] {
    const marks_end mark{ended};
    for (;;) {
      call(server, add{1});
      runs = true;
    }
  });
  REQUIRE(eventually([&] { return runs.load(); }));
  exit(m.who, exit_reason::kill);
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::killed);
  CHECK(ended);
  stop(server);
}

TEST_CASE("PR-18 PR-55 kill ends a process that does nothing but cast, or send; its destructors run") {
  std::atomic<bool> ended{false};
  std::atomic<bool> runs{false};
  bool casts = false;
  SUBCASE("cast") { casts = true; }
  SUBCASE("send") {}
  own_world w;
  const auto server = start<counter>();
  const monitored m = spawn_monitor([&, server, casts] {
    const marks_end mark{ended};
    for (;;) {
      if (casts) cast(server, put{1});
      else send(server, put{1});
      runs = true;
    }
  });
  REQUIRE(eventually([&] { return runs.load(); }));
  exit(m.who, exit_reason::kill);
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::killed);
  CHECK(ended);
}

TEST_CASE("PR-86 a process that never waits can be asked, and takes in links and monitors") {
  std::atomic<bool> runs{false};
  own_world w;
  const auto server = start<counter>();
  const pid busy = spawn([&, server] {
    for (;;) {
      call(server, add{1});
      runs = true;
    }
  });
  REQUIRE(eventually([&] { return runs.load(); }));
  const auto info = process_info(busy);
  REQUIRE(info.has_value());
  CHECK(info->who == busy);
  exit(busy, exit_reason::shutdown);
  CHECK_FALSE(alive(busy));
}

TEST_CASE("PR-18 a cast in a destructor does not throw, even if its process has just been killed") {
  std::atomic<int> sent{0};
  own_world w({.workers = 1});
  const auto server = start<counter>();
  struct gives_back {
    server_ref<counter> server;
    std::atomic<int>& sent;
    ~gives_back() {
      for (int i = 0; i < 3'900; ++i) cast(server, put{1});    // nearly a budget
      ++sent;
    }
  };
  const monitored m = spawn_monitor([&, server] {
    const gives_back first{server, sent};
    const gives_back second{server, sent};
    exit(self(), exit_reason::kill);
  });
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::killed);
  CHECK(sent == 2);
  CHECK(call(server, add{0}) == 7'800);
}

TEST_CASE("GS-161 a caller whose time is up while the server works on its request waits without holding its worker") {
  std::atomic<bool> open{false};
  own_world w({.workers = 1});                  // the server needs the only worker to get on
  const auto server = start<counter>();
  const monitored m = spawn_monitor([&, server] {
    const counter now = sys::replace_state(server, [&](counter c) {
      while (!open) sleep_for(1ms);
      c.total = 5;
      return c;
    }, 1ms);
    if (now.total != 5) throw std::runtime_error("another state");
  });
  sleep_for(3ms);                               // most likely its time is up by now; it passes in any case
  open = true;
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::normal);
  CHECK(sys::get_state(server).total == 5);
}

TEST_CASE("GS-161 a caller that is killed while the server works on its request ends when the server is done with its memory") {
  std::atomic<bool> open{false};
  std::atomic<bool> begun{false};
  own_world w({.workers = 1});
  const auto server = start<counter>();
  const monitored m = spawn_monitor([&, server] {
    int on_the_stack = 0;
    sys::replace_state(server, [&](counter c) {
      begun = true;
      while (!open) sleep_for(1ms);
      on_the_stack = c.total = 7;
      return c;
    });
  });
  REQUIRE(eventually([&] { return begun.load(); }));
  exit(m.who, exit_reason::kill);
  open = true;
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::killed);
  CHECK(sys::get_state(server).total == 7);
}

// --- replies that nobody takes ---------------------------------------------------------------------------------------

namespace {

struct want_counted { using reply = counted; };
struct kills_its_caller {
  static constexpr server_options options{.queued = true};
  void handle_call(want_counted, from<counted> caller) {
    const pid who = coppice::caller();
    std::move(caller).reply(counted{});
    exit(who, exit_reason::kill);               // the reply is written, the caller has not run yet
  }
};

}  // namespace

TEST_CASE("GS-35 a reply that was written for a caller who was killed before it took it is destroyed") {
  const one_worker w;
  const auto server = start<kills_its_caller>();
  for (int i = 0; i < 10; ++i) {
    const exit_reason why = run_process([server] { (void)call(server, want_counted{}); });
    CHECK(why == exit_reason::killed);
    CHECK(counted::living() == 0);
  }
}

// --- messages that cannot be moved -----------------------------------------------------------------------------------

namespace {

/// Throws at the n-th move.
struct brittle {
  using reply = int;
  int moves_left;
  explicit brittle(int n) : moves_left(n) {}
  brittle(brittle&& other) : moves_left(other.moves_left - 1) {
    if (moves_left < 0) throw std::runtime_error("cannot be moved");
    ++living();
  }
  brittle(const brittle&) = delete;
  ~brittle() { --living(); }
  static std::atomic<int>& living() {
    static std::atomic<int> n{0};
    return n;
  }
};
struct brittle_reply {
  int moves_left = 0;
  brittle_reply() = default;
  explicit brittle_reply(int n) : moves_left(n) {}
  brittle_reply(brittle_reply&& other) : moves_left(other.moves_left - 1) {
    if (moves_left < 0) throw std::runtime_error("cannot be moved");
  }
};
struct want_brittle { using reply = brittle_reply; int moves; };

struct takes_brittle {
  int handle_call(brittle) { return 1; }
  void handle_cast(brittle) {}
  void handle_info(brittle) {}
  brittle_reply handle_call(want_brittle w) { return brittle_reply(w.moves); }
};
struct takes_brittle_queued : takes_brittle {
  static constexpr server_options options{.queued = true};
};

/// What happens with n moves before it throws; "done" if it did not.
template <class F>
std::string outcome_of(F f) {
  try {
    f();
    return "done";
  } catch (const std::runtime_error&) {
    return "sender";
  } catch (const call_error&) {
    return "server";
  }
}

template <class S>
void check_brittle_calls() {
  bool done = false;
  bool by_server = false;
  for (int moves = 0; moves < 12 && !done; ++moves) {
    const auto server = start<S>();
    const std::string what = outcome_of([&] { call(server, brittle(moves)); });
    if (what == "sender") CHECK(alive(server.id()));
    if (what == "server") {
      by_server = true;
      CHECK_FALSE(alive(server.id()));
    }
    done = what == "done";
    if (alive(server.id())) stop(server);
  }
  CHECK(done);
  CHECK(by_server);
}

}  // namespace

TEST_CASE("GS-66 a request whose move throws fails at its sender, or ends the server that takes it with that error") {
  own_world w;
  check_brittle_calls<takes_brittle>();
  check_brittle_calls<takes_brittle_queued>();
}

TEST_CASE("GS-66 PR-57 a cast or message whose move throws: its sender learns of it, or the server ends with that error; nothing leaks") {
  own_world w;
  bool as_cast = true;
  SUBCASE("cast") {}
  SUBCASE("info") { as_cast = false; }
  bool ended = false;
  bool done = false;
  const int before = brittle::living();
  for (int moves = 0; moves < 12 && !done; ++moves) {
    const auto server = start<takes_brittle>();
    const reference ref = monitor(server.id());
    const std::string what = outcome_of([&] {
      if (as_cast) cast(server, brittle(moves));
      else send(server, brittle(moves));
    });
    if (what == "sender") {
      CHECK(alive(server.id()));
      stop(server);
      CHECK(reason_of_end(server.id(), ref) == exit_reason::normal);
      continue;
    }
    try {
      stop(server);
      done = true;
      CHECK(reason_of_end(server.id(), ref) == exit_reason::normal);
    } catch (const call_error&) {
      const exit_reason why = reason_of_end(server.id(), ref);
      CHECK(to_text(why).find("cannot be moved") != std::string::npos);
      ended = true;
    }
  }
  CHECK(done);
  CHECK(ended);
  (void)before;
}

TEST_CASE("GS-66 a reply whose move throws: the caller fails, nobody hangs") {
  own_world w;
  bool done = false;
  for (int moves = 0; moves < 12 && !done; ++moves) {
    const auto server = start<takes_brittle>();
    done = outcome_of([&] { (void)call(server, want_brittle{moves}); }) == "done";
    if (alive(server.id())) stop(server);
  }
  CHECK(done);
}

// --- who called ------------------------------------------------------------------------------------------------------

namespace {

struct who_calls { using reply = pid; };
struct inner_leaf {
  static constexpr server_options options{.leaf = true};
  pid handle_call(who_calls) { return caller(); }
};
struct outer_leaf {
  static constexpr server_options options{.leaf = true};
  server_ref<inner_leaf> inner;
  pid own{};
  pid handle_call(who_calls) {
    own = caller();
    const pid seen_by_inner = call(inner, who_calls{});
    return caller() == own ? seen_by_inner : pid{};
  }
};

}  // namespace

TEST_CASE("GS-151 caller() in a leaf that a leaf calls is that leaf, from a process and from a thread") {
  own_world w;
  const auto inner = start<inner_leaf>();
  const auto outer = start<outer_leaf>({}, inner);
  CHECK(call(outer, who_calls{}) == outer.id());
  CHECK(call(inner, who_calls{}) == self());
  const exit_reason why = run_process([=] {
    if (call(outer, who_calls{}) != outer.id()) throw std::runtime_error("not the outer leaf");
    if (call(inner, who_calls{}) != self()) throw std::runtime_error("not the process");
  });
  CHECK(why == exit_reason::normal);
}

// --- the end of a runtime --------------------------------------------------------------------------------------------

namespace {

struct orderly {
  static constexpr server_options options{.trap_exit = true};
  exit_reason* seen;
  void terminate(const exit_reason& why) { *seen = why; }
  void handle_info(exit_signal) { *seen = exit_reason("handle_info"); }
};

}  // namespace

TEST_CASE("OL-23 GS-125 a trapping server without a parent ends in an orderly way when its runtime stops") {
  exit_reason seen = exit_reason("nothing");
  exit_reason why = exit_reason::noproc;
  {
    own_world w;
    const auto server = start<orderly>({}, &seen);
    const reference ref = monitor(server.id());
    CHECK(w.r.stop(std::chrono::hours(1)).complete());
    why = reason_of_end(server.id(), ref);
  }
  CHECK(seen == exit_reason::shutdown);
  CHECK(why == exit_reason::shutdown);
}

// --- urgent system requests ------------------------------------------------------------------------------------------

namespace {

struct pass { watched_gate* at; };
struct gated {
  std::vector<int> seen{};
  void handle_cast(pass p) { p.at->pass(); }
  void handle_cast(put p) { seen.push_back(p.value); }
};

}  // namespace

TEST_CASE("GS-X5 any system request may be urgent: before the messages that wait, in the order in which they came") {
  watched_gate gate;
  own_world w;
  const auto server = start<gated>();
  cast(server, pass{&gate});
  REQUIRE(gate.is_entered());
  for (int i = 0; i < 10; ++i) cast(server, put{i});
  std::vector<int> order;
  std::vector<monitored> asked;
  for (int i = 0; i < 5; ++i) {
    asked.push_back(spawn_monitor([&order, server, i] {
      const gated now = sys::replace_state(server, [&order, i](gated g) {
        order.push_back(i);
        return g;
      }, sys::urgent);
      if (!now.seen.empty()) throw std::runtime_error("not before the messages");
    }));
    const pid who = asked.back().who;
    REQUIRE(eventually([&] { return process_info(who)->status == process_status::waiting; }));
  }
  gate.open();
  for (const monitored& m : asked) CHECK(reason_of_end(m.who, m.ref) == exit_reason::normal);
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(sys::get_state(server, sys::urgent(infinity)).seen.size() <= 10);
}

TEST_CASE("GS-X2 GS-164 what waits for the resume of a suspended server counts for its bound and for its length") {
  own_world w;
  const auto server = start<gated>({.mailbox_bound = 4});
  sys::suspend(server);
  for (int i = 0; i < 4; ++i) CHECK(try_cast(server, put{i}).has_value());
  CHECK(sys::get_status(server).held <= 4);      // all have been looked at
  const auto fifth = try_cast(server, put{5});
  REQUIRE_FALSE(fifth.has_value());
  CHECK(fifth.error().is(call_error::full));
  CHECK(process_info(server.id())->queue_length == 4);
  sys::resume(server);
  CHECK(sys::get_state(server).seen == std::vector<int>{0, 1, 2, 3});
  CHECK(try_cast(server, put{6}).has_value());
  CHECK(process_info(server.id())->queue_length <= 1);
  sys::suspend(server);
  for (int i = 0; i < 4; ++i) (void)try_cast(server, put{i});
  stop(server);
  const auto next = start<gated>({.mailbox_bound = 4});   // most likely in the same place: the count starts anew
  for (int i = 0; i < 4; ++i) CHECK(try_cast(next, put{i}).has_value());
}
