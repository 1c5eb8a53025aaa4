// SPDX-License-Identifier: Apache-2.0
//
// What registries name: servers by via, listeners, locks, keys from outside.
#include <coppice/otp/child.hpp>
#include <coppice/otp/registry.hpp>
#include <coppice/process/process_info.hpp>

#include "spec/otp/own_world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct counter {
  struct add { using reply = int; int n; };
  struct note { int n; };
  int sum = 0;
  int handle_call(add a) { return sum += a.n; }
  void handle_cast(note m) { sum += m.n; }
};

}  // namespace

TEST_CASE("EX-90 PR-75 a key of a registry names a server: start, call, cast, send, monitor, stop") {
  own_world w;
  registry<std::string> names;
  const std::string user = "ann";
  const auto server = start<counter>({.name = via(names, user)});
  CHECK(names.whereis(user) == server.id());
  const named<counter> ann(via(names, user));
  CHECK(call(ann, counter::add{2}) == 2);
  cast(ann, counter::note{3});
  CHECK(call(ann, counter::add{0}) == 5);
  CHECK(whereis(via(names, user)) == server.id());
  const auto second = try_start<counter>({.name = via(names, user)});
  REQUIRE(!second);
  CHECK(second.error().is(start_error::already_started));
  CHECK(second.error().holder() == server.id());
  const reference watch = monitor(via(names, user));
  stop(ann);
  CHECK(reason_of_end(server.id(), watch) == exit_reason::normal);
  CHECK(names.count() == 0);
  CHECK(error_in([&] { call(ann, counter::add{1}); })->is(call_error::noproc));
  cast(ann, counter::note{1});
  CHECK_THROWS_AS(send(via(names, user), counter::note{1}), exit_error);
  names.register_self(user);
  send(via(names, user), counter::note{4});
  receive([](counter::note m) { CHECK(m.n == 4); });
}

TEST_CASE("EX-90 the value form stores a value; look-ups work without it") {
  own_world w;
  registry<std::string, std::string> names;
  const auto server = start<counter>({.name = via(names, "ann", "admin")});
  CHECK(names.lookup("ann")[0] == registration<std::string>{server.id(), "admin"});
  CHECK(call(named<counter>(via(names, "ann")), counter::add{1}) == 1);
  stop(named<counter>(via(names, "ann")));
  CHECK(names.lookup("ann").empty());
}

TEST_CASE("EX-90 a registry of duplicate keys names nobody") {
  own_world w;
  registry<std::string> r({.keys = registry_keys::duplicate});
  const auto refused = try_start<counter>({.name = via(r, "ann")});
  REQUIRE(!refused);
  CHECK(refused.error().is(start_error::bad_name));
  CHECK(std::string(refused.error().what()).find("duplicate") != std::string::npos);
  CHECK_THROWS_AS((void)r.whereis("ann"), registry_error);
  CHECK_THROWS_AS((void)r.register_name("ann", self()), registry_error);
  CHECK(error_in([&] { call(named<counter>(via(r, "ann")), counter::add{1}); })->is(call_error::noproc));
}

TEST_CASE("EX-90 a start that fails leaves its key free, and does not take another holder's") {
  own_world w;
  struct broken {
    void init() { throw std::runtime_error("no"); }
  };
  registry<std::string> names;
  for (int i = 0; i != 100; ++i) CHECK(!try_start<broken>({.name = via(names, "ann")}));
  CHECK(names.count() == 0);
  const auto server = start<counter>({.name = via(names, "ann")});
  CHECK(!try_start<broken>({.name = via(names, "ann")}));
  CHECK(server.id() == names.whereis("ann"));
}

TEST_CASE("PR-75 registering another process: it answers for it, the dead do not") {
  own_world w;
  registry<std::string> names;
  const auto server = start<counter>();
  CHECK(names.register_name("ann", server.id()));
  CHECK(!names.register_name("ann", self()));
  CHECK(names.whereis("ann") == server.id());
  CHECK(names.keys(server.id()) == std::vector<std::string>{"ann"});
  stop(server);
  CHECK(names.count() == 0);
  CHECK(!names.register_name("ann", server.id()));
  CHECK(names.register_name("ann", self()));
  names.unregister_name("ann");
  CHECK(!names.whereis("ann"));
}

TEST_CASE("EX-90 a child's specification keeps a via name with its key and value") {
  own_world w;
  registry<std::string, int> names;
  std::optional<child_spec> spec;
  {
    const std::string user = "a user with a name that is longer than a short string";
    spec = child<counter>({.name = via(names, user, 7)});
  }
  const child_spec copy = *spec;
  CHECK(copy == *spec);
  const auto linked = run_process([&] {
    const started_child made = detail::start_child(copy);
    if (!made.is(started_child::started)) exit(exit_reason("not started"));
    const auto found = names.lookup("a user with a name that is longer than a short string");
    if (found.size() != 1 || found[0].value != 7 || found[0].who != made.who()) exit(exit_reason("not found"));
    stop(made.who());
  });
  CHECK(linked == exit_reason::normal);
}

TEST_CASE("EX-91 listeners hear of registering and unregistering, not of deaths") {
  own_world w;
  register_name("listener", self());
  registry<std::string, int> r({.name = "people", .keys = registry_keys::duplicate, .listeners = {"nobody", "listener"}});
  const pid other = [&] {
    const monitored m = spawn_monitor([&] {
      r.register_self("ann", 1);
      r.unregister_self("none");
      r.unregister_self("ann");
      r.register_self("bob", 2);
    });
    static_cast<void>(reason_of_end(m.who, m.ref));
    return m.who;
  }();
  std::vector<std::string> heard;
  const auto one = [&] {
    receive([&](registered<std::string, int> m) { heard.push_back("+" + m.registry + m.key + std::to_string(m.value) + (m.who == other ? "o" : "?")); },
            [&](unregistered<std::string> m) { heard.push_back("-" + m.registry + m.key + (m.who == other ? "o" : "?")); });
  };
  one(), one(), one();
  CHECK(heard == std::vector<std::string>{"+peopleann1o", "-peopleanno", "+peoplebob2o"});
  CHECK(r.count() == 0);
  CHECK(mailbox_is_empty());
  unregister_name("listener");
}

TEST_CASE("EX-92 lock: one at a time by key, in the order of coming; its result is f's") {
  own_world w;
  registry<std::string> r;
  CHECK(r.lock("k", [] { return 5; }) == 5);
  int inside = 0, most = 0, runs = 0;            // guarded by the lock
  std::vector<monitored> all;
  for (int p = 0; p != 8; ++p)
    all.push_back(spawn_monitor([&] {
      for (int i = 0; i != 50; ++i)
        r.lock("k", [&] {
          most = std::max(most, ++inside);
          yield();                               // the others get their chance
          --inside;
          ++runs;
        });
    }));
  for (const monitored& m : all) CHECK(reason_of_end(m.who, m.ref) == exit_reason::normal);
  CHECK(most == 1);
  CHECK(runs == 400);
  CHECK(r.count() == 0);                         // a key space of its own
  r.lock("a", [&] { r.lock("b", [&] { r.register_self("a"); }); });
  CHECK(r.whereis("a") == self());
}

TEST_CASE("EX-92 a lock is free again after an exception, and after the death of its holder") {
  own_world w;
  registry<std::string> r;
  CHECK_THROWS_AS(r.lock("k", [] { throw std::runtime_error("f"); }), std::runtime_error);
  watched_gate never;
  const monitored holder = spawn_monitor([&] { r.lock("k", [&] { never.pass(); }); });
  REQUIRE(never.is_entered());
  std::vector<monitored> waiters;
  journal order;
  for (int i = 0; i != 3; ++i) {
    watched_gate asks;
    asks.open();
    waiters.push_back(spawn_monitor([&, i] {
      asks.pass();
      r.lock("k", [&] { order.add(std::to_string(i)); });
    }));
    REQUIRE(asks.is_entered());
    const pid who = waiters.back().who;
    REQUIRE(eventually([&] { return process_info(who) && process_info(who)->status == process_status::waiting; }));
  }
  exit(waiters[1].who, exit_reason::kill);       // gives up its place
  CHECK(reason_of_end(waiters[1].who, waiters[1].ref) == exit_reason::killed);
  CHECK(order.lines().empty());
  exit(holder.who, exit_reason::kill);
  CHECK(reason_of_end(holder.who, holder.ref) == exit_reason::killed);
  CHECK(reason_of_end(waiters[0].who, waiters[0].ref) == exit_reason::normal);
  CHECK(reason_of_end(waiters[2].who, waiters[2].ref) == exit_reason::normal);
  CHECK(order.lines() == lines{"0", "2"});
}

TEST_CASE("EX-92 who has a lock cannot wait for it") {
  own_world w;
  registry<int> r;
  try {
    r.lock(1, [&] { r.lock(1, [] {}); });
    FAIL("a lock within itself");
  } catch (const registry_error& e) {
    CHECK(e.is(registry_error::locked_already));
  }
  CHECK(r.lock(1, [] { return true; }));
}

TEST_CASE("EX-97 keys from outside: empty, binary, Unicode, a mebibyte; refused above the limit, never cut") {
  own_world w;
  registry<std::string> r;
  const std::string large(1 << 20, 'x');
  const std::string almost = large.substr(1);
  for (const std::string& key : {std::string(), std::string("\0\xff\0", 3), std::string("жаба 🐸"), large, almost}) {
    r.register_self(key);
    CHECK(r.whereis(key) == self());
  }
  auto keys = r.keys(self());
  CHECK(keys.size() == 5);
  CHECK(std::find(keys.begin(), keys.end(), large) != keys.end());

  registry<std::string> bounded({.longest_key = 8});
  bounded.register_self("12345678");
  const auto refused = bounded.try_register_self("123456789");
  REQUIRE(!refused);
  CHECK(refused.error().is(registry_error::key_too_long));
  CHECK(std::string(refused.error().what()).find("a key of 9 bytes; it takes up to 8") != std::string::npos);
  CHECK(!bounded.whereis("123456789"));
  const auto server = try_start<counter>({.name = via(bounded, std::string("123456789"))});
  REQUIRE(!server);
  CHECK(server.error().is(start_error::bad_name));
  CHECK(bounded.count() == 1);
}
