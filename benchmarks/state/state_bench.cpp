// SPDX-License-Identifier: Apache-2.0
//
// ./bench state: atoms, refs and agents beside what one would otherwise take in C++.
#include "state/rows.hpp"

int main(int argc, char** argv) {
  bench::suite suite{"state", argc, argv};
  bench::add_physical_limits(suite);
  state_bench::add_atom_rows(suite);
  state_bench::add_ref_rows(suite);
  state_bench::add_long_reader_rows(suite);
  state_bench::add_agent_rows(suite);
  return suite.run();
}
