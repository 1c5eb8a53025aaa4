// SPDX-License-Identifier: Apache-2.0
//
// rows: the Savina benchmarks, one file each. The work is that of benchmarks/peers/README.md, so peers run beside them.
#pragma once

#include "core/rows.hpp"

namespace savina {

void add_ring(bench::suite& suite);
void add_counting(bench::suite& suite);
void add_fork_join(bench::suite& suite);
void add_chameneos(bench::suite& suite);
void add_bank(bench::suite& suite);
void add_big(bench::suite& suite);

using core_bench::check;
using core_bench::in_process;

struct done {};

inline void receive_done(std::uint64_t times) {
  for (std::uint64_t i = 0; i != times; ++i) coppice::receive<done>();
}

}  // namespace savina
