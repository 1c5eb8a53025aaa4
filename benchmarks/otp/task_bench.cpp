// SPDX-License-Identifier: Apache-2.0
//
// Tasks: one task, many tasks, groups.
#include <coppice/otp/task_group.hpp>

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

}  // namespace

void otp_bench::add_task_rows(bench::suite& suite) {
  suite.group("tasks");
  suite.row("async + await of an empty function", {.max = 200, .peers = "task", .run = async_await});
  suite.row("async_nolink + await", {.run = async_nolink_await});
  suite.row("task of a group, awaited", {.run = group_task});
  suite.row("one of 1,000 tasks awaited together", {.peers = "task-many", .run = many});
}
