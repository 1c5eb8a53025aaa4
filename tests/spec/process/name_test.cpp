// SPDX-License-Identifier: Apache-2.0
//
// Names: PR-70 to PR-75, OL-24, OL-52.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-70 OL-24 registering a taken name fails and says who has it; a dead pid cannot be registered") {
  world w;
  const pid a = spawn(idle), b = spawn(idle);
  register_name("x", a);
  CHECK(whereis("x") == a);
  bool failed = false;
  try {
    register_name("x", b);
  } catch (const exit_error& e) {
    failed = true;
    CHECK(std::string_view(e.what()).find(to_text(a)) != std::string_view::npos);
  }
  CHECK(failed);
  CHECK(whereis("x") == a);
  const pid dead = spawn([] {});
  await_end(dead);
  for (const pid p : {dead, pid{}}) {
    bool noproc = false;
    try {
      register_name("y", p);
    } catch (const exit_error& e) {
      noproc = e.reason().is(exit_reason::noproc);
    }
    CHECK(noproc);
  }
  CHECK_FALSE(whereis("y").has_value());
}

TEST_CASE("PR-70 names are strings of any length and any bytes, compared by value") {
  world w;
  const pid p = spawn(idle);
  const std::string names[] = {"", "a", "A", std::string("a\0b", 3), std::string(100'000, 'x'), "\xff\xfe", "name with spaces", "éclair"};
  for (const std::string& n : names) register_name(n, p);
  for (const std::string& n : names) CHECK(whereis(std::string(n)) == p);
  CHECK_FALSE(whereis("b").has_value());
  CHECK_FALSE(whereis(std::string("a\0c", 3)).has_value());
  CHECK(process_info(p)->names.size() == std::size(names));
  for (const std::string& n : names) unregister_name(n);
  for (const std::string& n : names) CHECK_FALSE(whereis(n).has_value());
}

TEST_CASE("PR-71 a process may hold many names; unregistering one leaves the others, exit removes all") {
  world w;
  const pid p = spawn(idle, {.name = "0"});
  for (int i = 1; i < 100; ++i) register_name(std::to_string(i), p);
  unregister_name("50");
  for (int i = 0; i < 100; ++i) CHECK(whereis(std::to_string(i)).has_value() == (i != 50));
  CHECK(process_info(p)->names.size() == 99);
  register_name("50", p);
  exit(p, exit_reason::kill);
  await_end(p);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(whereis(std::to_string(i)).has_value());
}

TEST_CASE("PR-72 OL-52 the holder's exit frees the name; unregistering an unknown one is an error; whereis yields nothing") {
  world w;
  for (int i = 0; i < 100; ++i) {
    const pid p = spawn(idle, {.name = "shift"});
    CHECK(whereis("shift") == p);
    exit(p, exit_reason::kill);
    await_end(p);
    CHECK_FALSE(whereis("shift").has_value());
  }
  CHECK_THROWS_AS(unregister_name("shift"), exit_error);
  CHECK_THROWS_AS(unregister_name("never"), exit_error);
  // A name that was given back is not taken from its next holder by the first one's end.
  const pid first = spawn(idle, {.name = "n"});
  unregister_name("n");
  const pid second = spawn(idle, {.name = "n"});
  exit(first, exit_reason::kill);
  await_end(first);
  CHECK(whereis("n") == second);
}

TEST_CASE("OL-52 a process names itself, and takes its name away again") {
  world w;
  in_process([] {
    register_name("own", self());
    CHECK(whereis("own") == self());
    CHECK_NOTHROW(register_name("own", self()));        // it has it already
    unregister_name("own");
    CHECK_FALSE(whereis("own").has_value());
  });
}

TEST_CASE("PR-70 of many that want one name at once exactly one gets it, and the holder is always alive") {
  world w;
  const int many = rounds(200, 20'000);
  std::atomic<int> got{0};
  for (int i = 0; i < many; ++i) {
    got = 0;
    const auto body = [&got] {
      try {
        register_name("wanted", self());
        ++got;
      } catch (const exit_error&) {
      }
      wait_for_go();
    };
    const monitored a = spawn_monitor(body), b = spawn_monitor(body), c = spawn_monitor(body);
    for (const monitored& m : {a, b, c}) send(m.who, go{});
    for (const monitored& m : {a, b, c}) static_cast<void>(reason_of(m.ref));
    CHECK(got >= 1);                                    // more where one had ended before another tried
    CHECK_FALSE(whereis("wanted").has_value());
  }
}

TEST_CASE("PR-70 a name for a process that ends meanwhile is never left behind") {
  world w;
  for (int i = 0; i < rounds(500, 50'000); ++i) {
    const monitored m = spawn_monitor([] {});
    try {
      register_name("late", m.who);
    } catch (const exit_error& e) {
      CHECK(e.reason().is(exit_reason::noproc));
    }
    static_cast<void>(reason_of(m.ref));
    CHECK_FALSE(whereis("late").has_value());
  }
}

TEST_CASE("PR-73 names are reclaimed in full: after many distinct ones memory is what it was") {
  world w;
  const pid p = spawn(idle);
  const int many = rounds(100'000, 10'000'000);
  const auto round = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string name = "a distinct name, number " + std::to_string(i);
      register_name(name, p);
      unregister_name(name);
    }
  };
  round(0, 10'000);
  const std::size_t info = process_info(p)->memory_bytes, reserved = w.r.statistics().reserved_bytes;
  round(10'000, many);
  CHECK(process_info(p)->memory_bytes <= info + 1024);
  CHECK(w.r.statistics().reserved_bytes <= reserved + 256 * 1024);
  CHECK(process_info(p)->names.empty());
}

namespace {

/// A registry of the simplest kind.
struct registry {
  std::mutex lock;
  std::map<int, pid> entries;
  bool register_name(int key, pid who) {
    std::lock_guard held(lock);
    return entries.emplace(key, who).second;
  }
  void unregister_name(int key) {
    std::lock_guard held(lock);
    entries.erase(key);
  }
  pid whereis(int key) {
    std::lock_guard held(lock);
    const auto found = entries.find(key);
    return found == entries.end() ? pid{} : found->second;
  }
};

struct broken_registry {
  bool register_name(int, pid) { throw std::runtime_error("broken"); }
  void unregister_name(int) { throw std::runtime_error("broken"); }
  pid whereis(int) { throw std::runtime_error("broken"); }
};

}  // namespace

TEST_CASE("PR-74 send and monitor accept a pid, a local name, a global name, via(registry, key)") {
  world w;
  registry r;
  const int key = 7;
  const pid p = spawn([test = self()] {
    for (int i = 0; i < 4; ++i) send(test, receive<int>());
    wait_for_go();
  }, {.name = "local"});
  CHECK(detail::claim_name(global("everywhere"), p) == p);
  CHECK(detail::claim_name(via(r, key), p) == p);
  CHECK(whereis(global("everywhere")) == p);
  CHECK_FALSE(whereis("everywhere").has_value());       // another space of names
  CHECK(whereis(via(r, key)) == p);
  send(p, 1);
  send("local", 2);
  send(global("everywhere"), 3);
  send(via(r, key), 4);
  for (int i = 1; i <= 4; ++i) CHECK(receive<int>() == i);
  const reference refs[] = {monitor(p), monitor("local"), monitor(global("everywhere")), monitor(via(r, key))};
  send("local", go{});
  for (const reference ref : refs) CHECK(reason_of(ref) == exit_reason::normal);
  CHECK_FALSE(whereis(global("everywhere")).has_value());
  CHECK_THROWS_AS(send(global("everywhere"), 1), exit_error);
}

TEST_CASE("PR-75 any registry that offers the operations names processes; unknown keys fail like unknown names") {
  world w;
  registry r;
  const int one = 1, two = 2;
  static_assert(names_processes<registry, int>);
  static_assert(!names_processes<std::map<int, pid>, int>);
  const pid a = spawn(idle), b = spawn(idle);
  CHECK(detail::claim_name(via(r, one), a) == a);
  CHECK(detail::claim_name(via(r, one), b) == a);       // taken: the holder
  CHECK_FALSE(whereis(via(r, two)).has_value());
  CHECK_THROWS_AS(send(via(r, two), 1), exit_error);
  const reference ref = monitor(via(r, two));
  CHECK(reason_of(ref) == exit_reason::noproc);
  detail::free_name(via(r, one));
  CHECK_FALSE(whereis(via(r, one)).has_value());
  CHECK(to_text(via(r, one)).find('1') != std::string::npos);
}

TEST_CASE("PR-75 a registry that throws knows nobody") {
  world w;
  broken_registry r;
  const int key = 1;
  CHECK_FALSE(whereis(via(r, key)).has_value());
  bool noproc = false;
  try {
    send(via(r, key), 1);
  } catch (const exit_error& e) {
    noproc = e.reason().is(exit_reason::noproc);
  }
  CHECK(noproc);
}

TEST_CASE("PR-70 PR-72 a plain thread's name in one runtime is not its name in another: each is given up by itself") {
  runtime one, other;
  const runtime_scope in_one(one);
  register_name("of a thread", self());
  {
    const runtime_scope in_other(other);
    CHECK_FALSE(whereis("of a thread"));
    CHECK_THROWS_AS(unregister_name("of a thread"), exit_error);
    register_name("of a thread", self());
    unregister_name("of a thread");
    CHECK_FALSE(whereis("of a thread"));
  }
  CHECK(whereis("of a thread") == self());
  unregister_name("of a thread");
  CHECK_FALSE(whereis("of a thread"));
}
