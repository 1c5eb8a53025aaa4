// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "spec/otp/otp_test.hpp"

#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct add { using reply = int; int by; };
struct acknowledge { using reply = void; };
struct wait_at { using reply = int; const gate* g; int answer; };
struct end_with { using reply = int; exit_reason why; };
struct keep { using reply = int; };
struct release { int answer; };
struct drop_kept {};
struct later { using reply = int; duration wait; };
struct move_only { using reply = std::unique_ptr<int>; std::unique_ptr<int> p; };
struct who_asks { using reply = pid; };
struct note { int n; };

struct server {
  static constexpr named<server> name{"call test"};
  int total = 0;
  std::vector<from<int>> kept{};

  int handle_call(add a) { return total += a.by; }
  void handle_call(acknowledge) { ++total; }
  int handle_call(wait_at w) { w.g->pass(); return w.answer; }
  outcome<int> handle_call(end_with e) { return stop(e.why); }
  void handle_call(keep, from<int> f) { kept.push_back(std::move(f)); }
  void handle_call(later l, from<int> f) {
    spawn([g = std::make_shared<from<int>>(std::move(f)), l] { sleep_for(l.wait); std::move(*g).reply(5); });
  }
  std::unique_ptr<int> handle_call(move_only m) { return std::move(m.p); }
  pid handle_call(who_asks) { return caller(); }
  void handle_cast(release r) {
    for (auto& f : kept) std::move(f).reply(r.answer);
    kept.clear();
  }
  void handle_cast(drop_kept) { kept.clear(); }
  void handle_cast(note n) { total = total * 10 + n.n; }
};

struct late_server {
  struct mark { using reply = void; static constexpr bool late = true; journal* log; };
  struct hold { const gate* g; };
  void handle_call(mark m) { m.log->add("handled"); }
  void handle_cast(hold h) { h.g->pass(); }
};

struct leaf_server {
  static constexpr server_options options{.leaf = true};
  pid handle_call(who_asks) { return caller(); }
};

struct bounded {
  static constexpr server_options options{.mailbox_bound = 3};
  struct hold { const gate* g; };
  int handle_call(add) { return 1; }
  void handle_cast(hold h) { h.g->pass(); }
  void handle_cast(note) {}
};

struct listed {
  using protocol = messages<add, note>;
  int total = 0;
  int handle_call(add a) { return total += a.by; }
  void handle_cast(note n) { total += n.n; }
};

template <class F>
call_error error_from(F&& f) {
  try {
    f();
  } catch (const call_error& e) {
    return e;
  }
  return call_error(call_error::failed, exit_reason::normal, {}, "nothing was thrown");
}

bool keeps_one(server_ref<server> s) { return sys::state_text(s).find("kept: {}") == std::string::npos; }

}  // namespace

TEST_CASE("GS-30 OL-9 OL-34 a call yields the reply; a void reply is an acknowledgement; a timeout of 0 is legal") {
  const auto s = start<server>();
  CHECK(call(s, add{2}) == 2);
  CHECK(call(s, add{3}, infinity) == 5);
  call(s, acknowledge{});
  CHECK(try_call(s, acknowledge{}).has_value());
  CHECK(*call(s, move_only{std::make_unique<int>(9)}) == 9);
  CHECK(eventually([&] { return try_call(s, add{0}, 0s) == 7; }));   // when it is idle it answers at once
  gate g;
  std::thread busy([&] { CHECK(call(s, wait_at{&g, 1}) == 1); });
  CHECK(eventually([&] { return !try_call(s, add{0}, 0s).has_value(); }));
  g.open();
  busy.join();
  stop(s);
}

TEST_CASE("GS-31 OL-32 a call leaves no monitor and no message behind, and what waited stays in order") {
  const auto why = run_process([] {
    const auto s = start<server>();
    send(self(), note{1});
    send(self(), note{2});
    CHECK(call(s, add{1}) == 1);
    CHECK_FALSE(try_call(s, keep{}, 1ms).has_value());
    CHECK_FALSE(try_call(s, end_with{exit_reason::normal}).has_value());
    CHECK_FALSE(try_call(s, add{1}).has_value());
    CHECK(process_info(self())->monitors.empty());
    CHECK(receive<note>().n == 1);
    CHECK(receive<note>().n == 2);
    CHECK(mailbox_is_empty());
  });
  CHECK(why.is(exit_reason::normal));
}

TEST_CASE("GS-32 OL-31 a failed call throws an error that says what was asked of whom; uncaught it ends the caller") {
  const auto s = start<server>();
  const call_error e = error_from([&] { call(s, keep{}, 1ms); });
  CHECK(e.is(call_error::timeout));
  CHECK(e.server() == s.id());
  CHECK(std::string(e.what()).find("timeout after 1 ms: server " + to_text(s.id()) + " has not answered keep") == 0);
  caught_reports reports;
  const auto why = run_process([&] { call(s, keep{}, 1ms); });
  CHECK(why.is(exit_reason::error));
  CHECK(why.text().find("timeout after 1 ms") == 0);
  stop(s);
}

TEST_CASE("GS-33 a dead pid, an unknown local, global or via name: noproc") {
  const auto s = start<server>();
  stop(s);
  CHECK(error_from([&] { call(s, add{1}); }).is(call_error::noproc));
  CHECK(error_from([&] { call(named<server>("nobody"), add{1}); }).is(call_error::noproc));
  CHECK(std::string(error_from([&] { call(named<server>("nobody"), add{1}); }).what()).find("nobody has the name \"nobody\"") != std::string::npos);
  CHECK(error_from([&] { call(named<server>(global("nobody")), add{1}); }).is(call_error::noproc));
  CHECK(error_from([&] { call(server_ref<server>(), add{1}); }).is(call_error::noproc));
  struct empty_registry {
    bool register_name(int, pid) { return false; }
    void unregister_name(int) {}
    pid whereis(int) { throw std::runtime_error("the registry is down"); }
  } registry;
  CHECK(error_from([&] { call(named<server>(via(registry, 1)), add{1}); }).is(call_error::noproc));
}

TEST_CASE("GS-34 GS-65 a server that ends first gives its own reason, quiet ones too") {
  caught_reports reports;
  for (const auto& reason : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason("worn out")}) {
    const auto s = start<server>();
    const call_error e = error_from([&] { call(s, end_with{reason}); });
    CHECK(e.is(call_error::ended));
    CHECK(e.reason() == reason);
  }
  // Who was promised an answer, and who waits in the queue, hear of the same end.
  const auto s = start<server>();
  std::optional<call_error> promised, queued;
  std::thread a([&] { promised = error_from([&] { call(s, keep{}, infinity); }); });
  CHECK(eventually([&] { return keeps_one(s); }));
  gate never;
  std::thread b([&] { (void)try_call(s, wait_at{&never, 0}, infinity); });
  CHECK(eventually([&] { return process_info(s)->doing == "wait_at"; }));
  std::thread c([&] { queued = error_from([&] { call(s, add{1}, infinity); }); });
  CHECK(eventually([&] { return process_info(s)->queue_length == 1; }));
  exit(s.id(), exit_reason("shot"));
  a.join(), b.join(), c.join();
  CHECK(promised->is(call_error::ended));
  CHECK(promised->reason() == exit_reason("shot"));
  CHECK(queued->is(call_error::ended));
  CHECK(queued->reason() == exit_reason("shot"));
}

TEST_CASE("GS-34 OL-41 a server that is killed while a call runs: the caller gets the reason at once") {
  const auto s = start<server>();
  gate never;
  std::optional<call_error> e;
  std::thread asker([&] { e = error_from([&] { call(s, wait_at{&never, 0}, infinity); }); });
  CHECK(eventually([&] { return !process_info(s)->doing.empty(); }));
  exit(s.id(), exit_reason::kill);
  asker.join();
  CHECK(e->is(call_error::ended));
  CHECK(e->reason().is(exit_reason::killed));
}

TEST_CASE("GS-35 after a timeout the server has not been told and goes on") {
  const auto s = start<server>();
  CHECK(error_from([&] { call(s, keep{}, 1ms); }).is(call_error::timeout));
  CHECK(call(s, add{1}) == 1);
  stop(s);
}

TEST_CASE("GS-36 a server that asks itself gets calling_self, through every kind of reference") {
  struct selfish {
    struct through { using reply = bool; int what; };
    struct q { using reply = int; };
    int handle_call(q) { return 1; }
    bool handle_call(through t) {
      const auto e = error_from([&] {
        if (t.what == 0) call(self(this), q{});
        if (t.what == 1) call(named<selfish>("selfish"), q{});
        if (t.what == 2) call(named<selfish>(global("selfish")), q{});
      });
      return e.is(call_error::calling_self);
    }
  };
  const auto s = start<selfish>({.name = "selfish"});
  CHECK(call(s, selfish::through{0}));
  CHECK(call(s, selfish::through{1}));
  const auto g = start<selfish>({.name = global("selfish")});
  CHECK(call(g, selfish::through{2}));
  stop(s), stop(g);
}

TEST_CASE("GS-38 OL-10 a late reply never reaches the caller's mailbox, nor a later call") {
  const auto why = run_process([] {
    const auto s = start<server>();
    for (int i = 0; i < 200; ++i) {
      const auto r = try_call(s, later{100us}, std::chrono::microseconds(50 + i % 100));
      if (r) CHECK(*r == 5);
      else CHECK(r.error().is(call_error::timeout));
      CHECK(call(s, add{1}) == i + 1);
    }
    sleep_for(2ms);
    CHECK(mailbox_is_empty());
  });
  CHECK(why.is(exit_reason::normal));
}

TEST_CASE("GS-39 a reply that is there when the time is up is returned") {
  struct punctual {
    struct q { using reply = int; };
    void handle_call(q, from<int> f) { std::move(f).reply(3); }
  };
  const auto s = start<punctual>();
  CHECK(eventually([&] { return try_call(s, punctual::q{}, 0s) == 3; }));   // when it is idle
  stop(s);
}

namespace {

struct mutual {
  struct set_peer { server_ref<mutual> peer; };
  struct ask_peer { using reply = std::string; };
  struct q { using reply = int; };
  server_ref<mutual> peer{};
  void handle_cast(set_peer s) { peer = s.peer; }
  int handle_call(q) { return 1; }
  std::string handle_call(ask_peer) {
    const auto r = try_call(peer, ask_peer{});
    return r ? *r : r.error().what();
  }
};

}  // namespace

TEST_CASE("GS-40 GS-X3 two servers that call each other: the call that closes the ring fails at once and prints it") {
  const auto a = start<mutual>();
  const auto b = start<mutual>();
  cast(a, mutual::set_peer{b});
  cast(b, mutual::set_peer{a});
  call(a, mutual::q{}), call(b, mutual::q{});
  const std::string text = call(a, mutual::ask_peer{}, infinity);
  CHECK(text.find("cycle: ") == 0);
  CHECK(text.find("mutual " + to_text(b.id()) + " → mutual " + to_text(a.id()) + " → mutual " + to_text(b.id())) != std::string::npos);
  stop(a), stop(b);
}

TEST_CASE("GS-41 a request is delivered even if its caller dies, when its type asks for it; the reply vanishes") {
  caught_reports reports;
  const auto s = start<late_server>();
  gate g;
  journal j;
  cast(s, late_server::hold{&g});
  const auto why = run_process([&] { (void)try_call(s, late_server::mark{&j}, 1ms); exit(exit_reason("gone")); });
  CHECK(why == exit_reason("gone"));
  g.open();
  CHECK(eventually([&] { return j.has("handled"); }));
  stop(s);
}

TEST_CASE("GS-42 plain threads call at once; a process that waits leaves its worker to others") {
  runtime one({.workers = 1});
  runtime_scope scope(one);
  const auto s = start<server>();
  gate g;
  const monitored waiting = spawn_monitor([&] { CHECK(call(s, wait_at{&g, 4}, infinity) == 4); });
  const auto other = start<server>();
  CHECK(run_process([&] { CHECK(call(other, add{1}) == 1); }).is(exit_reason::normal));
  g.open();
  CHECK(reason_of_end(waiting.who, waiting.ref).is(exit_reason::normal));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { for (int i = 0; i < 1000; ++i) call(s, add{1}); });
  for (auto& t : threads) t.join();
  CHECK(call(s, add{0}) == 4000);
}

TEST_CASE("GS-45 OL-11 OL-33 from may be answered before returning, later, or by another process") {
  const auto s = start<server>();
  CHECK(call(s, later{1ms}) == 5);
  std::thread asker([&] { CHECK(call(s, keep{}, infinity) == 8); });
  CHECK(eventually([&] { return keeps_one(s); }));
  cast(s, release{8});
  asker.join();
  stop(s);
}

TEST_CASE("GS-46 OL-33 a from answers once; a reply to a caller that has given up vanishes") {
  struct once {
    struct q { using reply = int; };
    void handle_call(q, from<int> f) {
      from<int> g = std::move(f);
      std::move(g).reply(1);
      CHECK_FALSE(bool(g));
      CHECK_FALSE(bool(f));
      std::move(g).reply(2);                             // used up: nothing happens
    }
  };
  const auto s = start<once>();
  CHECK(call(s, once::q{}) == 1);
  CHECK(call(s, once::q{}) == 1);
  CHECK(mailbox_is_empty());
  stop(s);
}

TEST_CASE("GS-47 a from that is destroyed unanswered completes the call with no_reply at once") {
  const auto s = start<server>();
  std::thread asker([&] { CHECK(error_from([&] { call(s, keep{}, infinity); }).is(call_error::no_reply)); });
  CHECK(eventually([&] { return keeps_one(s); }));
  cast(s, drop_kept{});
  asker.join();
  struct dropper {
    struct q { using reply = int; };
    void handle_call(q, from<int>) {}
  };
  const auto d = start<dropper>();
  CHECK(error_from([&] { call(d, dropper::q{}, infinity); }).is(call_error::no_reply));
  stop(s), stop(d);
}

TEST_CASE("GS-45 caller() tells who asks, in processes, threads and leaf servers") {
  const auto s = start<server>();
  const auto l = start<leaf_server>();
  CHECK(call(s, who_asks{}) == self());
  CHECK(call(l, who_asks{}) == self());
  CHECK(run_process([&] {
    CHECK(call(s, who_asks{}) == self());
    CHECK(call(l, who_asks{}) == self());
    CHECK(call(s, who_asks{}, {.queued = true}) == self());
  }).is(exit_reason::normal));
  stop(s), stop(l);
}

TEST_CASE("GS-122 PR-61 OL-7 another class under a name, and a message that is in no protocol: bad_request, the server lives") {
  struct other {
    struct q { using reply = int; };
    int handle_call(q) { return 1; }
  };
  const auto s = start<server>({.name = "call test"});
  CHECK(error_from([&] { call(named<other>("call test"), other::q{}); }).is(call_error::bad_request));
  CHECK(error_from([&] { call(server_cast<other>(s.id()), other::q{}); }).is(call_error::bad_request));
  CHECK(error_from([&] { call(server_cast<other>(s.id()), other::q{}, {.queued = true}); }).is(call_error::bad_request));
  CHECK(error_from([&] { call(server_cast<messages<other::q>>(s.id()), other::q{}); }).is(call_error::bad_request));
  CHECK(call(server::name, add{1}) == 1);
  stop(s);
}

TEST_CASE("PR-61 a server that lists its protocol is reached by who knows only its pid and the messages") {
  const auto s = start<listed>();
  const auto by_protocol = server_cast<messages<add, note>>(s.id());
  CHECK(call(by_protocol, add{2}) == 2);
  cast(by_protocol, note{3});
  CHECK(call(by_protocol, add{0}, {.queued = true}) == 5);
  CHECK(call(s, add{1}) == 6);
  stop(s);
}

TEST_CASE("GS-X1 OL-22 a request whose caller has given up is never handled") {
  struct holder {
    struct mark { using reply = void; journal* log; };
    struct hold { const gate* g; };
    void handle_call(mark m) { m.log->add("handled"); }
    void handle_cast(hold h) { h.g->pass(); }
  };
  const auto s = start<holder>();
  gate g;
  journal expired, wanted;
  cast(s, holder::hold{&g});
  CHECK_FALSE(try_call(s, holder::mark{&expired}, 1ms).has_value());
  g.open();
  call(s, holder::mark{&wanted});
  CHECK(expired.lines().empty());
  CHECK(wanted.has("handled"));
  stop(s);
}

TEST_CASE("GS-X2 a bounded mailbox refuses calls and casts with `full`, never signals or stop") {
  const auto s = start<bounded>();
  gate g;
  CHECK(try_cast(s, bounded::hold{&g}).has_value());
  CHECK(eventually([&] { return process_info(s)->doing == "hold"; }));
  for (int i = 0; i < 3; ++i) CHECK(try_cast(s, note{i}).has_value());
  const auto refused = try_cast(s, note{4});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().is(call_error::full));
  CHECK(try_call(s, add{1}).error().is(call_error::full));
  cast(s, note{5});                                      // says nothing
  CHECK(process_info(s)->queue_length == 3);
  g.open();
  stop(s);
  CHECK(try_cast(s, note{1}).error().is(call_error::noproc));
}

TEST_CASE("GS-X4 a timeout says what the server was doing and how much waits") {
  const auto s = start<server>();
  gate g;
  std::thread busy([&] { (void)try_call(s, wait_at{&g, 0}, infinity); });
  CHECK(eventually([&] { return process_info(s)->doing == "wait_at"; }));
  cast(s, note{1});
  CHECK(eventually([&] { return process_info(s)->queue_length == 1; }));
  const std::string text = error_from([&] { call(s, add{1}, 5ms); }).what();
  CHECK(text.find("has not answered add{by: 1}; it has been handling wait_at for ") != std::string::npos);
  CHECK(text.find("message") != std::string::npos);
  g.open();
  busy.join();
  stop(s);
}

TEST_CASE("GS-70 one callback at a time, in mailbox order, also while a callback waits") {
  struct strict {
    struct step { int n; };
    struct seen { using reply = std::vector<int>; };
    std::vector<int> order{};
    bool inside = false;
    void handle_cast(step s) {
      CHECK_FALSE(inside);
      inside = true;
      if (s.n % 3 == 0) sleep_for(100us);
      order.push_back(s.n);
      inside = false;
    }
    std::vector<int> handle_call(seen) { return order; }
  };
  const auto s = start<strict>();
  std::vector<int> expected;
  for (int i = 0; i < 50; ++i) cast(s, strict::step{i}), expected.push_back(i);
  CHECK(call(s, strict::seen{}) == expected);
  stop(s);
}

TEST_CASE("GS-180 PR-59 a call and a call_all do not look at what waits in the caller's mailbox") {
  const auto s = start<server>();
  const auto time = [&](int calls) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) (void)call(s, add{1}, {.queued = true});
    return std::chrono::steady_clock::now() - begin;
  };
  CHECK(run_process([&] {
    const auto without = std::min({time(300), time(300), time(300)});
    for (int i = 0; i < 100000; ++i) send(self(), note{i});
    bool as_fast = false;                                // in one of several: in any of them a thread may have stood still
    for (int tries = 0; tries < 20 && !as_fast; ++tries) as_fast = time(300) < 10 * without + 20ms;
    CHECK(as_fast);
  }).is(exit_reason::normal));
  stop(s);
}

TEST_CASE("EX-103 whereis: of a pid, a reference, a local, a global, a via name") {
  const auto s = start<server>({.name = server::name.name()});
  CHECK(whereis(s.id()) == s.id());
  CHECK(whereis(s) == s.id());
  CHECK(whereis(server::name) == s.id());
  CHECK(whereis("call test") == s.id());
  stop(s);
  CHECK(whereis(s) == s.id());                             // a pid is itself, whether it lives or not
  CHECK_FALSE(whereis(pid{}));
  CHECK_FALSE(whereis(server::name));
  CHECK_FALSE(whereis(global("call test")));
  const auto g = start<server>({.name = global("call test")});
  CHECK(whereis(named<server>(global("call test"))) == g.id());
  CHECK_FALSE(whereis(server::name));
  struct one_entry {
    pid who;
    bool register_name(int, pid) { return false; }
    void unregister_name(int) {}
    pid whereis(int key) { return key == 1 ? who : pid{}; }
  } registry{g.id()};
  CHECK(whereis(via(registry, 1)) == g.id());
  CHECK_FALSE(whereis(via(registry, 2)));
  stop(g);
}

TEST_CASE("EX-104 a call of a missing name says what was to be asked of whom, and sends nothing; stop on itself: calling_self") {
  const call_error e = error_from([&] { call(named<server>("call nobody"), add{1}); });
  CHECK(e.is(call_error::noproc));
  CHECK(std::string(e.what()).find("add") != std::string::npos);
  CHECK(std::string(e.what()).find("call nobody") != std::string::npos);
  struct stopper {
    struct stop_me { using reply = bool; };
    bool handle_call(stop_me) {
      return error_from([&] { stop(self(this)); }).is(call_error::calling_self);
    }
  };
  const auto s = start<stopper>();
  CHECK(call(s, stopper::stop_me{}));
  CHECK(alive(s.id()));
  stop(s);
}

namespace {

/// Nobody outside can name its messages: what it offers is its functions.
class stock {
  struct put { using reply = void; int n; };
  struct take { using reply = bool; int n; };
  struct audit {};

 public:
  explicit stock(int n) : n_(n) {}

  static void put_in(server_ref<stock> s, int n) { call(s, put{n}); }
  static bool take_out(server_ref<stock> s, int n) { return call(s, take{n}); }
  static void write_off(server_ref<stock> s) { cast(s, audit{}); }

  void handle_call(put p) { n_ += p.n; }
  bool handle_call(take t) {
    if (t.n > n_) return false;
    n_ -= t.n;
    return true;
  }
  void handle_cast(audit) { n_ = 0; }

 private:
  int n_;
};

}  // namespace

TEST_CASE("EX-105 a server's messages may be private: its functions are the only way to ask") {
  const auto s = start<stock>({}, 3);
  stock::put_in(s, 2);
  CHECK(stock::take_out(s, 5));
  CHECK_FALSE(stock::take_out(s, 1));
  stock::put_in(s, 1);
  stock::write_off(s);
  CHECK_FALSE(stock::take_out(s, 1));
  stop(s);
}
