// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/partition_supervisor.hpp>

#include <doctest/doctest.h>

#include "spec/otp/supervisor_world.hpp"

#include <set>

using namespace coppice;
using namespace coppice::testing;

namespace {

child_spec numbered(child_spec, std::size_t number) { return child<worker>({}, "number " + std::to_string(number), nullptr); }

partition_supervisor start_four() {
  return start_partition_supervisor({.name = "parts", .child = child<worker>({}, "w", nullptr), .partitions = 4, .with = &numbered});
}

}  // namespace

TEST_CASE("SV-120 n copies of one child, with ids from 0 on; by default as many as there are workers") {
  own_world world({.workers = 3});
  const auto all = start_partition_supervisor({.name = "parts", .child = child<worker>({}, "w", nullptr)});
  CHECK(all.partitions() == 3);
  CHECK(ids_of(supervisor("parts").which_children()) == lines{"0", "1", "2"});
  stop("parts");
  auto four = start_four();
  CHECK(call(named<worker>(via(four, 3)), worker::ping{}) == "number 3");
  stop("parts");
  CHECK_THROWS_AS(start_partition_supervisor({.child = child<worker>({}, "w", nullptr)}), start_error);
  CHECK_THROWS_AS(start_partition_supervisor({.name = "parts", .child = child<worker>({.name = "one"}, "w", nullptr)}), start_error);
}

TEST_CASE("SV-121 integers go by their value, everything else by its hash, the same key always the same way") {
  own_world world;
  auto parts = start_four();
  for (const int key : {0, 1, 5, -1, -6}) CHECK(parts.whereis(key) == parts.partition(static_cast<std::size_t>(key < 0 ? -key : key) % 4));
  CHECK(parts.whereis(std::numeric_limits<std::int64_t>::min()) == parts.partition(0));
  std::set<pid> used;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "user " + std::to_string(i);
    CHECK(parts.whereis(key) == parts.whereis(std::string_view(key)));
    used.insert(parts.whereis(key));
  }
  CHECK(used.size() == 4);
  stop("parts");
}

TEST_CASE("SV-122 a restarted partition is found at the same key, also by those who looked before") {
  own_world world;
  auto parts = start_four();
  const pid before = parts.whereis(2);
  kill_child(before);
  const pid now = supervisor("parts").which_child("2").who;
  CHECK(now != before);
  CHECK(parts.whereis(2) == now);
  CHECK(call(named<worker>(via(parts, 2)), worker::ping{}) == "number 2");
  stop("parts");

  const supervisor top = start_supervisor({.children = {child(partition_supervisor_spec{.name = "parts", .child = child<worker>({}, "w", nullptr), .partitions = 2})}});
  const partition_supervisor found("parts");
  const pid old = found.whereis(1);
  kill_child(found.id());
  (void)top.which_children();
  CHECK(found.whereis(1) != old);
  CHECK(call(server_cast<worker>(found.whereis(1)), worker::ping{}) == "w");
  stop(top.id());
}

TEST_CASE("SV-123 resize stops the tail and starts it again") {
  own_world world;
  auto parts = start_four();
  CHECK(parts.resize(2) == 4);
  CHECK(parts.partitions() == 2);
  CHECK(parts.whereis(3) == parts.partition(1));
  CHECK(supervisor("parts").count_children().active == 2);
  CHECK(parts.resize(4) == 2);
  CHECK(call(named<worker>(via(parts, 3)), worker::ping{}) == "number 3");
  CHECK_THROWS_AS(parts.resize(5), std::invalid_argument);
  CHECK(parts.resize(0) == 4);
  CHECK_THROWS_AS(parts.whereis(1), exit_error);
  stop("parts");
}

TEST_CASE("SV-124 a handle is made from the name; an unknown one is an error") {
  own_world world;
  const auto parts = start_four();
  CHECK(partition_supervisor("parts").partitions() == 4);
  CHECK(partition_supervisor("parts").whereis("ann") == parts.whereis("ann"));
  CHECK(supervisor("parts").about().strategy == one_for_one);
  stop("parts");
  CHECK_THROWS_AS(partition_supervisor("parts"), supervisor_error);
  const supervisor other = start_supervisor({.name = "other", .children = {worker_child("0")}});
  CHECK_THROWS_AS(partition_supervisor("other"), supervisor_error);
  stop("other");
}
