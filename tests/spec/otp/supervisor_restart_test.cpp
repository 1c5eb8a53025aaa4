// SPDX-License-Identifier: Apache-2.0
//
// Who is started again, when, how often, and what becomes of an attempt that fails.
#include <doctest/doctest.h>

#include "otp/supervisor_core.hpp"
#include "spec/otp/supervisor_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

/// What became of the one child of a supervisor after it ended with `why`.
struct after_end {
  bool restarted;
  bool kept;
  std::size_t errors;                     // reports of the supervisor
};
after_end end_with(restart_type restart, exit_reason why) {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a", nullptr, {.restart = restart})}});
  const pid before = pid_of(s, "a");
  leave_child(before, std::move(why));
  const auto now = s.try_which_child("a");
  const after_end result{now && now->who && now->who != before, now.has_value(), reports_in(world.reports, "child_terminated").size()};
  stop(s.id());
  return result;
}

/// The end of a supervisor, seen from outside.
struct watched {
  pid who;
  reference ref;
  explicit watched(const supervisor& s) : who(s.id()), ref(monitor(who)) {}
  exit_reason end() const { return reason_of_end(who, ref); }
};

const exit_reason quiet[] = {exit_reason::normal, exit_reason::shutdown, exit_reason::shutdown_because("enough")};
const exit_reason abnormal[] = {exit_reason("oh"), exit_reason::killed, exit_reason::timeout};

std::vector<child_spec> three(journal& notes) { return {careful_child("a", &notes), careful_child("b", &notes), careful_child("c", &notes)}; }
void end_of_careful(pid who) {
  const reference ref = monitor(who);
  cast(server_cast<careful_worker>(who), worker::leave{exit_reason("broken")});
  (void)reason_of_end(who, ref);
}
/// Who runs now, by id.
std::vector<pid> pids_of(const supervisor& s) {
  std::vector<pid> all;
  for (const auto& c : s.which_children()) all.push_back(c.who);
  return all;
}

}  // namespace

TEST_CASE("SV-3 SV-20 a permanent child always comes back, and every end is reported") {
  for (const auto& why : quiet) {
    const auto r = end_with(permanent, why);
    CHECK((r.restarted && r.kept && r.errors == 1));
  }
  for (const auto& why : abnormal) {
    const auto r = end_with(permanent, why);
    CHECK((r.restarted && r.kept && r.errors == 1));
  }
}

TEST_CASE("SV-3 SV-21 SV-102 OL-71 a transient child comes back after an abnormal end only; a quiet one leaves its spec and no report") {
  for (const auto& why : quiet) {
    const auto r = end_with(transient, why);
    CHECK((!r.restarted && r.kept && r.errors == 0));
  }
  for (const auto& why : abnormal) {
    const auto r = end_with(transient, why);
    CHECK((r.restarted && r.kept && r.errors == 1));
  }
}

TEST_CASE("SV-3 SV-22 SV-102 a temporary child never comes back and is forgotten; only an abnormal end is reported") {
  for (const auto& why : quiet) {
    const auto r = end_with(temporary, why);
    CHECK((!r.restarted && !r.kept && r.errors == 0));
  }
  for (const auto& why : abnormal) {
    const auto r = end_with(temporary, why);
    CHECK((!r.restarted && !r.kept && r.errors == 1));
  }
}

TEST_CASE("SV-23 OL-69 one_for_one: the others are left alone") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = three(notes)});
  const auto before = pids_of(s);
  end_of_careful(before[1]);
  const auto now = pids_of(s);
  CHECK(now[0] == before[0]);
  CHECK(now[1] != before[1]);
  CHECK(now[2] == before[2]);
  CHECK(notes.lines() == lines{"-b broken"});
  stop(s.id());
}

TEST_CASE("SV-23 OL-69 one_for_all: all others are stopped newest first, then all start oldest first") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.strategy = one_for_all, .children = {careful_child("a", &notes), worker_child("x", &notes), careful_child("c", &notes), worker_child("y", &notes)}});
  const auto before = pids_of(s);
  crash_child(before[1]);
  const auto now = pids_of(s);
  for (int i = 0; i < 4; ++i) CHECK((now[i] && now[i] != before[i]));
  CHECK(notes.lines() == lines{"+x", "+y", "-c shutdown", "-a shutdown", "+x", "+y"});
  CHECK(ids_of(s.which_children()) == lines{"a", "x", "c", "y"});
  stop(s.id());
}

TEST_CASE("SV-23 OL-69 rest_for_one: those behind it are stopped newest first, then it and they start") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.strategy = rest_for_one, .children = {careful_child("a", &notes), worker_child("x", &notes), careful_child("c", &notes), careful_child("d", &notes)}});
  const auto before = pids_of(s);
  crash_child(before[1]);
  const auto now = pids_of(s);
  CHECK(now[0] == before[0]);
  for (int i = 1; i < 4; ++i) CHECK((now[i] && now[i] != before[i]));
  CHECK(notes.lines() == lines{"+x", "-d shutdown", "-c shutdown", "+x"});
  stop(s.id());
}

TEST_CASE("SV-24 bystanders: temporary ones are gone, all others start, also those that had ended or were stopped") {
  own_world world;
  const supervisor s = start_supervisor({.strategy = one_for_all,
                                         .children = {worker_child("first", nullptr, {.restart = temporary}), worker_child("ended", nullptr, {.restart = transient}),
                                                      worker_child("stopped"), worker_child("crashes"), worker_child("last", nullptr, {.restart = temporary})}});
  leave_child(pid_of(s, "ended"), exit_reason::normal);
  s.terminate_child("stopped");
  CHECK_FALSE(pid_of(s, "ended"));
  CHECK_FALSE(pid_of(s, "stopped"));
  crash_child(pid_of(s, "crashes"));
  CHECK(ids_of(s.which_children()) == lines{"ended", "stopped", "crashes"});
  for (const pid p : pids_of(s)) CHECK(p);
  stop(s.id());
}

TEST_CASE("SV-25 a child that stays away disturbs nobody, whatever the strategy") {
  for (const strategy how : {one_for_one, one_for_all, rest_for_one}) {
    own_world world;
    const supervisor s = start_supervisor({.strategy = how, .children = {worker_child("a"), worker_child("t", nullptr, {.restart = transient}), worker_child("u", nullptr, {.restart = temporary}), worker_child("b")}});
    const pid a = pid_of(s, "a"), b = pid_of(s, "b");
    leave_child(pid_of(s, "t"), exit_reason::normal);
    crash_child(pid_of(s, "u"));
    CHECK(pid_of(s, "a") == a);
    CHECK(pid_of(s, "b") == b);
    stop(s.id());
  }
}

TEST_CASE("SV-30 SV-32 SV-41 OL-70 so many restarts are fine, one more ends the supervisor, which stops the others newest first") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.intensity = 2, .period = 1h, .children = {careful_child("a", &notes), worker_child("x"), careful_child("c", &notes)}});
  const watched end(s);
  for (int times = 0; times < 2; ++times) crash_child(pid_of(s, "x"));
  CHECK(pid_of(s, "x"));
  crash_child(pid_of(s, "x"));
  CHECK(end.end() == exit_reason::shutdown);
  CHECK(notes.lines() == lines{"-c shutdown", "-a shutdown"});
  const auto gave_up = reports_in(world.reports, "shutdown");
  REQUIRE(gave_up.size() == 1);
  CHECK(field_of(gave_up[0], "why") == "reached_max_restart_intensity");
  CHECK(field_of(gave_up[0], "restarts") == "2 of 2 in 60 min");
}

TEST_CASE("SV-30 an intensity of 0 allows none; restarts that are old enough do not count") {
  own_world world;
  const supervisor none = start_supervisor({.intensity = 0, .children = {worker_child("a")}});
  const watched end(none);
  crash_child(pid_of(none, "a"));
  CHECK(end.end() == exit_reason::shutdown);

  const supervisor s = start_supervisor({.intensity = 1, .period = 1us, .children = {worker_child("a")}});
  for (int times = 0; times < 20; ++times) {
    crash_child(pid_of(s, "a"));
    CHECK(eventually([&] { return s.about().restarts == 0; }));   // a microsecond has passed
  }
  CHECK(pid_of(s, "a"));
  stop(s.id());
}

TEST_CASE("SV-31 the restart of a whole group counts once") {
  own_world world;
  const supervisor s = start_supervisor({.strategy = one_for_all, .intensity = 2, .period = 1h, .children = {worker_child("a"), worker_child("b"), worker_child("c")}});
  crash_child(pid_of(s, "a"));
  CHECK(pid_of(s, "a"));
  CHECK(s.about().restarts == 1);
  crash_child(pid_of(s, "b"));
  CHECK(pid_of(s, "b"));
  CHECK(s.about().restarts == 2);
  stop(s.id());
}

TEST_CASE("SV-33 a supervisor that gave up is restarted by its parent if it is permanent, with its first children only") {
  for (const restart_type kind : {permanent, transient}) {
    own_world world;
    const supervisor top = start_supervisor({.children = {child({.id = "below", .restart = kind}, supervisor_spec{.intensity = 0, .children = {worker_child("a")}})}});
    const supervisor below(pid_of(top, "below"));
    below.start_child(worker_child("added"));
    const watched end(below);
    crash_child(pid_of(below, "a"));
    CHECK(end.end() == exit_reason::shutdown);
    const pid again = pid_of(top, "below");
    CHECK(bool(again) == (kind == permanent));
    if (again) CHECK(ids_of(supervisor(again).which_children()) == lines{"a"});
    stop(top.id());
  }
}

TEST_CASE("SV-34 what is done by hand does not count") {
  own_world world;
  const supervisor s = start_supervisor({.intensity = 0, .children = {worker_child("a")}});
  for (int times = 0; times < 5; ++times) {
    s.terminate_child("a");
    s.restart_child("a");
    s.start_child(worker_child("b"));
    s.terminate_child("b");
    s.delete_child("b");
  }
  CHECK(s.about().restarts == 0);
  CHECK(pid_of(s, "a"));
  stop(s.id());
}

// --- attempts that fail ----------------------------------------------------------------------------------------------

TEST_CASE("SV-40 SV-41 OL-72 a failed attempt is followed by another one, each reported and each counted") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.intensity = 5, .period = 1h, .children = {child<moody>({.id = "m"}, &plan)}});
  plan.failures = 3;
  kill_child(pid_of(s, "m"));
  CHECK(eventually([&] { return bool(pid_of(s, "m")); }));
  CHECK(plan.attempts == 5);                                          // the first start, three failures, the good one
  CHECK(reports_in(world.reports, "start_error").size() == 3);
  CHECK(s.about().restarts == 4);
  stop(s.id());
}

TEST_CASE("SV-41 a child that cannot start any more ends its supervisor after as many attempts as there may be") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.intensity = 3, .period = 1h, .children = {child<moody>({.id = "m"}, &plan)}});
  const watched end(s);
  plan.failures = 1000;
  kill_child(pid_of(s, "m"));
  CHECK(end.end() == exit_reason::shutdown);
  CHECK(plan.attempts == 4);
}

namespace {

/// A supervisor whose child "m" waits an hour for its next attempt.
struct restarting_world {
  moody::plan plan;
  own_world world;
  supervisor s = start_supervisor({.intensity = 1000, .children = {worker_child("a"), child<moody>({.id = "m", .back_off = back_off{.min = 1h, .max = 2h}}, &plan), worker_child("b")}});
  restarting_world() { kill_child(pid_of(s, "m")); }
};

}  // namespace

TEST_CASE("SV-42 OL-72 what can be done with a child that is being restarted, and what cannot") {
  restarting_world w;
  CHECK(w.s.which_child("m").state == child_state::restarting);
  CHECK_FALSE(w.s.which_child("m").who);
  const child_counts n = w.s.count_children();
  CHECK(n.specs == 3);
  CHECK(n.active == 2);
  CHECK(error_of(w.s.try_start_child(child<moody>({.id = "m"}, &w.plan))).is(supervisor_error::already_present));
  CHECK(error_of(w.s.try_restart_child("m")).is(supervisor_error::restarting));
  CHECK(error_of(w.s.try_delete_child("m")).is(supervisor_error::restarting));
  CHECK(w.s.try_terminate_child("m").has_value());
  CHECK(w.s.which_child("m").state == child_state::stopped);
  CHECK(w.s.try_restart_child("m").has_value());
  CHECK(w.s.which_child("m").state == child_state::running);
  stop(w.s.id());
}

TEST_CASE("SV-42 a supervisor whose child is being restarted stops at once") {
  restarting_world w;
  stop(w.s.id());
  CHECK_FALSE(alive(w.s.id()));
}

TEST_CASE("SV-42 terminate_child cancels an attempt that waits in the mailbox") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.intensity = 1000, .children = {child<moody>({.id = "m"}, &plan)}});
  for (int times = 0; times < 50; ++times) {
    plan.failures = 1;
    kill_child(pid_of(s, "m"));
    s.terminate_child("m");
    const int attempts = plan.attempts;
    CHECK(s.which_child("m").state == child_state::stopped);
    CHECK(plan.attempts == attempts);
    plan.failures = 0;
    s.restart_child("m");
    CHECK(s.count_children().active == 1);
  }
  stop(s.id());
}

TEST_CASE("SV-43 one_for_all: a sibling that does not start is tried again with everybody") {
  journal notes;
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.strategy = one_for_all, .intensity = 10, .children = {worker_child("a", &notes), child<moody>({.id = "m"}, &plan), worker_child("z", &notes)}});
  plan.failures = 2;
  crash_child(pid_of(s, "a"));
  CHECK(eventually([&] { return s.count_children().active == 3; }));
  CHECK(notes.lines() == lines{"+a", "+z", "+a", "+a", "+a", "+z"});   // z waits for m
  CHECK(plan.attempts == 4);
  stop(s.id());
}

TEST_CASE("SV-43 rest_for_one: the attempt goes on from the one that did not start") {
  journal notes;
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.strategy = rest_for_one, .intensity = 10, .children = {worker_child("a", &notes), child<moody>({.id = "m"}, &plan), worker_child("z", &notes)}});
  plan.failures = 2;
  crash_child(pid_of(s, "a"));
  CHECK(eventually([&] { return s.count_children().active == 3; }));
  CHECK(notes.lines() == lines{"+a", "+z", "+a", "+z"});
  CHECK(plan.attempts == 4);
  stop(s.id());
}

TEST_CASE("SV-42 SV-43 who waits for an attempt that is cancelled stays away until it is started by hand") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.strategy = rest_for_one, .intensity = 1'000'000'000, .children = {child<moody>({.id = "m"}, &plan), worker_child("z")}});
  plan.failures = 1'000'000'000;
  kill_child(pid_of(s, "m"));
  REQUIRE(eventually([&] { return s.which_child("m").state == child_state::restarting; }));
  s.terminate_child("m");
  plan.failures = 0;
  CHECK(s.restart_child("m").is(started_child::started));
  CHECK(s.which_child("z").state == child_state::stopped);
  CHECK(s.restart_child("z").is(started_child::started));
  stop(s.id());
}

TEST_CASE("SV-44 a child that says ignore when it is restarted keeps its spec") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.children = {child<moody>({.id = "m"}, &plan)}});
  plan.ignores = 1;
  kill_child(pid_of(s, "m"));
  CHECK(s.which_child("m").state == child_state::stopped);
  CHECK(s.restart_child("m").is(started_child::started));
  stop(s.id());
}

TEST_CASE("SV-45 a child may back off: it comes back later, and the wait grows") {
  own_world world;
  const supervisor s = start_supervisor({.intensity = 100, .period = 1h, .children = {worker_child("a", nullptr, {.back_off = back_off{.min = 40ms, .max = 1h, .factor = 2, .jitter = 0}})}});
  for (const duration wait : {40ms, 80ms, 160ms}) {
    const pid before = pid_of(s, "a");
    CHECK(time_away([&] { return pid_of(s, "a"); }) > wait * 3 / 4);
    CHECK(pid_of(s, "a") != before);
  }
  CHECK(s.about().restarts == 3);
  stop(s.id());
}

TEST_CASE("SV-45 a child that has lived for the longest wait is forgiven its failures, one that dies sooner is not") {
  own_world world;
  const supervisor s = start_supervisor({.intensity = 100, .children = {worker_child("a", nullptr, {.back_off = steep})}});
  check_reset_of_back_off([&] { return pid_of(s, "a"); });
  stop(s.id());
}

TEST_CASE("SV-45 the wait grows by its factor up to its longest, and jitter spreads it to both sides") {
  own_world world;
  const back_off even{.min = 10ms, .max = 100ms, .factor = 2, .jitter = 0};
  std::vector<duration> waits;
  for (const unsigned failures : {0u, 1u, 2u, 3u, 4u, 1'000'000u}) waits.push_back(internal::back_off_time(even, failures));
  CHECK(waits == std::vector<duration>{10ms, 20ms, 40ms, 80ms, 100ms, 100ms});
  const back_off spread{.min = 10ms, .max = 100ms, .factor = 2, .jitter = 0.5};
  int shorter = 0, longer = 0;
  for (int i = 0; i != 200; ++i) {
    const duration wait = internal::back_off_time(spread, 1);
    CHECK((wait >= 10ms && wait <= 30ms));
    if (wait < 18ms) ++shorter;
    if (wait > 22ms) ++longer;
  }
  CHECK((shorter > 20 && longer > 20));
}

TEST_CASE("SV-45 a limit of its own gives up one child and leaves the others alone") {
  own_world world;
  const supervisor s = start_supervisor({.intensity = 0, .children = {worker_child("a"), worker_child("x", nullptr, {.limit = restart_limit{.restarts = 2, .period = 1h}})}});
  const pid a = pid_of(s, "a");
  for (int times = 0; times < 3; ++times) crash_child(pid_of(s, "x"));
  CHECK(s.which_child("x").state == child_state::stopped);
  CHECK(pid_of(s, "a") == a);
  CHECK(s.about().restarts == 0);
  const auto gave_up = reports_in(world.reports, "shutdown");
  REQUIRE(gave_up.size() == 1);
  CHECK(gave_up[0].headline.find("is given up") != std::string::npos);
  s.restart_child("x");
  CHECK(pid_of(s, "x"));
  stop(s.id());
}

// --- significant children --------------------------------------------------------------------------------------------

namespace {

supervisor_spec with_significant(auto_shutdown how, restart_type kind) {
  return {.auto_shutdown = how, .children = {worker_child("s", nullptr, {.restart = kind, .significant = true}), worker_child("t", nullptr, {.restart = kind, .significant = true}), worker_child("o")}};
}

}  // namespace

TEST_CASE("SV-65 any_significant: the end of one that stays away is the supervisor's end") {
  for (const restart_type kind : {transient, temporary}) {
    own_world world;
    const supervisor s = start_supervisor(with_significant(any_significant, kind));
    const watched end(s);
    leave_child(pid_of(s, "s"), exit_reason::normal);
    CHECK(end.end() == exit_reason::shutdown);
  }
  own_world world;
  const supervisor s = start_supervisor(with_significant(any_significant, temporary));
  const watched end(s);
  crash_child(pid_of(s, "t"));
  CHECK(end.end() == exit_reason::shutdown);
}

TEST_CASE("SV-66 all_significant: only the end of the last one is") {
  own_world world;
  const supervisor s = start_supervisor(with_significant(all_significant, transient));
  const watched end(s);
  leave_child(pid_of(s, "t"), exit_reason::normal);
  CHECK(s.count_children().active == 2);
  leave_child(pid_of(s, "s"), exit_reason::normal);
  CHECK(end.end() == exit_reason::shutdown);
}

TEST_CASE("SV-67 being stopped, being restarted, and not being significant end nobody") {
  own_world world;
  const supervisor s = start_supervisor(with_significant(any_significant, transient));
  s.terminate_child("s");
  crash_child(pid_of(s, "t"));
  leave_child(pid_of(s, "o"), exit_reason::normal);
  CHECK(s.count_children().active == 2);
  stop(s.id());

  supervisor_spec group = with_significant(any_significant, temporary);
  group.strategy = one_for_all;
  const supervisor g = start_supervisor(group);
  crash_child(pid_of(g, "o"));
  CHECK(ids_of(g.which_children()) == lines{"o"});
  stop(g.id());
}

TEST_CASE("SV-68 a significant child may be a supervisor: the end climbs") {
  own_world world;
  const supervisor top = start_supervisor({.auto_shutdown = any_significant,
                                           .children = {child({.id = "below", .restart = transient, .significant = true}, with_significant(any_significant, transient))}});
  const watched end(top);
  leave_child(pid_of(supervisor(pid_of(top, "below")), "s"), exit_reason::normal);
  CHECK(end.end() == exit_reason::shutdown);
}
