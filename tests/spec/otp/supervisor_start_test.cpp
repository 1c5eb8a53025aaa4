// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "spec/otp/supervisor_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

/// What a start that must fail says.
start_error error_of_start(const supervisor_spec& spec) {
  auto r = try_start_supervisor(spec);
  REQUIRE_FALSE(r.has_value());
  return r.error();
}

std::optional<supervisor_spec> perhaps(bool wanted, journal* notes) {
  if (!wanted) return std::nullopt;
  return supervisor_spec{.children = {worker_child("a", notes)}};
}
supervisor_spec throwing() { throw std::runtime_error("no plan"); }
result<supervisor_spec, exit_reason> refusing() { return error(exit_reason("not today")); }

}  // namespace

TEST_CASE("SV-10 a supervisor restarts one for one, three times in five seconds, and does not end by itself") {
  const supervisor_spec spec;
  CHECK(spec.strategy == one_for_one);
  CHECK(spec.intensity == 3);
  CHECK(spec.period == 5s);
  CHECK(spec.auto_shutdown == never);
}

TEST_CASE("SV-4 SV-11 OL-68 what cannot be is refused before anything starts") {
  journal notes;
  own_world world;
  const auto says = [&](supervisor_spec spec, const std::string& part) {
    spec.children.insert(spec.children.begin(), worker_child("first", &notes));
    const start_error e = error_of_start(spec);
    CHECK(e.is(start_error::failed));
    CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, e.what());
  };
  says({.period = 0s}, "period is not positive: 0 ns");
  says({.strategy = static_cast<strategy>(9)}, "strategy is invalid: 9");
  says({.auto_shutdown = static_cast<auto_shutdown>(9)}, "auto_shutdown is invalid: 9");
  says({.children = {worker_child("first", &notes)}}, "child \"first\": id is there twice");
  says({.children = {worker_child("b", &notes, {.shutdown = -10ms})}}, "child \"b\": shutdown is negative: -10 ms");
  says({.children = {child_spec{.id = "b"}}}, "child \"b\": start is missing");
  says({.strategy = simple_one_for_one, .auto_shutdown = any_significant}, "auto_shutdown is any_significant, but strategy is simple_one_for_one");
  says({.strategy = simple_one_for_one, .children = {worker_child("b", &notes)}}, "has one child, its template; there are 2");
  says({.strategy = rest_for_one, .start_in_parallel = true}, "start_in_parallel is true, but strategy is rest_for_one");
  CHECK(notes.lines().empty());
}

TEST_CASE("SV-5 a significant child needs a supervisor that may end by itself") {
  own_world world;
  const start_error e = error_of_start({.children = {worker_child("s", nullptr, {.restart = transient, .significant = true})}});
  CHECK(std::string(e.what()).find("significant is true, but auto_shutdown is never") != std::string::npos);
  CHECK(std::string(error_of_start({.auto_shutdown = any_significant, .children = {worker_child("s", nullptr, {.significant = true})}}).what())
            .find("significant is true, but restart is permanent") != std::string::npos);
}

TEST_CASE("SV-15 children start one after another, in order, and the supervisor's start returns after the last") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a", &notes), worker_child("b", &notes), worker_child("c", &notes)}});
  CHECK(notes.lines() == lines{"+a", "+b", "+c"});
  CHECK(ids_of(s.which_children()) == lines{"a", "b", "c"});
  for (const auto& c : s.which_children()) {
    CHECK(c.state == child_state::running);
    CHECK(call(server_cast<worker>(c.who), worker::ping{}) == c.id);
  }
  stop(s.id());
}

TEST_CASE("SV-16 OL-68 a child that does not start undoes the start, in reverse order") {
  journal notes;
  moody::plan plan;
  plan.failures = 1;
  own_world world;
  const start_error e = error_of_start({.name = "top", .children = {careful_child("a", &notes), careful_child("b", &notes), child<moody>({.id = "m"}, &plan),
                                                                    worker_child("never", &notes)}});
  CHECK(e.is(start_error::failed));
  CHECK(e.reason().is(exit_reason::shutdown));
  CHECK(e.reason().text() == "failed_to_start_child \"m\": not in the mood");
  CHECK(notes.lines() == lines{"-b shutdown", "-a shutdown"});
  CHECK(plan.attempts == 1);
  CHECK_FALSE(whereis("top"));
  REQUIRE(reports_in(world.reports, "start_error").size() == 1);
  CHECK(field_of(reports_in(world.reports, "start_error")[0], "why") == "not in the mood");
}

TEST_CASE("SV-16 a trapping parent keeps no EXIT of a supervisor that did not start") {
  moody::plan plan;
  plan.failures = 1;
  own_world world;
  (void)run_process([&] {
    trap_exit(true);
    CHECK_FALSE(try_start_supervisor_link({.children = {child<moody>({}, &plan)}}).has_value());
    CHECK(mailbox_is_empty());
  });
}

TEST_CASE("SV-17 a child that says ignore is kept, without a process; a temporary one is dropped") {
  moody::plan kept, dropped;
  kept.ignores = 1;
  dropped.ignores = 1;
  own_world world;
  const supervisor s = start_supervisor({.children = {child<moody>({.id = "kept"}, &kept), child<moody>({.id = "dropped", .restart = temporary}, &dropped)}});
  CHECK(ids_of(s.which_children()) == lines{"kept"});
  CHECK(s.which_child("kept").state == child_state::stopped);
  CHECK(s.restart_child("kept").is(started_child::started));
  CHECK(s.which_child("kept").state == child_state::running);
  stop(s.id());
}

TEST_CASE("SV-18 the function that makes a supervisor may want none, refuse, or throw") {
  journal notes;
  own_world world;
  (void)run_process([&] {
    trap_exit(true);
    const auto kind_of = [](auto f, auto... a) -> std::optional<start_error> {
      try {
        start_supervisor_link({}, f, a...);
        return std::nullopt;
      } catch (const start_error& e) {
        return e;
      }
    };
    CHECK_FALSE(kind_of(&perhaps, true, &notes));
    CHECK(notes.lines() == lines{"+a"});
    CHECK(kind_of(&perhaps, false, &notes)->ignored());
    CHECK(kind_of(&refusing)->reason().text() == "not today");
    CHECK(kind_of(&throwing)->reason().text() == "no plan");
    CHECK(mailbox_is_empty());
  });
}

TEST_CASE("SV-26 SV-62 what is of no child is nobody's business; what is no request is logged and dropped") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a")}});
  (void)run_process([&] { exit(s.id(), exit_reason("from somebody")); });
  send(s.id(), std::string("hello"));
  CHECK(s.count_children().active == 1);
  CHECK(alive(s.id()));
  bool logged = false;
  for (const report& r : world.reports.all()) logged |= r.level == log_level::error && field_of(r, "message").find("hello") != std::string::npos;
  CHECK(logged);
  stop(s.id());
}

TEST_CASE("OL-66 a supervisor has a name, which children and others find") {
  own_world world;
  const supervisor s = start_supervisor({.name = "house", .children = {child<worker>({.name = "door"}, "door", nullptr)}});
  CHECK(whereis("house") == s.id());
  CHECK(supervisor("house").which_child("door").who == whereis("door"));
  const start_error taken = error_of_start({.name = "house"});
  CHECK(taken.is(start_error::already_started));
  CHECK(taken.holder() == s.id());
  stop("house");
  CHECK_FALSE(whereis("door"));
}

TEST_CASE("OL-66 a tree is a value: it is copied, compared, printed, and made real again and again") {
  journal notes;
  own_world world;
  const supervisor_spec tree_spec{.name = "top",
                             .strategy = rest_for_one,
                             .children = {worker_child("a", &notes),
                                          child(supervisor_spec{.name = "below", .children = {worker_child("b", &notes), worker_child("c", &notes, {.restart = transient})}})}};
  supervisor_spec other = tree_spec;
  CHECK(other == tree_spec);
  std::get<0>(*const_cast<std::tuple<supervisor_spec>*>(other.children[1].start.arguments().as<std::tuple<supervisor_spec>>())).intensity = 9;
  CHECK(other != tree_spec);
  const std::string text = to_text(tree_spec);
  CHECK(text.find("supervisor \"top\" (rest_for_one, 3 restarts in 5 s) {\n  worker \"a\" (permanent, shutdown 5 s)") == 0);
  CHECK(text.find("supervisor \"below\" (permanent, shutdown infinity, supervisor)") != std::string::npos);
  for (int times = 0; times < 2; ++times) {
    const supervisor s = start_supervisor(tree_spec);
    const std::string drawn = to_text(tree(s));
    CHECK(drawn.find("├─ a <0.") != std::string::npos);
    CHECK(drawn.find("└─ below <0.") != std::string::npos);
    CHECK(drawn.find("   └─ c <0.") != std::string::npos);
    stop(s.id());
  }
  CHECK(notes.lines() == lines{"+a", "+b", "+c", "+a", "+b", "+c"});
}

namespace {

/// Two servers each of which needs the other to be starting, too.
struct meeting {
  static inline std::atomic<int> there{0};
  void init() {
    ++there;
    while (there.load() < 3) sleep_for(1ms);
  }
};

}  // namespace

TEST_CASE("SV-15 with start_in_parallel the children do not wait for one another; their parent is the supervisor all the same") {
  moody::plan plan;
  own_world world;
  meeting::there = 0;
  const supervisor s = start_supervisor({.start_in_parallel = true, .children = {child<meeting>({.id = "a"}), child<meeting>({.id = "b"}), child<meeting>({.id = "c"})}});
  CHECK(ids_of(s.which_children()) == lines{"a", "b", "c"});
  for (const auto& c : s.which_children()) {
    CHECK(eventually([&] { return process_info(c.who)->links == std::vector<pid>{s.id()}; }));   // a starter unlinks when it goes
    CHECK(process_info(c.who)->ancestors.front() == s.id());
  }
  const pid a = pid_of(s, "a");
  kill_child(a);
  CHECK(pid_of(s, "a") != a);
  stop(s.id());

  plan.failures = 1;
  journal notes;
  const start_error e = error_of_start({.start_in_parallel = true, .children = {careful_child("x", &notes), child<moody>({.id = "m"}, &plan), careful_child("y", &notes)}});
  CHECK(e.reason().text() == "failed_to_start_child \"m\": not in the mood");
  CHECK(notes.lines() == lines{"-y shutdown", "-x shutdown"});
}

namespace {

/// Says that it is there, and never comes to an end.
struct endless {
  static inline std::atomic<int> alive{0};
  endless() { ++alive; }
  endless(const endless&) = delete;
  ~endless() { --alive; }
  void init() { sleep_for(infinity); }
};

}  // namespace

TEST_CASE("SV-15 GS-7 a start in parallel that takes too long takes the children that are still starting with it") {
  own_world world;
  const auto late = try_start_supervisor({.start_in_parallel = true, .children = {child<endless>({.id = "a"}), child<endless>({.id = "b"})}}, {.timeout = 20ms});
  REQUIRE(!late);
  CHECK(late.error().is(start_error::timeout));
  CHECK(eventually([] { return endless::alive == 0; }));
}
