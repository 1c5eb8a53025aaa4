// SPDX-License-Identifier: Apache-2.0
//
// story: a run, told one line per operation: step, thread and its own count, operation, location, value, order.
#pragma once

#include "sim/engine.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace coppice::internal::sim {

/// The last `most` lines, preceded by a remark where some were left out.
std::string tell(const std::vector<story_line>& story, std::size_t most);

/// One line without its newline.
std::string tell(const story_line& line);

}  // namespace coppice::internal::sim
