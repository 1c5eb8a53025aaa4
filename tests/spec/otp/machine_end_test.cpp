// SPDX-License-Identifier: Apache-2.0
//
// How machines answer, end, fail, exchange their handlers, and show themselves.
#include <doctest/doctest.h>

#include <coppice/otp/child.hpp>
#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/otp/transitions.hpp>

#include <memory>
#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct take { using reply = int; };
struct bring { int what; };
struct close_shop {};
struct leave { using reply = std::string; };
struct fail_now { int code; };
struct forget { using reply = int; };
struct wish { std::string what; };

journal* book = nullptr;

/// Hands out what was brought; who asks for more waits in a state of its own.
struct shop {
  struct stocked { std::vector<int> items{}; };
  struct empty { std::vector<from<int>> waiting{}; };
  using all = states<empty, stocked>;
  std::string name = "shop";

  void handle(empty& e, take, from<int> who) { e.waiting.push_back(std::move(who)); }
  next<stocked> handle(empty& e, bring b) {
    if (e.waiting.empty()) return stocked{{b.what}};
    reply(std::move(e.waiting.front()), b.what);
    e.waiting.erase(e.waiting.begin());
    return keep;
  }
  replies<int, empty> handle(stocked& s, take) {
    const int item = s.items.back();
    s.items.pop_back();
    if (s.items.empty()) return {empty{}, reply(item)};
    return item;
  }
  void handle(stocked& s, bring b) { s.items.push_back(b.what); }
  next<> handle(empty& e, close_shop) {
    for (auto& w : e.waiting) reply(std::move(w), -1);
    e.waiting.clear();
    return stop();
  }
  auto handle(stocked&, close_shop) { return stop(); }
  auto handle(auto&, leave) { return stop(exit_reason("sold out"), std::string("good bye")); }
  void handle(auto&, fail_now f) { throw std::out_of_range("no item " + std::to_string(f.code)); }
  next<> handle(auto&, forget, from<int>) { return keep; }
  next<> handle(empty&, const wish&) { return postpone; }
  void handle(stocked&, wish) {}
  void terminate(const exit_reason& why, empty&) { note("empty", why); }
  void terminate(const exit_reason& why) { note("stocked", why); }
  static void note(std::string_view state, const exit_reason& why) {
    if (book != nullptr) book->add(std::string(state) + ": " + to_text(why));
  }
};

struct booked {
  explicit booked(journal& j) { book = &j; }
  ~booked() { book = nullptr; }
};

// --- sets of handlers ------------------------------------------------------------------------------------------------

struct ask { using reply = std::string; };
struct service { bool begins; };

/// A machine that a set of handlers may speak for.
struct lift {
  struct up {};
  struct down_below { int depth = 0; };
  struct closed;
  using all = states<up, down_below>;
  using handlers = handler_sets<closed>;
  int calls = 0;
  std::string handle(up&, ask) { return "up " + std::to_string(++calls); }
  std::string handle(down_below&, ask) { return "down " + std::to_string(++calls); }
  next<> handle(auto&, service s);
  next<down_below> handle(up&, bring b) { return down_below{b.what}; }
  void handle(down_below&, bring) {}
};
struct lift::closed {
  std::string handle(lift& l, auto&, ask) { return "closed " + std::to_string(++l.calls); }
  next<> handle(lift& l, auto&, service s) {
    if (s.begins) return {keep, change_handlers<closed>(&l)};
    return {keep, pop_handlers()};
  }
  next<down_below> handle(lift&, up&, bring b) { return down_below{-b.what}; }
  void handle(lift&, down_below&, bring) {}
};
next<> lift::handle(auto&, service s) {
  if (s.begins) return {keep, push_handlers<closed>(this)};
  return {keep, pop_handlers()};
}

// --- the door, whose events are a protocol, and its table ------------------------------------------------------------

struct button { char digit; };
struct where { using reply = std::string; };
struct gate_door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  using allowed = transitions<edge<locked, open>, edge<open, locked>>;
  using protocol = messages<button, where>;
  next<open> handle(locked&, button) { return open{}; }
  void handle(open&, button) {}
  auto enter(open&) { return state_timeout{1h}; }
  next<locked> handle(open&, state_timeout) { return locked{}; }
  std::string handle(locked&, where) { return "locked"; }
  std::string handle(open&, where) { return "open"; }
};

/// Watches somebody.
struct watcher {
  static constexpr server_options options{.trap_exit = true};
  struct idle {};
  struct alarmed { exit_reason why; };
  using all = states<idle, alarmed>;
  struct unknown_text { using reply = std::string; };
  std::string last{};
  auto init(pid who) { monitor(who); }
  next<alarmed> handle(idle&, down d) { return alarmed{d.reason}; }
  void handle(alarmed&, down) {}
  void handle(auto&, exit_signal s) { last = "exit " + to_text(s.reason); }
  next<> handle(auto&, message& m) { return last = m.name(), keep; }
  std::string handle(auto&, unknown_text) { return last; }
};

/// Starts in many ways.
struct starter {
  struct one {};
  struct two { int n = 0; };
  using all = states<one, two>;
  lines seen{};
  first<two> init(std::string how) {
    if (how == "ignore") return ignore;
    if (how == "fail") return fail(exit_reason("no"));
    if (how == "stop") return stop(exit_reason("stopped"));
    if (how == "throw") throw std::runtime_error("thrown");
    if (how == "two") return {two{2}, next_event(this, wish{"first"}), named_timeout{"zero", 0ms}};
    return keep;
  }
  auto init(int n) { return two{n}; }
  void enter(two& t) { seen.push_back("two " + std::to_string(t.n)); }
  void handle(auto&, wish w) { seen.push_back(w.what); }
  void handle(auto&, named_timeout t) { seen.push_back(t.name()); }
  struct history { using reply = lines; };
  lines handle(auto&, history) { return seen; }
};

/// Asks for what is not possible.
struct clumsy {
  struct a {};
  struct b {};
  using all = states<a, b>;
  std::vector<from<int>> kept{};
  next<b> handle(a&, bring w) {
    if (w.what == 1) return {keep, state_timeout{1s}};         // only b handles it
    if (w.what == 2) return {b{}, state_timeout{1h}};
    return {keep, pop_handlers()};
  }
  void handle(b&, bring) {}
  void handle(b&, state_timeout) {}
  next<> handle(auto&, take, from<int> who) { return kept.push_back(std::move(who)), postpone; }
};

struct stumbler {
  struct a {};
  struct b {};
  using all = states<a, b>;
  next<b> handle(a&, bring x) {
    if (x.what == 2) return {keep, named_timeout{"later", 1h}};
    return b{};
  }
  void handle(b&, bring) {}
  void handle(auto&, named_timeout) {}
  void enter(b&) { throw std::logic_error("stumbled"); }
};

/// Puts other handlers in the place of its own, and they ask for those that were there before.
struct swapper {
  struct only {};
  struct others;
  using all = states<only>;
  using handlers = handler_sets<others>;
  next<> handle(only&, bring);
};
struct swapper::others {
  next<> handle(swapper&, only&, bring) { return {keep, pop_handlers()}; }
};
next<> swapper::handle(only&, bring) { return {keep, change_handlers<others>(this)}; }

exit_reason end_after(auto server, auto&& what) {
  const reference ref = monitor(server);
  what();
  return reason_of_end(server, ref);
}

}  // namespace

TEST_CASE("SE-40 a reply may go to any from that was kept, also to one in a state") {
  own_world w;
  const auto s = start<shop>();
  auto first_one = send_request(s, take{});
  auto second = send_request(s, take{});
  cast(s, bring{7});
  CHECK(receive_response(first_one).value() == 7);
  cast(s, close_shop{});
  CHECK(receive_response(second).value() == -1);
}

TEST_CASE("SE-40 stop with a reply: the reply leaves before terminate runs") {
  journal j;
  own_world w;
  booked here(j);
  const auto s = start<shop>();
  auto r = send_request(s, leave{});
  CHECK(receive_response(r).value() == "good bye");
  CHECK(eventually([&] { return j.has("empty: sold out"); }));
}

TEST_CASE("SE-40 a from that a handler lets go is answered with no_reply; kept, it hears of the end") {
  own_world w;
  const auto s = start<shop>();
  CHECK(try_call(s, forget{}).error().is(call_error::no_reply));
  auto waiting = send_request(s, take{});
  CHECK(sys::get_status(s).postponed == 0);
  stop(s, exit_reason("over"));
  CHECK(to_text(receive_response(waiting).error().reason()) == "over");
}

TEST_CASE("SE-41 terminate sees the reason, the state and the data; the report shows them") {
  journal j;
  own_world w;
  booked here(j);
  const auto s = start<shop>({.name = "corner shop"});
  cast(s, wish{"bread"});
  const exit_reason why = end_after(s, [&] { cast(s, fail_now{7}); });
  CHECK(to_text(why) == "std::out_of_range: no item 7");
  CHECK(j.lines() == lines{"empty: std::out_of_range: no item 7"});
  const auto reports = w.reports.of("server", s);
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].headline.find("in handle(fail_now{code: 7})") != std::string::npos);
  CHECK(field_of(reports[0], "state") == "empty{waiting: {}} of shop{name: \"shop\"}");
  CHECK(field_of(reports[0], "postponed") == "1: wish{what: \"bread\"}");
}

TEST_CASE("SE-41 an action that is not possible ends the machine and says why") {
  own_world w;
  const auto text_after = [](int what) {
    const auto m = start<clumsy>();
    return to_text(end_after(m, [&] { cast(m, bring{what}); }));
  };
  CHECK(text_after(1).find("state_timeout in a state that has no handle(state&, state_timeout)") != std::string::npos);
  CHECK(text_after(3).find("pop_handlers, but none were pushed") != std::string::npos);
  const auto changed = start<swapper>();
  cast(changed, bring{1});                                   // changed, not pushed
  CHECK(to_text(end_after(changed, [&] { cast(changed, bring{1}); })).find("pop_handlers, but none were pushed") != std::string::npos);
  const auto fine = start<clumsy>();
  cast(fine, bring{2});
  CHECK(sys::get_status(fine).timeouts.size() == 1);
  const auto m = start<clumsy>();
  const auto e = error_in([&] { call(m, take{}); });
  REQUIRE(e);
  CHECK(to_text(e->reason()).find("postponed a call whose `from` the handler has kept") != std::string::npos);
}


TEST_CASE("SE-42 handlers are exchanged at run time; state and data stay") {
  own_world w;
  const auto l = start<lift>();
  CHECK(call(l, ask{}) == "up 1");
  cast(l, service{true});
  CHECK(call(l, ask{}) == "closed 2");
  cast(l, service{true});                                    // change: closed again, in place of closed
  CHECK(call(l, ask{}) == "closed 3");
  cast(l, bring{4});
  CHECK(sys::get_state(l).in<lift::down_below>()->depth == -4);
  CHECK(call(l, ask{}) == "closed 4");
  cast(l, service{false});
  CHECK(call(l, ask{}) == "down 5");
}

TEST_CASE("SE-43 a call of a machine has a timeout; a reply that comes late is dropped") {
  own_world w;
  const auto s = start<shop>();
  CHECK(try_call(s, take{}, 1ms).error().is(call_error::timeout));
  cast(s, bring{1});                                         // goes to the one who gave up
  cast(s, bring{2});
  CHECK(call(s, take{}) == 2);
  CHECK(mailbox_is_empty());
}


TEST_CASE("SE-45 the table of a machine: checked, as text, as a picture") {
  const auto table = transition_table<gate_door>();
  CHECK(to_text(table) ==
        "locked --button--> open\n"
        "locked --where--> locked\n"
        "open --button--> open\n"
        "open --where--> open\n"
        "open --state_timeout--> locked\n");
  CHECK(to_dot<gate_door>() ==
        "digraph \"gate_door\" {\n"
        "  \"locked\" -> \"open\" [label=\"button\"];\n"
        "  \"open\" -> \"locked\" [label=\"state_timeout\"];\n"
        "}\n");
  CHECK(transition_table<shop, messages<bring>>() ==
        std::vector<transition>{{"empty", "bring", "stocked"}, {"stocked", "bring", ""}});
}

TEST_CASE("SE-1 a machine with a protocol is reached by who knows only that") {
  own_world w;
  const auto d = start<gate_door>();
  const server_ref<messages<button, where>> by_protocol(d.id());
  CHECK(call(by_protocol, where{}) == "locked");
  cast(by_protocol, button{'1'});
  CHECK(call(by_protocol, where{}) == "open");
  send(d.id(), button{'2'});                                 // a plain message from who knows the pid
  CHECK(call(d, where{}) == "open");
}

TEST_CASE("SE-1 SE-2 down, exit signals and unknown messages are events") {
  own_world w;
  const pid watched = spawn([] { receive<bring>(); });
  const auto m = start<watcher>({}, watched);
  send(m.id(), wish{"?"});
  CHECK(call(m, watcher::unknown_text{}) == "wish");
  CHECK(run_process([m] { exit(m.id(), exit_reason("hint")); }).is(exit_reason::normal));   // from one that is not its parent
  CHECK(call(m, watcher::unknown_text{}) == "exit hint");
  send(watched, bring{1});
  CHECK(eventually([&] { return sys::get_state(m).in<watcher::alarmed>() != nullptr; }));
  CHECK(sys::get_state(m).in<watcher::alarmed>()->why.is(exit_reason::normal));
}

TEST_CASE("SE-1 how a machine starts: a state, actions, ignore, fail, stop, an exception") {
  own_world w;
  CHECK(call(start<starter>({}, std::string("two")), starter::history{}) == lines{"two 2", "first", "zero"});
  CHECK(call(start<starter>({}, 5), starter::history{}) == lines{"two 5"});
  CHECK(call(start<starter>({}, std::string("one")), starter::history{}).empty());
  CHECK(try_start<starter>({}, std::string("ignore")).error().ignored());
  CHECK(to_text(try_start<starter>({}, std::string("fail")).error().reason()) == "no");
  CHECK(to_text(try_start<starter>({}, std::string("stop")).error().reason()) == "stopped");
  CHECK(to_text(try_start<starter>({}, std::string("throw")).error().reason()) == "std::runtime_error: thrown");
}

TEST_CASE("SE-1 a machine gives a child spec") {
  const child_spec s = child<gate_door>({.restart = transient});
  CHECK(s.id == "gate_door");
  CHECK(s.restart == transient);
}

TEST_CASE("SE-44 replace_state, suspend and the trace work on machines") {
  own_world w;
  const auto d = start<gate_door>();
  sys::replace_state(d, [](machine_state<gate_door> m) {
    m.state = gate_door::open{};
    return m;
  });
  CHECK(call(d, where{}) == "open");
  sys::suspend(d);
  cast(d, button{'1'});
  CHECK(sys::get_status(d).held == 1);
  sys::resume(d);
  CHECK(call(d, where{}) == "open");
  sys::log(d, 10);
  cast(d, button{'1'});
  lines texts;
  for (const auto& e : sys::get_log(d)) texts.push_back(to_text(e));
  CHECK(texts == lines{"got cast button{digit: '1'}", "new state open{} of gate_door{}"});
}

TEST_CASE("SE-41 the report of a machine that fails on its way into a state says so") {
  own_world w;
  for (const bool timeout_runs : {false, true}) {
    const auto m = start<stumbler>();
    if (timeout_runs) cast(m, bring{2});
    const exit_reason why = end_after(m, [&] { cast(m, bring{1}); });
    CHECK(to_text(why) == "std::logic_error: stumbled");
    const auto reports = w.reports.of("server", m);
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].headline.find("in enter after handle(bring{what: 1})") != std::string::npos);
    CHECK(field_of(reports[0], "state") == "b{} of stumbler{}");
  }
}
