// SPDX-License-Identifier: Apache-2.0
//
// name_table: one holder per name, any bytes, flat memory; and readers that race with registering, growing and reuse.
#include "process/name_table.hpp"

#include <coppice/base/hash.hpp>

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace coppice::internal;
using namespace std::string_literals;

int slots[1000];

name_holder holder(std::size_t slot, std::uint64_t serial = 1) { return {&slots[slot], serial}; }

std::map<std::string, name_holder> everything(name_table& table) {
  std::map<std::string, name_holder> all;
  table.for_each(
      [](void* context, std::string_view name, name_holder h) {
        CHECK(static_cast<std::map<std::string, name_holder>*>(context)->emplace(std::string(name), h).second);
      },
      &all);
  return all;
}

// Names that agree in the whole hash: a first word that equals the hash's key makes the product with the second one 0.
std::vector<std::string> colliding_names(std::size_t length, int count) {
  std::vector<std::string> names;
  for (int i = 0; i != count; ++i) {
    std::string name(length, 'x');
    for (std::size_t b = 0; b != 8; ++b) name[b] = static_cast<char>(coppice::detail::hash_key_2 >> (8 * b));
    name[length > 16 ? 14 : length - 2] = static_cast<char>(i / 256);
    name[length > 16 ? 15 : length - 1] = static_cast<char>(i);
    names.push_back(name);
    REQUIRE(coppice::hash_of(name) == coppice::hash_of(names.front()));
  }
  return names;
}

// `count` names that belong to shard 0 and, in a table that has not grown, to the bucket `bucket` of 16.
std::vector<std::string> names_in_bucket(std::uint64_t bucket, std::size_t count) {
  std::vector<std::string> names;
  for (int i = 0; names.size() != count; ++i) {
    const std::string name = "name" + std::to_string(i);
    const std::uint64_t hash = coppice::hash_of(name);
    if (hash >> 60 == 0 && hash % 16 == bucket) names.push_back(name);
  }
  return names;
}

// Of every length around a boundary of the table's words and of its inline part, with bytes that differ in one place only.
std::vector<std::string> awkward_names() {
  std::vector<std::string> names{""s};
  for (std::size_t length :
       {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 15u, 16u, 17u, 23u, 24u, 47u, 48u, 49u, 79u, 80u, 81u, 82u, 200u, 5000u}) {
    names.emplace_back(length, '\0');
    for (std::size_t at = 0; at < length; at += 1 + length / 16) {
      std::string name(length, '\0');
      name[at] = '\xff';
      names.push_back(name);
    }
    std::string last(length, '\0');
    last.back() = 'x';
    if (names.back() != last) names.push_back(last);
  }
  return names;
}

}  // namespace

TEST_CASE("PR-70 a name has one holder; a second registration fails and says who has it") {
  name_table table;
  CHECK_FALSE(table.find("ch3"));
  CHECK_FALSE(table.insert("ch3", holder(1, 7)));
  CHECK(table.find("ch3") == holder(1, 7));
  CHECK(table.insert("ch3", holder(2, 8)) == holder(1, 7));
  CHECK(table.insert("ch3", holder(1, 7)) == holder(1, 7));
  CHECK(table.find("ch3") == holder(1, 7));
  CHECK(table.size() == 1);
}

TEST_CASE("PR-72 unregistering frees the name, but only for its holder") {
  name_table table;
  CHECK_FALSE(table.erase("ch3", holder(1)));
  CHECK_FALSE(table.insert("ch3", holder(1, 7)));
  CHECK_FALSE(table.erase("ch3", holder(2, 7)));
  CHECK_FALSE(table.erase("ch3", holder(1, 8)));  // an earlier tenant of the same slot
  CHECK(table.find("ch3") == holder(1, 7));
  CHECK(table.erase("ch3", holder(1, 7)));
  CHECK_FALSE(table.find("ch3"));
  CHECK_FALSE(table.erase("ch3", holder(1, 7)));
  CHECK_FALSE(table.insert("ch3", holder(2)));
  CHECK(table.find("ch3") == holder(2));
}

TEST_CASE("PR-70 names are bytes of any length and value, compared by value") {
  name_table table;
  const std::vector<std::string> names = awkward_names();
  for (std::size_t i = 0; i != names.size(); ++i) {
    CAPTURE(names[i].size());
    REQUIRE_FALSE(table.find(names[i]));
    REQUIRE_FALSE(table.insert(names[i], holder(i)));
  }
  for (std::size_t i = 0; i != names.size(); ++i) {
    const std::string copy = names[i];  // another address
    REQUIRE(table.find(copy) == holder(i));
  }
  const auto all = everything(table);
  CHECK(all.size() == names.size());
  for (std::size_t i = 0; i != names.size(); ++i) {
    const auto at = all.find(names[i]);
    REQUIRE(at != all.end());
    CHECK(at->second == holder(i));
  }
  for (std::size_t i = 0; i < names.size(); i += 2) REQUIRE(table.erase(names[i], holder(i)));
  for (std::size_t i = 0; i != names.size(); ++i) REQUIRE(static_cast<bool>(table.find(names[i])) == (i % 2 == 1));
}

TEST_CASE("PR-70 names that agree in their hash are told apart") {
  name_table table;
  for (std::size_t length : {15u, 16u, 17u, 23u, 80u, 81u, 200u}) {
    CAPTURE(length);
    const auto names = colliding_names(length, 300);
    for (std::size_t i = 0; i != names.size(); ++i) {
      REQUIRE_FALSE(table.find(names[i]));
      REQUIRE_FALSE(table.insert(names[i], holder(i)));
    }
    for (std::size_t i = 0; i != names.size(); ++i) REQUIRE(table.find(names[i]) == holder(i));
    for (std::size_t i = 0; i < names.size(); i += 3) REQUIRE(table.erase(names[i], holder(i)));
    for (std::size_t i = 0; i != names.size(); ++i) REQUIRE(static_cast<bool>(table.find(names[i])) == (i % 3 != 0));
  }
}

TEST_CASE("PR-70 the empty name is a name, also in an entry that held another one") {
  name_table table;
  for (int i = 0; i != 1000; ++i) {
    const std::string other = std::to_string(i);
    REQUIRE_FALSE(table.insert(other, holder(1)));
    REQUIRE(table.erase(other, holder(1)));
  }
  CHECK_FALSE(table.find({}));
  CHECK_FALSE(table.insert({}, holder(2)));
  CHECK(table.find({}) == holder(2));
  CHECK(table.find("") == holder(2));
  CHECK(table.erase("", holder(2)));
}

TEST_CASE("name_table agrees with a map over random operations") {
  name_table table;
  std::map<std::string, name_holder> model;
  std::mt19937 random(2);
  std::vector<std::string> names;
  for (int i = 0; i != 3000; ++i) names.push_back((i % 5 == 0 ? std::string(90, '.') : ""s) + std::to_string(i));
  std::size_t range = 10;
  for (int round = 0; round != 100'000; ++round) {
    if (round % 1000 == 0) range = 10 + random() % (names.size() - 10);  // fills, grows, empties
    const std::string& name = names[random() % range];
    const name_holder h = holder(random() % 3, random() % 2);
    const auto at = model.find(name);
    const name_holder had = at == model.end() ? name_holder{} : at->second;
    switch (random() % 3) {
      case 0:
        REQUIRE(table.insert(name, h) == had);
        if (!had) model.emplace(name, h);
        break;
      case 1:
        REQUIRE(table.erase(name, h) == (had == h));
        if (had == h) model.erase(name);
        break;
      default:
        REQUIRE(table.find(name) == had);
    }
  }
  CHECK(table.size() == model.size());
  CHECK(everything(table) == model);
}

TEST_CASE("PR-73 names that come and go leave no memory behind") {
  name_table table;
  constexpr std::size_t alive = 1000;
  std::size_t memory = 0;
  const auto name_of = [](std::size_t i) { return "worker/" + std::to_string(i * 0x9E3779B97F4A7C15u); };
  for (std::size_t i = 0; i != 200'000; ++i) {
    REQUIRE_FALSE(table.insert(name_of(i), holder(i % alive)));
    if (i >= alive) REQUIRE(table.erase(name_of(i - alive), holder((i - alive) % alive)));
    if (i == 10'000) memory = table.memory_bytes();
  }
  CHECK(table.size() == alive);
  CHECK(table.memory_bytes() < memory + memory / 2);
  CHECK(table.memory_bytes() < 2 * alive * 128 + 64 * 1024);
}

TEST_CASE("name_table: a name that stays is found by everyone while others come, go and make the table grow") {
  // Few buckets, so that the chains are long and entries move between them all the time.
  name_table table;
  constexpr int readers = 2, writers = 2;
  const std::vector<std::string> steady{"a", "router", "a name of more than sixteen bytes", std::string(120, 'z')};
  for (std::size_t i = 0; i != steady.size(); ++i) REQUIRE_FALSE(table.insert(steady[i], holder(i, 99)));
  std::atomic<int> working{writers};
  std::atomic<int> missed{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int r = 0; r != readers; ++r)
    threads.emplace_back([&] {
      while (working != 0) {
        for (std::size_t i = 0; i != steady.size(); ++i) {
          const name_holder h = table.find(steady[i]);
          if (!h)
            ++missed;
          else if (h != holder(i, 99))
            ++wrong;
        }
        // One that comes and goes: absent, or a pair that belongs together.
        const name_holder h = table.find("w1/17");
        if (h && h != holder(17, 17 * 3)) ++wrong;
      }
    });
  for (int w = 0; w != writers; ++w)
    threads.emplace_back([&, w] {
      std::vector<std::string> names;
      for (int i = 0; i != 900; ++i) names.push_back("w" + std::to_string(w) + "/" + std::to_string(i));
      for (std::size_t round = 0; round != 40; ++round) {
        const std::size_t count = 20 + round * 880 / 40;  // grows from time to time
        for (std::size_t i = 0; i != count; ++i)
          if (table.insert(names[i], holder(i, i * 3))) ++wrong;
        for (std::size_t i = 0; i != count; ++i)
          if (!table.erase(names[i], holder(i, i * 3))) ++wrong;
      }
      --working;
    });
  for (std::thread& t : threads) t.join();
  CHECK(missed == 0);
  CHECK(wrong == 0);
  CHECK(table.size() == steady.size());
}

TEST_CASE("name_table: an entry that changes its name under a reader does not give the new holder for the old name") {
  name_table table;
  const auto names = names_in_bucket(3, 2);
  std::atomic<bool> over{false}, started{false};
  int wrong = 0, found = 0;
  std::thread reader([&] {
    started = true;
    while (!over)
      if (const name_holder h = table.find(names[0])) {
        ++found;
        wrong += h != holder(0, 5);
      }
  });
  while (!started) std::this_thread::yield();
  for (int i = coppice::testing::rounds(60'000, 10'000'000); i != 0; --i)
    for (std::size_t which : {0u, 1u}) {  // one entry: what was freed last is used first
      if (table.insert(names[which], holder(which, 5 + which))) ++wrong;
      if (!table.erase(names[which], holder(which, 5 + which))) ++wrong;
    }
  over = true;
  reader.join();
  CHECK(wrong == 0);
  MESSAGE("found ", found, " times");
}

TEST_CASE("name_table: an entry that moves to another bucket does not lead a reader astray") {
  name_table table;
  const auto here = names_in_bucket(3, 8), elsewhere = names_in_bucket(4, 7);
  REQUIRE_FALSE(table.insert(here[7], holder(7)));  // at the end of the chain for good
  std::atomic<bool> over{false}, started{false};
  int missed = 0;
  std::thread reader([&] {
    started = true;
    while (!over) missed += !table.find(here[7]);
  });
  while (!started) std::this_thread::yield();
  bool all = true;
  for (int i = coppice::testing::rounds(30'000, 2'000'000); i != 0; --i)
    for (const auto* names : {&here, &elsewhere}) {
      for (std::size_t k = 0; k != 7; ++k) all = all && !table.insert((*names)[k], holder(k));
      for (std::size_t k = 7; k-- != 0;) all = all && table.erase((*names)[k], holder(k));
    }
  over = true;
  reader.join();
  CHECK(all);
  CHECK(missed == 0);
}

TEST_CASE("name_table: a table that grows under a reader hides nothing from it") {
  const auto names = names_in_bucket(3, 12);
  std::vector<std::string> others;
  for (std::uint64_t bucket = 0; bucket != 16; ++bucket)
    for (const std::string& name : names_in_bucket(bucket, 80)) others.push_back(name);
  int missed = 0;
  for (int round = coppice::testing::rounds(30, 3000); round != 0; --round) {
    name_table table;
    for (const std::string& name : names) REQUIRE_FALSE(table.insert(name, holder(1)));
    std::atomic<bool> over{false}, started{false};
    std::thread reader([&] {
      while (!over) {
        started = true;
        for (const std::string& name : names) missed += !table.find(name);
      }
    });
    while (!started) std::this_thread::yield();
    for (const std::string& name : others) (void)table.insert(name, holder(2));
    over = true;
    reader.join();
  }
  CHECK(missed == 0);
}

TEST_CASE("PR-15 who has been told that a name is free does not find it any more") {
  name_table table;
  const auto turns = static_cast<std::uint64_t>(coppice::testing::rounds(5000, 100'000));
  std::atomic<std::uint64_t> freed{0}, seen{0};
  int stale = 0;
  std::thread reader([&] {
    for (std::uint64_t turn = 1; turn <= turns; ++turn) {
      while (freed.load(std::memory_order_acquire) != turn) std::this_thread::yield();
      const name_holder h = table.find("ch3");
      if (h && h.serial <= turn) ++stale;
      seen.store(turn, std::memory_order_release);
    }
  });
  for (std::uint64_t turn = 1; turn <= turns; ++turn) {
    REQUIRE_FALSE(table.insert("ch3", holder(0, turn)));
    REQUIRE(table.erase("ch3", holder(0, turn)));
    freed.store(turn, std::memory_order_release);
    while (seen.load(std::memory_order_acquire) != turn) std::this_thread::yield();
  }
  reader.join();
  CHECK(stale == 0);
}

TEST_CASE("PR-70 of many who want one name at once exactly one gets it") {
  name_table table;
  constexpr int contenders = 4;
  std::atomic<int> won{0}, rounds_won{0};
  std::vector<std::thread> threads;
  for (int c = 0; c != contenders; ++c)
    threads.emplace_back([&, c] {
      const name_holder me = holder(static_cast<std::size_t>(c));
      for (int round = 0; round != 5000; ++round) {
        if (table.insert("leader", me)) continue;
        if (won.fetch_add(1) != 0) rounds_won = -1'000'000;
        ++rounds_won;
        won.fetch_sub(1);
        if (!table.erase("leader", me)) rounds_won = -1'000'000;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(rounds_won > 0);
  CHECK(table.size() == 0);
}
