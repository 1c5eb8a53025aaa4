// SPDX-License-Identifier: Apache-2.0
//
// rows: the groups of ./bench app, one function for each file.
#pragma once

#include "support/bench.hpp"

namespace app_bench {

void add_hello_rows(bench::suite& suite);
void add_idle_rows(bench::suite& suite);
void add_restart_rows(bench::suite& suite);

}  // namespace app_bench
