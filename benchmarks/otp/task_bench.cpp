// SPDX-License-Identifier: Apache-2.0
//
// Tasks: one task, many tasks, groups.
#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/task_group.hpp>

#include <cmath>
#include <ranges>
#include <thread>
#include <vector>

#include "otp/rows.hpp"

using namespace coppice;

namespace {

double async_await(bench::state& s) {
  return otp_bench::in_process([&] {
    return s.time([](std::uint64_t n) {
      while (n--) async([] { return 1; }).await();
    });
  });
}

double async_nolink_await(bench::state& s) {
  return otp_bench::in_process([&] {
    return s.time([](std::uint64_t n) {
      while (n--) async_nolink([] { return 1; }).await();
    });
  });
}

double group_task(bench::state& s) {
  return otp_bench::in_process([&] {
    task_group group;
    return s.time([&](std::uint64_t n) {
      while (n--) group.async([] { return 1; }).await();
    });
  });
}

double many(bench::state& s) {
  constexpr std::uint64_t at_once = 1000;
  return otp_bench::in_process([&] {
    return s.time([](std::uint64_t n) {
      while (n--) {
        std::vector<task<std::uint64_t>> tasks;
        tasks.reserve(at_once);
        for (std::uint64_t i = 0; i != at_once; ++i) tasks.push_back(async([i] { return i; }));
        std::uint64_t sum = 0;
        for (const std::uint64_t v : await_many(tasks)) sum += v;
        otp_bench::check(sum, at_once * (at_once - 1) / 2);
      }
    }) / at_once;
  });
}

/// `elements` of a stream that do nothing, in nanoseconds each.
double stream_of_nothing(bench::state& s, const stream_options& options) {
  const std::uint64_t elements = s.count(1'000'000);
  return otp_bench::in_process([&] {
    return 1e3 / s.rate(elements, [&] {
      std::uint64_t sum = 0;
      for (auto& r : async_stream(std::views::iota(std::uint64_t{0}, elements), [](std::uint64_t n) { return n; }, options)) sum += *r;
      otp_bench::check(sum, elements * (elements - 1) / 2);
    });
  });
}
double stream_ordered(bench::state& s) { return stream_of_nothing(s, {}); }
double stream_unordered(bench::state& s) { return stream_of_nothing(s, {.ordered = false}); }
double stream_wide(bench::state& s) { return stream_of_nothing(s, {.max_concurrency = 1000}); }

/// About 100 µs of arithmetic.
std::uint64_t compute(std::uint64_t n) {
  std::uint64_t x = n | 1;
  for (int i = 0; i != 60'000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

/// How many times as fast as one after another, divided by the number of cores.
double cpu_bound(bench::state& s) {
  const std::uint64_t elements = s.count(4'000);
  const unsigned cores = std::thread::hardware_concurrency();
  return otp_bench::in_process([&] {
    std::uint64_t expected = 0, sum = 0;
    const double alone = s.rate(elements, [&] {
      for (std::uint64_t i = 0; i != elements; ++i) expected += compute(i);
    });
    const double together = s.rate(elements, [&] {
      for (auto& r : async_stream(std::views::iota(std::uint64_t{0}, elements), compute, {.max_concurrency = 2 * cores})) sum += *r;
    });
    otp_bench::check(sum, expected);
    return together / alone / cores;
  });
}

}  // namespace

void otp_bench::add_task_rows(bench::suite& suite) {
  suite.group("tasks");
  suite.row("async + await of an empty function", {.max = 200, .peers = "task", .run = async_await});
  suite.row("async_nolink + await", {.run = async_nolink_await});
  suite.row("task of a group, awaited", {.run = group_task});
  suite.row("async_stream, 1,000,000 elements, each", {.peers = "stream", .repetitions = 5, .run = stream_ordered});
  suite.row("the same unordered", {.peers = "stream-unordered", .repetitions = 5, .run = stream_unordered});
  suite.row("the same, 1,000 at once", {.peers = "stream-wide", .repetitions = 5, .run = stream_wide});
  suite.row("async_stream of a CPU-bound function, of n cores", {.unit = "x", .min = 0.95, .two_cores = true, .repetitions = 5, .run = cpu_bound});
  suite.row("one of 1,000 tasks awaited together", {.peers = "task-many", .run = many});
}
