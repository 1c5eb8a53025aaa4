// SPDX-License-Identifier: Apache-2.0
//
// time: durations with units and deadlines. The only public header that includes <chrono>.
//
// A duration is nanoseconds in 64 bits; every integral std::chrono duration converts to it by itself. A deadline is a
// point on the monotonic clock, in nanoseconds, as `detail::sync::now()` counts them. `using namespace coppice` brings
// the literals 5s, 100ms, 1us, 2min, 1h.
#pragma once

#include <chrono>
#include <cstdint>

namespace coppice {

using namespace std::chrono_literals;

using duration = std::chrono::nanoseconds;

/// A wait without an end: compares like any duration and is the longest one.
inline constexpr duration infinity = duration::max();

/// The deadline that lies `wait` from now.
/// Returns:  INT64_MAX, which is never, for `infinity` and for whatever would overflow; the present for a wait that is not positive.
/// Thread:   any.   Cost: one clock read; none for `infinity`.
std::int64_t deadline_after(duration wait) noexcept;

/// How long it is until `deadline`.
/// Returns:  `infinity` for INT64_MAX, zero where it has passed.
/// Thread:   any.   Cost: one clock read; none for INT64_MAX.
duration time_until(std::int64_t deadline) noexcept;

/// The wall clock: nanoseconds since 1970 in UTC, for reports. Not a deadline's clock.   Thread: any.
std::int64_t wall_clock() noexcept;

}  // namespace coppice
