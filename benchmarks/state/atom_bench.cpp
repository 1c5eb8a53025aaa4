// SPDX-License-Identifier: Apache-2.0
//
// Row 6: reads and swaps of atoms, of words and of boxes, beside a mutex, std::atomic<std::shared_ptr> and a raw loop.
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/atom.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "state/rows.hpp"

using namespace coppice;
using state_bench::together;

namespace {

using boxed = std::array<std::uint64_t, 5>;      // 40 bytes
boxed next(const boxed& b) { return {b[0] + 1, b[1], b[2], b[3], b[4]}; }

constexpr std::uint64_t reads = 20'000'000, swaps = 4'000'000;

double read_word(bench::state& s, int threads) {
  atom<std::uint64_t> a(1);
  return together(s, threads, reads, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) bench::keep(*a);
  });
}
double read_boxed(bench::state& s, int threads) {
  atom<boxed> a(boxed{});
  return together(s, threads, reads, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) bench::keep((*a).get()[0]);
  });
}
/// The reader's time beside one that writes all the while.
template <class T, class Change>
double read_beside_writer(bench::state& s, T first, Change change) {
  atom<T> a(first);
  std::atomic<bool> stop{false};
  double ns = 0;
  bench::in_threads(2, [&](int t) {
    bench::pin_to_core(t);
    if (t == 1) {
      while (!stop.load(std::memory_order_relaxed)) a.swap(change);
      return;
    }
    const std::uint64_t n = s.count(reads);
    ns = s.each(n, [&] {
      for (std::uint64_t i = 0; i != n; ++i) a.read([](const T& v) { bench::keep(v); });
    });
    stop = true;
  });
  return ns;
}
double swap_word(bench::state& s, int threads) {
  atom<std::uint64_t> a(0);
  const double ns = together(s, threads, swaps, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) a.swap(inc);
  });
  state_bench::check(*a, s.count(swaps) * static_cast<std::uint64_t>(threads));
  return ns;
}
double swap_boxed(bench::state& s, int threads) {
  atom<boxed> a(boxed{});
  const double ns = together(s, threads, swaps, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) a.swap(next);
  });
  state_bench::check((*a).get()[0], s.count(swaps) * static_cast<std::uint64_t>(threads));
  return ns;
}

double raw_loop(bench::state& s, int threads) {
  std::atomic<std::uint64_t> a{0};
  return together(s, threads, swaps, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      std::uint64_t old = a.load(std::memory_order_acquire);
      while (!a.compare_exchange_weak(old, old + 1)) {}
    }
  });
}
double mutex_swap(bench::state& s, int threads) {
  std::mutex lock;
  boxed value{};
  return together(s, threads, swaps, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      const std::lock_guard held(lock);
      value = next(value);
    }
  });
}
double mutex_read(bench::state& s, int threads) {
  std::mutex lock;
  boxed value{};
  return together(s, threads, swaps, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      const std::lock_guard held(lock);
      bench::keep(value[0]);
    }
  });
}
double shared_read(bench::state& s, int threads) {
  std::atomic<std::shared_ptr<const boxed>> a(std::make_shared<const boxed>());
  return together(s, threads, swaps / 4, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) bench::keep((*a.load())[0]);
  });
}
double shared_swap(bench::state& s, int threads) {
  std::atomic<std::shared_ptr<const boxed>> a(std::make_shared<const boxed>());
  return together(s, threads, swaps / 4, [&](int, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      auto old = a.load();
      while (!a.compare_exchange_weak(old, std::make_shared<const boxed>(next(*old)))) {}
    }
  });
}

}  // namespace

void state_bench::add_atom_rows(bench::suite& suite) {
  suite.group("beside atoms");
  for (const int n : {1, 2}) {
    const std::string threads = n == 1 ? ", 1 thread" : ", 2 threads";
    suite.row("raw compare-and-swap loop" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return raw_loop(s, n); }});
    suite.row("std::mutex + value, read" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return mutex_read(s, n); }});
    suite.row("std::mutex + value, change" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return mutex_swap(s, n); }});
    suite.row("std::atomic<shared_ptr>, read" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return shared_read(s, n); }});
    suite.row("std::atomic<shared_ptr>, change" + threads, {.two_cores = n == 2, .run = [n](bench::state& s) { return shared_swap(s, n); }});
  }
  suite.group("6 atoms");
  for (const int n : {1, 2}) {
    const std::string threads = n == 1 ? ", 1 thread" : ", 2 threads";
    const double most = n == 1 ? 1.5 : 0.8;
    suite.row("read a word" + threads, {.reference = "std::mutex + value, read" + threads, .max = most, .peers = n == 1 ? "atom-read" : "", .two_cores = n == 2,
                                        .run = [n](bench::state& s) { return read_word(s, n); }});
    suite.row("read a box, 40 bytes, by view" + threads, {.reference = "std::atomic<shared_ptr>, read" + threads, .max = most, .two_cores = n == 2,
                                                          .run = [n](bench::state& s) { return read_boxed(s, n); }});
  }
  suite.row("read a word beside a writer", {.two_cores = true, .run = [](bench::state& s) { return read_beside_writer<std::uint64_t>(s, 0, inc); }});
  suite.row("read a box beside a writer", {.two_cores = true, .run = [](bench::state& s) { return read_beside_writer<boxed>(s, boxed{}, next); }});
  suite.row("swap a word, 1 thread", {.reference = "raw compare-and-swap loop, 1 thread", .max = 6, .peers = "atom-swap", .run = [](bench::state& s) { return swap_word(s, 1); }});
  suite.row("swap a word, 2 threads", {.reference = "raw compare-and-swap loop, 2 threads", .max_ratio = 1.25, .peers = "atom-swap-2", .two_cores = true,
                                       .run = [](bench::state& s) { return swap_word(s, 2); }});
  suite.row("swap a box, 1 thread", {.reference = "std::atomic<shared_ptr>, change, 1 thread", .max = 12, .run = [](bench::state& s) { return swap_boxed(s, 1); }});
  suite.row("swap a box, 2 threads", {.reference = "std::atomic<shared_ptr>, change, 2 threads", .two_cores = true,
                                      .run = [](bench::state& s) { return swap_boxed(s, 2); }});
}
