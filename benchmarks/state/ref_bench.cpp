// SPDX-License-Identifier: Apache-2.0
//
// Row 6: transactions over refs, beside the same changes under two mutexes.
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/ref.hpp>

#include <memory>
#include <mutex>
#include <vector>

#include "state/rows.hpp"

using namespace coppice;
using state_bench::together;

namespace {

constexpr std::uint64_t changes = 1'000'000;
constexpr std::size_t many = 1000;

struct bank {
  std::vector<std::unique_ptr<ref<std::int64_t>>> refs;
  bank() {
    for (std::size_t i = 0; i != many; ++i) refs.push_back(std::make_unique<ref<std::int64_t>>(0));
  }
  std::int64_t sum() const {
    std::int64_t s = 0;
    for (const auto& r : refs) s += **r;
    return s;
  }
};
struct guarded {
  std::mutex lock;
  std::int64_t value = 0;
};

std::size_t pick(std::uint32_t& dice) {
  dice = dice * 1664525 + 1013904223;
  return (dice >> 8) % many;
}

double alter_2_of_many(bench::state& s, int threads) {
  bank b;
  const double ns = together(s, threads, changes, [&](int t, std::uint64_t n) {
    std::uint32_t dice = static_cast<std::uint32_t>(t) + 1;
    for (std::uint64_t i = 0; i != n; ++i) {
      ref<std::int64_t>& from = *b.refs[pick(dice)];
      ref<std::int64_t>& to = *b.refs[pick(dice)];
      transact([&] {
        from.alter(minus, 1);
        to.alter(plus, 1);
      });
    }
  });
  state_bench::check(static_cast<std::uint64_t>(b.sum()), 0);
  return ns;
}
double mutexes_2_of_many(bench::state& s, int threads) {
  std::vector<guarded> all(many);
  return together(s, threads, changes, [&](int t, std::uint64_t n) {
    std::uint32_t dice = static_cast<std::uint32_t>(t) + 1;
    for (std::uint64_t i = 0; i != n; ++i) {
      const std::size_t from = pick(dice);
      const std::size_t to = pick(dice);
      if (from == to) continue;
      const std::scoped_lock held(all[from].lock, all[to].lock);
      --all[from].value;
      ++all[to].value;
    }
  });
}
double alter_same_2(bench::state& s, int threads) {
  ref<std::int64_t> a(0), b(0);
  const double ns = together(s, threads, changes / 2, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i)
      transact([&] {
        a.alter(plus, 1);
        b.alter(plus, 1);
      });
  });
  state_bench::check(static_cast<std::uint64_t>(*a), s.count(changes / 2) * static_cast<std::uint64_t>(threads));
  return ns;
}
double mutexes_same_2(bench::state& s, int threads) {
  guarded a, b;
  return together(s, threads, changes / 2, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      const std::scoped_lock held(a.lock, b.lock);
      ++a.value;
      ++b.value;
    }
  });
}

}  // namespace

void state_bench::add_ref_rows(bench::suite& suite) {
  suite.group("beside refs");
  for (const int n : {1, 2}) {
    const std::string threads = n == 1 ? ", 1 thread" : ", 2 threads";
    suite.row("two mutexes of 1,000" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return mutexes_2_of_many(s, n); }});
    suite.row("the same two mutexes" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return mutexes_same_2(s, n); }});
  }
  suite.group("6 transactions");
  for (const int n : {1, 2}) {
    const std::string threads = n == 1 ? ", 1 thread" : ", 2 threads";
    suite.row("alter 2 refs of 1,000" + threads, {.reference = "two mutexes of 1,000" + threads, .max = n == 1 ? 45.0 : 35.0, .peers = n == 1 ? "alter-2" : "alter-2-2", .two_cores = n == 2,
                                                  .run = [n](bench::state& s) { return alter_2_of_many(s, n); }});
  }
  suite.row("alter the same 2 refs, 2 threads", {.reference = "the same two mutexes, 2 threads", .max = 150.0, .peers = "alter-same-2", .two_cores = true,
                                                 .run = [](bench::state& s) { return alter_same_2(s, 2); }});
  suite.row("alter 1 ref", {.max = 35.0, .peers = "alter-1", .run = [](bench::state& s) {
                              ref<std::int64_t> r(0);
                              return s.time([&](std::uint64_t n) { while (n-- != 0) transact([&] { r.alter(inc); }); });
                            }});
  suite.row("commute 1 ref", {.max = 40.0, .peers = "commute-1", .run = [](bench::state& s) {
                                ref<std::int64_t> r(0);
                                return s.time([&](std::uint64_t n) { while (n-- != 0) transact([&] { r.commute(inc); }); });
                              }});
  suite.row("look at 2 refs", {.max = 8.0, .peers = "look-2", .run = [](bench::state& s) {
                                 ref<std::int64_t> a(1), b(2);
                                 return s.time([&](std::uint64_t n) { while (n-- != 0) bench::keep(transact([&] { return *a + *b; })); });
                               }});
  suite.row("look at a ref outside", {.run = [](bench::state& s) {
                                        ref<std::int64_t> a(1);
                                        return s.time([&](std::uint64_t n) { while (n-- != 0) bench::keep(*a); });
                                      }});
}
