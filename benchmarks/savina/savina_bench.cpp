// SPDX-License-Identifier: Apache-2.0
//
// ./bench savina: the actor world's common benchmarks, once with servers and, where it differs, once with functions that
// receive.
#include "savina/rows.hpp"

int main(int argc, char** argv) {
  bench::suite suite{"savina", argc, argv};
  suite.group("4 Savina");
  savina::add_ring(suite);
  savina::add_counting(suite);
  savina::add_fork_join(suite);
  savina::add_chameneos(suite);
  savina::add_bank(suite);
  savina::add_big(suite);
  return suite.run();
}
