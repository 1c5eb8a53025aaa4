// SPDX-License-Identifier: Apache-2.0
//
// How children, and supervisors, are stopped; and what may be asked of a supervisor.
#include <doctest/doctest.h>

#include "spec/otp/supervisor_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

/// The reasons of the shutdown_error reports.
lines shutdown_errors(const caught_reports& reports) {
  lines out;
  for (const report& r : reports_in(reports, "shutdown_error")) out.push_back(field_of(r, "why"));
  return out;
}

/// A trapping server that ends for a reason of its own when it is told to end.
struct stubborn {
  static constexpr server_options options{.trap_exit = true};
  exit_reason why{};
  void terminate(const exit_reason&) { exit(why); }
};

pid start_without_link(std::string id) { return start<worker>({}, std::move(id), nullptr); }
started_child start_told() { return {start_link<worker>({}, "told", nullptr), any_value(std::string("port 80"))}; }

}  // namespace

// --- stopping children -----------------------------------------------------------------------------------------------

TEST_CASE("SV-50 SV-53 a child is told to end and ends with shutdown; brutal_kill kills it; neither is an error") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {careful_child("kind", &notes), careful_child("brutal", &notes, {.shutdown = brutal_kill})}});
  const pid brutal = pid_of(s, "brutal");
  const reference ref = monitor(brutal);
  s.terminate_child("kind");
  s.terminate_child("brutal");
  CHECK(reason_of_end(brutal, ref) == exit_reason::killed);
  CHECK(notes.lines() == lines{"-kind shutdown"});
  CHECK(shutdown_errors(world.reports).empty());
  stop(s.id());
}

TEST_CASE("SV-50 SV-53 SV-56 a child that takes longer than it may is killed, and that is an error") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {careful_child("slow", &notes, {.shutdown = 1ms}, 1h)}});
  s.terminate_child("slow");
  CHECK(notes.lines().empty());
  CHECK(shutdown_errors(world.reports) == lines{"killed"});
  stop(s.id());
}

TEST_CASE("SV-56 a child that needs less than it may is waited for no longer") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {careful_child("quick", &notes, {.shutdown = 1h}, 5ms), careful_child("endless", &notes, {.shutdown = infinity}, 1ms)}});
  s.terminate_child("quick");
  s.terminate_child("endless");
  CHECK(notes.lines() == lines{"-quick shutdown", "-endless shutdown"});
  stop(s.id());
}

TEST_CASE("SV-53 the end of a child that was told to end is expected, or reported") {
  const auto reported = [](restart_type restart, exit_reason why) {
    own_world world;
    const supervisor s = start_supervisor({.children = {child<stubborn>({.id = "s", .restart = restart}, why)}});
    s.terminate_child("s");
    const auto errors = shutdown_errors(world.reports);
    stop(s.id());
    return !errors.empty();
  };
  for (const restart_type r : {permanent, transient, temporary}) {
    CHECK_FALSE(reported(r, exit_reason::shutdown));
    CHECK(reported(r, exit_reason::normal) == (r == permanent));
    CHECK(reported(r, exit_reason::shutdown_because("tired")) == (r == permanent));
    CHECK(reported(r, exit_reason("broken")));
  }
}

TEST_CASE("SV-51 a child that has unlinked itself does not hold its supervisor up") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a"), worker_child("b", nullptr, {.shutdown = infinity}), worker_child("c", nullptr, {.shutdown = brutal_kill})}});
  for (const char* id : {"a", "b", "c"}) {
    call(server_cast<worker>(pid_of(s, id)), worker::unlink_from{s.id()});
    s.terminate_child(id);
  }
  CHECK(s.count_children().active == 0);
  stop(s.id());
}

TEST_CASE("SV-51 SV-52 a child that ended before it was told to is reported with its own reason, and nothing of it is left") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a")}});
  const pid a = pid_of(s, "a");
  suspend_process(s.id());
  const monitored asking = spawn_monitor([s] { s.terminate_child("a"); });
  REQUIRE(eventually([&] { return process_info(s.id())->queue_length == 1; }));
  kill_child(a, exit_reason("of its own"));                           // its EXIT is behind the request
  resume_process(s.id());
  CHECK(reason_of_end(asking.who, asking.ref) == exit_reason::normal);
  CHECK(shutdown_errors(world.reports) == lines{"of its own"});
  CHECK(s.which_child("a").state == child_state::stopped);
  CHECK_FALSE(alive(a));
  CHECK(process_info(s.id())->queue_length == 0);
  stop(s.id());
}

TEST_CASE("SV-50 SV-52 who else is linked to a child that is stopped, or monitors it, hears why; its supervisor hears nothing") {
  own_world world;
  for (const bool kill : {false, true}) {
    const exit_reason why = kill ? exit_reason::killed : exit_reason::shutdown;
    const supervisor s = start_supervisor({.children = {worker_child("a", nullptr, {.shutdown = kill ? shutdown_time(brutal_kill) : shutdown_time(infinity)})}});
    const pid a = pid_of(s, "a");
    exit_reason over_link;
    const monitored friendly = spawn_monitor([&, a] {
      trap_exit(true);
      link(a);
      receive([&](exit_signal e) { over_link = e.reason; });
    });
    REQUIRE(eventually([&] { return process_info(a)->links.size() == 2; }));
    const reference ref = monitor(a);
    s.terminate_child("a");
    CHECK_FALSE(alive(a));
    CHECK(reason_of_end(a, ref) == why);
    CHECK(reason_of_end(friendly.who, friendly.ref) == exit_reason::normal);
    CHECK(over_link == why);
    const auto now = process_info(s.id());
    CHECK(now->links.empty());
    CHECK(now->monitors.empty());
    CHECK(now->queue_length == 0);
    CHECK(shutdown_errors(world.reports).empty());
    for (const report& r : world.reports.all()) CHECK(r.kind != "crash");   // it did as it was told
    stop(s.id());
  }
}

TEST_CASE("SV-54 OL-69 children are stopped newest first, one at a time") {
  for (const strategy how : {one_for_one, one_for_all, rest_for_one}) {
    journal notes;
    own_world world;
    const supervisor s = start_supervisor({.strategy = how, .children = {careful_child("a", &notes), careful_child("b", &notes, {}, 3ms), careful_child("c", &notes, {}, 1ms)}});
    s.start_child(careful_child("later", &notes));                    // SV-55
    stop(s.id());
    CHECK(notes.lines() == lines{"-later shutdown", "-c shutdown", "-b shutdown", "-a shutdown"});
  }
}

TEST_CASE("SV-55 a restarted child keeps its place, one that was added is behind all others") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {careful_child("a", &notes), careful_child("b", &notes)}});
  s.start_child(careful_child("c", &notes));
  kill_child(pid_of(s, "a"));
  CHECK(ids_of(s.which_children()) == lines{"a", "b", "c"});
  stop(s.id());
  CHECK(notes.lines() == lines{"-c shutdown", "-b shutdown", "-a shutdown"});
}

// --- the supervisor's own end ----------------------------------------------------------------------------------------

TEST_CASE("SV-60 the end of its parent is the supervisor's, with the same reason, after its children") {
  for (const exit_reason& why : {exit_reason(exit_reason::normal), exit_reason(exit_reason::shutdown), exit_reason("gone")}) {
    journal notes;
    own_world world;
    pid top;
    std::optional<reference> ref;
    const pid watcher = self();
    const pid parent = spawn([&, watcher] {
      const supervisor s = start_supervisor_link({.children = {careful_child("a", &notes)}});
      send(watcher, s.id());
      receive([&](std::string) {});
      exit(why);
    });
    receive([&](pid p) { top = p; });
    ref = monitor(top);
    send(parent, std::string("go"));
    CHECK(reason_of_end(top, *ref) == why);
    CHECK(notes.lines() == lines{"-a shutdown"});
  }
}

TEST_CASE("SV-60 exit signals of others are ignored; a kill takes the children along by their links") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("plain"), careful_child("trapping", &notes)}});
  const pid plain = pid_of(s, "plain"), trapping = pid_of(s, "trapping");
  (void)run_process([&] { exit(s.id(), exit_reason("no")); });
  CHECK(s.count_children().active == 2);
  const reference a = monitor(plain), b = monitor(trapping);
  kill_child(s.id());
  CHECK(reason_of_end(plain, a) == exit_reason::killed);
  CHECK(reason_of_end(trapping, b) == exit_reason::killed);
  CHECK(notes.lines() == lines{"-trapping killed"});
}

TEST_CASE("SV-61 stop ends a supervisor with the reason that was given, its children first") {
  journal notes;
  own_world world;
  const supervisor s = start_supervisor({.children = {careful_child("a", &notes, {.shutdown = infinity}, 1ms)}});
  const reference ref = monitor(s.id());
  const pid who = s.id();
  stop(who, exit_reason("enough"));
  CHECK(notes.lines() == lines{"-a shutdown"});
  CHECK(reason_of_end(who, ref) == exit_reason("enough"));
}

// --- operations ------------------------------------------------------------------------------------------------------

TEST_CASE("SV-70 SV-71 OL-73 start_child") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.children = {child<worker>({.id = "a", .name = "door"}, "a", nullptr)}});
  const started_child made = s.start_child(worker_child("b"));
  CHECK(made.is(started_child::started));
  CHECK(pid_of(s, "b") == made.who());
  CHECK(*s.start_child(child({.id = "told"}, &start_told)).info().as<std::string>() == "port 80");

  const auto running = error_of(s.try_start_child(worker_child("b")));
  CHECK(running.is(supervisor_error::already_started));
  CHECK(running.holder() == made.who());
  s.terminate_child("b");
  CHECK(error_of(s.try_start_child(worker_child("b"))).is(supervisor_error::already_present));

  const auto bad = error_of(s.try_start_child(worker_child("c", nullptr, {.shutdown = -1s})));
  CHECK(bad.is(supervisor_error::bad_child_spec));
  CHECK(std::string(bad.what()).find("shutdown is negative: -1 s") != std::string::npos);
  CHECK(error_of(s.try_start_child(worker_child("c", nullptr, {.restart = transient, .significant = true}))).is(supervisor_error::bad_child_spec));

  const auto clash = error_of(s.try_start_child(child<worker>({.id = "d", .name = "door"}, "d", nullptr)));
  CHECK(clash.is(supervisor_error::already_started));
  CHECK(clash.holder() == pid_of(s, "a"));

  plan.failures = 1;
  const auto failed = error_of(s.try_start_child(child<moody>({.id = "m"}, &plan)));
  CHECK(failed.is(supervisor_error::failed));
  CHECK(failed.reason().text() == "not in the mood");
  CHECK(std::string(failed.what()).find("moody \"m\"") != std::string::npos);
  CHECK(error_of(s.try_which_child("m")).is(supervisor_error::not_found));

  plan.ignores = 2;
  CHECK(s.start_child(child<moody>({.id = "kept"}, &plan)).is(started_child::ignored));
  CHECK(s.which_child("kept").state == child_state::stopped);
  CHECK(s.start_child(child<moody>({.id = "dropped", .restart = temporary}, &plan)).is(started_child::ignored));
  CHECK(ids_of(s.which_children()) == lines{"a", "b", "told", "kept"});
  CHECK_THROWS_AS(s.start_child(worker_child("a")), supervisor_error);
  stop(s.id());
}

TEST_CASE("SV-6 a child whose start function forgot the link is linked all the same") {
  own_world world;
  const supervisor s = start_supervisor({.children = {child({.id = "a"}, &start_without_link, "a")}});
  const pid a = pid_of(s, "a");
  kill_child(a);
  CHECK(pid_of(s, "a") != a);
  CHECK(pid_of(s, "a"));
  stop(s.id());
}

TEST_CASE("SV-72 OL-73 terminate_child") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a"), worker_child("t", nullptr, {.restart = temporary})}});
  s.terminate_child("a");
  CHECK(s.which_child("a").state == child_state::stopped);
  s.terminate_child("a");
  CHECK(error_of(s.try_terminate_child("nobody")).is(supervisor_error::not_found));
  CHECK(error_of(s.try_terminate_child(pid_of(s, "t"))).is(supervisor_error::not_found));
  s.terminate_child("t");
  CHECK(ids_of(s.which_children()) == lines{"a"});
  stop(s.id());
}

TEST_CASE("SV-73 SV-74 OL-73 restart_child and delete_child") {
  moody::plan plan;
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a"), child<moody>({.id = "m"}, &plan)}});
  CHECK(error_of(s.try_restart_child("a")).is(supervisor_error::running));
  CHECK(error_of(s.try_delete_child("a")).is(supervisor_error::running));
  CHECK(error_of(s.try_restart_child("x")).is(supervisor_error::not_found));
  CHECK(error_of(s.try_delete_child("x")).is(supervisor_error::not_found));
  s.terminate_child("m");
  plan.failures = 1;
  CHECK(error_of(s.try_restart_child("m")).is(supervisor_error::failed));
  CHECK(s.which_child("m").state == child_state::stopped);
  const pid again = s.restart_child("m").who();
  CHECK(again == pid_of(s, "m"));
  s.terminate_child("m");
  s.delete_child("m");
  CHECK(ids_of(s.which_children()) == lines{"a"});
  stop(s.id());
}

TEST_CASE("SV-75 SV-76 what is there, and how many") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("w"), child({.id = "s"}, supervisor_spec{}), worker_child("t", nullptr, {.restart = transient})}});
  s.terminate_child("t");
  const auto all = s.which_children();
  REQUIRE(all.size() == 3);
  CHECK(all[0].id == "w");
  CHECK(all[0].type == child_type::worker);
  CHECK(all[0].start == "worker");
  CHECK(all[1].type == child_type::supervisor);
  CHECK(all[2].state == child_state::stopped);
  CHECK_FALSE(all[2].who);
  CHECK(s.which_child("w").who == all[0].who);
  const child_counts n = s.count_children();
  CHECK(n.specs == 3);
  CHECK(n.active == 2);
  CHECK(n.supervisors == 1);
  CHECK(n.workers == 2);
  stop(s.id());
  CHECK(error_of(s.try_which_children()).is(supervisor_error::unreachable));
}

TEST_CASE("SV-77 SV-93 get_childspec gives the spec with its defaults; a temporary child's arguments are not kept") {
  own_world world;
  const child_spec kept = worker_child("a");
  const supervisor s = start_supervisor({.children = {kept, worker_child("t", nullptr, {.restart = temporary})}});
  CHECK(s.get_childspec("a") == kept);
  CHECK_FALSE(s.get_childspec("t").start.arguments());
  CHECK(s.get_childspec("t").restart == temporary);
  CHECK(error_of(s.try_get_childspec("x")).is(supervisor_error::not_found));
  stop(s.id());
}

TEST_CASE("SV-78 while a child starts, everything else in its supervisor waits") {
  own_world world;
  static watched_gate* at = nullptr;
  watched_gate entrance;
  at = &entrance;
  struct slow_start {
    void init() { at->pass(); }
  };
  const supervisor s = start_supervisor({.children = {worker_child("a")}});
  const pid starter = spawn([s] { s.start_child(child<slow_start>({.id = "slow"})); });
  REQUIRE(entrance.is_entered());
  CHECK(error_of(s.try_count_children(1ms)).is(supervisor_error::unreachable));
  const reference ref = monitor(starter);
  entrance.open();
  CHECK(reason_of_end(starter, ref) == exit_reason::normal);
  CHECK(s.count_children().active == 2);
  stop(s.id());
}

TEST_CASE("OL-74 a request that is none does not hurt a supervisor") {
  struct unknown { using reply = int; };
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a")}});
  const auto answer = try_call(server_ref<messages<unknown>>(s.id()), unknown{});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().is(call_error::bad_request));
  CHECK(s.count_children().active == 1);
  stop(s.id());
}

TEST_CASE("OL-67 OL-75 a child is what its start function starts, with Erlang's defaults") {
  own_world world;
  const child_spec spec = child({.id = "a"}, &start_without_link, "a");
  CHECK(spec.restart == permanent);
  CHECK(spec.shutdown == shutdown_time(5s));
  CHECK(child(supervisor_spec{}).shutdown == shutdown_time(infinity));
  const supervisor s = start_supervisor({.children = {spec}});
  CHECK(call(server_cast<worker>(pid_of(s, "a")), worker::ping{}) == "a");
  stop(s.id());
}

// --- change of code --------------------------------------------------------------------------------------------------

namespace {

std::atomic<int> version{1};
std::optional<supervisor_spec> versioned(journal* notes) {
  if (version == 1) return supervisor_spec{.intensity = 1, .children = {worker_child("a", notes), worker_child("b", notes)}};
  if (version == 2) return supervisor_spec{.strategy = rest_for_one, .intensity = 7, .children = {worker_child("a", notes, {.restart = transient}), worker_child("new", notes)}};
  if (version == 3) return supervisor_spec{.period = 0s};
  return std::nullopt;
}

}  // namespace

TEST_CASE("SV-95 a change takes over flags and specs; processes stay, new children wait, missing ones remain") {
  journal notes;
  own_world world;
  version = 1;
  supervisor s;
  const supervisor_spec holder{};
  s = start_supervisor({}, &versioned, &notes);
  const pid a = pid_of(s, "a"), b = pid_of(s, "b");
  version = 2;
  s.code_change();
  CHECK(s.about().intensity == 7);
  CHECK(s.about().strategy == rest_for_one);
  CHECK(pid_of(s, "a") == a);
  CHECK(pid_of(s, "b") == b);
  CHECK(s.get_childspec("a").restart == transient);
  CHECK(s.which_child("new").state == child_state::stopped);
  version = 3;
  CHECK_THROWS_AS(s.code_change(), supervisor_error);
  CHECK(s.about().intensity == 7);
  version = 4;                                                        // ignore
  s.code_change();
  CHECK(s.about().intensity == 7);
  s.change({.intensity = 9, .children = {worker_child("b", &notes)}});
  CHECK(s.about().intensity == 9);
  CHECK(pid_of(s, "b") == b);
  leave_child(a, exit_reason::normal);
  CHECK_FALSE(pid_of(s, "a"));
  CHECK(error_of(s.try_change({.strategy = simple_one_for_one, .children = {worker_child("b")}})).is(supervisor_error::bad_supervisor_spec));
  stop(s.id());
}

// --- reports ---------------------------------------------------------------------------------------------------------

TEST_CASE("SV-100 a report names the supervisor, the child, why, and what was done about it") {
  own_world world;
  const supervisor s = start_supervisor({.name = "house", .children = {child<worker>({.id = "door", .shutdown = 2s}, "d", nullptr)}});
  const pid before = pid_of(s, "door");
  leave_child(before, exit_reason("hinges"));
  const pid now = pid_of(s, "door");
  const auto all = reports_in(world.reports, "child_terminated");
  REQUIRE(all.size() == 1);
  CHECK(all[0].level == log_level::error);
  CHECK(all[0].kind == "supervisor");
  CHECK(all[0].who == to_text(s.id()));
  CHECK(all[0].name == "house");
  CHECK(all[0].json().find("\"who\":\"" + to_text(s.id()) + "\",\"name\":\"house\"") != std::string::npos);
  CHECK(all[0].headline == "supervisor \"house\" " + to_text(s.id()) + "  child worker \"door\" " + to_text(before) + " ended");
  CHECK(field_of(all[0], "why") == "hinges");
  CHECK(field_of(all[0], "restarted as") == to_text(now));
  CHECK(field_of(all[0], "restarts") == "1 of 3 in 5 s");
  CHECK(field_of(all[0], "child").find("worker \"door\" (permanent, shutdown 2 s)") == 0);
  stop(s.id());
}

TEST_CASE("SV-101 progress is told of each child that was started: at info by itself, at debug by hand") {
  own_world world;
  const supervisor s = start_supervisor({.children = {worker_child("a")}});
  s.start_child(worker_child("b"));
  kill_child(pid_of(s, "a"));
  CHECK(pid_of(s, "a"));
  std::vector<log_level> levels;
  for (const report& r : world.reports.all())
    if (r.kind == "progress") {
      levels.push_back(r.level);
      CHECK(r.who == to_text(s.id()));
      CHECK(r.name == "supervisor");   // without a name: its class
    }
  CHECK(levels == std::vector<log_level>{log_level::info, log_level::debug, log_level::info});
  stop(s.id());
}
