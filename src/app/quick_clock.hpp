// SPDX-License-Identifier: Apache-2.0
//
// quick_clock: what time it is, twice for each request. The system's clock takes 25 to 60 ns, the processor's cycle counter 10: a thread looks at
// the clock now and then, and at the counter in between.
//
// The counter is trusted for a moment only: whatever it does (a core whose counter is apart, a machine that was moved), the time is right
// again at the next look. From thread to thread it may differ by as much as the counter is off within one such moment, as a rule
// by less than a microsecond.
#pragma once

#include <cstdint>

namespace coppice::internal {

/// On the monotonic clock, in ns.   Thread: any.
std::int64_t quick_now() noexcept;

}  // namespace coppice::internal
