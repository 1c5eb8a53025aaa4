// SPDX-License-Identifier: Apache-2.0
//
// ./bench core: calls, casts, processes, names and timers beside the machine's limits and beside plain C++.
#include "core/rows.hpp"
#include "support/plain.hpp"

int main(int argc, char** argv) {
  bench::suite suite{"core", argc, argv};
  bench::add_physical_limits(suite);
  bench::plain::add_rows(suite);
  core_bench::add_call_rows(suite);
  core_bench::add_cast_rows(suite);
  core_bench::add_spawn_rows(suite);
  core_bench::add_name_rows(suite);
  core_bench::add_timer_rows(suite);
  core_bench::add_idle_rows(suite);
  core_bench::add_compile_rows(suite);
  return suite.run();
}
