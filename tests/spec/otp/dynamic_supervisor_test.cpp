// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/dynamic_supervisor.hpp>

#include <doctest/doctest.h>

#include "spec/otp/supervisor_world.hpp"

#include <algorithm>

using namespace coppice;
using namespace coppice::testing;

namespace {

supervisor start_simple(child_options options = {}, unsigned intensity = 3) {
  return start_supervisor({.strategy = simple_one_for_one, .intensity = intensity, .children = {child_template<careful_worker, journal*>(options, std::string("from template"))}});
}
/// Needs what its supervisor gives, then what is its own.
struct informed {
  std::string config{};
  int number = 0;
  struct ask { using reply = std::string; };
  std::string handle_call(ask) const { return config + std::to_string(number); }
};

std::atomic<int> there;
struct together {                                                     // none ends before all have begun to
  static constexpr server_options options{.trap_exit = true};
  void terminate(const exit_reason&) {
    ++there;
    while (there.load() < 20) sleep_for(1ms);
  }
};

}  // namespace

TEST_CASE("SV-80 SV-81 SV-82 simple_one_for_one: a template, children by pid") {
  journal notes;
  own_world world;
  const supervisor s = start_simple({.id = "t", .restart = transient});
  CHECK(s.count_children().specs == 1);
  CHECK(s.count_children().active == 0);
  const pid a = s.start_child_from(&notes).who();
  const pid b = s.start_child_from(&notes).who();
  CHECK(call(server_cast<careful_worker>(a), worker::ping{}) == "from template");
  CHECK(s.count_children().specs == 1);
  CHECK(s.count_children().active == 2);
  for (const auto& c : s.which_children()) CHECK(c.id.empty());

  CHECK(error_of(s.try_start_child_from(3)).is(supervisor_error::failed));
  CHECK(std::string(error_of(s.try_start_child_from(3)).what()).find("takes tuple<journal*>") != std::string::npos);
  CHECK(error_of(s.try_start_child(worker_child("x"))).is(supervisor_error::bad_child_spec));
  CHECK(error_of(s.try_terminate_child("t")).is(supervisor_error::no_child_ids));
  CHECK(error_of(s.try_restart_child("t")).is(supervisor_error::no_child_ids));
  CHECK(error_of(s.try_delete_child("t")).is(supervisor_error::no_child_ids));
  CHECK(error_of(s.try_terminate_child(self())).is(supervisor_error::not_found));
  s.terminate_child(a);
  s.terminate_child(a);                                               // dead: fine
  CHECK(s.count_children().active == 1);
  CHECK(s.get_childspec("t").restart == transient);
  stop(s.id());
  CHECK_FALSE(alive(b));
}

TEST_CASE("SV-82 simple_one_for_one: what said ignore, or failed, is not kept") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.strategy = simple_one_for_one, .children = {child_template<moody, moody::plan*>({})}});
  plan.ignores = 1;
  CHECK(s.start_child_from(&plan).is(started_child::ignored));
  plan.failures = 1;
  CHECK(error_of(s.try_start_child_from(&plan)).reason().text() == "not in the mood");
  CHECK(s.count_children().active == 0);
  CHECK(s.which_children().empty());
  stop(s.id());
}

TEST_CASE("SV-83 simple_one_for_one: a restart uses the child's own arguments") {
  own_world world;
  const supervisor s = start_supervisor({.strategy = simple_one_for_one, .children = {child_template<informed, int>({}, std::string("n"))}});
  const pid seven = s.start_child_from(7).who();
  s.start_child_from(8);
  kill_child(seven);
  lines all;
  for (const auto& c : s.which_children()) all.push_back(call(server_cast<informed>(c.who), informed::ask{}));
  std::sort(all.begin(), all.end());
  CHECK(all == lines{"n7", "n8"});
  stop(s.id());
}

TEST_CASE("SV-110 SV-111 a dynamic supervisor starts empty; its children are known by pid, their ids may be equal") {
  moody::plan plan;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.name = "many"});
  CHECK(whereis("many") == s.id());
  CHECK(s.count_children().specs == 0);
  const auto a = s.start_child<worker>({.id = "same"}, "a", nullptr);
  const auto b = s.start_child<worker>({.id = "same"}, "b", nullptr);
  CHECK(call(a, worker::ping{}) == "a");
  CHECK(call(b, worker::ping{}) == "b");
  CHECK(s.count_children().active == 2);

  plan.ignores = 1;
  CHECK_FALSE(s.start_child<moody>({}, &plan));
  plan.failures = 1;
  CHECK(error_of(s.try_start_child<moody>({}, &plan)).is(supervisor_error::failed));
  CHECK(error_of(s.try_start_child(child_spec{.id = "x"})).is(supervisor_error::bad_child_spec));
  CHECK(error_of(s.try_start_child(child({.id = "thrown"}, [] { return (throw std::runtime_error("no"), pid{}); }))).reason().text() == "no");
  CHECK(s.count_children().specs == 2);
  stop(s.id());
}

TEST_CASE("SV-20 SV-21 SV-22 a dynamic supervisor restarts whom it has to, under a new pid") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  const pid permanent_one = s.start_child<worker>({}, "p", nullptr);
  const pid transient_one = s.start_child<worker>({.restart = transient}, "t", nullptr);
  const pid temporary_one = s.start_child<worker>({.restart = temporary}, "u", nullptr);
  kill_child(temporary_one);
  leave_child(transient_one, exit_reason::normal);
  leave_child(permanent_one, exit_reason::normal);
  const auto left = s.which_children();
  REQUIRE(left.size() == 1);
  CHECK(left[0].who != permanent_one);
  CHECK(call(server_cast<worker>(left[0].who), worker::ping{}) == "p");
  stop(s.id());
}

TEST_CASE("SV-112 max_children counts those that are being restarted") {
  moody::plan plan;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.intensity = 100, .max_children = 2});
  const pid m = s.start_child<moody>({.back_off = back_off{.min = 1h, .max = 2h}}, &plan);
  s.start_child<worker>({}, "a", nullptr);
  CHECK(error_of(s.try_start_child<worker>({}, "b", nullptr)).is(supervisor_error::max_children));
  kill_child(m);
  CHECK(s.count_children().active == 1);
  CHECK(s.count_children().specs == 2);
  CHECK(error_of(s.try_start_child<worker>({}, "b", nullptr)).is(supervisor_error::max_children));
  s.terminate_child(m);                                               // SV-114
  CHECK(s.try_start_child<worker>({}, "b", nullptr).has_value());
  CHECK(s.count_children().active == 2);
  stop(s.id());
}

TEST_CASE("SV-45 SV-114 a dynamic child that fails again waits longer, and is known by its last pid meanwhile") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.intensity = 100});
  const auto running = [&] {
    std::vector<pid> all;
    for (const child_information& c : s.which_children())
      if (c.who) all.push_back(c.who);
    return all;
  };
  kill_child(s.start_child<worker>({.back_off = back_off{.min = 1ms, .max = 1h, .factor = 1e9, .jitter = 0}}, "a", nullptr));
  REQUIRE(eventually([&] { return running().size() == 1; }));
  const pid again = running().front();
  kill_child(again);                                                  // the next wait is an hour
  const pid other = s.start_child<worker>({.back_off = back_off{.min = 5ms, .max = 1h, .jitter = 0}}, "b", nullptr);
  kill_child(other);
  REQUIRE(eventually([&] { return running().size() == 1; }));         // the other one, though it had to wait longer than 1 ms
  CHECK(s.count_children().specs == 2);
  s.terminate_child(again);
  CHECK(s.count_children().specs == 1);
  CHECK(s.count_children().active == 1);
  stop(s.id());
}

TEST_CASE("SV-45 a dynamic child that has lived for the longest wait is forgiven its failures, one that dies sooner is not") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.intensity = 100});
  s.start_child<worker>({.back_off = steep}, "a", nullptr);
  check_reset_of_back_off([&] { return s.which_children().front().who; });
  stop(s.id());
}

namespace {

/// A process that several specs may start: while it lives, it is who was started.
struct shared_process {
  pid who{};
  int starts = 0;
  static pid start(shared_process* all) {
    if (!alive(all->who)) {
      all->who = coppice::start<worker>({}, "shared", nullptr).id();
      ++all->starts;
    }
    return all->who;
  }
  /// The same, but one that is started is the caller's alone.
  static pid join(shared_process* all) { return alive(all->who) ? all->who : coppice::start<worker>({}, "own", nullptr).id(); }
};

}  // namespace

TEST_CASE("SV-110 a start function that returns one pid twice: one child, which is started again once") {
  shared_process one;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  const pid first = s.start_child(child({.id = "a"}, &shared_process::start, &one)).who();
  CHECK(s.start_child(child({.id = "b"}, &shared_process::start, &one)).who() == first);
  CHECK(s.count_children().specs == 1);
  CHECK(s.count_children().active == 1);
  CHECK(s.count_children().workers == 1);
  kill_child(first);
  REQUIRE(s.which_children().size() == 1);
  CHECK(s.which_children().front().who == one.who);
  CHECK(one.who != first);
  CHECK(one.starts == 2);
  s.terminate_child(one.who);
  CHECK(s.count_children().specs == 0);
  stop(s.id());
}

TEST_CASE("SV-110 of one pid from two specs the newer one counts, also where a restart returns it") {
  shared_process one;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  s.start_child(child({.id = "a"}, &shared_process::start, &one));
  s.start_child(child({.id = "b", .restart = temporary, .type = child_type::supervisor}, &shared_process::start, &one));
  CHECK(s.count_children().supervisors == 1);
  CHECK(s.count_children().workers == 0);
  kill_child(one.who);
  CHECK(s.count_children().specs == 0);
  CHECK(one.starts == 1);

  const pid own = s.start_child(child({.id = "c"}, &shared_process::join, &one)).who();
  s.start_child(child({.id = "d"}, &shared_process::start, &one));
  CHECK(s.count_children().specs == 2);
  kill_child(own);
  CHECK(s.count_children().specs == 1);
  CHECK(s.count_children().workers == 1);
  REQUIRE(s.which_children().size() == 1);
  CHECK(s.which_children().front().who == one.who);
  stop(s.id());
}

TEST_CASE("SV-113 what the supervisor gives comes before the child's own arguments, at each start") {
  own_world world;
  const auto s = start_dynamic_supervisor_with({}, std::string("config "));
  const auto a = s.start_child<informed>({}, 7);
  CHECK(call(a, informed::ask{}) == "config 7");
  kill_child(a);
  const auto left = s.which_children();
  REQUIRE(left.size() == 1);
  CHECK(call(server_cast<informed>(left[0].who), informed::ask{}) == "config 7");
  CHECK(error_of(static_cast<const dynamic_supervisor&>(s).try_start_child(worker_child("x"))).is(supervisor_error::failed));
  stop(s.id());
}

TEST_CASE("SV-114 terminate_child by pid") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  const pid a = s.start_child<worker>({}, "a", nullptr);
  s.terminate_child(a);
  CHECK_FALSE(alive(a));
  CHECK(error_of(s.try_terminate_child(a)).is(supervisor_error::not_found));
  CHECK(error_of(s.try_terminate_child(self())).is(supervisor_error::not_found));
  CHECK(s.count_children().specs == 0);
  stop(s.id());
}

TEST_CASE("SV-115 SV-44 an attempt that fails is followed by another; one that says ignore is the last") {
  moody::plan plan;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.intensity = 10, .period = 1h});
  const pid m = s.start_child<moody>({}, &plan);
  plan.failures = 3;
  kill_child(m);
  CHECK(eventually([&] { return s.count_children().active == 1; }));
  CHECK(plan.attempts == 5);
  CHECK(s.about().restarts == 4);
  plan.ignores = 1;
  kill_child(s.which_children()[0].who);
  CHECK(s.count_children().specs == 0);
  stop(s.id());
}

TEST_CASE("SV-116 the intensity is shared by all children, unless they have limits of their own") {
  own_world world;
  const dynamic_supervisor shared = start_dynamic_supervisor({.intensity = 2, .period = 1h});
  const reference ref = monitor(shared.id());
  const pid who = shared.id();
  std::vector<pid> all;
  for (int i = 0; i < 5; ++i) all.push_back(shared.start_child<worker>({}, "w", nullptr));
  for (int i = 0; i < 3; ++i) kill_child(all[static_cast<std::size_t>(i)]);
  CHECK(reason_of_end(who, ref) == exit_reason::shutdown);
  CHECK_FALSE(alive(all[4]));

  const dynamic_supervisor apart = start_dynamic_supervisor({.intensity = 0});
  for (int i = 0; i < 5; ++i) kill_child(apart.start_child<worker>({.limit = restart_limit{.restarts = 1, .period = 1h}}, "w", nullptr));
  CHECK(apart.count_children().active == 5);
  kill_child(apart.which_children()[0].who);
  CHECK(apart.count_children().active == 4);                          // one of them, for the second time
  stop(apart.id());
}

TEST_CASE("SV-117 a dynamic supervisor has no significant children") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  CHECK(error_of(s.try_start_child(worker_child("s", nullptr, {.restart = transient, .significant = true}))).is(supervisor_error::bad_child_spec));
  stop(s.id());
}

TEST_CASE("SV-54 SV-118 all children end at once, each with the time it may take") {
  journal notes;
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor();
  there = 0;
  for (int i = 0; i < 20; ++i) s.start_child<together>({.shutdown = infinity});
  s.start_child<careful_worker>({.shutdown = 1ms}, "late", &notes, duration(1h));
  s.start_child<careful_worker>({.shutdown = 2ms}, "later", &notes, duration(1h));
  s.start_child<careful_worker>({.shutdown = brutal_kill}, "brutal", &notes, duration(0));
  s.start_child<careful_worker>({.shutdown = 1h}, "kind", &notes, duration(0));
  stop(s.id());
  CHECK(there == 20);
  CHECK(notes.lines() == lines{"-kind shutdown"});
  lines errors;
  for (const report& r : reports_in(world.reports, "shutdown_error")) errors.push_back(field_of(r, "why"));
  CHECK(errors == lines{"killed", "killed"});
}

TEST_CASE("SV-90 SV-91 SV-92 a hundred thousand children come, are counted, and go") {
  own_world world;
  const dynamic_supervisor s = start_dynamic_supervisor({.intensity = 1'000'000});
  std::vector<pid> all;
  for (int i = 0; i < 100'000; ++i) all.push_back(s.start_child<worker>({.restart = temporary}, "w", nullptr));
  CHECK(s.count_children().active == 100'000);
  for (int i = 0; i < 50'000; ++i) s.terminate_child(all[static_cast<std::size_t>(i)]);
  CHECK(s.count_children().active == 50'000);
  stop(s.id());
  CHECK_FALSE(alive(all.back()));
}

TEST_CASE("EX-101 a dynamic supervisor is a child like others: type supervisor, all the time it wants, its name as id") {
  own_world world;
  const child_spec spec = child(dynamic_supervisor_spec{.name = "sessions"});
  CHECK(spec.id == "sessions");
  CHECK(spec.type == child_type::supervisor);
  CHECK(spec.shutdown == shutdown_time(infinity));
  CHECK(child(supervisor_spec{.name = "below"}).type == child_type::supervisor);
  const supervisor top = start_supervisor({.children = {spec}});
  const auto a = dynamic_supervisor("sessions").start_child<worker>({}, "a", nullptr);
  CHECK(to_text(tree(top)).find("└─ sessions " + to_text(pid_of(top, "sessions")) + "  dynamic, 0 of 3 restarts in 5 s\n   └─ " + to_text(a.id()) + "  worker") != std::string::npos);
  stop(top.id());
}
