// SPDX-License-Identifier: Apache-2.0
//
// rows: the groups of ./bench otp, one function for each file.
#pragma once

#include "core/rows.hpp"
#include "support/bench.hpp"

namespace otp_bench {

void add_supervisor_rows(bench::suite& suite);
void add_registry_rows(bench::suite& suite);
void add_task_rows(bench::suite& suite);

using core_bench::check;
using core_bench::in_process;
using core_bench::wait_for_end;

}  // namespace otp_bench
