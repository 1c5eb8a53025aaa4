// SPDX-License-Identifier: Apache-2.0
//
// random_stream: the simulation's random numbers (splitmix64), the same on every machine and with every compiler.
//
// Not thread-safe; each stream has one user. The schedule and the program's data have a stream each: with one, taking a
// decision out of a schedule would change the data.
#pragma once

#include <cstdint>

namespace coppice::internal::sim {

class random_stream {
 public:
  explicit random_stream(std::uint64_t seed = 0) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// Uniform in 0 .. bound-1.
  unsigned below(unsigned bound) noexcept { return static_cast<unsigned>(((next() >> 32) * bound) >> 32); }
  bool one_in(unsigned n) noexcept { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace coppice::internal::sim
