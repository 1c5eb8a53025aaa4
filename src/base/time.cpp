// SPDX-License-Identifier: Apache-2.0
//
// time, the out-of-line part: deadlines on the monotonic clock.
#include <coppice/base/time.hpp>

#include <coppice/base/detail/sync.hpp>

namespace coppice {

namespace sync = detail::sync;

std::int64_t deadline_after(duration wait) noexcept {
  if (wait == infinity) return sync::never;
  const std::int64_t now = sync::now();
  if (wait <= duration::zero()) return now;
  std::int64_t deadline;
  return __builtin_add_overflow(now, wait.count(), &deadline) ? sync::never : deadline;
}

duration time_until(std::int64_t deadline) noexcept {
  if (deadline == sync::never) return infinity;
  const std::int64_t now = sync::now();
  return deadline <= now ? duration::zero() : duration(deadline - now);
}

std::int64_t wall_clock() noexcept {
  return std::chrono::duration_cast<duration>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace coppice
