// SPDX-License-Identifier: Apache-2.0
//
// ./bench otp: supervisors, tasks and registries beside Erlang and Elixir.
#include "otp/rows.hpp"

int main(int argc, char** argv) {
  bench::suite suite{"otp", argc, argv};
  bench::add_physical_limits(suite);
  otp_bench::add_supervisor_rows(suite);
  otp_bench::add_registry_rows(suite);
  otp_bench::add_task_rows(suite);
  return suite.run();
}
