// SPDX-License-Identifier: Apache-2.0
//
// ./bench app: the HTTP server beside nginx and, with --peers, Go. The load comes from wrk, on the same machine: it is the limit of
// what is served in a second, so the CPU time that the server takes for a request is what decides.
#include <string_view>

#include "app/crowd.hpp"
#include "app/load.hpp"
#include "app/rows.hpp"

int main(int argc, char** argv) {
  if (argc > 1 && argv[1] == app_bench::crowd_argument) return app_bench::be_crowd(argc, argv);
  if (argc > 1 && argv[1] == app_bench::successor_argument) return app_bench::be_successor(argc, argv);
  app_bench::raise_descriptor_limit();
  bench::suite suite{"app", argc, argv};
  bench::add_physical_limits(suite);
  app_bench::add_hello_rows(suite);
  app_bench::add_idle_rows(suite);
  app_bench::add_restart_rows(suite);
  return suite.run();
}
