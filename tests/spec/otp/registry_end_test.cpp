// SPDX-License-Identifier: Apache-2.0
//
// The ends: of holders, of a registry; and what stays behind, which is nothing.
#include <coppice/otp/child.hpp>
#include <coppice/otp/registry.hpp>

#include "spec/otp/own_world.hpp"

#include <doctest/doctest.h>

#include <malloc.h>

#include <memory>
#include <string>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// Bytes of the heap that are in use.
std::size_t heap_bytes() { return mallinfo2().uordblks; }

struct quiet_server {};
struct trapping_server {
  static constexpr server_options options{.trap_exit = true};
  struct heard { using reply = std::vector<exit_signal>; };
  std::vector<exit_signal> signals{};
  void handle_info(exit_signal s) { signals.push_back(std::move(s)); }
  std::vector<exit_signal> handle_call(heard) { return signals; }
};

}  // namespace

TEST_CASE("EX-82 whoever hears of a holder's end registers its key at once, however the holder ended") {
  own_world w;
  registry<std::string> r;
  const std::vector<exit_reason> ends{exit_reason::normal, exit_reason::kill, exit_reason("own words"), exit_reason::shutdown};
  for (int round = 0; round != 100; ++round)
    for (const exit_reason& why : ends) {
      watched_gate stays;
      const monitored m = spawn_monitor([&] {
        r.register_self("ann");
        if (why.is(exit_reason::kill)) stays.pass();
        exit(why);
      });
      if (why.is(exit_reason::kill)) {
        REQUIRE(stays.is_entered());
        exit(m.who, exit_reason::kill);
      }
      static_cast<void>(reason_of_end(m.who, m.ref));
      r.register_self("ann");
      r.unregister_self("ann");
    }
}

TEST_CASE("EX-82 a key passes from dying holders to living ones without a gap in which it is refused for the dead") {
  own_world w;
  registry<std::string> r({.partitions = 4});
  std::vector<server_ref<quiet_server>> servers;
  for (int i = 0; i != 2'000; ++i) {
    const std::string key = "key" + std::to_string(i % 7);
    if (const pid before = r.whereis(key)) stop(before);
    REQUIRE(try_start<quiet_server>({.name = via(r, key)}));
  }
  CHECK(r.count() == 7);
}

TEST_CASE("EX-88 100,000 holders are killed at once: nothing of them stays") {
  own_world w;
  registry<std::string> r;
  registry<int> of_one({.keys = registry_keys::duplicate, .partitions = 2});
  registry<int> by_key({.keys = registry_keys::duplicate, .partitions = 2, .partition = registry_partition::by_key});
  const int many = rounds(20'000, 100'000);
  std::vector<server_ref<quiet_server>> servers;
  for (int i = 0; i != many; ++i) {
    servers.push_back(start<quiet_server>({.name = via(r, "session " + std::to_string(i))}));
    if (i % 2 == 0) CHECK(detail::find_server(via(r, "session " + std::to_string(i))) == servers.back().id());
  }
  std::vector<monitored> subscribers;
  for (int i = 0; i != many / 10; ++i)
    subscribers.push_back(spawn_monitor([&] {
      of_one.register_self(1);
      by_key.register_self(1);
      receive([](message&) {});
    }));
  constexpr auto patience = std::chrono::minutes(2);  // under TSan, on a slow machine
  REQUIRE(eventually([&] { return by_key.count() == subscribers.size(); }, patience));
  CHECK(r.count() == servers.size());
  CHECK(of_one.lookup(1).size() == subscribers.size());
  for (const auto& s : servers) exit(s, exit_reason::kill);
  for (const monitored& s : subscribers) exit(s.who, exit_reason::kill);
  CHECK(eventually([&] { return r.count() + of_one.count() + by_key.count() == 0; }, patience));
  CHECK(r.select().empty());
}

TEST_CASE("EX-89 if the registry's process ends its holders get an exit signal with its reason") {
  own_world w;
  registry<std::string> r{supervised, {.name = "people"}};
  const monitored plain = spawn_monitor([] { receive([](message&) {}); });
  const auto trapping = start<trapping_server>();

  pid process;
  const auto run = [&] {                         // as a supervisor would
    const monitored starts = spawn_monitor([&] {
      process = detail::start_child(r.child()).who();
      unlink(process);
    });
    static_cast<void>(reason_of_end(starts.who, starts.ref));
    return process;
  };
  const pid first = run();
  REQUIRE(first);
  CHECK(r.id() == first);
  REQUIRE(r.register_name("plain", plain.who));
  REQUIRE(r.register_name("plain too", plain.who));
  REQUIRE(r.register_name("trapping", trapping.id()));
  const reference end = monitor(first);
  exit(first, exit_reason("crash"));
  CHECK(reason_of_end(first, end) == exit_reason("crash"));
  CHECK(reason_of_end(plain.who, plain.ref) == exit_reason("crash"));
  const auto heard = call(trapping, trapping_server::heard{});
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].who == first);
  CHECK(heard[0].reason == exit_reason("crash"));

  CHECK(r.count() == 0);
  CHECK(!r.id());
  CHECK(!r.whereis("trapping"));
  const auto closed = r.try_register_self("ann");
  REQUIRE(!closed);
  CHECK(closed.error().is(registry_error::not_running));

  const pid second = run();                      // and runs again, empty
  CHECK(second != first);
  CHECK(r.id() == second);
  CHECK(r.register_name("trapping", trapping.id()));
  CHECK(r.whereis("trapping") == trapping.id());
  stop(second);
  stop(trapping);
}

TEST_CASE("EX-89 who has given up its last entry has nothing to do with the registry any more") {
  own_world w;
  auto r = std::make_unique<registry<std::string>>();
  struct leave {};
  const pid here = self();
  const monitored m = spawn_monitor([&, here] {
    r->register_self("ann");
    r->register_self("bob");
    r->unregister_self("ann");
    r->unregister_self("bob");
    send(here, leave{});
    receive<leave>();
  });
  receive([](leave) {});
  exit(r->id(), exit_reason::kill);
  CHECK(eventually([&] { return !r->id(); }));
  CHECK(alive(m.who));
  send(m.who, leave{});
  CHECK(reason_of_end(m.who, m.ref) == exit_reason::normal);
}

TEST_CASE("EX-89 the end of a registry object is the end of its process; who is still registered is told") {
  own_world w;
  const auto trapping = start<trapping_server>();
  pid process;
  {
    registry<std::string> r;
    process = r.id();
    r.register_name("t", trapping.id());
  }
  CHECK(eventually([&] { return !alive(process); }));
  const auto heard = call(trapping, trapping_server::heard{});
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].reason == exit_reason::shutdown);
  for (int i = 0; i != 100; ++i) {               // a process outlives many registries: none leaves anything with it
    registry<std::string> next;
    next.register_name("t", trapping.id());
    CHECK(next.whereis("t") == trapping.id());
  }
  stop(trapping);
}

TEST_CASE("EX-89 the child of a registry is a supervisor by type, its id is the registry's name") {
  own_world w;
  registry<std::string> r{supervised, {.name = "people"}};
  const child_spec spec = r.child();
  CHECK(spec.id == "people");
  CHECK(spec.type == child_type::supervisor);
  CHECK(spec == r.child());
  CHECK(to_text(spec).find("registry \"people\"") != std::string::npos);
}

TEST_CASE("EX-94 registrations that fail leave nothing behind") {
  own_world w;
  registry<std::string, std::string> r;
  const std::string key = "a key that lies on the heap", value = "a value that lies on the heap";
  r.register_self(key, value);
  const auto fail = [&](int times) {
    for (int i = 0; i != times; ++i)
      if (r.try_register_self(key, value)) return false;
    return true;
  };
  CHECK(fail(1'000));
  const std::size_t before = heap_bytes();
  CHECK(fail(rounds(100'000, 1'000'000)));
  CHECK(heap_bytes() <= before + 16 * 1024);
  CHECK(r.count() == 1);
}

TEST_CASE("EX-95 readers see whole entries, and all that stay, while others come and go") {
  own_world w;
  registry<std::string, std::string> r({.partitions = 2});
  for (int i = 0; i != 100; ++i) r.register_self("stays" + std::to_string(i), "value" + std::to_string(i));
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  const auto read = [&] {
    const runtime_scope scope(w.r);
    while (!over.load())
      for (int i = 0; i != 100; ++i) {
        const auto found = r.lookup("stays" + std::to_string(i));
        if (found.size() != 1 || found[0].value != "value" + std::to_string(i)) ++wrong;
        for (const auto& e : r.lookup("comes" + std::to_string(i)))
          if (e.value != "comes" + std::to_string(i)) ++wrong;
      }
  };
  std::thread a(read), b(read);
  for (int i = 0; i != rounds(20'000, 500'000); ++i) {
    const std::string key = "comes" + std::to_string(i % 100);
    r.register_self(key, key);
    if (i % 100 > 50) r.unregister_self("comes" + std::to_string(i % 100 - 50));
    if (i % 100 == 99) for (int k = 0; k != 100; ++k) r.unregister_self("comes" + std::to_string(k));
  }
  over.store(true);
  a.join();
  b.join();
  CHECK(wrong == 0);
}

TEST_CASE("EX-96 after many distinct keys from users, memory is what it was") {
  own_world w;
  registry<std::string> r;
  const auto round = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string key = "a user's text, number " + std::to_string(i);
      r.register_self(key);
      if (i % 16 == 15)
        for (int k = i - 15; k <= i; ++k) r.unregister_self("a user's text, number " + std::to_string(k));
    }
  };
  round(0, 16'000);
  const std::size_t before = heap_bytes();
  round(16'000, rounds(160'000, 10'000'000));
  CHECK(r.count() == 0);
  CHECK(heap_bytes() <= before + 64 * 1024);
}

TEST_CASE("EX-96 nor do servers with names from users leave anything") {
  own_world w;
  registry<std::string> r;
  const auto round = [&](int from, int to) {
    for (int i = from; i < to; ++i) stop(start<quiet_server>({.name = via(r, "user " + std::to_string(i))}));
  };
  round(0, 5'000);
  const std::size_t before = heap_bytes(), reserved = w.r.statistics().reserved_bytes;
  round(5'000, rounds(50'000, 1'000'000));
  CHECK(heap_bytes() <= before + 64 * 1024);
  CHECK(w.r.statistics().reserved_bytes <= reserved + 256 * 1024);
}

TEST_CASE("EX-96 a table that was large becomes small again, and a second flood needs no more than the first") {
  own_world w;
  registry<int> r;
  r.register_self(-1);
  const std::size_t small = r.table_bytes();
  const auto flood = [&] {
    for (int i = 0; i != 50'000; ++i) r.register_self(i);
    CHECK(r.table_bytes() > 50'000 * sizeof(void*));
    for (int i = 0; i != 50'000; ++i) r.unregister_self(i);
    CHECK(r.table_bytes() <= 4 * small);
    CHECK(r.whereis(-1) == self());
  };
  flood();
  flood();
  const std::size_t before = heap_bytes();
  for (int i = 0; i != 5; ++i) flood();
  CHECK(heap_bytes() <= before + 4'000'000);     // what waits for its readers
}
