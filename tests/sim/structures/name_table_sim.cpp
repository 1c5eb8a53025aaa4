// SPDX-License-Identifier: Apache-2.0
//
// name_table under every interleaving and the whole memory model: readers without a lock miss nothing that stays and
// believe nothing that is gone.
#include <coppice/base/hash.hpp>

#include "process/name_table.hpp"
#include "runs.hpp"
#include "sim/driver.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

namespace sim = coppice::internal::sim;
namespace sync = coppice::detail::sync;
using coppice::internal::name_holder;
using coppice::internal::name_table;
using coppice::testing::runs;

int slots[8];
name_holder holder(std::size_t slot, std::uint64_t serial = 1) { return {&slots[slot], serial}; }

// Names of shard 0 and of `bucket` out of the 16 of a table that has not grown. Found once: it takes a while.
std::vector<std::string> names_in_bucket(std::uint64_t bucket, std::size_t count) {
  std::vector<std::string> names;
  for (int i = 0; names.size() != count; ++i) {
    const std::string name = "name" + std::to_string(i);
    const std::uint64_t hash = coppice::hash_of(name);
    if (hash >> 60 == 0 && hash % 16 == bucket) names.push_back(name);
  }
  return names;
}

const std::vector<std::string> here = names_in_bucket(3, 9);
const std::vector<std::string> there = names_in_bucket(4, 9);

// The entry of a name is used for another name at once; a reader stands on it. As little as possible around it: the reader
// must be stopped at just the right places.
void reuse() {
  name_table table;
  sim::check(!table.insert(here[0], holder(0, 10)), "nobody has the name");
  runs reader([&] {
    if (const name_holder h = table.find(here[0])) sim::check(h == holder(0, 10), "a holder of another name was found");
  });
  sim::check(table.erase(here[0], holder(0, 10)), "it was there");
  sim::check(!table.insert(here[1], holder(1, 11)), "nobody has the name");
}

// And back: the reader looks for the name that comes.
void reuse_again() {
  name_table table;
  runs reader([&] {
    for (int i = 0; i != 2; ++i)
      if (const name_holder h = table.find(here[0]))
        sim::check(h == holder(0, 10), "a holder of another name was found");
  });
  sim::check(!table.insert(here[1], holder(1, 11)), "nobody has the name");
  sim::check(table.erase(here[1], holder(1, 11)), "it was there");
  sim::check(!table.insert(here[0], holder(0, 10)), "nobody has the name");
}

// A name stays at the end of a chain, while the entries before it move to another chain and back.
void moving() {
  name_table table;
  (void)table.insert(here[0], holder(0));
  runs reader([&] {
    for (int i = 0; i != 3; ++i) sim::check(table.find(here[0]) == holder(0), "a name that stays was not found");
  });
  for (int i = 0; i != 2; ++i) {
    for (const auto* names : {&here, &there}) {
      (void)table.insert((*names)[1], holder(1));
      (void)table.insert((*names)[2], holder(2));
      (void)table.erase((*names)[2], holder(2));
      (void)table.erase((*names)[1], holder(1));
    }
  }
}

// The seventeenth name of a shard makes it grow.
void growing() {
  name_table table;
  for (std::size_t i = 0; i != 9; ++i) (void)table.insert(here[i], holder(0, i + 1));
  for (std::size_t i = 0; i != 7; ++i) (void)table.insert(there[i], holder(1));
  runs reader([&] {
    for (std::size_t i : {8u, 4u, 0u})
      sim::check(table.find(here[i]) == holder(0, i + 1), "a name that stays was not found");
  });
  (void)table.insert(there[7], holder(1));
  sim::check(table.find(there[7]) == holder(1), "the name that made the table grow");
}

// Who has been told by another way finds the new state: the order that PR-15 and every registration rest on.
void told() {
  name_table table;
  (void)table.insert(here[1], holder(1));
  sync::atomic<int> stage{0, "stage"};
  runs reader([&] {
    const int seen = stage.load(sync::acquire);
    const name_holder h = table.find(here[0]);
    if (seen == 1) sim::check(h == holder(0, 5) || stage.load(sync::relaxed) > 1 || !h, "registered");
    if (seen == 2) sim::check(!h, "a name was found after its end had been told");
    const name_holder other = table.find(here[1]);
    if (seen == 2) sim::check(other == holder(1), "its neighbour stays");
  });
  (void)table.insert(here[0], holder(0, 5));
  stage.store(1, sync::release);
  (void)table.erase(here[0], holder(0, 5));
  stage.store(2, sync::release);
}

// Registered and told: must be found.
void told_of_birth() {
  name_table table;
  sync::atomic<int> stage{0, "stage"};
  runs reader([&] {
    if (stage.load(sync::acquire) == 1)
      sim::check(table.find(here[0]) == holder(0, 5), "a name was not found after it was told");
  });
  (void)table.insert(here[0], holder(0, 5));
  stage.store(1, sync::release);
}

void contended() {
  name_table table;
  sync::atomic<int> holders{0, "holders"};
  const auto contender = [&](std::size_t slot) {
    return [&, slot] {
      for (int i = 0; i != 2; ++i) {
        if (table.insert(here[0], holder(slot))) continue;
        sim::check(holders.fetch_add(1, sync::relaxed) == 0, "two have the name");
        holders.fetch_sub(1, sync::relaxed);
        sim::check(table.erase(here[0], holder(slot)), "it is ours");
      }
    };
  };
  { runs a(contender(0)), b(contender(1)); }
  sim::check(table.size() == 0, "a name is left");
}

const sim::scenario scenarios[] = {{"name_table_reuse", &reuse},        {"name_table_reuse_again", &reuse_again},
                                   {"name_table_moving", &moving},      {"name_table_growing", &growing},
                                   {"name_table_told", &told},          {"name_table_birth", &told_of_birth},
                                   {"name_table_contended", &contended}};

void check(const char* scenario) {
  const sim::verdict v = sim::seeds(scenario);
  CHECK_MESSAGE(v.passed(), v.report);
}

}  // namespace

TEST_CASE("name_table: an entry that is used again does not give the new holder for the old name") {
  check("name_table_reuse");
  check("name_table_reuse_again");
}
TEST_CASE("name_table: entries that move to another chain hide nothing") { check("name_table_moving"); }
TEST_CASE("name_table: growing hides nothing") { check("name_table_growing"); }
TEST_CASE("PR-15 a name is free for whoever has been told so") { check("name_table_told"); }
TEST_CASE("PR-70 a registered name is found by whoever has been told of it") { check("name_table_birth"); }
TEST_CASE("PR-70 a name has one holder at a time") { check("name_table_contended"); }
