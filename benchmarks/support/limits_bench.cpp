// SPDX-License-Identifier: Apache-2.0
//
// ./bench limits: the machine alone, without the library. Run it first on a machine whose figures look strange.
#include "support/bench.hpp"
#include "support/plain.hpp"

int main(int argc, char** argv) {
  bench::suite suite{"limits", argc, argv};
  bench::add_physical_limits(suite);
  bench::plain::add_rows(suite);
  return suite.run();
}
