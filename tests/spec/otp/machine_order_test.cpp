// SPDX-License-Identifier: Apache-2.0
//
// In which order a machine does things, and what its timeouts do.
#include <doctest/doctest.h>

#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <memory>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct note { std::string what; };
struct later { std::string what; };         // postponed in a
struct inner { std::string what; };
struct go_on {};
struct history { using reply = lines; };

/// Writes down what happens to it. Goes from a to b on go_on, and inserts two events.
struct recorder {
  struct a {};
  struct b {};
  using all = states<a, b>;
  lines seen{};

  void enter(b&) { seen.push_back("enter b"); }
  next<b> handle(a&, go_on) {
    seen.push_back("go on");
    return {b{}, next_event(this, inner{"i1"}), next_event(this, inner{"i2"})};
  }
  next<a> handle(b&, go_on) { return a{}; }
  next<> handle(a&, const later& m) { return seen.push_back("not yet " + m.what), postpone; }
  next<> handle(b&, const later& m) { return seen.push_back(m.what), keep; }
  void handle(auto&, note m) { seen.push_back(m.what); }
  void handle(auto&, inner m) { seen.push_back(m.what); }
  lines handle(auto&, history) { return seen; }
};

/// Holds a server of its class busy until the test lets it go, so that messages pile up behind it in a known order.
struct stand { const watched_gate* gate; };

// --- timeouts --------------------------------------------------------------------------------------------------------

struct do_it { int what; };
struct poll { int n; };
struct beat { int n; };

/// Sets two timeouts and, in the next event, waits at the gate until they have fired; then they are no longer wanted.
struct held {
  enum ending { leave, cancel, set_again };
  const watched_gate* gate;
  ending then;
};
struct hold : held {};

struct timed {
  struct on {};
  struct off {};
  using all = states<on, off>;
  lines seen{};
  void (*script)(timed&) = nullptr;

  next<on, off> handle(on&, do_it d) {
    switch (d.what) {
      case 1: return {keep, event_timeout{1h}};
      case 2: return {keep, state_timeout{1h}};
      case 3: return {keep, named_timeout{"a", 1h}, named_timeout{"b", 1h}};
      case 4: return {keep, event_timeout{0ms}};
      case 5: return {keep, state_timeout{0ms}, named_timeout{"a", 0ms}, event_timeout{0ms}};
      case 6: return {keep, event_timeout{0ms}, next_event(this, poll{6})};
      case 7: return {off{}, state_timeout{1h}};
      case 8: return {keep, state_timeout{1h}, cancel_state_timeout()};
      case 9: return {keep, named_timeout{"a", 0ms}, cancel_timeout("a")};
      case 10: return {keep, named_timeout_with(this, "a", 1h, poll{1}), update_timeout(this, "a", poll{2})};
      case 11: return {keep, update_timeout(this, "a", poll{11})};
      case 12: return {keep, named_timeout{"a", deadline::in(-1ms)}, state_timeout{deadline::in(1h)}};
      case 13: return {keep, named_timeout{"a", 1h}, named_timeout{"a", infinity}};
      case 14: return {keep, state_timeout{1h}, state_timeout{infinity}};
      case 15: return {keep, named_timeout_with(this, "x", 1ms, poll{15}), event_timeout_with(this, 1h, beat{0})};
      case 16: return repeat;
      case 17: return {on{}, next_event(this, poll{17})};
      case 19: return {keep, state_timeout_with(this, 1h, beat{18}), update_state_timeout(this, beat{19}), hibernate};
      case 20: return {keep, event_timeout{1ms}};
      case 22: return {keep, named_timeout_with(this, "a", 1ms, poll{1}), update_timeout(this, "a", poll{2})};
      case 21: return {keep, update_state_timeout(this, beat{21})};
      default: return keep;
    }
  }
  next<on> handle(off&, do_it) { return on{}; }
  void enter(on&) { seen.push_back("enter on"); }
  void handle(auto&, state_timeout) { seen.push_back("state"); }
  void handle(auto&, event_timeout) { seen.push_back("event"); }
  void handle(auto&, named_timeout t) { seen.push_back("named " + t.name()); }
  void handle(auto&, poll p) { seen.push_back("poll " + std::to_string(p.n)); }
  void handle(on&, beat p) { seen.push_back("beat " + std::to_string(p.n)); }
  next<> handle(auto&, hold h) { return {keep, state_timeout{1ms}, named_timeout{"a", 1ms}, next_event(this, held(h))}; }
  next<on, off> handle(on&, held h) {
    h.gate->pass();
    switch (h.then) {
      case held::leave: return {off{}, cancel_timeout("a")};
      case held::cancel: return {keep, cancel_state_timeout(), cancel_timeout("a")};
      default: return {keep, state_timeout{1h}, named_timeout{"a", 1h}};
    }
  }
  void handle(off&, held) {}
  lines handle(auto&, history) { return seen; }
};

lines timeouts_of(server_ref<timed> m) {
  lines names;
  for (const std::string& t : sys::get_status(m).timeouts) names.push_back(t.substr(0, t.find(" in ")));
  return names;
}
lines without_enter(lines all) {
  std::erase(all, "enter on");
  return all;
}
/// What a fresh machine has seen after `what`, when nothing more is pending.
lines after_doing(int what) {
  const auto m = start<timed>();
  cast(m, do_it{what});
  return without_enter(call(m, history{}));
}

// --- machines of one test ---------------------------------------------------------------------------------------------

struct slow : recorder {
  using recorder::handle;
  void handle(auto&, stand s) { s.gate->pass(); }
};

struct picky {
  struct first_room { int n = 0; };
  struct second_room {};
  struct third_room {};
  using all = states<first_room, second_room, third_room>;
  lines seen{};
  next<second_room> handle(first_room&, go_on) { return second_room{}; }
  next<third_room> handle(second_room&, go_on) { return third_room{}; }
  void handle(third_room&, go_on) {}
  next<> handle(first_room&, const note&) { return postpone; }
  next<> handle(second_room&, const note& n) {
    if (n.what == "x") return keep;
    return postpone;
  }
  void handle(third_room&, note n) { seen.push_back(n.what); }
  lines handle(auto&, history) { return seen; }
};

struct walker {
  struct here { int n = 0; };
  struct there {};
  using all = states<here, there>;
  lines seen{};
  void enter(here& h, const here& from) { seen.push_back("here " + std::to_string(h.n) + " from here " + std::to_string(from.n)); }
  void enter(here& h, const there&) { seen.push_back("here " + std::to_string(h.n) + " from there"); }
  entered enter(there&, const here&) { return {state_timeout{0ms}}; }
  next<here, there> handle(here& h, do_it d) {
    if (d.what == 0) return repeat;
    if (d.what == 1) return there{};
    return here{h.n + d.what};
  }
  void handle(there&, do_it) { seen.push_back("mail"); }
  next<here> handle(there&, state_timeout) { return here{}; }
  lines handle(auto&, history) { return seen; }
};

struct nest {
  struct only {};
  using all = states<only>;
  lines seen{};
  next<> handle(only&, inner i) {
    seen.push_back(i.what);
    if (i.what == "1") return {keep, next_event(this, inner{"1a"}), next_event(this, inner{"1b"})};
    return keep;
  }
  next<> handle(only&, go_on) { return {keep, next_event(this, inner{"1"}), next_event(this, inner{"2"}), named_timeout{"zero", 0ms}}; }
  void handle(only&, named_timeout t) { seen.push_back(t.name()); }
  lines handle(only&, history) { return seen; }
};

struct ask { using reply = std::string; bool again; };
struct asked { using reply = std::string; };

struct teller {
  struct only {};
  using all = states<only>;
  int times = 0;
  next<> handle(only&, ask a, from<std::string> who) {
    ++times;
    if (a.again) return {keep, next_event(this, std::move(who), ask{false}), next_event(this, note{"between"})};
    return {keep, next_event(this, std::move(who), asked{})};
  }
  std::string handle(only&, asked) { return "asked " + std::to_string(times); }
  void handle(only&, note) { times *= 10; }
};

struct count_it { using reply = int; };
struct counted { using reply = int; };

struct mortal {
  struct only {};
  using all = states<only>;
  next<> handle(only&, count_it, from<int> who) { return {keep, next_event(this, go_on{}), next_event(this, std::move(who), counted{})}; }
  auto handle(only&, go_on) { return stop(exit_reason("enough")); }
  int handle(only&, counted) { return 1; }
};

struct bad_end {
  struct good {};
  struct bad {};
  using all = states<good, bad>;
  bool at_once = false;
  entered enter(good&) {
    if (at_once) return stop(exit_reason("not today"));
    return {};
  }
  auto enter(bad&) { return stop(exit_reason("bad place")); }
  next<bad> handle(good&, go_on) { return bad{}; }
  void handle(bad&, go_on) {}
};

}  // namespace

TEST_CASE("SE-10 SE-11 after a change: enter, inserted events in their order, then what was postponed, then the mailbox") {
  own_world w;
  const auto m = start<recorder>();
  cast(m, later{"1"});
  cast(m, later{"2"});
  cast(m, go_on{});
  cast(m, note{"mail"});
  CHECK(call(m, history{}) == lines{"not yet 1", "not yet 2", "go on", "enter b", "i1", "i2", "1", "2", "mail"});
}

TEST_CASE("SE-10 the same when everything waited in the mailbox already") {
  watched_gate gate;
  own_world w;
  const auto m = start<slow>();
  cast(m, stand{&gate});
  REQUIRE(gate.is_entered());
  for (const char* one : {"1", "2", "3"}) cast(m, later{one});
  cast(m, note{"before"});
  cast(m, go_on{});
  cast(m, note{"mail"});
  gate.open();
  CHECK(call(m, history{}) == lines{"not yet 1", "not yet 2", "not yet 3", "before", "go on", "enter b", "i1", "i2", "1", "2", "3", "mail"});
}

TEST_CASE("SE-12 an event is postponed as often as the state wants, and keeps its place") {
  own_world w;
  const auto m = start<picky>();
  for (const char* one : {"1", "2", "x", "3"}) cast(m, note{one});
  cast(m, go_on{});
  cast(m, note{"4"});
  CHECK(sys::get_status(m).postponed == 4);
  cast(m, go_on{});
  CHECK(call(m, history{}) == lines{"1", "2", "3", "4"});
}

TEST_CASE("SE-13 a call is put in line again, by its request or as another") {
  own_world w;
  const auto m = start<teller>();
  CHECK(call(m, ask{true}) == "asked 2");                    // before the note
  CHECK(sys::get_state(m).data.times == 20);
}

TEST_CASE("SE-13 who waits for an event that is in line hears of the machine's end") {
  own_world w;
  const auto m = start<mortal>();
  auto pending = send_request(m, count_it{});
  CHECK(to_text(receive_response(pending).error().reason()) == "enough");
  const auto n = start<mortal>();
  const auto e = error_in([&] { call(n, count_it{}); });
  REQUIRE(e);
  CHECK(e->is(call_error::ended));
  CHECK(to_text(e->reason()) == "enough");
}

// --- timeouts --------------------------------------------------------------------------------------------------------

TEST_CASE("SE-30 an event timeout is cancelled by any event, also by one that the machine gives itself") {
  own_world w;
  const auto m = start<timed>();
  cast(m, do_it{1});
  CHECK(timeouts_of(m) == lines{"event_timeout"});           // a system request is no event
  cast(m, do_it{0});
  CHECK(timeouts_of(m).empty());
  CHECK(after_doing(6) == lines{"poll 6"});
  const auto n = start<timed>();
  cast(n, do_it{20});
  CHECK(eventually([&] { return without_enter(sys::get_state(n).data.seen) == lines{"event"}; }));
}

TEST_CASE("SE-30 SE-35 timeouts of nothing come in the order in which they were set, before the mailbox") {
  own_world w;
  CHECK(after_doing(4) == lines{"event"});
  CHECK(after_doing(5) == lines{"state", "named a"});        // the first of them is an event, which cancels the event timeout
}

TEST_CASE("SE-31 a state timeout survives events, and is cancelled by a change of state") {
  own_world w;
  const auto m = start<timed>();
  cast(m, do_it{2});
  cast(m, do_it{0});
  CHECK(timeouts_of(m) == lines{"state_timeout"});
  cast(m, do_it{17});                                        // the same state by value: no change (SE-4)
  CHECK(timeouts_of(m) == lines{"state_timeout"});
  cast(m, do_it{16});                                        // repeat is one
  CHECK(timeouts_of(m).empty());
  cast(m, do_it{7});                                         // set on the way into a state: it belongs to that
  CHECK(timeouts_of(m) == lines{"state_timeout"});
  cast(m, do_it{0});
  CHECK(timeouts_of(m).empty());
}

TEST_CASE("SE-32 named timeouts: any number, whatever the events and states") {
  own_world w;
  const auto m = start<timed>();
  cast(m, do_it{3});
  cast(m, do_it{7});
  cast(m, do_it{0});
  CHECK(timeouts_of(m) == lines{"\"a\"", "\"b\""});
  const auto n = start<timed>();
  cast(n, do_it{15});
  CHECK(eventually([&] { return without_enter(sys::get_state(n).data.seen) == lines{"poll 15"}; }));
  CHECK(timeouts_of(n).empty());                             // and the event timeout of an hour was cancelled by it
}

TEST_CASE("SE-33 infinity and cancel cancel; update changes what a running one brings, or fires; absolute times") {
  own_world w;
  for (const int what : {8, 9, 13, 14}) {
    CAPTURE(what);
    const auto m = start<timed>();
    cast(m, do_it{what});
    CHECK(without_enter(call(m, history{})).empty());
    CHECK(timeouts_of(m).empty());
  }
  const auto m = start<timed>();
  cast(m, do_it{10});
  CHECK(timeouts_of(m) == lines{"\"a\" (poll)"});
  CHECK(after_doing(11) == lines{"poll 11"});
  const auto updated = start<timed>();
  cast(updated, do_it{22});
  CHECK(eventually([&] { return !without_enter(sys::get_state(updated).data.seen).empty(); }));
  CHECK(without_enter(sys::get_state(updated).data.seen) == lines{"poll 2"});
  CHECK(after_doing(21) == lines{"beat 21"});
  const auto n = start<timed>();
  cast(n, do_it{12});
  CHECK(without_enter(call(n, history{})) == lines{"named a"});
  CHECK(timeouts_of(n) == lines{"state_timeout"});
  const auto o = start<timed>();
  cast(o, do_it{19});
  CHECK(timeouts_of(o) == lines{"state_timeout (beat)"});
}

TEST_CASE("SE-34 a timeout that has fired behind a busy machine is not delivered when it is cancelled first") {
  own_world w;
  for (const held::ending then : {held::leave, held::cancel, held::set_again}) {
    CAPTURE(then);
    watched_gate gate;
    const auto m = start<timed>();
    cast(m, hold{&gate, then});
    REQUIRE(gate.is_entered());
    CHECK(eventually([&] { return process_info(m)->queue_length == 2; }));   // both have fired: they are in the mailbox
    gate.open();
    CHECK(without_enter(call(m, history{})).empty());
  }
}

// --- enter -----------------------------------------------------------------------------------------------------------

TEST_CASE("SE-20 enter runs at the start, at each change and at repeat, before anything else; it knows where from") {
  own_world w;
  const auto m = start<walker>();
  cast(m, do_it{0});
  cast(m, do_it{7});                                         // another value of the same type is another state
  cast(m, do_it{1});
  CHECK(call(m, history{}) == lines{"here 0 from here 0", "here 0 from here 0", "here 7 from here 0", "here 0 from there"});
}

TEST_CASE("SE-4 the same state by value is no change: no enter, nothing retried") {
  own_world w;
  const auto m = start<timed>();
  cast(m, do_it{17});
  CHECK(call(m, history{}) == lines{"enter on", "poll 17"});
  cast(m, do_it{16});
  CHECK(call(m, history{}) == lines{"enter on", "poll 17", "enter on"});
}

TEST_CASE("SE-20 enter may stop the machine, and in the first state fail its start") {
  own_world w;
  const auto failed = try_start<bad_end>({}, true);
  REQUIRE(!failed);
  CHECK(to_text(failed.error().reason()) == "not today");
  const auto m = start<bad_end>();
  const reference ref = monitor(m);
  cast(m, go_on{});
  CHECK(to_text(reason_of_end(m, ref)) == "bad place");
}

TEST_CASE("SE-10 inserted events of inserted events come before the rest of the line") {
  own_world w;
  const auto m = start<nest>();
  cast(m, go_on{});
  CHECK(call(m, history{}) == lines{"1", "1a", "1b", "2", "zero"});
}
