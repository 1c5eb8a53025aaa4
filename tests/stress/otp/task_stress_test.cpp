// SPDX-License-Identifier: Apache-2.0
//
// Owners that do everything with tasks at once while somebody kills owners and tasks. What is checked: no value is lost or
// destroyed twice, no process is left, no message.
#include <doctest/doctest.h>

#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/task_group.hpp>
#include <coppice/otp/task_message.hpp>
#include <coppice/process/process_info.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <ranges>
#include <thread>
#include <vector>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

std::atomic<long> made{0}, ended{0};

/// A value whose ends are counted; on the heap, so that a sanitizer sees a second one.
struct value {
  explicit value(int n) : number(std::make_unique<int>(n)) { ++made; }
  value(value&&) = default;
  value& operator=(value&&) = default;
  ~value() {
    if (number) ++ended;
  }
  std::unique_ptr<int> number;
};

void work_of_owner(unsigned seed, int turns) {
  std::mt19937 dice(seed);
  const auto chance = [&](unsigned n) { return dice() % n == 0; };
  std::vector<task<value>> kept;
  for (int turn = 0; turn < turns; ++turn) {
    const int n = static_cast<int>(dice() % 1000);
    const auto compute = [n] {
      if (n % 3 == 0) yield();
      if (n % 50 == 0) sleep_for(50us);
      if (n % 97 == 0) throw std::runtime_error("broken");
      return value(n);
    };
    switch (dice() % 8) {
      case 0: {
        auto t = async_nolink(compute);
        if (auto r = t.yield(infinity); r && *r) CHECK(*r->value().number == n);
        break;
      }
      case 1: kept.push_back(async_nolink(compute)); break;
      case 2: static_cast<void>(async_nolink(compute)); break;
      case 3: {
        auto t = async_nolink(compute);
        auto r = t.yield(duration(dice() % 2000));
        if (!r) r = chance(2) ? t.shutdown() : t.shutdown(brutal_kill);
        if (r && *r) CHECK(*r->value().number == n);
        break;
      }
      case 4: {
        auto t = async_nolink(compute);
        t.ignore();
        break;
      }
      case 5: {
        std::array<int, 4> places{};
        task_group group;
        for (int& p : places) static_cast<void>(group.async([&p, n] {
          if (n % 4 == 0) yield();
          p = n;
        }));
        auto one = group.async(compute);
        if (chance(2)) one.yield(duration(dice() % 500));
        if (chance(2)) try { group.await_all(); } catch (const task_failed&) {}
        break;
      }
      case 6: {
        const std::size_t enough = dice() % 6;
        std::size_t got = 0;
        for (auto& r : async_stream_nolink(std::views::iota(n), [](int i) {
               if (i % 5 == 0) yield();
               return value(i);
             }, {.max_concurrency = 1 + dice() % 4, .ordered = chance(2)})) {
          if (r) CHECK(*r.value().number >= n);
          if (++got >= enough) break;
        }
        break;
      }
      default: {
        yield_many(kept, {.timeout = duration(dice() % 1000), .limit = dice() % 4});
        if (chance(3)) kept.clear();
        std::erase_if(kept, [](const auto& t) { return !t; });
      }
    }
  }
  if (!kept.empty()) yield_many(kept, {.timeout = infinity});
  // Outside the check, which would take the unwinding of an owner that is killed just here for a failure.
  const bool empty = mailbox_is_empty();
  CHECK(empty);
}

}  // namespace

TEST_CASE("EX-2 EX-11 EX-45 owners and tasks under fire: no value lost, no process left, no message") {
  const long before = made - ended;
  {
    own_world w({.workers = 4});
    const int owners = 12, turns = rounds(400, 10'000);
    std::vector<monitored> all;
    for (int i = 0; i < owners; ++i)
      all.push_back(spawn_monitor([i, turns] { work_of_owner(static_cast<unsigned>(i) + 1, turns); }));
    std::thread in_thread([&] {
      const runtime_scope scope(w.r);
      work_of_owner(77, turns);
    });
    std::mt19937 dice(5);
    for (int shots = 0; shots < turns; ++shots) {
      const auto living = processes();
      if (living.empty()) break;
      const pid target = living[dice() % living.size()];
      const bool is_owner = std::ranges::any_of(all, [&](const monitored& m) { return m.who == target; });
      if (!is_owner || shots % 16 == 0) exit(target, shots % 2 == 0 ? exit_reason::kill : exit_reason::shutdown);
      std::this_thread::sleep_for(std::chrono::microseconds(dice() % 200));
    }
    for (const monitored& m : all) static_cast<void>(reason_of_end(m.who, m.ref));
    in_thread.join();
    CHECK(eventually([] { return processes().empty(); }));
    CHECK(mailbox_is_empty());
  }
  CHECK(made - ended == before);
}
