// SPDX-License-Identifier: Apache-2.0
//
// rows: the groups of ./bench state, one function for each file.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "support/bench.hpp"

namespace state_bench {

void add_atom_rows(bench::suite& suite);
void add_ref_rows(bench::suite& suite);
void add_long_reader_rows(bench::suite& suite);
void add_agent_rows(bench::suite& suite);

/// A sum that was lost or made twice is worth more than a fast row.
inline void check(std::uint64_t got, std::uint64_t wanted) {
  if (got != wanted) throw std::runtime_error("counted " + std::to_string(got) + " instead of " + std::to_string(wanted));
}

/// Nanoseconds per operation, wall time over all operations, of `threads` threads that do `each(thread, n)`.
template <class F>
double together(bench::state& s, int threads, std::uint64_t n, F&& each) {
  const std::uint64_t share = s.count(n);
  return bench::in_threads(threads, [&](int t) {
    bench::pin_to_core(t);
    each(t, share);
  }) / static_cast<double>(share * static_cast<std::uint64_t>(threads));
}

}  // namespace state_bench
