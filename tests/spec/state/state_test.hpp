// SPDX-License-Identifier: Apache-2.0
//
// state_test: what tests of references need: values that are words and values that are not, watches that keep what they saw.
#pragma once

#include <doctest/doctest.h>

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/atom.hpp>

#include "runtime/epoch.hpp"
#include "spec/process/world.hpp"
#include "support/eventually.hpp"

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace coppice::testing {

/// A number that is no word: it lives in a box. Counts how many of it live.
struct big {
  static inline std::atomic<int> alive{0};
  long long n = 0;
  long long also[4] = {};

  big() : big(0) {}
  big(long long value) : n(value), also{value, value, value, value} { ++alive; }
  big(const big& other) : n(other.n), also{other.also[0], other.also[1], other.also[2], other.also[3]} { ++alive; }
  big& operator=(const big& other) = default;
  ~big() { --alive; }
  /// Not torn, not freed.
  bool is_whole() const { return also[0] == n && also[1] == n && also[2] == n && also[3] == n; }
  friend bool operator==(const big& a, const big& b) { return a.n == b.n; }
  friend big operator+(const big& a, const big& b) { return a.n + b.n; }
  friend big operator-(const big& a, const big& b) { return a.n - b.n; }
  friend bool operator<(const big& a, const big& b) { return a.n < b.n; }
};

inline long long number(long long n) { return n; }
inline long long number(const big& b) { return b.n; }

/// (old, new) pairs that a watch saw.
class seen_changes {
 public:
  using pair = std::pair<long long, long long>;
  void add(long long old, long long now) {
    std::lock_guard held(lock_);
    pairs_.push_back({old, now});
  }
  std::vector<pair> all() const {
    std::lock_guard held(lock_);
    return pairs_;
  }
  std::size_t size() const { return all().size(); }

 private:
  mutable std::mutex lock_;
  std::vector<pair> pairs_;
};

/// A watch that notes what it sees.
inline auto into(seen_changes& seen) {
  return [&seen](std::string_view, auto&, const auto& old, const auto& now) { seen.add(number(old), number(now)); };
}

/// Runs `body` in this thread and in a process, which may both wait; nothing of it stays in the mailbox.
template <class F>
void in_both(F&& body) {
  const world w;
  body();
  in_process(body);
  CHECK(flush() == 0);
}

template <class F>
void in_threads(int count, F&& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& t : threads) t.join();
}

struct oops : std::runtime_error { oops() : std::runtime_error("oops") {} };

inline const auto not_negative = [](const auto& x) { return !(x < std::decay_t<decltype(x)>(0)); };

}  // namespace coppice::testing
