// SPDX-License-Identifier: Apache-2.0
//
// strategy: who goes on. One object per run; asked at each step where more than one thread could.
//
//   usual    run until blocked or yielding, then the next number upwards: the course that decisions deviate from
//   uniform  any thread that can run
//   sticky   stays with the thread that runs, and switches one time in `depth`
//   pct      random fixed priorities that change at `depth` - 1 random steps (Burckhardt et al.)
//   pos      a random priority for each pending operation, drawn again for those that conflict with the one performed
//
// None suffices: each of uniform, sticky and pct is blind for some fault, so seeds take turns (`mixed`). Spin loops end
// because a thread that yields, or runs long alone, goes to the end of the line.
//
// Used by the engine only.
#pragma once

#include "sim/random_stream.hpp"
#include "sim/schedule.hpp"
#include "sim/vector_clock.hpp"

#include <array>
#include <cstdint>

namespace coppice::internal::sim {

/// What a thread stands before: which memory it will touch, and whether it may write there.
struct pending_operation {
  const void* where = nullptr;
  bool writes = false;

  [[nodiscard]] bool conflicts_with(const pending_operation& other) const noexcept {
    return where != nullptr && where == other.where && (writes || other.writes);
  }
};

struct situation {
  unsigned current = 0;         // who ran last
  std::uint32_t enabled = 0;    // one bit per thread; at least two
  bool yields = false;          // `current` lets others go first
  unsigned alone = 0;           // steps that `current` has run in a row while others could
  std::uint64_t point = 0;      // how many choices there were before in this run
  pending_operation performed;  // by `current`, just before
  const std::array<pending_operation, max_threads>* pending = nullptr;
};

/// Strategy and depth of a seed of the mix.
struct mix {
  strategy_kind kind;
  unsigned depth;
};
mix mixed(std::uint64_t seed) noexcept;

/// The next enabled number after `after`, around.
unsigned next_upwards(std::uint32_t enabled, unsigned after) noexcept;
/// The usual course.
unsigned usual_choice(const situation& s) noexcept;

class strategy {
 public:
  void start(const token& run, std::uint64_t seed) noexcept;
  void thread_started(unsigned thread) noexcept;
  unsigned choose(const situation& s) noexcept;

 private:
  unsigned any(std::uint32_t enabled) noexcept;
  unsigned sticky(const situation& s) noexcept;
  unsigned pct(const situation& s) noexcept;
  unsigned pos(const situation& s) noexcept;
  unsigned highest(std::uint32_t enabled) const noexcept;
  std::uint64_t draw_priority() noexcept { return (random_.next() >> 1) | (std::uint64_t{1} << 62); }

  strategy_kind kind_ = strategy_kind::usual;
  unsigned depth_ = 0;
  random_stream random_;
  std::array<std::uint64_t, max_threads> priority_{};
  std::uint64_t lowest_ = 0;
  std::array<std::uint64_t, 8> change_at_{};  // pct: sorted steps
  unsigned next_change_ = 0;
  unsigned changes_ = 0;
};

}  // namespace coppice::internal::sim
