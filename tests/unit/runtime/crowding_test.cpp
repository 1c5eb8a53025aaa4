// SPDX-License-Identifier: Apache-2.0
//
// Whether fewer workers would do more: the decision alone, fed with what a monitor thread might see.
#include <doctest/doctest.h>

#include "runtime/crowding.hpp"

#include <bit>

using coppice::internal::crowding;

namespace {

/// Workers that get `alone` done in a millisecond if one of them works, and `together` if more do.
struct crew {
  crowding crowd{};
  std::uint64_t workers = 0b11;
  std::int64_t together = 0;
  std::int64_t alone = 0;
  std::int64_t grain = 100;
  std::uint64_t aside = 0;
  int tries = 0;

  void pass(int milliseconds) {
    for (int i = 0; i != milliseconds; ++i) {
      const std::uint64_t busy = workers & ~aside;
      const std::uint64_t before = aside;
      aside = crowd.decide({.busy = busy, .rate = std::popcount(busy) == 1 ? alone : together, .grain = grain});
      tries += before == 0 && aside != 0;
      REQUIRE((aside & ~workers) == 0);
      REQUIRE((aside == 0 || aside != workers));
    }
  }
};

}  // namespace

TEST_CASE("half of the workers stand aside now and then, and never for more than two looks") {
  crew c{.together = 1'000, .alone = 3'000};
  int longest = 0;
  int now = 0;
  for (int i = 0; i != 100; ++i) {
    c.pass(1);
    now = c.aside != 0 ? now + 1 : 0;
    longest = now > longest ? now : longest;
    if (c.aside != 0) CHECK(c.aside == 0b10);
  }
  CHECK(c.tries >= 5);
  CHECK(longest == 2);
}

TEST_CASE("where fewer workers do less, it is tried ever more rarely") {
  crew c{.together = 2'000, .alone = 1'000};
  c.pass(1'000);
  const int first = c.tries;
  c.pass(1'000);
  CHECK(first >= 3);
  CHECK(c.tries - first <= 2);
  c.together = 300;                            // other work has come
  c.pass(3'000);
  CHECK(c.tries - first > 10);
}

TEST_CASE("nobody stands aside for coarse work, alone, or beside a stuck worker") {
  crew coarse{.together = 100, .alone = 1'000, .grain = 5'000};
  coarse.pass(500);
  CHECK(coarse.tries == 0);
  crew single{.workers = 0b1, .together = 100, .alone = 1'000};
  single.pass(500);
  CHECK(single.tries == 0);
  crowding crowd{};
  for (int i = 0; i != 500; ++i) CHECK(crowd.decide({.busy = 0b11, .rate = 100, .grain = 100, .disturbed = true}) == 0);
}

TEST_CASE("a worker that gets stuck ends the try at once") {
  crowding crowd{};
  std::uint64_t aside = 0;
  for (int i = 0; i != 50 && aside == 0; ++i) aside = crowd.decide({.busy = 0b1111, .rate = 100, .grain = 100});
  CHECK(aside == 0b1100);
  CHECK(crowd.decide({.busy = 0b0001, .rate = 10, .grain = 100, .disturbed = true}) == 0);
}

TEST_CASE("of an odd number the smaller half stands aside") {
  crowding crowd{};
  std::uint64_t aside = 0;
  for (int i = 0; i != 50 && aside == 0; ++i) aside = crowd.decide({.busy = 0b10101, .rate = 100, .grain = 100});
  CHECK(aside == 0b10000);
}
