// SPDX-License-Identifier: Apache-2.0
//
// allowed_origins: the origins that somebody lists.
#pragma once

#include <span>
#include <string>

namespace coppice::internal {

/// Throws: std::invalid_argument for one that no browser would send.
void check_origins(std::span<const std::string> listed);

}  // namespace coppice::internal
