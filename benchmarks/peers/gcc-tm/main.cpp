// SPDX-License-Identifier: Apache-2.0
//
// The rows of transactions in ../README.md by what gcc compiles for __transaction_atomic: words in memory, without values that
// are kept, history, or anything that waits. `bench_peer <row> [quick]` measures one and prints its line.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

double each(std::uint64_t n, const std::function<void()>& work) {
  const auto begin = clock_type::now();
  work();
  return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / static_cast<double>(n);
}

void on_threads(int threads, const std::function<void(int)>& work) {
  std::vector<std::thread> all;
  for (int t = 0; t != threads; ++t) all.emplace_back(work, t);
  for (std::thread& t : all) t.join();
}

void check(std::int64_t got, std::int64_t wanted) {
  if (got != wanted) throw std::runtime_error("counted " + std::to_string(got) + " instead of " + std::to_string(wanted));
}

constexpr std::size_t many = 1000;
struct alignas(64) cell {
  std::int64_t value = 0;
};

std::size_t pick(std::uint32_t& dice) {
  dice = dice * 1664525 + 1013904223;
  return (dice >> 8) % many;
}

double alter_2(int threads, std::uint64_t n) {
  std::vector<cell> cells(many);
  cell* const all = cells.data();
  const double result = each(n * static_cast<std::uint64_t>(threads), [&] {
    on_threads(threads, [&](int t) {
      auto dice = static_cast<std::uint32_t>(t) + 1;
      for (std::uint64_t i = 0; i != n; ++i) {
        cell& from = all[pick(dice)];
        cell& to = all[pick(dice)];
        __transaction_atomic {
          --from.value;
          ++to.value;
        }
      }
    });
  });
  std::int64_t sum = 0;
  for (const cell& c : cells) sum += c.value;
  check(sum, 0);
  return result;
}

double alter_same(int threads, std::uint64_t n) {
  static cell a, b;
  const double result = each(n * static_cast<std::uint64_t>(threads), [&] {
    on_threads(threads, [&](int) {
      for (std::uint64_t i = 0; i != n; ++i) {
        __transaction_atomic {
          ++a.value;
          ++b.value;
        }
      }
    });
  });
  check(a.value, static_cast<std::int64_t>(n) * threads);
  return result;
}

double alter_1(std::uint64_t n) {
  static cell a;
  return each(n, [&] {
    for (std::uint64_t i = 0; i != n; ++i) {
      __transaction_atomic { ++a.value; }
    }
    check(a.value, static_cast<std::int64_t>(n));
  });
}

double look_2(std::uint64_t n) {
  static cell a, b;
  __transaction_atomic {
    a.value = 1;
    b.value = 2;
  }
  return each(n, [&] {
    std::int64_t sum = 0;
    for (std::uint64_t i = 0; i != n; ++i) {
      __transaction_atomic { sum += a.value + b.value; }
    }
    check(sum, static_cast<std::int64_t>(3 * n));
  });
}

const std::map<std::string, std::function<double(std::uint64_t)>> rows{
    {"alter-2", [](std::uint64_t scale) { return alter_2(1, 10'000'000 / scale); }},
    {"alter-2-2", [](std::uint64_t scale) { return alter_2(2, 4'000'000 / scale); }},
    {"alter-same-2", [](std::uint64_t scale) { return alter_same(2, 2'000'000 / scale); }},
    {"alter-1", [](std::uint64_t scale) { return alter_1(20'000'000 / scale); }},
    {"look-2", [](std::uint64_t scale) { return look_2(20'000'000 / scale); }},
};

}  // namespace

int main(int argc, char** argv) {
  const std::string row = argc > 1 ? argv[1] : "";
  if (row == "list") {
    for (const auto& [name, measure] : rows) std::printf("gcc-tm\t%s\n", name.c_str());
    return 0;
  }
  if (row == "version") {
    std::printf("gcc %s, -fgnu-tm\n", __VERSION__);
    return 0;
  }
  const auto chosen = rows.find(row);
  if (chosen == rows.end()) {
    std::fprintf(stderr, "no row %s\n", row.c_str());
    return 2;
  }
  const bool quick = argc > 2 && std::strcmp(argv[2], "quick") == 0;
  std::printf("%s\t%.3f\tns\n", row.c_str(), chosen->second(quick ? 8 : 1));
}
