// SPDX-License-Identifier: Apache-2.0
//
// What a child's specification is, before any supervisor sees it.
#include <coppice/otp/child.hpp>
#include <coppice/otp/gen_server.hpp>

#include <coppice/process/process_info.hpp>

#include "spec/otp/own_world.hpp"

#include <doctest/doctest.h>

#include <map>
#include <stdexcept>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct session {
  std::string user{};
  int limit = 0;
  struct who { using reply = std::string; };
  std::string handle_call(who) const { return user; }
};

struct old_session : session {};
struct new_session {
  std::string user{};
  int limit = 0;
  using protocol = messages<session::who>;
  std::string handle_call(session::who) const { return "new " + user; }
};

struct settled {
  static constexpr child_options child_defaults{.id = "settled_down", .restart = transient, .shutdown = 2s};
};

struct only_sometimes {
  auto init(bool wanted) -> init_outcome<> {
    if (!wanted) return ignore;
    return ok();
  }
};
struct broken {
  broken() = default;
  auto init(int) -> init_outcome<> { throw std::runtime_error("no such table"); }
};

/// A registry as users write them, over keys that are strings.
struct phone_book {
  std::map<std::string, pid, std::less<>> entries;
  bool register_name(const std::string& key, pid who) { return entries.try_emplace(key, who).second; }
  void unregister_name(const std::string& key) { entries.erase(key); }
  pid whereis(const std::string& key) {
    const auto e = entries.find(key);
    return e != entries.end() ? e->second : pid{};
  }
};

/// Starts `spec` in a process and hands what came of it to `look`.
template <class F>
void in_process(F body) {
  const exit_reason why = run_process([&] {
    trap_exit(true);
    body();
  });
  CHECK(why == exit_reason::normal);
}

pid start_pair(std::string user, int limit) { return start_link<session>({}, std::move(user), limit); }
started_child start_with_info(int n) { return {start_link<session>({}, "info", n), any_value(std::string("port 80"))}; }

}  // namespace

TEST_CASE("SV-1 a spec made of nothing but a class has the defaults") {
  const child_spec spec = child<session>();
  CHECK(spec.id == "session");
  CHECK(spec.restart == permanent);
  CHECK(spec.shutdown == shutdown_time(5s));
  CHECK(spec.type == child_type::worker);
  CHECK_FALSE(spec.significant);
  CHECK_FALSE(spec.name);
  CHECK(spec.start_timeout == infinity);
  CHECK(problem_of(spec).empty());
}

TEST_CASE("SV-1 the id is what was said, else the name, else the class's name") {
  CHECK(child<session>({.id = "one", .name = "two"}).id == "one");
  CHECK(child<session>({.name = "two"}).id == "two");
  CHECK(child<session>({.name = global("two")}).id == "two");
  phone_book book;
  CHECK(child<session>({.name = via(book, std::string("ann"))}).id == "via ann");
}

TEST_CASE("SV-2 a child gets a time for its end, all the time it wants, or none") {
  CHECK(child<session>({.shutdown = 100ms}).shutdown == shutdown_time(100ms));
  CHECK(child<session>({.shutdown = infinity}).shutdown == shutdown_time(infinity));
  CHECK(child<session>({.shutdown = brutal_kill}).shutdown.is_brutal_kill());
  CHECK(child<session>({.type = child_type::supervisor}).shutdown == shutdown_time(infinity));
  CHECK(to_text(shutdown_time(brutal_kill)) == "brutal_kill");
  CHECK(to_text(shutdown_time(100ms)) == "100 ms");
}

TEST_CASE("SV-4 a spec that cannot be is told from one that can, by field and value") {
  const auto has = [](const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; };
  CHECK(has(problem_of(child_spec{}), "id is missing"));
  CHECK(has(problem_of(child_spec{.id = "x"}), "start is missing"));
  CHECK(has(problem_of(child<session>({.shutdown = -10ms})), "shutdown is negative: -10 ms"));
  CHECK(has(problem_of(child<session>({.restart = static_cast<restart_type>(7)})), "restart is invalid: 7"));
  CHECK(has(problem_of(child<session>({.type = static_cast<child_type>(9)})), "type is invalid: 9"));
  CHECK(has(problem_of(child<session>({.start_timeout = -1s})), "start_timeout is negative"));
  CHECK(has(problem_of(child<session>({.back_off = back_off{.min = 2s, .max = 1s}})), "back_off.max is 1 s, less than back_off.min"));
  CHECK(has(problem_of(child<session>({.back_off = back_off{.min = 1ms, .factor = 0.5}})), "back_off.factor is 0.5"));
  CHECK(has(problem_of(child<session>({.back_off = back_off{.jitter = 2}})), "back_off.jitter is 2"));
  CHECK(has(problem_of(child<session>({.limit = restart_limit{.period = 0s}})), "limit.period is not positive"));
  CHECK(has(problem_of(child({}, &start_pair, "ann", 1)), "id is missing"));
  CHECK(problem_of(child<session>({.restart = transient, .significant = true})).empty());
}

TEST_CASE("SV-5 a significant child that is always restarted is refused") {
  CHECK(problem_of(child<session>({.significant = true})).find("significant is true, but restart is permanent") != std::string::npos);
}

TEST_CASE("SV-6 a start comes to a linked process, to nothing wanted, or to a reason") {
  own_world world;
  in_process([&] {
    const started_child made = detail::start_child(child<session>({.name = "ann"}, "ann", 3));
    REQUIRE(made.is(started_child::started));
    CHECK(call(server_cast<session>(made.who()), session::who{}) == "ann");
    CHECK(process_info(self())->links == std::vector<pid>{made.who()});

    const started_child taken = detail::start_child(child<session>({.name = "ann"}, "bob", 3));
    CHECK(taken.is(started_child::already_started));
    CHECK(taken.who() == made.who());

    CHECK(detail::start_child(child<only_sometimes>({}, true)).is(started_child::started));
    CHECK(detail::start_child(child<only_sometimes>({}, false)).is(started_child::ignored));

    const started_child failed = detail::start_child(child<broken>({}, 1));
    CHECK(failed.is(started_child::failed));
    CHECK(failed.reason().text() == "no such table");
  });
}

TEST_CASE("SV-6 a start function tells a pid, information, an error, or throws") {
  own_world world;
  in_process([&] {
    const started_child plain = detail::start_child(child({.id = "pair"}, &start_pair, "ann", 3));
    REQUIRE(plain.is(started_child::started));
    CHECK(call(server_cast<session>(plain.who()), session::who{}) == "ann");

    const started_child told = detail::start_child(child({.id = "told"}, &start_with_info, 1));
    REQUIRE(told.info().as<std::string>() != nullptr);
    CHECK(*told.info().as<std::string>() == "port 80");

    const auto trying = [](int n) { return try_start_link<broken>({}, n); };
    const started_child refused = detail::start_child(child({.id = "refused"}, trying, 1));
    CHECK(refused.is(started_child::failed));
    CHECK(refused.reason().text() == "no such table");

    const auto wanting = [](bool wanted) { return try_start_link<only_sometimes>({}, wanted); };
    CHECK(detail::start_child(child({.id = "x"}, wanting, false)).is(started_child::ignored));

    const auto throwing = [] { return (throw std::out_of_range("no port left"), pid{}); };
    CHECK(detail::start_child(child({.id = "thrown"}, throwing)).reason().type() == "std::out_of_range");

    const auto nobody = [] { return pid{}; };
    CHECK(detail::start_child(child({.id = "nobody"}, nobody)).reason() == exit_reason::bad_return_value);
  });
}

TEST_CASE("SV-7 a spec is a value: it starts again and again, is copied, compared and printed") {
  own_world world;
  std::string user = "ann";
  phone_book book;
  child_spec spec = child<session>({.name = via(book, user), .restart = temporary}, user, 5);
  const child_spec copy = spec;
  user = "somebody else, with a name that needs a place of its own";
  CHECK(copy == spec);
  CHECK(to_text(spec) == "session \"via ann\" (temporary, shutdown 5 s, named via ann) from {\"ann\", 5}");
  spec.restart = transient;
  CHECK(copy != spec);
  CHECK(child<session>({}, "ann", 5) == child<session>({}, "ann", 5));
  CHECK(child<session>({}, "ann", 5) != child<session>({}, "ann", 6));
  CHECK(child<session>({}, "ann", 5) != child<session>({}, std::string("ann"), 5));
  CHECK(child<session>() != child<settled>({.id = "session"}));
  in_process([&] {
    for (int times = 0; times < 3; ++times) {
      const started_child made = detail::start_child(copy);
      REQUIRE(made.is(started_child::started));
      CHECK(call(server_cast<session>(made.who()), session::who{}) == "ann");
      CHECK(book.whereis("ann") == made.who());
      stop(made.who());
      book.entries.clear();
    }
  });
}

TEST_CASE("SV-7 a restart starts the class that is current then") {
  own_world world;
  const child_spec old = child<old_session>({.id = "s"}, session{"ann", 3});   // starts from something else
  const child_spec spec = child<session>({}, std::string("ann"), 3);
  const child_spec next = child<new_session>({}, std::string("ann"), 3);
  in_process([&] {
    CHECK(detail::newest(*spec.start.what()).name == "session");
    detail::replace_child_class(*spec.start.what(), *next.start.what());
    const started_child made = detail::start_child(spec);
    CHECK(call(server_ref<messages<session::who>>(made.who()), session::who{}) == "new ann");
    CHECK_THROWS_AS(detail::replace_child_class(*spec.start.what(), *old.start.what()), std::invalid_argument);
    detail::replace_child_class(*spec.start.what(), *spec.start.what());
    CHECK(call(server_cast<session>(detail::start_child(spec).who()), session::who{}) == "ann");
  });
}

TEST_CASE("EX-100 a class says what its children are like; who makes one may say otherwise") {
  const child_spec spec = child<settled>();
  CHECK(spec.id == "settled_down");
  CHECK(spec.restart == transient);
  CHECK(spec.shutdown == shutdown_time(2s));
  const child_spec other = child<settled>({.id = "mine", .restart = temporary, .shutdown = brutal_kill});
  CHECK(other.id == "mine");
  CHECK(other.restart == temporary);
  CHECK(other.shutdown.is_brutal_kill());
}

TEST_CASE("EX-102 a child is a class, a class with options, or a class with options and arguments") {
  CHECK(child<session>().start.name() == "session");
  CHECK(child<session>({.id = "a"}).id == "a");
  CHECK(text_of(child<session>({.id = "a"}, "ann", 1).start.arguments()) == "{\"ann\", 1}");
}

TEST_CASE("SV-80 a template is completed by what each start brings, and refuses anything else") {
  own_world world;
  in_process([&] {
    const child_spec spec = child_template<session, int>({}, std::string("ann"));
    const started_child made = detail::start_child(spec, {}, any_value(std::tuple<int>(7)));
    REQUIRE(made.is(started_child::started));
    CHECK(call(server_cast<session>(made.who()), session::who{}) == "ann");
    CHECK(to_text(detail::start_child(spec, {}, any_value(std::tuple<std::string>("7"))).reason()).find("takes tuple<int>") != std::string::npos);
    CHECK(detail::start_child(spec).is(started_child::failed));
    CHECK(detail::start_child(child<session>(), {}, any_value(std::tuple<int>(7))).is(started_child::failed));
  });
}

TEST_CASE("SV-93 a start that is never repeated uses the arguments up") {
  own_world world;
  in_process([&] {
    child_spec spec = child<session>({.restart = temporary}, "ann", 3);
    CHECK(detail::start_child_once(spec).is(started_child::started));
    CHECK_FALSE(spec.start.arguments());
    CHECK(to_text(detail::start_child(spec).reason()).find("has lost its arguments") != std::string::npos);
  });
}
