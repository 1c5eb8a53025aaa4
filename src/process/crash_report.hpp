// SPDX-License-Identifier: Apache-2.0
//
// crash_report: what the runtime says of a process that ends abnormally (PR-14).
#pragma once

#include "process/mailbox.hpp"

#include <string>

namespace coppice::internal {

/// Writes one report at error level to the log sink. Called by the process itself while it still has everything.
void report_crash(slot& s, const exit_reason& why) noexcept;

/// `ch3 <0.41>` for a process of this runtime that has a local name, else the pid. For reports: it looks through the names.
std::string titled(pid who);

}  // namespace coppice::internal
