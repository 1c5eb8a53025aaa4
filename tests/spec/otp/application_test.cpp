// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/application.hpp>

#include <doctest/doctest.h>

#include <coppice/process/process_info.hpp>

#include "spec/otp/own_world.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// What the applications' functions have noted, in order. They are plain functions: it is the program's.
struct diary {
  static inline std::mutex guard;
  static inline std::vector<std::string> lines;
  static void note(std::string line) {
    const std::lock_guard held(guard);
    lines.push_back(std::move(line));
  }
  static std::vector<std::string> take() {
    const std::lock_guard held(guard);
    return std::exchange(lines, {});
  }
};
using words = std::vector<std::string>;

struct end_now { exit_reason why; };

struct worker {
  static constexpr server_options options{.trap_exit = true};
  std::string name;
  auto init(std::string n) {
    name = std::move(n);
    diary::note("+" + name);
    return ok();
  }
  outcome<void> handle_cast(end_now e) { return stop(e.why); }
  void terminate(const exit_reason&) { diary::note("-" + name); }
};

template <char Name>
struct letter {
  static constexpr char text[2] = {Name, '\0'};
  static supervisor_spec start(const config& c) {
    diary::note(std::string("start ") + Name);
    if (c.get("broken", false)) throw std::runtime_error("broken on purpose");
    return {.name = text, .intensity = 0, .children = {
        child<worker>({.name = std::string_view(c.get("child", std::string(text) + "1")), .restart = temporary}, std::string(text) + "1"),
        child<worker>({.id = "second", .restart = transient}, std::string(text) + "2")}};
  }
  static void prep_stop(const config&) { diary::note(std::string("prep ") + Name); }
  static void stop(const config&) { diary::note(std::string("stop ") + Name); }
  static application make(std::vector<application> needs = {}, restart_type kind = permanent) {
    return {.name = text, .needs = std::move(needs), .start = &start, .prep_stop = &prep_stop, .stop = &stop, .kind = kind};
  }
};
using a = letter<'a'>;
using b = letter<'b'>;
using c = letter<'c'>;
using d = letter<'d'>;

words names_running() {
  words all;
  for (const application_information& i : running_applications()) all.push_back(i.name);
  return all;
}

pid second_of(std::string_view name) { return supervisor(name_view(name)).which_child("second").who; }

/// The reports about applications that something is wrong with.
std::vector<report> errors_of(const caught_reports& reports) {
  std::vector<report> all;
  for (const report& r : reports.all())
    if (r.kind == "application" && r.level == log_level::error) all.push_back(r);
  return all;
}

struct fresh : own_world {
  fresh() { diary::take(); }
};

}  // namespace

TEST_CASE("OL-84 EX-120 an application is a value: its needs, its options, its functions; equal if they are") {
  const application one = b::make({a::make()}), same = b::make({a::make()});
  CHECK(one == same);
  CHECK_FALSE(one == b::make());
  CHECK(to_text(c::make({one, a::make()}, transient)) == "c (transient), needs b, a");
  CHECK_FALSE(b::make({}, temporary) == b::make());
}

TEST_CASE("EX-120 an application starts its tree from its configuration; started runs when the tree stands") {
  fresh w;
  application app = a::make();
  app.started = [](const config&) { diary::note(detail::resolve("here") ? "stands" : "does not stand"); };
  CHECK(start_application(app, config{{"child", "here"}}) == words{"a"});
  CHECK(diary::take() == words{"start a", "+a1", "+a2", "stands"});
  const auto all = running_applications();
  REQUIRE(all.size() == 1);
  CHECK(all[0].name == "a");
  CHECK(supervisor(all[0].top).count_children().active == 2);
  CHECK(stop_application("a") == words{"a"});
  CHECK(running_applications().empty());
}

TEST_CASE("EX-121 OL-84 needs start first, each once, however many need them; what runs already is left alone") {
  fresh w;
  const application base = a::make(), left = b::make({base}), right = c::make({base}), top = d::make({left, right, base});
  CHECK(start_application(left) == words{"a", "b"});
  CHECK(start_application(top) == words{"c", "d"});
  CHECK(start_application(top).empty());
  CHECK(names_running() == words{"a", "b", "c", "d"});
  const words seen = diary::take();
  CHECK(std::count(seen.begin(), seen.end(), "start a") == 1);
}

TEST_CASE("EX-121 what is needed gets its own section of the configuration") {
  fresh w;
  start_application(b::make({a::make()}), config{{"child", "of b"}, {"a.child", "of a"}});
  CHECK(detail::resolve("of a"));
  CHECK(detail::resolve("of b"));
}

TEST_CASE("EX-121 a failure says which one and why, and stops those that this request has started, the last first") {
  fresh w;
  start_application(a::make());
  diary::take();
  const auto said = try_start_application(d::make({a::make(), b::make(), c::make()}), config{{"broken", true}});
  REQUIRE_FALSE(said.has_value());
  CHECK(said.error().is(application_error::failed));
  CHECK(said.error().application() == "d");
  CHECK(std::string(said.error().what()) == "application_error: d did not start: std::runtime_error: broken on purpose");
  CHECK(diary::take() == words{"start b", "+b1", "+b2", "start c", "+c1", "+c2", "start d", "prep c", "-c2", "-c1", "stop c", "prep b", "-b2", "-b1", "stop b"});
  CHECK(names_running() == words{"a"});
  CHECK(errors_of(w.reports).size() == 1);
}

TEST_CASE("EX-121 a child that cannot start fails the application; its supervisor is gone") {
  fresh w;
  start_application(a::make({}, temporary), config{{"child", "taken"}});
  const auto said = try_start_application(b::make(), config{{"child", "taken"}});
  REQUIRE_FALSE(said.has_value());
  CHECK(std::string(said.error().what()).find("taken") != std::string::npos);
  CHECK_FALSE(detail::resolve("b"));
  CHECK(names_running() == words{"a"});
}

TEST_CASE("EX-121 rings, missing names and two of one name that differ are refused before anything starts") {
  fresh w;
  const auto code_of = [](const application& app) { return try_start_application(app).error().code(); };
  CHECK(code_of({}) == application_error::bad_application);
  CHECK(code_of(a::make({b::make({a::make()})})) == application_error::bad_application);
  CHECK(code_of(c::make({a::make(), b::make({a::make({}, temporary)})})) == application_error::bad_application);
  CHECK(diary::take().empty());
  start_application(a::make());
  const auto other = try_start_application(c::make({b::make(), a::make({}, temporary)}));
  CHECK(other.error().is(application_error::bad_application));
  CHECK(names_running() == words{"a"});
}

TEST_CASE("EX-121 an application that starts another one while it starts itself is told to need it") {
  fresh w;
  static std::optional<application_error::kind> said;
  said.reset();
  application app = a::make();
  app.started = [](const config&) {
    if (const auto r = try_start_application(b::make()); !r) said = r.error().code();
  };
  start_application(app);
  CHECK(said == application_error::starting);
}

TEST_CASE("EX-122 a stop: prep_stop, children in reverse order, stop; dependants go first, what is needed stays") {
  fresh w;
  start_application(d::make({b::make({a::make()}), c::make()}));
  diary::take();
  CHECK(stop_application("b") == words{"d", "b"});
  CHECK(diary::take() == words{"prep d", "-d2", "-d1", "stop d", "prep b", "-b2", "-b1", "stop b"});
  CHECK(names_running() == words{"a", "c"});
  CHECK(try_stop_application("b").error().is(application_error::not_found));
  CHECK(start_application(d::make({b::make({a::make()}), c::make()})) == words{"b", "d"});
}

TEST_CASE("EX-122 prep_stop and stop that throw are reported and hold up nothing") {
  fresh w;
  application app = a::make();
  app.prep_stop = app.stop = [](const config&) { throw std::runtime_error("no"); };
  start_application(app);
  CHECK(stop_application("a") == words{"a"});
  CHECK(errors_of(w.reports).size() == 2);
  CHECK_FALSE(detail::resolve("a"));
}

TEST_CASE("EX-123 the end of a temporary application is only reported; its stop function runs") {
  fresh w;
  start_application(b::make());
  start_application(a::make({}, temporary));
  diary::take();
  cast(server_ref<worker>(second_of("a")), end_now{exit_reason("worn out")});
  CHECK(eventually([] { return names_running() == words{"b"}; }));
  const words seen = diary::take();
  CHECK(seen.back() == "stop a");
  const auto told = errors_of(w.reports);
  REQUIRE(told.size() == 1);
  CHECK(told[0].name == "a");
  CHECK(detail::resolve("b"));
}

TEST_CASE("EX-123 an abnormal end of a transient application, and any of a permanent one, stops all in reverse order") {
  for (const restart_type kind : {transient, permanent}) {
    fresh w;
    start_application(c::make({b::make()}));
    start_application(a::make({}, kind));
    diary::take();
    cast(server_ref<worker>(second_of("a")), end_now{exit_reason("worn out")});
    CHECK(eventually([] { return names_running().empty() && !detail::resolve("b"); }));
    const words seen = diary::take();
    const auto at = [&](const char* line) { return std::find(seen.begin(), seen.end(), line) - seen.begin(); };
    CHECK(at("stop a") < at("prep c"));
    CHECK(at("stop c") < at("prep b"));
    CHECK(seen.back() == "stop b");
    CHECK(start_application(b::make()) == words{"b"});   // and it may begin anew
  }
}

TEST_CASE("EX-123 a normal end of a transient application stops nobody; of a permanent one it does") {
  for (const restart_type kind : {transient, permanent}) {
    fresh w;
    start_application(b::make());
    start_application(a::make({}, kind));
    coppice::stop("a");
    CHECK(eventually([&] { return names_running() == (kind == transient ? words{"b"} : words{}); }));
  }
}

TEST_CASE("EX-123 an application whose own process is killed takes its tree along") {
  fresh w;
  start_application(a::make({}, temporary));
  const pid top = detail::resolve("a");
  const pid master = process_info(top)->ancestors.at(0);
  REQUIRE(master);
  exit(master, exit_reason::kill);
  CHECK(eventually([&] { return !alive(top) && names_running().empty(); }));
}

TEST_CASE("EX-120 a runtime that stops ends its applications") {
  diary::take();
  {
    own_world w;
    start_application(a::make());
    diary::take();
    CHECK(w.r.stop(1min).complete());
  }
  const words seen = diary::take();
  CHECK(std::count(seen.begin(), seen.end(), "-a1") == 1);
}
