// SPDX-License-Identifier: Apache-2.0
//
// vector_clock: what a simulated thread knows of the others.
//
// Column i counts the epochs of thread i; one more column orders the sequentially consistent operations among each other,
// as if they were a thread of their own. Used by the engine's memory model only, on the one OS thread of a run.
#pragma once

#include <array>
#include <cstdint>

namespace coppice::internal::sim {

using epoch = std::uint32_t;

inline constexpr unsigned max_threads = 16;
inline constexpr unsigned seq_cst_column = max_threads;
inline constexpr unsigned columns = 20;  // a multiple of what a vector register holds
inline constexpr epoch not_yet = UINT32_MAX;

struct vector_clock {
  std::array<epoch, columns> at{};

  void join(const vector_clock& other) noexcept {
    for (unsigned i = 0; i < columns; ++i) at[i] = at[i] < other.at[i] ? other.at[i] : at[i];
  }
  /// True when some column of `seen` is not later than ours: we are bound to know what was seen there.
  [[nodiscard]] bool reaches(const vector_clock& seen) const noexcept {
    bool any = false;
    for (unsigned i = 0; i < columns; ++i) any |= seen.at[i] <= at[i];
    return any;
  }
};

/// Two kinds of knowledge. A fence binds what a thread may still read, but it orders no plain data by itself: with one
/// clock for both, a fence would hide races.
struct view {
  vector_clock before;  // happens-before: decides races
  vector_clock bound;   // coherence: decides which stores are too old to be read

  void join(const view& other) noexcept {
    before.join(other.before);
    bound.join(other.bound);
  }
};

/// All that the memory model keeps for one simulated thread.
struct knowledge {
  unsigned thread = 0;
  view now;
  view pending;  // published by what was read relaxed: a fence takes it over
  view fenced;   // what relaxed stores publish: our knowledge at our last fence

  [[nodiscard]] epoch own() const noexcept { return now.before.at[thread]; }
  /// Begins a new epoch: before each operation, and after each release, so that later plain writes are not published by it.
  void advance() noexcept {
    ++now.before.at[thread];
    ++now.bound.at[thread];
  }
};

}  // namespace coppice::internal::sim
