// SPDX-License-Identifier: Apache-2.0
//
// cycle_counter: the processor's, which runs at one speed whatever the core does.
#pragma once

#include <cstdint>

namespace coppice::internal {

inline constexpr bool has_cycle_counter = true;
inline std::uint64_t cycles() noexcept { return __builtin_ia32_rdtsc(); }

}  // namespace coppice::internal
