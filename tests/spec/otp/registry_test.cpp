// SPDX-License-Identifier: Apache-2.0
//
// Registering, looking up, giving up; values, dispatch, metadata.
#include <coppice/otp/registry.hpp>

#include "spec/otp/own_world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <string>

using namespace coppice;
using namespace coppice::testing;

namespace {

const registry_options duplicates{.keys = registry_keys::duplicate};

registry_options with(registry_keys keys, unsigned partitions, registry_partition by = registry_partition::by_holder) {
  return {.keys = keys, .partitions = partitions, .partition = by};
}

/// A process that runs `begin` and then waits until it is told to go; it has ended when the scope ends.
class resident {
 public:
  struct go {};
  template <class F>
  explicit resident(F begin) {
    const pid here = self();
    run_ = spawn_monitor([begin, here]() mutable {
      begin();
      send(here, go{});
      receive<go>();
    });
    receive([](go) {});
  }
  ~resident() { end(); }
  resident(const resident&) = delete;
  pid id() const { return run_.who; }
  void end() {
    if (!run_.who) return;
    send(run_.who, go{});
    static_cast<void>(reason_of_end(run_.who, run_.ref));
    run_.who = {};
  }

 private:
  monitored run_;
};

struct place {
  std::string house;
  int room;
  friend bool operator==(const place&, const place&) = default;
};

}  // namespace

TEST_CASE("EX-80 a registry has a process with a name; its options are what it was given") {
  own_world w;
  registry<std::string> r({.name = "people", .partitions = 3});
  CHECK(r.id() == *whereis("people"));
  CHECK(r.options().name == "people");
  CHECK(r.options().keys == registry_keys::unique);
  CHECK(r.options().partitions == 3);
  try {
    registry<std::string> second({.name = "people"});
    FAIL("two registries of one name");
  } catch (const start_error& e) {
    CHECK(e.is(start_error::already_started));
    CHECK(e.holder() == r.id());
  }
  CHECK_THROWS_AS(registry<std::string>({.partitions = 0}), std::invalid_argument);
}

namespace {

/// Large, and of fields that nobody can print.
class crate {
 public:
  explicit crate(int n) : number_(n) {}
  friend bool operator==(const crate&, const crate&) = default;

 private:
  friend struct std::hash<crate>;
  int number_;
  std::array<char, 100'000> load_{};
};

}  // namespace

template <>
struct std::hash<crate> {
  std::size_t operator()(const crate& c) const noexcept { return std::hash<int>{}(c.number_); }
};

TEST_CASE("EX-80 a key may be large, and need not be printable: its type stands for it") {
  own_world w;
  registry<crate> crates;
  const auto one = std::make_unique<crate>(1), other = std::make_unique<crate>(2);
  crates.register_self(*one);
  CHECK(crates.whereis(*one) == self());
  CHECK(!crates.whereis(*other));
  const auto again = crates.try_register_self(*one);
  REQUIRE(!again);
  CHECK(std::string(again.error().what()).find("crate") != std::string::npos);
}

TEST_CASE("EX-80 keys are values of any type that can be compared, and are compared exactly") {
  own_world w;
  registry<place> rooms;
  rooms.register_self({"mill", 1});
  CHECK(rooms.whereis({"mill", 1}) == self());
  CHECK(!rooms.whereis({"mill", 2}));
  CHECK(!rooms.whereis({"hill", 1}));
  registry<double> numbers;
  numbers.register_self(1.0);
  CHECK(!numbers.whereis(std::nextafter(1.0, 2.0)));
  registry<pid> people;
  people.register_self(self());
  CHECK(people.whereis(self()) == self());
  registry<std::string> texts;
  texts.register_self("ann");
  for (const char* other : {"", "an", "anna", "Ann"}) CHECK(!texts.whereis(other));
}

TEST_CASE("EX-81 a unique key has one holder; whoever comes second is told who, even if it is the holder") {
  own_world w;
  registry<std::string> r;
  r.register_self("ann");
  const auto again = r.try_register_self("ann");
  REQUIRE(!again);
  CHECK(again.error().is(registry_error::already_registered));
  CHECK(again.error().holder() == self());
  const pid me = self();
  const exit_reason end = run_process([&] {
    const auto other = r.try_register_self("ann");
    if (other || !other.error().is(registry_error::already_registered) || other.error().holder() != me) exit(exit_reason("wrong"));
    try {
      r.register_self("ann");
    } catch (const registry_error& e) {
      if (e.what() != "registry: key{\"ann\"} is taken by " + to_text(me)) exit(exit_reason(e.what()));
    }
  });
  CHECK_MESSAGE(end == exit_reason::normal, to_text(end));
  CHECK(r.count() == 1);
}

TEST_CASE("EX-81 of duplicate keys each registration counts, repeated ones too") {
  own_world w;
  registry<std::string, int> r(duplicates);
  r.register_self("news", 1);
  r.register_self("news", 1);
  r.register_self("news", 2);
  resident other([&] { r.register_self("news", 3); });
  CHECK(r.count() == 4);
  std::multiset<int> values;
  for (const auto& e : r.lookup("news")) values.insert(e.value);
  CHECK(values == std::multiset<int>{1, 1, 2, 3});
}

TEST_CASE("EX-81 a registry that does not run takes nobody") {
  own_world w;
  registry<std::string> r{supervised};
  CHECK(!r.id());
  const auto done = r.try_register_self("ann");
  REQUIRE(!done);
  CHECK(done.error().is(registry_error::not_running));
  CHECK(!r.whereis("ann"));
  CHECK(r.count() == 0);
}

TEST_CASE("EX-83 lookup gives who is registered and with what; nothing for a key that nobody has") {
  own_world w;
  registry<std::string, int> r;
  CHECK(r.lookup("ann").empty());
  r.register_self("ann", 7);
  const auto found = r.lookup("ann");
  REQUIRE(found.size() == 1);
  CHECK(found[0] == registration<int>{self(), 7});
  CHECK(found.front().who == r.whereis("ann"));
}

TEST_CASE("EX-83 a key that differs in one byte, wherever, is another one") {
  own_world w;
  registry<std::string> names;
  // Most are told apart by their hashes; of so many some are not.
  for (std::size_t length = 1; length <= 70; ++length) {
    const std::string key(length, 'a');
    names.register_self(key);
    CHECK(names.whereis(key) == self());
    for (std::size_t at = 0; at < length; ++at)
      for (int other = 1; other < 256; ++other) {
        std::string similar = key;
        similar[at] = static_cast<char>(similar[at] ^ other);
        REQUIRE(names.lookup(similar).empty());
      }
    names.unregister_self(key);
  }
}

TEST_CASE("EX-83 an entry is gone when its holder's end is heard of") {
  own_world w;
  registry<std::string> r;
  for (int i = 0; i != 200; ++i) {
    const monitored m = spawn_monitor([&] { r.register_self("ann"); });
    static_cast<void>(reason_of_end(m.who, m.ref));
    CHECK(!r.whereis("ann"));
    CHECK(r.lookup("ann").empty());
  }
}

TEST_CASE("EX-84 keys of a process, values under a key, counts, selections") {
  own_world w;
  for (const unsigned partitions : {1u, 5u}) {
    registry<std::string, int> r(with(registry_keys::duplicate, partitions));
    for (int i = 0; i != 20; ++i) r.register_self("key" + std::to_string(i), i);
    r.register_self("key3", 33);
    resident other([&] {
      r.register_self("key3", 100);
      r.register_self("own", 101);
    });
    auto mine = r.keys(self());
    CHECK(mine.size() == 21);
    CHECK(std::count(mine.begin(), mine.end(), "key3") == 2);
    auto theirs = r.keys(other.id());
    std::sort(theirs.begin(), theirs.end());
    CHECK(theirs == std::vector<std::string>{"key3", "own"});
    CHECK(r.keys(pid{}).empty());
    auto values = r.values("key3", self());
    std::sort(values.begin(), values.end());
    CHECK(values == std::vector<int>{3, 33});
    CHECK(r.values("key3", other.id()) == std::vector<int>{100});
    CHECK(r.count() == 23);
    CHECK(r.match("key3", [](int v) { return v > 10; }).size() == 2);
    CHECK(r.count_match("key3", [](int v) { return v == 3; }) == 1);
    CHECK(r.select().size() == 23);
    CHECK(r.count_select([&](const auto& e) { return e.who == other.id() && e.key == "own"; }) == 1);
  }
}

TEST_CASE("EX-84 a thousand keys are all found, before, while and after the table grows and shrinks") {
  own_world w;
  registry<int> r(with(registry_keys::unique, 2));
  for (int i = 0; i != 5000; ++i) {
    r.register_self(i);
    for (const int k : {0, i / 2, i}) CHECK(r.whereis(k) == self());
  }
  CHECK(r.keys(self()).size() == 5000);
  for (int i = 0; i != 4990; ++i) {
    r.unregister_self(i);
    CHECK(!r.whereis(i));
    CHECK(r.whereis(4999) == self());
  }
  CHECK(r.count() == 10);
}

TEST_CASE("EX-85 unregister takes all that the caller has under the key, and nothing else; none is fine, too") {
  own_world w;
  for (const auto by : {registry_partition::by_holder, registry_partition::by_key}) {
    registry<std::string, int> r(with(registry_keys::duplicate, 3, by));
    r.register_self("news", 1);
    r.register_self("news", 2);
    r.register_self("sport", 3);
    resident other([&] { r.register_self("news", 4); });
    r.unregister_self("nothing");
    r.unregister_self("news");
    const auto left = r.lookup("news");
    REQUIRE(left.size() == 1);
    CHECK(left[0] == registration<int>{other.id(), 4});
    CHECK(r.keys(self()) == std::vector<std::string>{"sport"});
    r.unregister_self("news");
    CHECK(r.count() == 2);
  }
  registry<std::string> unique;
  resident holder([&] { unique.register_self("ann"); });
  unique.unregister_self("ann");                 // somebody else's
  CHECK(unique.whereis("ann") == holder.id());
}

TEST_CASE("EX-85 unregister_match takes what has a matching value only") {
  own_world w;
  registry<std::string, int> r(duplicates);
  for (int i = 0; i != 10; ++i) r.register_self("news", i);
  resident other([&] { r.register_self("news", 2); });
  CHECK(r.unregister_match("news", [](int v) { return v % 2 == 0; }) == 5);
  CHECK(r.unregister_match("news", [](int v) { return v > 100; }) == 0);
  CHECK(r.unregister_match("other", [](int) { return true; }) == 0);
  std::set<int> left;
  for (const int v : r.values("news", self())) left.insert(v);
  CHECK(left == std::set<int>{1, 3, 5, 7, 9});
  CHECK(r.values("news", other.id()) == std::vector<int>{2});
}

TEST_CASE("EX-86 update_value gives the new value and the old one; of unique keys, of the caller's only") {
  own_world w;
  registry<std::string, std::string> r;
  r.register_self("ann", "a");
  const auto done = r.update_value("ann", [](const std::string& v) { return v + "b"; });
  CHECK(done.now == "ab");
  CHECK(done.before == "a");
  CHECK(r.lookup("ann")[0].value == "ab");

  bool run = false;
  const auto spy = [&](const std::string& v) { return run = true, v; };
  resident other([&] { r.register_self("bob", "x"); });
  for (const char* key : {"bob", "nobody"}) {
    const auto refused = r.try_update_value(key, spy);
    REQUIRE(!refused);
    CHECK(refused.error().is(registry_error::not_registered));
  }
  CHECK(!run);
  CHECK(r.lookup("bob")[0].value == "x");
  CHECK_THROWS_AS(r.update_value("ann", [](const std::string&) -> std::string { throw std::runtime_error("no"); }), std::runtime_error);
  CHECK(r.lookup("ann")[0].value == "ab");

  registry<std::string, std::string> many(duplicates);
  many.register_self("ann", "a");
  try {
    many.update_value("ann", spy);
    FAIL("update_value of duplicate keys");
  } catch (const registry_error& e) {
    CHECK(e.is(registry_error::not_unique));
  }
  CHECK(!run);
}

TEST_CASE("EX-87 dispatch calls once for each partition that has entries, in the caller; not at all without entries") {
  own_world w;
  registry<std::string, int> r(with(registry_keys::duplicate, 4));
  int calls = 0;
  r.dispatch("news", [&](auto) { ++calls; });
  CHECK(calls == 0);
  r.register_self("news", 1);
  r.register_self("news", 2);
  r.dispatch("news", [&, me = self()](std::span<const registration<int>> entries) {
    ++calls;
    CHECK(self() == me);
    CHECK(entries.size() == 2);
  });
  CHECK(calls == 1);

  std::vector<std::unique_ptr<resident>> others;
  for (int i = 0; i != 50; ++i) others.push_back(std::make_unique<resident>([&] { r.register_self("news", 3); }));
  std::size_t entries = 0;
  calls = 0;
  r.dispatch("news", [&](auto part) {
    ++calls;
    CHECK(!part.empty());
    entries += part.size();
  });
  CHECK(entries == 52);
  CHECK(calls > 1);
  CHECK(calls <= 4);
  CHECK_THROWS_AS(r.dispatch("news", [](auto) { throw std::runtime_error("f"); }), std::runtime_error);
}

TEST_CASE("EX-87 in parallel each partition has a task of its own; a failure reaches the caller") {
  own_world w;
  registry<std::string, int> r(with(registry_keys::duplicate, 4));
  std::vector<std::unique_ptr<resident>> others;
  for (int i = 0; i != 50; ++i) others.push_back(std::make_unique<resident>([&] { r.register_self("news", 3); }));
  journal who;
  std::atomic<std::size_t> entries{0};
  r.dispatch("news", [&](auto part) {
    who.add(to_text(self()));
    entries += part.size();
  }, {.parallel = true});
  const std::vector<std::string> ran = who.lines();
  CHECK(entries == 50);
  CHECK(ran.size() > 1);
  CHECK(std::set<std::string>(ran.begin(), ran.end()).size() == ran.size());
  CHECK(std::find(ran.begin(), ran.end(), to_text(self())) == ran.end());
  try {
    r.dispatch("news", [](auto) { throw std::runtime_error("broken f"); }, {.parallel = true});
    FAIL("a failure was lost");
  } catch (const task_failed& e) {
    CHECK(e.reason().text() == "broken f");
  }
  CHECK(mailbox_is_empty());
}

TEST_CASE("EX-93 metadata of any type by name") {
  own_world w;
  registry<std::string> r;
  CHECK(!r.meta<int>("limit"));
  r.put_meta("limit", 5);
  r.put_meta("motto", std::string("all"));
  CHECK(r.meta<int>("limit") == 5);
  CHECK(r.meta<std::string>("motto") == "all");
  r.put_meta("limit", 6);
  CHECK(r.meta<int>("limit") == 6);
  try {
    (void)r.meta<std::string>("limit");
    FAIL("metadata of another type");
  } catch (const registry_error& e) {
    CHECK(e.is(registry_error::other_type));
  }
  CHECK(r.delete_meta("limit"));
  CHECK(!r.delete_meta("limit"));
  CHECK(!r.meta<int>("limit"));
}
