// SPDX-License-Identifier: Apache-2.0
//
// eventually: waits for a condition that another thread or process will make true, without guessing how long that takes.
// For plain threads of a test; inside a process wait for a message instead.
//
//     CHECK(eventually([&] { return !alive(p); }));
//
// The limit only bounds a failing test: no passing test waits for it.
#pragma once

#include <chrono>
#include <thread>

namespace coppice::testing {

/// Returns true as soon as `condition()` is true, false if it has not become true within `limit`.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& condition, std::chrono::milliseconds limit = std::chrono::minutes(2)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  auto pause = std::chrono::microseconds(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return condition();
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(2)) pause *= 2;
  }
  return true;
}

/// How often a loop that hunts for races runs: `normal` times, or `thorough` times in `./test --long`.
int rounds(int normal, int thorough);

}  // namespace coppice::testing
