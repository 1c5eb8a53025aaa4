// SPDX-License-Identifier: Apache-2.0
//
// adopt: the running process becomes the parent of one that somebody started for it.
#pragma once

#include <coppice/process/pid.hpp>

namespace coppice::internal {

/// Makes the running process the parent of `child`, whose EXIT ends a trapping server (GS-5, GS-125), and the nearest of its
/// ancestors. Nothing happens if `child` is dead. Links are the caller's business.
void adopt(pid child);

}  // namespace coppice::internal
