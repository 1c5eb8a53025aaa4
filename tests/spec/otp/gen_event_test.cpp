// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/child.hpp>
#include <coppice/otp/gen_event.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct fire { int floor; };
struct flood { std::string where; };
struct tick {};
using alarms = event_manager<fire, flood, tick>;

journal* book = nullptr;
struct booked {
  explicit booked(journal& j) { book = &j; }
  ~booked() { book = nullptr; }
};
void note(std::string what) {
  if (book != nullptr) book->add(std::move(what));
}

struct how_many { using reply = int; };
struct break_down { using reply = int; };
struct count_and_go { using reply = int; };
struct poke { int n; };

/// Counts fires, writes down everything.
struct counter {
  std::string name = "counter";
  int fires = 0;
  void handle_event(const fire& f) { ++fires, note(name + " fire " + std::to_string(f.floor)); }
  void handle_event(tick) { note(name + " tick"); }
  int handle_call(how_many) { return fires; }
  int handle_call(break_down) { throw std::out_of_range("broken"); }
  auto handle_call(count_and_go) { return reply_and<int>{fires, remove_handler}; }
  void handle_info(message& m) {
    if (const auto* p = m.as<poke>()) note(name + " poke " + std::to_string(p->n));
    if (const auto* s = m.as<exit_signal>()) note(name + " exit " + to_text(s->reason));
  }
  std::string terminate(const handler_end& end) {
    static constexpr const char* words[] = {"deleted", "removed", "swapped", "stopped", "supervisor ended", "error"};
    note(name + " " + words[end.what] + (end.reason.is(exit_reason::normal) ? "" : ": " + to_text(end.reason)));
    return "last words of " + name + (end.arguments ? " for " + *end.arguments.as<std::string>() : "");
  }
};

/// Does to itself what the event says.
struct moody {
  std::string name = "moody";
  handler_outcome handle_event(const fire& f) {
    if (f.floor == 13) return remove_handler;
    if (f.floor == 14) return hibernate;
    if (f.floor == 15) throw std::runtime_error("afraid of " + std::to_string(f.floor));
    if (f.floor == 16) exit(exit_reason("own wish"));
    return keep;
  }
  auto handle_event(const flood& f) -> std::optional<decltype(swap_to<counter>(std::string()))> {
    if (f.where != "cellar") return std::nullopt;
    return swap_to<counter>(std::string("heir"));
  }
  void terminate(const handler_end& end) { note(name + (end.what == handler_end::error ? " error: " + to_text(end.reason) : " gone")); }
};

struct heir {
  std::string words{};
  void init(std::optional<std::string> last_words, int n) { words = last_words.value_or("nobody") + " " + std::to_string(n); }
};

struct refuser {
  auto init(int how) -> init_outcome<> {
    if (how == 1) return fail(exit_reason("no room"));
    if (how == 2) return ignore;
    if (how == 3) throw std::runtime_error("thrown");
    return ok();
  }
};

lines names_of(server_ref<alarms> m) {
  lines out;
  for (const handler_id& id : which_handlers(m)) out.push_back(to_text(id));
  return out;
}

/// A manager with two counters, "a" and, under the id "2", "b".
struct two_counters {
  journal j;
  own_world w;
  booked here{j};
  const server_ref<alarms> m = start<alarms>();
  two_counters() {
    add_handler<counter>(m, {}, std::string("a"));
    add_handler<counter>(m, {.id = "2"}, std::string("b"));
  }
};

}  // namespace

TEST_CASE("SE-60 SE-71 any number of handlers, one class under several ids, in the order in which they were added") {
  own_world w;
  const auto m = start<alarms>({.name = "alarms"});
  add_handler<counter>(m, {}, std::string("a"));
  add_handler<counter>(m, {.id = "second"}, std::string("b"));
  add_handler<moody>(m);
  CHECK(names_of(m) == lines{"counter", "counter \"second\"", "moody"});
  CHECK(which_handlers(named<alarms>("alarms")).size() == 3);
  CHECK(child<alarms>({.name = "alarms"}).id == "alarms");
}

TEST_CASE("SE-61 a handler that is there already is refused; one whose init refuses or throws is not added") {
  own_world w;
  const auto m = start<alarms>();
  add_handler<counter>(m);
  CHECK(try_add_handler<counter>(m).is(handler_error::already_present));
  CHECK_THROWS_AS(add_handler<counter>(m), handler_error);
  CHECK(to_text(try_add_handler<refuser>(m, {}, 1).reason()) == "no room");
  CHECK(to_text(try_add_handler<refuser>(m, {}, 2).reason()) == "ignore");
  CHECK(to_text(try_add_handler<refuser>(m, {}, 3).reason()) == "std::runtime_error: thrown");
  CHECK(names_of(m) == lines{"counter"});
  CHECK(!try_add_handler<refuser>(m, {}, 4));
}

TEST_CASE("SE-62 notify returns at once, sync_notify when all handlers are done; who has no overload ignores the event") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  add_handler<counter>(m, {}, std::string("a"));
  add_handler<moody>(m);
  add_handler<counter>(m, {.id = "2"}, std::string("b"));
  sync_notify(m, fire{1});
  CHECK(j.lines() == lines{"a fire 1", "b fire 1"});
  notify(m, tick{});
  sync_notify(m, flood{"attic"});                            // nobody but moody knows it; behind the tick
  CHECK(j.lines() == lines{"a fire 1", "b fire 1", "a tick", "b tick"});
}

TEST_CASE("SE-63 a handler removes itself, hibernates the manager, or puts another in its place") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  add_handler<moody>(m);
  add_handler<counter>(m, {}, std::string("c"));
  sync_notify(m, fire{14});
  CHECK(names_of(m) == lines{"moody", "counter"});
  sync_notify(m, fire{13});
  CHECK(names_of(m) == lines{"counter"});
  CHECK(j.has("moody gone"));
  const auto n = start<alarms>();
  add_handler<moody>(n, {.id = "x"});
  sync_notify(n, flood{"cellar"});
  CHECK(names_of(n) == lines{"counter \"x\""});
  sync_notify(n, fire{2});
  CHECK(call_handler<counter>(n, how_many{}, {.id = "x"}) == 1);
  CHECK(j.has("heir fire 2"));
}

TEST_CASE("SE-64 a handler that throws is reported and removed; the others get the same event") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>({.name = "loud"});
  add_handler<moody>(m, {.id = "x"});
  add_handler<counter>(m, {}, std::string("c"));
  sync_notify(m, fire{15});
  CHECK(j.lines() == lines{"moody error: std::runtime_error: afraid of 15", "c fire 15"});
  CHECK(names_of(m) == lines{"counter"});
  const auto reports = w.reports.of("handler", m);
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].level == log_level::error);
  CHECK(reports[0].headline.starts_with("moody \"x\" of event_manager"));
  CHECK(reports[0].headline.find("in handle_event(fire{floor: 15})  is removed") != std::string::npos);
  CHECK(field_of(reports[0], "why") == "std::runtime_error: afraid of 15");
  CHECK(field_of(reports[0], "state") == "moody{name: \"moody\"}");
  add_handler<moody>(m);
  sync_notify(m, fire{16});                                  // exit(reason) of a handler ends the handler
  CHECK(names_of(m) == lines{"counter"});
  CHECK(j.has("moody error: own wish"));
}

namespace {

/// Leaves by exit(reason) where it can.
struct leaver {
  bool at_start = false;
  void init(bool now) {
    if (now) exit(exit_reason("not me"));
  }
  void handle_event(tick) {}
  int handle_call(how_many) { exit(exit_reason("no answer")); }
  void terminate(const handler_end&) { exit(exit_reason("last wish")); }
};

}  // namespace

TEST_CASE("SE-61 SE-64 a handler that calls exit(reason), wherever, ends alone") {
  own_world w;
  const auto m = start<alarms>();
  CHECK(to_text(try_add_handler<leaver>(m, {}, true).reason()) == "not me");
  CHECK(alive(m.id()));
  add_handler<leaver>(m, {}, false);
  CHECK(to_text(try_delete_handler<leaver>(m).error().reason()) == "last wish");
  CHECK(names_of(m).empty());
  add_handler<leaver>(m, {}, false);
  const auto failed = try_call_handler<leaver>(m, how_many{});
  REQUIRE(!failed);
  CHECK(to_text(failed.error().reason()) == "no answer");
  CHECK(names_of(m).empty());
  add_handler<leaver>(m, {}, false);
  swap_handler<leaver, counter>(m, {}, std::string("c"));
  CHECK(names_of(m) == lines{"counter"});
  CHECK_THROWS_AS((swap_handler<counter, leaver>(m, {}, true)), handler_error);
  CHECK(names_of(m).empty());
  add_handler<counter>(m);
  CHECK(replace_handler_state<counter>(m, [](counter) -> counter { exit(exit_reason("no change")); }) == 0);
  CHECK(names_of(m) == lines{"counter"});
}

TEST_CASE("SE-65 a call reaches one handler; an unknown one is told; one that throws is removed") {
  own_world w;
  const auto m = start<alarms>();
  add_handler<counter>(m, {.id = "1"});
  add_handler<counter>(m, {.id = "2"});
  sync_notify(m, fire{1});
  CHECK(call_handler<counter>(m, how_many{}, {.id = "2"}) == 1);
  const auto unknown = try_call_handler<counter>(m, how_many{});
  REQUIRE(!unknown);
  CHECK(unknown.error().is(handler_error::unknown_handler));
  CHECK(std::string(unknown.error().what()) == "counter is no handler of this manager; it has counter \"1\", counter \"2\"");
  const auto failed = try_call_handler<counter>(m, break_down{}, {.id = "1"});
  REQUIRE(!failed);
  CHECK(failed.error().is(handler_error::failed));
  CHECK(to_text(failed.error().reason()) == "std::out_of_range: broken");
  CHECK(names_of(m) == lines{"counter \"2\""});
  CHECK(call_handler<counter>(m, count_and_go{}, {.id = "2"}) == 1);
  CHECK(names_of(m).empty());
}

TEST_CASE_FIXTURE(two_counters, "SE-66 plain messages go to every handler's handle_info") {
  send(m.id(), poke{4});
  CHECK(eventually([&] { return j.lines() == lines{"a poke 4", "b poke 4"}; }));
}

TEST_CASE_FIXTURE(two_counters, "SE-66 an EXIT of whoever is neither supervisor nor handler goes to every handler's handle_info") {
  CHECK(run_process([this] { exit(m.id(), exit_reason("hint")); }).is(exit_reason::normal));
  CHECK(eventually([&] { return j.lines() == lines{"a exit hint", "b exit hint"}; }));
  CHECK(which_handlers(m).size() == 2);
}

TEST_CASE("SE-67 delete_handler runs terminate with the caller's arguments and gives its result") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  add_handler<counter>(m, {}, std::string("a"));
  CHECK(delete_handler<counter>(m, {}, any_value(std::string("you"))) == "last words of a for you");
  CHECK(j.lines() == lines{"a deleted"});
  CHECK(try_delete_handler<counter>(m).error().is(handler_error::unknown_handler));
}

TEST_CASE("SE-68 swap_handler: the old one's last words reach the new one; it works without an old one") {
  own_world w;
  const auto m = start<alarms>();
  add_handler<counter>(m, {.id = "o"}, std::string("a"));
  swap_handler<counter, heir>(m, {.old_id = "o", .id = "n", .given = any_value(std::string("you"))}, 7);
  REQUIRE(handler_states(m).size() == 1);
  CHECK(to_text(handler_states(m)[0].handler) == "heir \"n\"");
  CHECK(handler_states(m)[0].state == "heir{words: \"last words of a for you 7\"}");
  swap_handler<counter, heir>(m, {}, 8);
  CHECK(handler_states(m)[1].state == "heir{words: \"nobody 8\"}");
  CHECK_THROWS_AS((swap_handler<counter, heir>(m, {}, 9)), handler_error);
}

TEST_CASE("SE-69 a supervised handler goes with its supervisor") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  CHECK(run_process([&] {
    add_sup_handler<counter>(m, {}, std::string("s"));
    exit(exit_reason("bye"));
  }) == exit_reason("bye"));
  CHECK(eventually([&] { return j.has("s supervisor ended: bye"); }));
  CHECK(names_of(m).empty());
  CHECK_THROWS_AS(add_sup_handler<counter>(m), handler_error);   // a plain thread
}

TEST_CASE("SE-69 who supervises a handler hears why it is gone") {
  own_world w;
  const auto m = start<alarms>();
  CHECK(run_process([&] {
    const auto told = [] { return receive<handler_exit>(); };
    add_sup_handler<counter>(m);
    delete_handler<counter>(m);
    handler_exit e = told();
    CHECK(e.manager == m.id());
    CHECK(to_text(e.handler) == "counter");
    CHECK(e.reason.is(exit_reason::normal));
    add_sup_handler<moody>(m, {.id = "x"});
    notify(m, fire{15});
    CHECK(to_text(told().reason) == "std::runtime_error: afraid of 15");
    add_sup_handler<counter>(m, {}, std::string("z"));
    swap_handler<counter, heir>(m, {.supervised = true}, 1);
    CHECK(told().swapped_to == handler_id{"heir", ""});
    CHECK(process_info(self())->links.size() == 1);
    CHECK(call(m, detail::which_handlers_request{}).size() == 1);
  }).is(exit_reason::normal));
  CHECK(eventually([&] { return names_of(m).empty(); }));
}

TEST_CASE("SE-69 who supervises no handler any more is not linked to the manager") {
  own_world w;
  const auto m = start<alarms>();
  CHECK(run_process([m] {
    const auto linked = [m] { return process_info(m.id())->links; };
    add_sup_handler<counter>(m);
    CHECK(linked() == std::vector<pid>{self()});
    delete_handler<counter>(m);
    CHECK(linked().empty());
    add_sup_handler<counter>(m);
    const monitored heirs = spawn_monitor([m, linked] {
      swap_handler<counter, heir>(m, {.supervised = true}, 1);
      CHECK(linked() == std::vector<pid>{self()});
    });
    CHECK(reason_of_end(heirs.who, heirs.ref).is(exit_reason::normal));
  }).is(exit_reason::normal));
}

TEST_CASE_FIXTURE(two_counters, "SE-70 the end of the manager is the end of its handlers") {
  stop(m);
  CHECK(j.lines() == lines{"a stopped", "b stopped"});
  CHECK(run_process([] {
    const auto n = start_link<alarms>();
    add_handler<counter>(n, {}, std::string("c"));
    exit(exit_reason::shutdown);
  }).is(exit_reason::shutdown));
  CHECK(eventually([&] { return j.has("c stopped: shutdown"); }));
}

TEST_CASE("SE-70 SE-72 the end of the manager reaches a handler in a process of its own") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  add_handler<counter>(m, {.own_process = true}, std::string("far"));
  stop(m);
  CHECK(j.lines() == lines{"far stopped"});
  const auto n = start<alarms>();
  add_handler<counter>(n, {.own_process = true}, std::string("far"));
  stop(n, exit_reason("broken"));
  CHECK(j.lines() == lines{"far stopped", "far stopped: broken"});
}

TEST_CASE("SE-71 states are shown and replaced; a change that throws leaves that state") {
  own_world w;
  const auto m = start<alarms>();
  add_handler<counter>(m, {}, std::string("a"), 1);
  add_handler<counter>(m, {.id = "2"}, std::string("b"), 2);
  const auto changed = replace_handler_state<counter>(m, [](counter c) {
    if (c.fires == 2) throw std::runtime_error("not this");
    c.fires = 10;
    return c;
  });
  CHECK(changed == 1);
  CHECK(sys::state_text(m) == "event_manager{counter: counter{name: \"a\", fires: 10}, counter \"2\": counter{name: \"b\", fires: 2}}");
}

TEST_CASE("SE-72 a handler in a process of its own holds nobody up; sync_notify waits for it all the same") {
  journal j;
  watched_gate gate;
  own_world w;
  booked here(j);
  struct slow {
    const watched_gate* at;
    void handle_event(const fire& f) { at->pass(), note("slow " + std::to_string(f.floor)); }
    int handle_call(how_many) { return 77; }
    int terminate(const handler_end&) { return 5; }
  };
  const auto m = start<alarms>();
  add_handler<slow>(m, {.own_process = true}, &gate);
  add_handler<counter>(m, {}, std::string("a"));
  auto waiting = spawn_monitor([m] { sync_notify(m, fire{1}, infinity), note("all done"); });
  REQUIRE(gate.is_entered());
  sync_notify(m, tick{});
  CHECK(j.lines() == lines{"a fire 1", "a tick"});
  gate.open();
  CHECK(reason_of_end(waiting.who, waiting.ref).is(exit_reason::normal));
  CHECK(j.lines() == lines{"a fire 1", "a tick", "slow 1", "all done"});
  CHECK(call_handler<slow>(m, how_many{}) == 77);
  CHECK(delete_handler<slow>(m) == 5);
  CHECK(eventually([&] { return names_of(m) == lines{"counter"}; }));
}

TEST_CASE("SE-72 a handler in a process of its own that fails is removed; the manager goes on") {
  journal j;
  own_world w;
  booked here(j);
  const auto m = start<alarms>();
  add_handler<moody>(m, {.own_process = true});
  CHECK(to_text(try_add_handler<refuser>(m, {.own_process = true}, 1).reason()) == "no room");
  sync_notify(m, fire{15});                                  // the receipt goes with the process
  CHECK(eventually([&] { return names_of(m).empty(); }));
  CHECK(eventually([&] { return j.has("moody error: std::runtime_error: afraid of 15"); }));
  const auto reports = w.reports.of("handler", m);
  REQUIRE(reports.size() == 1);
  CHECK(field_of(reports[0], "why") == "std::runtime_error: afraid of 15");
  CHECK(alive(m.id()));
}

TEST_CASE("SE-65 SE-72 who asks a handler whose own process ends first is told") {
  own_world w;
  struct mortal {
    void handle_event(tick) {}
    int handle_call(how_many) { exit(self(), exit_reason::kill), sleep_for(1h); return 1; }
  };
  const auto m = start<alarms>();
  add_handler<mortal>(m, {.own_process = true});
  const auto answer = try_call_handler<mortal>(m, how_many{});
  REQUIRE(!answer);
  CHECK(answer.error().is(handler_error::failed));
  CHECK(eventually([&] { return names_of(m).empty(); }));
}
