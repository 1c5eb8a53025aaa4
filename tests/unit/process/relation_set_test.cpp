// SPDX-License-Identifier: Apache-2.0
#include "process/relation_set.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

namespace {

struct entry {
  std::uint64_t key = 0;
  int value = 0;
};
std::uint64_t relation_key(const entry& e) noexcept { return e.key; }
const auto any = [](const entry&) { return true; };

}  // namespace

TEST_CASE("the only entry of a relation set is found, becomes one of several, and may be the only one again") {
  coppice::detail::relation_set<entry> set;
  CHECK(set.empty());
  CHECK_FALSE(set.take(1, any));
  set.add({1, 10});
  CHECK(set.find(1, any)->value == 10);
  CHECK(set.find(2, any) == nullptr);
  CHECK(set.find(1, [](const entry& e) { return e.value == 11; }) == nullptr);
  set.add({1, 11});
  CHECK(set.size() == 2);
  entry taken;
  REQUIRE(set.take(1, [](const entry& e) { return e.value == 10; }, &taken));
  CHECK(taken.value == 10);
  set.shrink_to_fit();
  CHECK(set.size() == 1);
  CHECK(set.entries().front().value == 11);
  REQUIRE(set.take(1, any));
  CHECK(set.empty());
  CHECK(set.find(1, any) == nullptr);
  set.add({2, 20});
  CHECK(set.begin()->value == 20);
  set.clear();
  CHECK(set.empty());
}

TEST_CASE("a relation set does what a multimap does, with an index and without") {
  for (const std::uint64_t keys : {4u, 40u, 4000u}) {
    std::mt19937_64 random(keys);
    coppice::detail::relation_set<entry> set;
    std::multimap<std::uint64_t, int> model;
    for (int step = 0; step < 40'000; ++step) {
      const std::uint64_t key = (random() % keys + 1) * 64;              // many of one home, were the hash poor
      if (random() % 5 < (step % 10'000 < 5'000 ? 3u : 2u)) {
        set.add({key, step});
        model.emplace(key, step);
      } else if (random() % 8 == 0) {
        const bool was = model.erase(key) != 0;
        REQUIRE(set.take_all(key, any) == was);
      } else {
        entry taken;
        const bool was = set.take(key, any, &taken);
        const auto range = model.equal_range(key);
        REQUIRE(was == (range.first != range.second));
        if (!was) continue;
        REQUIRE(taken.key == key);
        auto at = range.first;
        while (at != range.second && at->second != taken.value) ++at;
        REQUIRE(at != range.second);
        model.erase(at);
      }
      if (step % 5'000 == 0) set.shrink_to_fit();
      REQUIRE(set.size() == model.size());
    }
    for (const auto& [key, value] : model) REQUIRE(set.find(key, [v = value](const entry& e) { return e.value == v; }) != nullptr);
    CHECK(set.size() == model.size());
    set.clear();
    CHECK(set.empty());
    CHECK_FALSE(set.take(64, any));
  }
}
