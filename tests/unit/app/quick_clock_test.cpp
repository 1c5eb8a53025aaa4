// SPDX-License-Identifier: Apache-2.0
//
// The thread's guess of the time lies between two looks at the clock, but for what the connections allow for.
#include "app/quick_clock.hpp"

#include <coppice/base/detail/sync.hpp>

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace coppice;

namespace {

constexpr std::int64_t slack = 1'000'000;  // ns, as in http_connection

/// How often the guess was outside, in a tenth of a second.
int wrong_guesses() {
  int wrong = 0;
  for (const std::int64_t begun = detail::sync::now();;) {
    const std::int64_t before = detail::sync::now();
    const std::int64_t guess = internal::quick_now();
    const std::int64_t after = detail::sync::now();
    wrong += guess < before - slack || guess > after + slack;
    if (after - begun > 100'000'000) return wrong;
  }
}

}  // namespace

TEST_CASE("the quick clock is right, on each thread, and as time goes on") {
  CHECK(wrong_guesses() == 0);
  CHECK(wrong_guesses() == 0);                     // now the counter's speed is known
  std::vector<int> wrong(3, -1);
  std::vector<std::thread> threads;
  for (int& w : wrong) threads.emplace_back([&w] { w = wrong_guesses(); });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == std::vector<int>(3, 0));
}
