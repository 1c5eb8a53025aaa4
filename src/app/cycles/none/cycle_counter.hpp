// SPDX-License-Identifier: Apache-2.0
//
// cycle_counter: none that is cheaper than the clock, or none that is known here.
#pragma once

#include <cstdint>

namespace coppice::internal {

inline constexpr bool has_cycle_counter = false;
inline std::uint64_t cycles() noexcept { return 0; }

}  // namespace coppice::internal
