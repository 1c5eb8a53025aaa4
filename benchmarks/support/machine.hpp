// SPDX-License-Identifier: Apache-2.0
//
// machine: what the figures were measured on, in a few lines for the head of a table.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bench::internal {

/// Pairs of heading and text: processor, cores, memory, kernel, C library, compiler and load.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> describe_machine();

}  // namespace bench::internal
